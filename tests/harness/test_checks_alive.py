"""No check is dead: with any one of them disabled, the mistakes that it is for slip through.

The evidence about each mistake is gathered once; then it is judged again with one check,
or one entry of the catalogue, taken away.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from autograder.hw5 import assignment, mistakes, verdicts
from autograder.hw5.mistakes import head_search, layer_search, raised
from autograder.hw5.mistakes.catalogue import CATALOGUE
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.given_model import SIZES
from autograder.hw5.probes.vit import Doubts, JudgedBy, Judgement, TransformerRun
from autograder.hw5.verdicts import vit
from autograder.rubric.feedback import Feedback, Rejected
from autograder.rubric.mistake import Mistake
from autograder.staff.solutions import Solution

from .conftest import a_few_and_all, spread
from .local_grading import MISTAKES, ON_ONE_CORE, Recorded, recorded


def modules_of(package: ModuleType, without: str) -> tuple[ModuleType, ...]:
    return tuple(
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if module.name != without
    )


VERDICTS = modules_of(verdicts, without="map_panels")  # a program
NAMING = (*modules_of(mistakes, without="catalogue"), *VERDICTS)
MOST_TRIED = 4  # mistakes that are judged again without a check

CHECKS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": (module, name)
    for module in VERDICTS
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and name.startswith(("check_", "judge_"))
}
# Judged on evidence that takes a whole training; they have tests of their own below.
ON_LONG_EVIDENCE = {"vit.judge_learning", "vit.judge_weights", "vit.check_losses"}


@pytest.fixture
def patch() -> Iterator[Callable[[], pytest.MonkeyPatch]]:
    """Undoes earlier changes, and lets new ones be made.

    Searches are remembered per probe; with a changed catalogue they must run again.
    """
    changes = pytest.MonkeyPatch()

    def fresh() -> pytest.MonkeyPatch:
        changes.undo()
        forget()
        return changes

    yield fresh
    fresh()


def forget() -> None:
    head_search.read_head.cache_clear()
    layer_search.read_layer.cache_clear()
    raised._raised_by_heads.cache_clear()
    raised._raised_by_layers.cache_clear()


def rejections() -> dict[str, list[Recorded]]:
    """For each check, the mistakes that it rejects."""
    found: dict[str, list[Recorded]] = {check: [] for check in CHECKS}
    mistakes = [recorded(name) for name in MISTAKES]
    with pytest.MonkeyPatch.context() as patch:
        current: list[Recorded] = []
        for check, (module, name) in CHECKS.items():
            patch.setattr(module, name, noting(getattr(module, name), found[check], current))
        for mistake in mistakes:
            current[:] = [mistake]
            mistake.judge_again()
    return found


def noting(check: Callable[..., Any], rejected: list[Recorded], current: list[Recorded]) -> Any:
    def noted(*arguments: Any, **named: Any) -> Any:
        try:
            return check(*arguments, **named)
        except Rejected:
            if not rejected or rejected[-1] is not current[0]:
                rejected.append(current[0])
            raise

    return noted


def passes(*arguments: Any, **named: Any) -> Feedback:
    return Feedback("Not checked.")


@ON_ONE_CORE
@pytest.mark.full
def test_without_a_check_a_mistake_of_its_own_slips_through(patch):
    patch()
    rejected = rejections()
    dead = []
    for check in sorted(CHECKS.keys() - ON_LONG_EVIDENCE):
        module, name = CHECKS[check]
        patch().setattr(module, name, passes)
        tried = rejected[check][:MOST_TRIED]
        if not any(mistake.judge_again().differences() for mistake in tried):
            dead.append(check)
    assert dead == []


@ON_ONE_CORE
@pytest.mark.parametrize("ids", a_few_and_all(sorted(CATALOGUE), 12), ids=["a few", "all"])
def test_without_an_entry_of_the_catalogue_its_mistake_is_not_named(ids, patch):
    patch()
    naming = {
        id: [recorded(name) for name, one in MISTAKES.items() if id in expected_ids(one)]
        for id in ids
    }
    dead = []
    for id, named in naming.items():
        alone = [one for one in named if one.outcome.diagnoses == [id]]
        changes = patch()
        take_out(id, changes)
        if alone:  # pairs can't name it either, and searching them takes long
            for search in (head_search, layer_search):
                changes.setattr(search, "MOST_AT_ONCE", 1)
        if not any(one.judge_again().differences() for one in (alone or named)[:1]):
            dead.append(id)
    assert dead == []


@ON_ONE_CORE
def test_without_any_change_every_mistake_is_judged_as_before(patch):
    """Else the two tests above would find everything alive."""
    patch()
    some = [recorded(name) for name in spread(sorted(MISTAKES), 24)]
    assert [one.solution.name for one in some if one.judge_again().differences()] == []


def expected_ids(solution: Solution) -> set[str]:
    expected = solution.expected
    return {part for line in expected.lost for part in expected.named(line).split("+")}


def take_out(id: str, changes: pytest.MonkeyPatch) -> None:
    """Remove a mistake from every list of the catalogue, and blank it where it is named."""
    for module in NAMING:
        for name, value in list(vars(module).items()):
            if isinstance(value, tuple) and any(is_entry(one, id) for one in value):
                kept = tuple(one for one in value if not is_entry(one, id))
                changes.setattr(module, name, kept)
            elif isinstance(value, dict) and any(is_entry(one, id) for one in value.values()):
                blanked = {key: blank(one, id) for key, one in value.items()}
                changes.setattr(module, name, blanked)
            elif is_entry(value, id):
                changes.setattr(module, name, blank(value, id))


def is_entry(value: object, id: str) -> bool:
    return isinstance(value, Mistake) and value.id == id


def blank(value: Any, id: str) -> Any:
    return replace(value, id="") if is_entry(value, id) else value


def test_a_transformer_that_learns_nothing_in_the_brief_training_is_rejected():
    rules = assignment.load().model_copy(update={"pictures": False})
    blind = TransformerRun([2.3, 2.3], 0.1, torch.zeros(1), Heads.STUDENT)
    with pytest.raises(Rejected, match="hardly learns"):
        vit.judge_learning(blind, rules)


def test_a_transformer_that_knows_digits_before_it_is_trained_is_rejected():
    rules = assignment.load().model_copy(update={"pictures": False})
    run = TransformerRun([2.3, 2.3], 0.99, torch.zeros(1), Heads.STUDENT, untrained=0.98)
    with pytest.raises(Rejected, match="don't come from the model's weights"):
        vit.judge_learning(run, rules)
    usual = replace(run, untrained=0.12, for_a_person="nothing explains it")
    assert "staff will look" in " ".join(vit.judge_learning(usual, rules).lines())
    assert "staff" not in " ".join(
        vit.judge_learning(replace(usual, for_a_person=""), rules).lines()
    )
    same = replace(run, by=JudgedBy.STEPS, accuracy=0.0)
    assert "same training steps" in vit.judge_learning(same, rules).headline


@pytest.mark.parametrize(
    ("accuracy", "doubts", "points", "said"),
    [
        (0.5, None, 0, "below the 97.5% threshold"),
        (0.5, (0.5, 0.5, 0.1), 0, "below the 97.5% threshold"),
        (0.68, (0.68, 0.6, 0.1), 0, "below the 97.5% threshold"),
        (0.96, None, 1, "below the 97.5% threshold"),
        (0.96, (0.96, 0.96, 0.1), 1, "below the 97.5% threshold"),
        (0.96, (0.96, 0.92, 0.1), 0, "accuracy drops under noise"),
        (0.99, (0.99, 0.5, 0.1), 0, "accuracy drops under noise"),
        (0.99, (0.99, 0.99, 0.99), 0, "don't come from the model's weights"),
    ],
    ids=["untrained", "untrained, by its own code", "hardly trained", "nearly",
         "nearly, by its own code", "nearly looked up", "looked up", "stored in the code"],
)  # fmt: skip
def test_weights_that_miss_the_bar_or_only_remember_are_rejected(accuracy, doubts, points, said):
    kept = None if doubts is None else Doubts(*doubts)
    judged = Judgement(accuracy, torch.zeros(1), Heads.STUDENT, kept)
    with pytest.raises(Rejected, match=said) as rejected:
        vit.judge_weights(judged, assignment.load())
    assert rejected.value.points == points


@pytest.mark.parametrize("doubts", [None, Doubts(0.98, 0.975, 0.13)], ids=["grader", "own code"])
def test_weights_that_meet_the_bar_pass_and_staff_read_whose_code_answered(doubts):
    feedback = vit.judge_weights(
        Judgement(0.98, torch.zeros(1), Heads.STUDENT, doubts), assignment.load()
    )
    assert ("staff will look" in " ".join(feedback.lines())) == (doubts is not None)


def test_attention_maps_that_are_all_alike_are_rejected():
    tokens = SIZES.tokens
    even = torch.full((1, SIZES.heads, tokens, tokens), 1 / tokens)
    judged = SimpleNamespace(attention=even)
    with pytest.raises(Rejected, match="the same number"):
        vit.check_attention_maps(judged, assignment.load())
