"""With what a submission was graded: digests of the grader's code, and of each part's settings.

Two results whose digests agree were judged alike; where they differ, a changed score has its
cause there. Time and memory limits are left out: they follow the machine.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

from autograder.homework import GRADED_PARTS, SUITES
from autograder.hw5.assignment import Assignment
from autograder.training.carry_over import shipped_sources

LENGTH = 16  # hexadecimal digits: chance alone makes no two alike
LIMITS = frozenset({"seconds", "worker", "cpu_seconds"})
NO_VERDICT = frozenset({"title", "pictures", "writeup"})
PARTS_OF = {  # the parts whose verdicts a section of the settings can change
    "conv1d": {"1a"},
    "conv2d": {"1b"},
    "pooling": {"1c"},
    "training": {"2b", "2c", "3c"},
    "fully_connected": {"2b"},
    "cnn": {"2c"},
    "head": {"3a", "3b", "3c"},  # the later parts stand on the head
    "transformer": {"3c"},
}


def made_with(assignment: Assignment) -> dict[str, Any]:
    """For extra_data: the grader's digest, and that of each part's settings."""
    return {
        "grader": grader(),
        "parts": {part: digest(settings_of(assignment, part)) for part in GRADED_PARTS},
    }


def settings_of(assignment: Assignment, part: str) -> dict[str, Any]:
    """The settings that a part's verdict depends on, by their dotted names."""
    return {
        name: value
        for name, value in flat(assignment).items()
        if part in PARTS_OF.get(name.split(".")[0], ()) and not LIMITS & set(name.split("."))
    }


def limits_of(assignment: Assignment) -> dict[str, Any]:
    """The limits of time and memory, by their dotted names."""
    return {
        name: value for name, value in flat(assignment).items() if LIMITS & set(name.split("."))
    }


def flat(assignment: Assignment) -> dict[str, Any]:
    """Every setting by its dotted name."""
    return dict(_flat(assignment.model_dump(mode="json"), ""))


def _flat(value: Any, name: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(name, value)]
    return [pair for key, one in value.items() for pair in _flat(one, f"{name}.{key}".lstrip("."))]


def digest(value: Any) -> str:
    """Stands for a value that JSON can hold."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


@cache
def grader() -> str:
    """Stands for all code that judges: the package without staff's room, the suites."""
    whole = hashlib.sha256()
    for file in (*shipped_sources(), *sorted(SUITES.glob("*.py"))):
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:LENGTH]
