"""Settings that make no sense: refused with file, line and what was probably meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from autograder.homework import VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment, AssignmentError

OWN, GIVEN = assignments.FILE.read_text(), VALUES_FILE.read_text()


def loaded(folder: Path, own: str = OWN, given: str = GIVEN) -> Assignment:
    (folder / "assignment.yaml").write_text(own)
    (folder / "homework.yaml").write_text(given)
    return assignments.load(folder / "assignment.yaml", folder / "homework.yaml")


# old text, new text, and what is said of it
WRONG = {
    "a misspelt key": ("retry_margin: 0.003", "retry_margn: 0.003", "did you mean retry_margin?"),
    "a key that stands twice": (
        "pictures: true",
        "pictures: true\npictures: false",
        "pictures stands twice, first on line",
    ),
    "a key that is gone": ("    steps: 200\n", "", "transformer.brief.steps: missing"),
    "a section without values": ("  tolerance: 0.006", "", "its values stand below it"),
    "equal seeds": ("seeds: [0, 1, 2]", "seeds: [0, 1, 1]", "seeds[2]: seed 1 stands twice"),
    "partial credit in full": ("points: 3}", "points: 4}", "4 points is not less than the 4 of"),
    "more time than the platform's": ("total: 540", "total: 600", "kills a run after 600 seconds"),
    "no YAML": ("total: 540", "total: [540", "expected"),
    "a negative time": ("question: 30", "question: -3", "(got -3)"),
    "an unknown layer": ("[Linear, ReLU,", "[Linear, Relu,", "did you mean ReLU?"),
    "a layer that stands twice": ("[Linear, ReLU,", "[Linear, Linear,", "Linear stands twice"),
    "an unknown layer of the head": ("[Linear, Softmax, D", "[Linear, SoftMax, D", "mean Softmax?"),
    "a required layer that isn't allowed": (
        "required_layers: [Dropout,",
        "required_layers: [Tanh,",
        "Tanh is not among cnn.allowed_layers",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_refused_with_its_file_and_line(case, tmp_path):
    old, new, said = WRONG[case]
    assert (old in OWN) != (old in GIVEN)
    own, given = OWN.replace(old, new, 1), GIVEN.replace(old, new, 1)
    with pytest.raises(AssignmentError) as refused:
        loaded(tmp_path, own, given)
    message = str(refused.value)
    assert said in message
    name, text = ("assignment.yaml", own) if old in OWN else ("homework.yaml", given)
    shown = next(line for line in message.splitlines() if said in line)
    number = re.search(rf"{name}, line (\d+)", shown)
    assert number is not None, message
    if new:
        assert new.splitlines()[-1] in text.splitlines()[int(number[1]) - 1]


def test_every_wrong_setting_is_told_at_once(tmp_path):
    own = OWN.replace("question: 30", "question: 0").replace("pictures: true", "pictures: maybe")
    with pytest.raises(AssignmentError, match=r"(?s)seconds\.question.*pictures"):
        loaded(tmp_path, own)


def test_settings_written_otherwise_are_the_same(tmp_path):
    """In another order, in flow style, quoted, without comments."""
    own = yaml.safe_dump(yaml.safe_load(OWN), default_flow_style=True)
    given = yaml.safe_dump(yaml.safe_load(GIVEN), default_style='"').replace("!!int ", "")
    given = re.sub(r"!!(float|int|bool) \"([^\"]*)\"", r"\2", given)
    assert loaded(tmp_path, own, yaml.safe_dump(yaml.safe_load(given))) == assignments.load()


def test_sensible_changes_are_accepted(tmp_path):
    own = OWN.replace("seeds: [0, 1, 2]", "seeds: [7]").replace("total: 540", "total: 599")
    own = own.replace("points: 3}", "points: 3.5}").replace("points: 2}", "points: 3}", 1)
    given = GIVEN.replace("[Linear, ReLU,", "[Linear, ReLU, Tanh, GELU,")
    changed = loaded(tmp_path, own, given)
    assert changed.seconds.total == 599
    assert "GELU" in changed.fully_connected.allowed_layers
