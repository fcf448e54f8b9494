"""A value of the homework stands in one place; every text that quotes it follows or is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from autograder.homework import VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.rubric.plugin import titled
from autograder.staff.texts import PLACES, READ_BY_PEOPLE, stale_texts, values_of, write_texts

from .conftest import ROOT, merge
from .local_grading import suite_tests
from .student_copy import replace, run

GIVEN = "student_template/provided/homework.yaml"
# What staff change -> texts that must be named, and what students then read there.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "hidden units": (
        {"fully_connected": {"max_hidden_units": 150}},
        {
            "student_template/models.py": "at most 150 hidden units",
            "student_template/README.md": "at most 150 hidden units",
            "docs/rubric.md": "at most 150 hidden units",
        },
    ),
    "parameters": (
        {"cnn": {"max_parameters": 30_000}},
        {
            "student_template/models.py": "fewer than 30,000 parameters",
            "student_template/README.md": "fewer than 30,000 parameters",
            "docs/rubric.md": "fewer than 30,000 parameters",
        },
    ),
    "the goal of 2b": (
        {"fully_connected": {"training": {"accuracy": 0.972}}},
        {
            "student_template/models.py": "97.2% of the test images",
            "student_template/README.md": "97.2%",
            "docs/rubric.md": "at least 97.2%",
        },
    ),
    "the goal of 2c": (
        {"cnn": {"training": {"accuracy": 0.99}}},
        {
            "student_template/models.py": "99.0% of the test images",
            "student_template/README.md": "99.0%",
            "docs/rubric.md": "at least 99.0%",
        },
    ),
    "the goal of 3c": (
        {"transformer": {"accuracy": 0.965}},
        {"student_template/README.md": "96.5%", "docs/rubric.md": "reach 96.5%"},
    ),
    "the first convolution": (
        {"conv1d": {"length": 300, "kernel": 5}},
        {"student_template/answers.yaml": "300 numbers (300 x 1) meets 8 filters of size 5 x 1"},
    ),
    "the second convolution": (
        {"conv2d": {"filters": 16, "stride": 3}},
        {"student_template/answers.yaml": "16 filters of size 4 x 4 x 3, stride 3"},
    ),
    "the pooled matrices": (
        {
            "pooling": {
                "first": [[1, 2, 3, 4, 5], [0, 0, 0, 0, 9], [8, 8, 8, 8, 8]],
                "second": [[0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [7, 8, 8, 8, 8]],
            }
        },
        {
            "student_template/answers.yaml": "#   first:  1 2 3 4 5      second:  0 1 2 3 4\n"
            "#           0 0 0 0 9               0 0 0 0 0\n"
        },
    ),
    "the pooling window": (
        {"pooling": {"window": 2}},
        {"student_template/answers.yaml": "a window of 2 x 2"},
    ),
    "the layers of 2b": (
        {"fully_connected": {"allowed_layers": ["Linear", "ReLU", "Tanh", "Flatten"]}},
        {
            "student_template/models.py": "only Linear, ReLU and Tanh, after",
            "student_template/README.md": "of Linear, ReLU and Tanh, with",
            "docs/rubric.md": "only Linear, ReLU and Tanh, after",
        },
    ),
    "the layers of 2c": (
        {
            "cnn": {
                "allowed_layers": ["Linear", "Conv2d", "ReLU", "Flatten"],
                "required_layers": ["Conv2d"],
            }
        },
        {
            "student_template/models.py": "only Linear, Conv2d, ReLU, Flatten,",
            "student_template/README.md": "of Linear, Conv2d, ReLU, Flatten; at least one Conv2d;",
            "docs/rubric.md": "at least one Conv2d",
        },
    ),
    "batch size and epochs": (
        {"training": {"batch_size": 64, "epochs": 12}},
        {
            "student_template/models.py": "batches of 64 for at most 12 epochs",
            "student_template/README.md": "batches of 64 for at most 12 epochs",
            "docs/rubric.md": "Adam, batches of 64 and at most 12 epochs;",
        },
    ),
    "the bounds of 2b": (
        {"fully_connected": {"max_batch_size": 2048, "max_epochs": 40}},
        {"student_template/README.md": "up to batches of 2,048 and 40 epochs;"},
    ),
    "the layers of 3a": (
        {"head": {"allowed_layers": ["Linear", "Softmax"]}},
        {
            "student_template/attention.py": "only Linear and Softmax, without biases",
            "student_template/README.md": "only Linear and Softmax; no biases",
            "docs/rubric.md": "only Linear and Softmax; no built-in",
        },
    ),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """All texts that people read."""
    for file in {file for pattern in READ_BY_PEOPLE for file in ROOT.glob(pattern)}:
        target = tmp_path / "copy" / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    shutil.copyfile(VALUES_FILE, tmp_path / "copy" / GIVEN)
    return tmp_path / "copy"


def changed(copy: Path, change: dict[str, Any]) -> Assignment:
    """The assignment after a change in the one place where the value stands."""
    values = yaml.safe_load((copy / GIVEN).read_text())
    merge(values, change, elsewhere=None)
    (copy / GIVEN).write_text(yaml.safe_dump(values))
    return assignments.load(homework=copy / GIVEN)


def test_every_text_says_what_the_homework_says():
    assert [str(one) for one in stale_texts(ROOT, assignments.load())] == []


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_value_is_told_for_every_text_and_mended_in_each(what, copy):
    change, texts = CHANGES[what]
    assignment = changed(copy, change)
    assert {one.file for one in stale_texts(copy, assignment)} >= texts.keys()
    assert set(write_texts(copy, assignment)) == texts.keys()
    assert [str(one) for one in stale_texts(copy, assignment)] == []
    for file, said in texts.items():
        text = (copy / file).read_text()
        assert said in text or said in " ".join(text.split())
    assert write_texts(copy, assignment) == []


def test_each_value_that_students_are_told_is_among_the_changes():
    assignment = assignments.load()
    quoted = {name for place in PLACES for name, _ in values_of(place.sentence, assignment)}
    tried = {section for change, _ in CHANGES.values() for section in change}
    assert {name.partition(".")[0] for name in quoted} == tried


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("student_template/README.md", "Reach 97.5 % to be done.\n", "97.5 %"),
        ("student_template/train.py", "# more than 50,000 are too many\n", "50,000"),
        ("autograder/hw5/verdicts/vit.py", "GOAL = 0.975\n", "0.975"),
        ("docs/rubric.md", "With 200 hidden units it is full.\n", "200 hidden"),
    ],
)
def test_a_value_in_a_sentence_that_nobody_listed_is_told(file, text, said, copy):
    with (copy / file).open("a") as stream:
        stream.write(text)
    (found,) = stale_texts(copy, assignments.load())
    assert (found.file, found.line) == (file, (copy / file).read_text().count("\n"))
    assert f"“{said}” looks like" in found.problem


def test_a_sentence_that_is_gone_is_told(copy):
    replace(copy / "student_template" / "models.py", "hidden units in all", "units in all")
    found = [one.problem for one in stale_texts(copy, assignments.load())]
    assert any(problem.startswith("no sentence like “at most {fully") for problem in found)


def test_titles_of_rubric_lines_follow_the_values(copy):
    change = {
        "fully_connected": {"max_hidden_units": 7, "training": {"accuracy": 0.972}},
        "cnn": {"max_parameters": 1234, "required_layers": ["Conv2d"]},
        "head": {"allowed_layers": ["Linear"]},
    }
    assignment = changed(copy, change)
    titles = {n: titled(str(test.__doc__), assignment) for n, test in suite_tests().items()}
    assert "at most 7 hidden units" in titles["2b.2"]
    assert "at least 97.2%" in titles["2b.3"]
    assert "at least one Conv2d" in titles["2c.2"]
    assert "fewer than 1,234 parameters" in titles["2c.3"]
    assert "only Linear from torch.nn" in titles["3a.2"]


def test_check_py_follows_the_values(copy):
    changed(
        copy,
        {
            "fully_connected": {"max_hidden_units": 50},
            "cnn": {"required_layers": ["MaxPool2d"], "max_parameters": 100},
        },
    )
    folder = copy / "student_template"
    for name in ("models.py", "answers.yaml", "attention.py", "encoder.py"):
        shutil.copyfile(ROOT / "solutions" / "reference" / name, folder / name)
    printed = run(folder, "check.py", "2b", "2c").output
    assert "200 hidden units; at most 50 are allowed" in printed
    assert "only allowed layers, MaxPool2d among them" in printed
    assert "parameters; fewer than 100 are allowed" in printed
