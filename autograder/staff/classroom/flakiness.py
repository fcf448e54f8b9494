"""Verdicts that chance could turn: lines that another seed judges otherwise, and near misses.

With the second seed the random inputs are others, and so are the seeds of the trainings.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autograder.hw5.assignment import Assignment, TrainingRules
from autograder.staff.classroom import cells
from autograder.staff.classroom.records import Entry

FILE = "flakiness.csv"
HEADER = ("id", "line", "what", "first", "second")
SAMPLE = "10%"
OTHER_SEEDS = 1_000  # added to the seeds of trainings
AMOUNT = re.compile(r"all|(?P<number>[0-9]{1,9})|(?P<percent>[0-9]{1,3}(?:\.[0-9]+)?)%")
NEAR = 0.001  # of an accuracy: ten of the 10,000 test images


class SampleError(Exception):
    """No number of submissions; says what one looks like."""


def sample(ids: list[str], wanted: str) -> list[str]:
    """Which submissions are graded again: all, a number or a share; the same each time.

    Raises SampleError.
    """
    amount = AMOUNT.fullmatch(wanted)
    if amount is None or (amount["percent"] and float(amount["percent"]) > 100):
        raise SampleError(f"--again takes a number, a share such as 10%, or all; got {wanted}")
    if amount["percent"]:
        count = math.ceil(len(ids) * float(amount["percent"]) / 100)
    else:
        count = int(amount["number"] or len(ids))
    drawn = sorted(ids, key=lambda one: hashlib.sha256(one.encode()).digest())
    return sorted(drawn[:count])


def with_other_seeds(training: Mapping[str, Any]) -> dict[str, Any]:
    """A training's settings with other seeds."""
    return {**training, "seeds": [seed + OTHER_SEEDS for seed in training["seeds"]]}


def write_flakiness(entries: Iterable[Entry], folder: Path, assignment: Assignment) -> int:
    """Write the table; returns how many lines another seed judges otherwise."""
    rows = [row for entry in entries for row in (*_turned(entry), *_near(entry, assignment))]
    cells.write_table(folder / FILE, HEADER, rows)
    return sum(row[2] == "another seed" for row in rows)


def _turned(entry: Entry) -> Iterator[tuple[object, ...]]:
    first, second = _scores(entry.results), _scores(entry.again)
    for line in sorted(first.keys() & second.keys()):
        if first[line] != second[line]:
            yield entry.id, line, "another seed", first[line], second[line]


def _near(entry: Entry, assignment: Assignment) -> Iterator[tuple[object, ...]]:
    extra = (entry.results or {}).get("extra_data")
    trainings = extra.get("trainings") if isinstance(extra, dict) else None
    for model, line, rules in (
        ("fc", "2b.3", assignment.fully_connected.training),
        ("cnn", "2c.4", assignment.cnn.training),
    ):
        training = trainings.get(model) if isinstance(trainings, dict) else None
        accuracy = _best(training)
        for bar in _bars(rules):
            if accuracy is not None and abs(accuracy - bar) <= NEAR:
                yield entry.id, line, "near a threshold", accuracy, bar


def _bars(rules: TrainingRules) -> list[float]:
    return [rules.accuracy, *(bar.accuracy for bar in rules.partial)]


def _best(training: object) -> float | None:
    if not isinstance(training, dict):
        return None
    trials = training.get("trials")
    return max(
        (accuracy for trial in trials or [] for accuracy in trial["test_accuracy"]), default=None
    )


def _scores(results: Mapping[str, Any] | None) -> dict[str, float]:
    lines = (results or {}).get("tests")
    return {str(line["number"]): float(line["score"]) for line in lines or []}
