"""Whether the grader can grade: what a package is refused for.

Nothing here needs a training: a wrong setting, a suite that can't be read or lines that don't
add up show in seconds, and so does a reference that loses points.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder.homework import PARTS, SUITES, VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment, AssignmentError
from autograder.rubric.outline import outline
from autograder.staff.grader import Grader
from autograder.staff.solutions import load_solutions

REFERENCE = "reference"


def reasons(
    file: Path = assignments.FILE, homework: Path = VALUES_FILE, suites: Path = SUITES
) -> Iterator[str]:
    """Why the grader can't be handed out, a text each; none where it can."""
    try:
        assignment = assignments.load(file, homework)
    except AssignmentError as problem:
        yield str(problem)
        return
    yield from wrong_points(assignment, suites)
    yield from wrong_reference(assignment, suites)


def wrong_points(assignment: Assignment, suites: Path) -> Iterator[str]:
    """Parts whose lines don't sum to what homework.py declares."""
    lines = outline(suites, assignment)
    for part in sorted({*PARTS, *(line.part for line in lines)}):
        graded = sum(line.points for line in lines if line.part == part)
        declared = PARTS[part].points if part in PARTS else 0
        if graded != declared:
            yield (
                f"{part}: the lines in {suites.name} give {graded:g} points, "
                f"provided/homework.py declares {declared:g}"
            )


def wrong_reference(assignment: Assignment, suites: Path) -> Iterator[str]:
    """Suites that can't be collected, and lines that the reference loses without a training."""
    (reference,) = load_solutions([REFERENCE])
    grader = Grader(None, assignment, suites)
    try:
        outcome = grader.grade(reference)
    finally:
        grader.close()
    for difference in outcome.differences():
        yield f"solutions/{REFERENCE}: {difference}"
