"""What costs several lines is said once, where it comes first; the others refer to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autograder.rubric.feedback import Feedback, counted, joined
from autograder.rubric.plugin import GRADER_FAULT, RubricLine

SHORT = 100  # characters that take no longer to read than a sentence which refers to them


def told_once(lines: Sequence[RubricLine]) -> list[RubricLine]:
    """The lines in order, with a cause or a known mistake in full where it comes first.

    A line keeps what is its own: its headline, what it got, its notes.
    """
    told: dict[object, RubricLine] = {}
    return [replace(line, feedback=_referring(line, told)) for line in lines]


def _referring(line: RubricLine, told: dict[object, RubricLine]) -> Feedback:
    said = line.feedback
    if not _is_lost(line) or len(said.text()) < SHORT:
        return said
    first = told.setdefault(said.cause or said.text(), line)
    if first is not line:
        return replace(
            said,
            headline=f"{said.headline} This has the same cause as {first.number}: see there.",
            got="",
            expected="",
            likely="",
            next_step="",
            table=(),
            pictures=(),
            notes=tuple(note for note in said.notes if note not in first.feedback.notes),
        )
    if not said.diagnosis:
        return said
    first = told.setdefault((said.diagnosis, said.likely, said.next_step), line)
    if first is line:
        return said
    return replace(said, likely="", next_step=f"It is the same mistake as on {first.number}.")


def _is_lost(line: RubricLine) -> bool:
    """Whether the submission cost points here, rather than the grader or the time."""
    return line.earned < line.points and line.reached and line.feedback is not GRADER_FAULT


def what_was_lost(lines: Sequence[RubricLine]) -> str:
    """How many points were lost, and on which lines, in a sentence or two."""
    lost = [line for line in lines if _is_lost(line)]
    open_lines = [line for line in lines if line.earned < line.points and not _is_lost(line)]
    said = []
    if lost:
        said.append(f"You lost {_points(lost)}, on {_places(lost, lines)}.")
    if open_lines:
        said.append(
            f"{_points(open_lines)}, on {_places(open_lines, lines)}, could not be decided: "
            "see there why."
        )
    return " ".join(said) or f"Full marks: {counted_points(sum(one.points for one in lines))}."


def counted_points(points: float) -> str:
    """1 point, 0.5 points, 48 points."""
    return f"{points:g} point{'' if points == 1 else 's'}"


def _points(lines: Sequence[RubricLine]) -> str:
    return counted_points(sum(line.points - line.earned for line in lines))


def _places(some: Sequence[RubricLine], lines: Sequence[RubricLine]) -> str:
    """The lines by number; a part whose lines are all among them by its name."""
    if len(some) == len(lines) > 1:
        return f"all {counted(len(lines), 'line')}"
    numbers = {line.number for line in some}
    places: list[str] = []
    for line in some:
        whole = [one.number for one in lines if one.part == line.part]
        all_of_it = len(whole) > 1 and numbers.issuperset(whole)
        places.append(f"all of {line.part}" if all_of_it else line.number)
    return joined(dict.fromkeys(places))
