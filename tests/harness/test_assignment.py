"""assignment.yaml: what is refused, and the limits of a machine with a single core."""

from __future__ import annotations

import pytest
import yaml

from autograder.hw5 import assignment as assignments
from autograder.hw5 import jobs as background
from autograder.hw5.assignment import AssignmentError

from .conftest import settings_with

SETTINGS = yaml.safe_load(assignments.FILE.read_text())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pictures": "sometimes"}, "pictures"),
        ({"seconds": {"total": 0}}, "seconds.total"),
        ({"seconds": {"when_short": "hurry"}}, "seconds.when_short"),
        ({"seconds": {"one_core": {"cnn": -1}}}, "seconds.one_core.cnn"),
        ({"cnn": {"training": {"seeds": []}}}, "cnn.training.seeds"),
        ({"cnn": {"training": {"partial": [{"accuracy": 0.99, "points": 1}]}}}, "cnn.training"),
        ({"pooling": {"first": [[1, 2], [3]]}}, "pooling"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_a_wrong_value_is_named(change, named, tmp_path):
    with pytest.raises(AssignmentError, match=named):
        settings_with(tmp_path, change)


def test_on_one_core_every_limit_is_the_shorter_one(tmp_path):
    change = {"seconds": {"predictions": 10}}
    whole = settings_with(tmp_path, change)
    alone = whole.on(1)
    assert whole.on(2) == whole
    assert alone.cnn.training.cpu_seconds == SETTINGS["seconds"]["one_core"]["cnn"]
    assert (
        alone.fully_connected.training.cpu_seconds
        == SETTINGS["seconds"]["one_core"]["fully_connected"]
    )
    assert alone.seconds.brief_training == SETTINGS["seconds"]["one_core"]["brief_training"]
    assert alone.seconds.predictions == 10


def test_all_that_one_core_may_take_fits_into_the_whole_run():
    assert sum(SETTINGS["seconds"]["one_core"].values()) <= SETTINGS["seconds"]["total"]


def test_the_plan_names_the_limits_and_the_cores(monkeypatch):
    monkeypatch.setattr(background, "cores", lambda: 1)
    text = background.plan(assignments.load().on(1))
    assert "on 1 core," in text
    assert f"CNN (at most {SETTINGS['seconds']['one_core']['cnn']} s)" in text
    assert "540 s" in text


def test_the_plan_of_a_part_names_what_that_part_needs():
    settings = assignments.load()
    assert "CNN" in background.plan(settings, frozenset({"2c"}))
    assert "Vision Transformer" not in background.plan(settings, frozenset({"2c"}))
    assert "in the background nothing;" in background.plan(settings, frozenset({"1a", "3a"}))


def test_unhurried_nothing_is_shortened_or_stopped():
    unhurried = assignments.load().unhurried()
    assert unhurried.seconds.when_short == "stop"
    assert unhurried.cnn.training.cpu_seconds == assignments.UNHURRIED_SECONDS
    assert unhurried.seconds.total == assignments.UNHURRIED_SECONDS
    assert unhurried.cnn.training.seeds == assignments.load().cnn.training.seeds
