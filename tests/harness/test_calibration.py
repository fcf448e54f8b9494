"""`autograder calibrate`: measured trainings, and the probabilities that follow from them."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from autograder.hw5 import assignment as assignments
from autograder.staff import calibration, calibration_report
from autograder.staff.calibration import Calibration, CalibrationRun, read_record
from autograder.staff.executor.task import Outcome, Run
from autograder.staff.executor.this_machine import this_machine
from autograder.staff.solutions import load_solutions

from .conftest import QUICK, settings_in


@pytest.fixture(scope="module")
def rules():
    return assignments.load()


def runs(name: str, kind: str, best: list[float], first: int = 0) -> list[CalibrationRun]:
    return [CalibrationRun(name, kind, first + n, [0.5, value], "") for n, value in enumerate(best)]


def page(rules, *groups: list[CalibrationRun]) -> str:
    measured = [run for group in groups for run in group]
    return "\n".join(calibration_report.report(measured, rules))


def row(text: str, heading: str, start: str) -> list[str]:
    """The cells of the first row under a heading that starts with these cells."""
    section = text.split(f"## {heading}")[1].split("\n## ")[0]
    line = next(line for line in section.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("failures", "count", "bound"),
    [(0, 30, 0.0950), (0, 10, 0.2589), (1, 10, 0.3942), (5, 10, 0.7776), (10, 10, 1.0)],
)
def test_the_upper_bound_is_the_one_of_published_tables(failures, count, bound):
    assert calibration_report.upper_bound(failures, count) == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize(
    ("failures", "count", "low", "high"),
    [(0, 30, 0.0, 0.1157), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0)],
)
def test_the_interval_is_the_one_of_published_tables(failures, count, low, high):
    assert calibration_report.interval(failures, count) == pytest.approx((low, high), abs=1e-4)


def test_the_tail_is_pessimistic_but_not_absurd():
    chance = random.Random(0)
    values = [chance.gauss(0.98, 0.001) for _ in range(30)]
    exact = statistics.NormalDist(0.98, 0.001)
    for bar in (0.975, 0.978, 0.98):
        assert exact.cdf(bar) < calibration_report.tail(values, bar) < 300 * exact.cdf(bar) + 0.5
    assert calibration_report.tail([0.98, 0.98, 0.98], 0.97) == 0
    assert calibration_report.tail([0.98, 0.98, 0.98], 0.99) == 1


def test_a_far_miss_is_not_saved_by_retries():
    values = [0.97, 0.99] * 15
    near, far = (calibration_report.verdict_tail(values, 0.975, margin, 3) for margin in (0.1, 0.0))
    assert near < far
    assert far > calibration_report.tail(values, 0.975)


def test_the_proposed_bar_is_the_highest_that_holds_for_every_group():
    groups = [[0.980, 0.981, 0.982] * 10, [0.990, 0.991, 0.992] * 10]
    bar = calibration_report.highest_bar(groups, 0.0, 1)
    assert calibration_report.verdict_tail(groups[0], bar, 0.0, 1) < 1e-3
    assert calibration_report.verdict_tail(groups[0], bar + 0.0005, 0.0, 1) >= 1e-3
    assert calibration_report.highest_bar(groups[1:], 0.0, 1) > bar + 0.005


def test_misses_of_correct_work_are_counted(rules):
    text = page(rules, runs("reference", "fc", [0.974, 0.98, 0.99, 0.98]))
    cells = row(text, "Correct work", "reference | fc")
    assert cells[7] == "1"
    assert float(cells[9]) == pytest.approx(float(cells[8]) ** 3, rel=0.02)
    assert "0.974" in cells[4]


def test_passes_of_mistaken_work_are_counted(rules):
    text = page(rules, runs("softmax-before-loss", "fc", [0.974, 0.976, 0.97]))
    cells = row(text, "Wrong work", "softmax-before-loss | fc")
    assert cells[6] == "1"
    assert "softmax-before-loss" not in text.split("## Wrong work")[0]


@pytest.mark.parametrize(("second", "agrees"), [([0.98] * 9, "yes"), ([0.97] * 9, "**no**")])
def test_a_second_run_agrees_or_not(rules, second, agrees):
    first = [0.98, 0.981] * 15
    text = page(rules, runs("reference", "fc", first), runs("reference", "fc", second, 100))
    assert row(text, "Repeated", "reference | fc | 2")[9] == agrees
    assert row(text, "Correct work", "reference | fc")[2] == "30"


def test_which_epoch_a_choice_by_validation_takes_is_counted(rules):
    measured = [
        CalibrationRun("reference", "fc", seed, [0.96, 0.976, 0.974], "", [0.2, 0.3, 0.1])
        for seed in range(2)
    ]
    text = page(rules, measured, runs("reference", "cnn", [0.99, 0.99]))
    cells = row(text, "Which epoch", "reference | fc")
    assert cells[5:] == ["+0.0020", "0.975", "2", "0"]
    assert "cnn" not in text.split("## Which epoch counts")[1]  # where it isn't known


@pytest.mark.full
def test_a_calibration_trains_what_is_missing_and_nothing_twice(tmp_path):
    _, assignment, _, homework = settings_in(tmp_path, QUICK)
    chosen = load_solutions(["reference", "template", "no-nonlinearity"])
    record, said = tmp_path / "calibration.jsonl", []
    troubles = []
    for number, seeds in enumerate((range(1), range(2))):
        folder = tmp_path / str(number)
        folder.mkdir()
        folder.chmod(0o755)
        asked = Calibration(folder, record, (Path(assignment), Path(homework)))
        with this_machine(2) as executor:
            runs = asked.runs(chosen, ["fc"], seeds)
            troubles.append(asked.measure_all(runs, executor, said.append))
    found = read_record(record)
    assert [(run.submission, run.seed) for run in found] == [
        ("reference", 0),
        ("no-nonlinearity", 0),
        ("reference", 1),
        ("no-nonlinearity", 1),
    ]
    assert len(said) == 4 + 3
    assert [len(each) for each in troubles] == [1, 2]  # the template has nothing to train
    assert all("template fc seed" in one for each in troubles for one in each)
    assert all(len(run.test_accuracy) == 10 for run in found)
    assert all(run.by_validation in run.test_accuracy for run in found)
    assert found[0].test_accuracy != found[2].test_accuracy
    assert calibration.CalibrationRun("x", "fc", 0, [0.1, 0.5, 0.4], "").epochs_to(0.4) == 2


class Backwards:
    """Does tasks in an order of its own: the last one first."""

    def run(self, tasks: Iterable[Run]) -> Iterator[Outcome]:
        for run in reversed(list(tasks)):
            seed = int(run.id.rpartition("-")[2])
            run.file.write_text(json.dumps({"test_accuracy": [seed / 100], "validation_loss": []}))
            yield Outcome(run.id, graded=True)

    def close(self) -> None:
        """Nothing is left."""


def test_a_record_has_its_own_order_whatever_comes_first(tmp_path):
    record = tmp_path / "calibration.jsonl"
    asked = Calibration(tmp_path, record)
    runs = asked.runs(load_solutions(["reference"]), ["cnn", "fc"], range(3))
    assert asked.measure_all(runs, Backwards(), lambda text: None) == []
    found = [(run.kind, run.seed, run.best) for run in read_record(record)]
    assert found == [(kind, seed, seed / 100) for kind in ("cnn", "fc") for seed in range(3)]
