"""The known answers of 3a and 3b: right work gives them, however written; wrong work doesn't."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import pytest
import torch

from autograder.staff import known_answers
from autograder.staff.solutions import Kind, Solution, load_solutions
from provided.homework import HEAD, LAYER
from provided.known_answers import FILE, RIGHT, WRONG, CannotTell, example, judge_head, judge_layer
from provided.slots import layer_name
from provided.submission import imported_as_taken, take

from .conftest import a_few_and_all, left_to_the_full_set, spread
from .random_modules import draw
from .student_copy import replace, run, solved

FILES = {HEAD.file, LAYER.file}
WRITTEN = [one for one in load_solutions(["alternatives"]) if FILES & set(one.changed)]
BY_NUMBERS = {"3a.4", "3b.1", "3b.2"}  # lines that compare what comes out
MISTAKES = [one for one in load_solutions(["mistakes"]) if BY_NUMBERS & set(one.expected.fails)]
NO_WORD = "can't tell"
# What the example can't show: dropout is off in it, a step is cut, or other precision is needed.
OUT_OF_SIGHT = {
    "constant-factor",
    "dropout-alive-in-eval",
    "half-precision-layer",
    "layer-output-rounded",
    "norm-epsilon-from-dropout",
    "weights-dropout-alive-in-eval",
}


def verdicts(folder: Path) -> tuple[str, str]:
    """On a folder's head and layer; what raises is no verdict."""
    found = []
    with imported_as_taken(take(folder)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file, judge in ((HEAD, judge_head), (LAYER, judge_layer)):
            try:
                module = importlib.import_module(file.module)
                name = HEAD.name if file is HEAD else layer_name(module)
                found.append(judge(getattr(module, name)))
            except (CannotTell, Exception):  # noqa: BLE001  check.py says what it was
                found.append(NO_WORD)
    return found[0], found[1]


def of(solution: Solution, folder: Path) -> tuple[str, str]:
    folder.mkdir()
    return verdicts(solution.assemble(folder))


@pytest.mark.parametrize("solutions", a_few_and_all(WRITTEN, 12), ids=["some", "all"])
def test_every_correct_alternative_is_right(tmp_path, solutions):
    found = {one.name: of(one, tmp_path / one.name) for one in solutions}
    assert {name: both for name, both in found.items() if both != (RIGHT, RIGHT)} == {}


@pytest.mark.parametrize(
    "seeds",
    [range(10), pytest.param(range(10, 300), marks=pytest.mark.long)],
    ids=["ten", "three hundred"],
)
def test_correct_work_drawn_at_random_is_right(tmp_path, seeds):
    found = {}
    for seed in seeds:
        pair = draw(seed)
        (tmp_path / HEAD.file).write_text(pair.attention)
        (tmp_path / LAYER.file).write_text(pair.encoder)
        found[seed] = verdicts(tmp_path)
    assert {seed: both for seed, both in found.items() if both != (RIGHT, RIGHT)} == {}


@pytest.mark.parametrize("solutions", a_few_and_all(MISTAKES, 12), ids=["some", "all"])
def test_no_mistake_that_changes_the_result_is_right(tmp_path, solutions):
    found = {one.name: of(one, tmp_path / one.name) for one in solutions}
    taken_for_right = {name for name, both in found.items() if both == (RIGHT, RIGHT)}
    assert taken_for_right == OUT_OF_SIGHT & found.keys()
    judged = [name for name, both in found.items() if WRONG in both]
    assert len(judged) > len(found) / 2


WRONG_IN = {
    "no-scale": "3a",
    "scale-by-inner-dim": "3a",
    "softmax-over-queries": "3a",
    "causal-mask": "3a",
    "post-norm": "3b",
    "missing-second-residual": "3b",
    "gelu": "3b",
    "parallel-sub-layers": "3b",
}


@pytest.mark.parametrize("mistake", left_to_the_full_set(WRONG_IN, but=["no-scale", "post-norm"]))
def test_wrong_is_said_and_not_why(tmp_path, mistake):
    part = WRONG_IN[mistake]
    folder = solved(tmp_path / "hw5")
    (solution,) = load_solutions([mistake])
    solution.assemble(folder)
    ended = run(folder, "check.py", part, "--known-answer")
    assert f"{part}  wrong known answer\n" in ended.output
    assert ended.status == 1
    assert not {"scale", "sqrt", "norm", "residual", "GELU"} & set(ended.output.split())


def test_right_is_said_of_the_reference_and_nothing_without_the_option(tmp_path):
    folder = solved(tmp_path / "hw5")
    ended = run(folder, "check.py", "3a", "3b", "--known-answer")
    assert "3a  right known answer\n" in ended.output
    assert "3b  right known answer\n" in ended.output
    assert ended.status == 0
    assert "known answer" not in run(folder, "check.py", "3a", "3b").output


def test_a_layer_is_not_judged_with_a_wrong_head(tmp_path):
    folder = solved(tmp_path / "hw5")
    replace(folder / "attention.py", "math.sqrt(", "(")
    ended = run(folder, "check.py", "3b", "--known-answer")
    assert "known answer: can't tell: the head of 3a comes first, and its answer is wrong." in (
        ended.output
    )


# mistake, part, reason
UNTELLABLE = {
    "shared-query-key": ("3a", "2 projections from 7 to 4 numbers are in use"),
    "nothing-returned": ("3a", "forward returned NoneType where a tensor is expected"),
    "weights-not-returned": ("3a", "forward should return two tensors"),
    "math-not-imported": ("3a", "NameError in attention.py, line"),
    "shared-norm": ("3b", "the scale of a single norm is in use"),
    "mlp-dim-ignored": ("3b", "an MLP with mlp_dim hidden units is looked for"),
}


@pytest.mark.parametrize("mistake", left_to_the_full_set(UNTELLABLE, but=spread(UNTELLABLE, 2)))
def test_what_the_example_cannot_judge_gets_a_reason_and_is_not_called_wrong(tmp_path, mistake):
    folder = solved(tmp_path / "hw5")
    (solution,) = load_solutions([mistake])
    solution.assemble(folder)
    part, reason = UNTELLABLE[mistake]
    said = run(folder, "check.py", part, "--known-answer").output
    assert f"note  known answer: can't tell: {reason}" in said
    assert "wrong" not in said


def test_the_known_answers_are_the_references_own():
    assert not known_answers.is_stale()
    assert list(known_answers.write()) == []


@pytest.mark.parametrize("content", ["", "head: 3", None, "other"])
def test_other_answers_are_noticed_and_written_anew(tmp_path, monkeypatch, content):
    file = tmp_path / FILE.name
    kept = FILE.read_text(encoding="utf-8")
    if content is not None:
        file.write_text(kept.replace("0.", "0.1", 1) if content == "other" else content)
    monkeypatch.setattr(known_answers, "FILE", file)
    assert known_answers.is_stale()
    assert list(known_answers.write()) == [FILE.name]
    assert file.read_text(encoding="utf-8") == kept


def test_the_example_is_the_same_each_time_and_its_sizes_tell_axes_apart():
    given = example()
    assert torch.equal(given.x, example.__wrapped__().x)
    for one in (given.x, given.query, given.output, given.first, given.second):
        assert len(set(one.shape)) == one.dim()


def test_the_reference_is_a_kind_of_its_own():
    assert all(one.kind is not Kind.REFERENCE for one in WRITTEN)
