"""The time limits of a grading that has one core, and all the time of several.

Its trainings are done one after the other, and none is shortened that wouldn't be on a machine
with a core for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autograder.hw5.assignment import Assignment

SLACK_SECONDS = 120.0  # to start, and to end


def with_time(own: Mapping[str, Any]) -> dict[str, Any]:
    """The `seconds` of settings as assignment.yaml has them, for one core."""
    seconds = own["seconds"]
    trainings = {
        "fully_connected": own["fully_connected"]["training"]["cpu_seconds"],
        "cnn": own["cnn"]["training"]["cpu_seconds"],
        "brief_training": seconds["brief_training"],
        "predictions": seconds["predictions"],
    }
    longest = sum(trainings.values()) + 2 * seconds["part"]
    total = max(seconds["total"], seconds["waiting"] * longest)
    return {**seconds, "one_core": trainings, "total": total}


def deadline(assignment: Assignment) -> float:
    """Seconds after which a grading with these settings is stopped from outside."""
    return assignment.seconds.total + SLACK_SECONDS
