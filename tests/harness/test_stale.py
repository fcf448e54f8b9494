"""What a changed value makes stale, beside texts: the reference and the calibration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.hw5.probes.given_model import SIZES
from autograder.staff import calibration, calibration_report, stale
from autograder.staff.solutions import SOLUTIONS, SUBMITTED_WEIGHTS

from .conftest import settings_with

RUNS = calibration.read_record(stale.RECORD)


def told(assignment: Assignment, runs: list[calibration.CalibrationRun] = RUNS) -> list[str]:
    page = calibration_report.page(runs, assignments.load())
    return list(stale.stale_calibration(runs, page, assignment))


def test_the_calibration_is_of_the_values_in_force():
    page = stale.PAGE.read_text(encoding="utf-8")
    assert list(stale.stale_calibration(RUNS, page, assignments.load())) == []


@pytest.mark.parametrize(
    ("change", "kind", "bar"),
    [
        ({"fully_connected": {"training": {"accuracy": 0.985}}}, "fc", "98.5%"),
        ({"cnn": {"training": {"accuracy": 0.995}}}, "cnn", "99.5%"),
        ({"transformer": {"brief": {"accuracy": 0.9}}}, "vit", "90.0%"),
    ],
)
def test_a_threshold_that_chance_can_miss_is_told(change, kind, bar, tmp_path):
    sentences = told(settings_with(tmp_path, change))
    assert f"the reference's {kind} fails the threshold of {bar}" in sentences[0]
    assert "docs/calibration.md was written for other thresholds" in sentences[-1]
    assert len(sentences) == 2


def test_a_lower_threshold_asks_for_a_new_page_alone(tmp_path):
    (sentence,) = told(
        settings_with(tmp_path, {"fully_connected": {"training": {"accuracy": 0.974}}})
    )
    assert sentence.endswith("Run: autograder calibrate reference --seeds 0")


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"training": {"batch_size": 64}}, ["fc", "cnn", "vit"]),
        ({"training": {"epochs": 12}}, ["fc", "cnn", "vit"]),
        ({"cnn": {"training": {"training_images": 9600}}}, ["cnn"]),
        ({"transformer": {"brief": {"steps": 100}}}, ["vit"]),
    ],
)
def test_runs_with_other_settings_are_told_to_be_measured_again(change, kinds, tmp_path):
    sentences = [one for one in told(settings_with(tmp_path, change)) if "measured with" in one]
    assert [one.rpartition(" ")[2] for one in sentences] == kinds


def test_a_kind_that_was_never_measured_is_told():
    runs = [run for run in RUNS if run.kind != "cnn"]
    assert any(
        "reference's cnn" in one and "not measured" in one for one in told(assignments.load(), runs)
    )


@pytest.mark.full
def test_a_reference_that_no_longer_answers_right_is_told(tmp_path):
    change = {"conv1d": {"kernel": 5}, "cnn": {"max_parameters": 5000}}
    sentences = list(stale.stale_reference(settings_with(tmp_path, change)))
    lost = [one.split(": ")[1] for one in sentences]
    assert lost == ["1a.1", "1a.2", "2c.3"]
    assert all("no longer gets full marks" in one for one in sentences)
    assert list(stale.stale_reference(assignments.load())) == []


def test_weights_of_other_sizes_do_not_fit():
    weights = (SOLUTIONS / "reference" / SUBMITTED_WEIGHTS).read_bytes()
    assert stale.fits(weights, SIZES)
    for change in ({"depth": 7}, {"dim": 32}, {"patch_size": 4}):
        assert not stale.fits(weights, replace(SIZES, **change))
