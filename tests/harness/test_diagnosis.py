"""The catalogue of known mistakes: complete, triggered, and silent where nothing is wrong."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch

from autograder.hw5 import mistakes
from autograder.hw5.mistakes import head as attention
from autograder.hw5.mistakes import head_steps as attention_steps
from autograder.hw5.mistakes import layer as encoder
from autograder.hw5.mistakes import layer_steps as encoder_steps
from autograder.hw5.mistakes import program
from autograder.hw5.mistakes.catalogue import CATALOGUE
from autograder.hw5.mistakes.head_search import read_head
from autograder.hw5.mistakes.layer_search import read_layer
from autograder.hw5.probes import reference
from autograder.rubric.mistake import Finding, Mistake, Pass, combined, run
from autograder.rubric.plugin import PART
from autograder.staff.solutions import load_solutions

from .conftest import REFERENCE, a_few_and_all
from .local_grading import MISTAKES, ON_ONE_CORE, examine, judge, recorded, suite_tests

FITTED_TO_A_STUDENT = program.LEFT_OUT | program.FITTED.keys()
CODE_GIVEN_AWAY = re.compile(r"\*\* ?-?0\.5|math\.sqrt|dim=-1\)$|transpose\(-")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def normal(generator, *shape):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def head_parameters(generator, inputs=6, inner=4):
    return reference.HeadParameters(*(normal(generator, inner, inputs) for _ in range(3)))


def layer_parameters(generator):
    norms = [reference.NormParameters(normal(generator, 6), normal(generator, 6)) for _ in "ab"]
    return reference.LayerParameters(
        heads=tuple(head_parameters(generator) for _ in range(3)),
        output=normal(generator, 6, 12),
        output_bias=None,
        norms=(norms[0], norms[1]),
        first=normal(generator, 9, 6),
        first_bias=normal(generator, 9),
        second=normal(generator, 6, 9),
        second_bias=normal(generator, 6),
    )


def written_down():
    """Every mistake that a module of the catalogue holds: by a name of its own, or in a list."""
    for module in pkgutil.iter_modules(mistakes.__path__):
        held = vars(importlib.import_module(f"{mistakes.__name__}.{module.name}")).values()
        for value in held:
            listed = value.values() if isinstance(value, dict) else value
            yield from (
                one
                for one in (listed if isinstance(listed, Iterable) else (value,))
                if isinstance(one, Mistake)
            )


def test_every_mistake_that_is_written_down_is_in_the_catalogue_once():
    different = {id(mistake): mistake for mistake in written_down()}.values()
    assert sorted(mistake.id for mistake in different) == sorted(CATALOGUE)


def test_ids_are_readable():
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id) for id in CATALOGUE)


def test_every_entry_has_a_line_and_words_that_a_student_can_use():
    found = {id: faults for id, entry in CATALOGUE.items() if (faults := faults_of(entry))}
    assert found == {}


def faults_of(entry):
    """What is wrong with how an entry of the catalogue is worded."""
    rules = {
        "its line names no part": PART.match(entry.line),
        "no suite has its line": entry.line in suite_tests(),
        "its explanation is too short or too long": 12 < len(entry.explanation) < 200,
        "its explanation ends like a sentence": not entry.explanation.endswith("."),
        "its hint is too short or too long": 20 < len(entry.hint) < 300,
        "its hint is no sentence": entry.hint.endswith((".", "?")),
        "its hint gives the code away": not CODE_GIVEN_AWAY.search(entry.hint),
    }
    return [fault for fault, holds in rules.items() if not holds]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"line": "attention"}, "its line names no part"),
        ({"line": "3a.99"}, "no suite has its line"),
        ({"explanation": "wrong"}, "its explanation is too short or too long"),
        ({"explanation": "The scale is missing."}, "its explanation ends like a sentence"),
        ({"hint": "Look again."}, "its hint is too short or too long"),
        ({"hint": "Look at how scores are scaled"}, "its hint is no sentence"),
        ({"hint": "Divide the scores by math.sqrt of it."}, "its hint gives the code away"),
    ],
)
def test_an_entry_with_bad_words_is_found(change, fault):
    good = CATALOGUE["no-scale"]
    assert faults_of(good) == []
    assert fault in faults_of(replace(good, **change))


def test_every_entry_has_a_mistake_that_must_name_it():
    named = set().union(*map(expected_ids_of, MISTAKES.values()))
    assert CATALOGUE.keys() - named == set()


def test_every_diagnosis_that_a_mistake_expects_is_in_the_catalogue():
    found = {
        solution.name: unknown
        for solution in MISTAKES.values()
        if (unknown := expected_ids_of(solution) - {""} - CATALOGUE.keys())
    }
    assert found == {}


def expected_ids_of(solution):
    return {
        part for line in solution.expected.lost for part in solution.expected.named(line).split("+")
    }


@ON_ONE_CORE
@pytest.mark.parametrize("names", a_few_and_all(sorted(MISTAKES), 24), ids=["a few", "all"])
def test_every_mistake_loses_its_lines_and_is_named(names):
    found = {}
    for name in names:
        outcome, asked = recorded(name).outcome, recorded(name).asked
        if outcome.differences() or set(outcome.lost) != asked:
            found[name] = outcome.differences() or {"lost": outcome.lost, "asked": asked}
        if "Traceback" in str(outcome.lines):
            found[name] = outcome.lines
    assert found == {}


def test_the_steps_of_a_head_without_variants_are_the_reference(generator):
    x, parameters = normal(generator, 2, 5, 6), head_parameters(generator)
    steps = run(attention_steps.STEPS, (), Pass(x, parameters))
    expected = reference.head(x, parameters)
    assert torch.equal(steps["out"], expected.out)
    assert torch.equal(steps["returned"], expected.attention)


def test_the_steps_of_a_layer_without_variants_are_the_reference(generator):
    x, parameters = normal(generator, 2, 5, 6), layer_parameters(generator)
    steps = run(encoder_steps.STEPS, (), Pass(x, parameters))
    assert torch.allclose(steps["out"], reference.encoder_layer(x, parameters).out, atol=1e-12)


def test_no_two_variants_of_a_head_give_the_same_numbers(generator):
    x, parameters = normal(generator, 3, 5, 6), head_parameters(generator)
    seen = {}
    for variant in attention.VALUES:
        if variant.id in FITTED_TO_A_STUDENT:
            continue
        out = run(attention_steps.STEPS, (variant,), Pass(x, parameters))["out"]
        for other, earlier in seen.items():
            assert out.shape != earlier.shape or not torch.allclose(out, earlier), (
                f"{variant.id} and {other} can't be told apart"
            )
        seen[variant.id] = out


def test_no_two_variants_of_a_layer_give_the_same_numbers(generator):
    x, parameters = normal(generator, 2, 5, 6), layer_parameters(generator)
    seen = {}
    for variant in encoder.OUTPUT:
        if variant.id in FITTED_TO_A_STUDENT:
            continue
        out = run(encoder_steps.STEPS, (variant,), Pass(x, parameters))["out"]
        for other, earlier in seen.items():
            assert out.shape != earlier.shape or not torch.allclose(out, earlier), (
                f"{variant.id} and {other} can't be told apart"
            )
        seen[variant.id] = out


def test_variants_that_replace_the_same_step_are_not_combined():
    by_id = {variant.id: variant for variant in attention.VALUES}
    clash = [by_id["no-scale"], by_id["scale-multiplied"], by_id["causal-mask"]]
    pairs = [{variant.id for variant in pair} for pair in combined(clash, 2)]
    assert pairs == [{"no-scale", "causal-mask"}, {"scale-multiplied", "causal-mask"}]


def test_a_finding_of_two_names_both_and_is_paid_on_each_ones_line():
    finding = Finding((CATALOGUE["post-norm"], CATALOGUE["gelu-for-relu"]))
    assert finding.id == "post-norm+gelu-for-relu"
    assert finding.paid_on("3b.4").id == "gelu-for-relu"
    assert finding.paid_on("3b.1") is None
    assert CATALOGUE["post-norm"].explanation in finding.named["likely"]


def test_nothing_is_named_for_the_reference():
    solution = load_solutions(["reference"])[0]
    with examine(solution) as exam:
        outcome = judge(solution, exam, {n for n in suite_tests() if n[:2] in ("3a", "3b")})
        assert read_head(exam.head.get()).variants == ()
        assert read_layer(exam.layer.get()).variants == ()
    assert outcome.lost == []
    assert outcome.diagnoses == []


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ("out + 0.1 * out.sin()", "the weights are right, so look at what follows the softmax"),
        ("torch.sin(out)", "rows of the weights sum to one"),
    ],
    ids=["something added", "something else"],
)
def test_where_nothing_fits_it_says_what_is_known(submission, change, known):
    source = (REFERENCE / "attention.py").read_text()
    folder = submission(attention=source.replace("return out,", f"return {change},"))
    outcome = outcome_of(folder, "3a")
    line = outcome.lines["3a.4"]
    assert line.earned == 0
    assert line.diagnosis == ""
    assert "none of the known ones" in line.text
    assert known in line.text


def test_where_no_known_layer_fits_it_says_what_is_known(submission):
    source = (REFERENCE / "encoder.py").read_text()
    branch = "self.mlp(self.mlp_norm(x))"
    folder = submission(encoder=source.replace(branch, f"{branch}.sin()"))
    line = outcome_of(folder, "3b").lines["3b.2"]
    assert line.earned == 0
    assert "the shape is right, both residual connections are there" in line.text


def outcome_of(folder, part):
    from autograder.staff.solutions import Kind, Solution

    solution = Solution(Kind.REFERENCE, "changed", folder)
    with examine(solution) as exam:
        return judge(solution, exam, {n for n in suite_tests() if n.startswith(part)})
