"""What a class is graded with: the settings, and what each part's verdict depends on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autograder.homework import ANSWERS_FILE, PARTS, VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5 import made_with
from autograder.hw5.assignment import Assignment
from autograder.staff.classroom.flakiness import with_other_seeds
from autograder.staff.classroom.records import SETTINGS, write_json, write_text
from autograder.staff.executor.one_core import deadline, with_time
from autograder.staff.executor.probe import own_torch

QUICK_PARTS = frozenset(part for part, one in PARTS.items() if one.files == (ANSWERS_FILE,))


@dataclass(frozen=True)
class Settings:
    """Settings as gradings get them.

    options: of the grader, which name files in the class's folder
    seconds: that one grading may take
    """

    assignment: Assignment
    options: tuple[str, ...]
    seconds: float

    def wanted(self, parts: Iterable[str], submission: str, seed: int) -> dict[str, dict[str, Any]]:
        """What each part is to be graded with. Answers alone depend on neither limits nor torch."""
        limits = made_with.digest(made_with.limits_of(self.assignment))
        return {
            part: {
                "submission": submission,
                "grader": made_with.grader(),
                "settings": made_with.digest(made_with.settings_of(self.assignment, part)),
                "limits": "" if part in QUICK_PARTS else limits,
                "torch": "" if part in QUICK_PARTS else own_torch(),
                "seed": seed,
            }
            for part in sorted(parts)
        }


def prepare(
    folder: Path,
    assignment_file: Path = assignments.FILE,
    homework_file: Path = VALUES_FILE,
    other_seeds: bool = False,
) -> Settings:
    """Check the settings and leave them in a class's folder. Raises AssignmentError, OSError.

    other_seeds: for the trainings, to see what chance does
    """
    assignments.load(assignment_file, homework_file)
    own = yaml.safe_load(assignment_file.read_text(encoding="utf-8"))
    if other_seeds:
        for part in ("fully_connected", "cnn"):
            own[part]["training"] = with_other_seeds(own[part]["training"])
    own["seconds"] = with_time(own)
    given = homework_file.read_text(encoding="utf-8")
    text = yaml.safe_dump(own, sort_keys=False)
    place = folder / SETTINGS / made_with.digest([text, given])
    files = place / assignment_file.name, place / homework_file.name
    for file, content in zip(files, (text, given), strict=True):
        write_text(file, [content])
    assignment = assignments.load(*files, ships=False)
    _leave_meanings(folder / SETTINGS, assignment)
    _leave_meanings(folder / SETTINGS, assignments.load())  # which the platform graded with
    return Settings(
        assignment,
        ("--assignment", str(files[0].resolve()), "--homework", str(files[1].resolve())),
        deadline(assignment),
    )


def _leave_meanings(folder: Path, assignment: Assignment) -> None:
    """Files that say which settings a digest stands for."""
    for part in PARTS:
        told = made_with.settings_of(assignment, part)
        file = folder / f"{made_with.digest(told)}.json"
        if not file.exists():
            write_json(file, json.loads(json.dumps(told)))


def share_trainings(settings: Settings, folder: Path) -> Settings:
    """The same with a folder through which gradings share equal trainings."""
    options = (*settings.options, "--trainings", str(folder.resolve()))
    return Settings(settings.assignment, options, settings.seconds)
