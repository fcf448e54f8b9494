"""How a solution is put together from its own files and the reference's, and what its code gets."""

from __future__ import annotations

import pytest
import yaml

from autograder.homework import HEAD, LAYER
from autograder.staff.solutions import SOLUTIONS, Kind, completed, load_solutions

from .conftest import left_to_the_full_set, spread
from .local_grading import examine, judge, suite_tests

REFERENCE = "q1a:\n  parameters: 40\n  output_shape: [99, 8]\nq1d: Some words.\nq2a:\n  images: 9\n"


@pytest.mark.parametrize(
    ("own", "whole"),
    [
        (
            "q1a:\n  parameters: 32\n",
            {"q1a": {"parameters": 32, "output_shape": [99, 8]}, "q1d": "Some words.",
             "q2a": {"images": 9}},
        ),
        (
            "q1a:\n  parameters:\nq1d: Others.\n",
            {"q1a": {"parameters": None, "output_shape": [99, 8]}, "q1d": "Others.",
             "q2a": {"images": 9}},
        ),
        (
            "q2a: nothing\n",
            {"q1a": {"parameters": 40, "output_shape": [99, 8]}, "q1d": "Some words.",
             "q2a": "nothing"},
        ),
    ],
    ids=["one blank", "a blank left empty", "a question answered in another form"],
)  # fmt: skip
def test_what_a_solution_does_not_answer_is_answered_as_in_the_reference(own, whole):
    assert yaml.safe_load(completed(own, REFERENCE)) == whole


def test_answers_that_name_everything_stay_as_they_are_written():
    own = 'q1a: {parameters: "40", output_shape: 99 x 8}\nq1d: x\nq2a: {images: 9.0}\n'
    assert completed(own, REFERENCE) == own


def test_a_mistake_in_the_answers_names_only_what_differs():
    reference = yaml.safe_load((SOLUTIONS / "reference" / "answers.yaml").read_text())
    for solution in load_solutions([Kind.MISTAKES.value]):
        if "answers.yaml" in solution.changed:
            own = yaml.safe_load((solution.folder / "answers.yaml").read_text())
            same = [
                (question, name)
                for question, answers in own.items()
                for name, value in answers.items()
                if value == reference[question][name]
            ]
            assert same == [], solution.name


# Every head and layer, as `autograder validate` grades them, but in this process and without what
# is trained: a verdict that changes for one of them is seen before a release.
OF_CODE = {one.name: one for one in load_solutions() if {HEAD.file, LAYER.file} & set(one.changed)}


@pytest.mark.parametrize("name", left_to_the_full_set(OF_CODE, spread(list(OF_CODE), 12)))
def test_heads_and_layers_get_what_they_are_known_for(name):
    solution = OF_CODE[name]
    parts = solution.parts & {"3a", "3b"}
    lines = {number for number in suite_tests() if number.split(".")[0] in parts}
    with examine(solution) as exam:
        assert judge(solution, exam, lines).differences() == []
