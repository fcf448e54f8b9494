"""What costs several lines is said once, where it comes first; the others refer to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from autograder.rubric.feedback import Feedback, counted, joined
from autograder.rubric.plugin import GRADER_FAULT, RubricLine

SHORT = 100  # characters that take no longer to read than a sentence which refers to them


def told_once(lines: Sequence[RubricLine]) -> list[RubricLine]:
    """The lines in order; a cause, a known mistake, a long note in full where it comes first.

    A line keeps what is its own: its headline, what it got, its other notes and pictures.
    """
    told: dict[object, RubricLine] = {}
    return [replace(line, feedback=_referring(line, told)) for line in lines]


def _referring(line: RubricLine, told: dict[object, RubricLine]) -> Feedback:
    said = replace(line.feedback, notes=_notes(line, told))
    if not _is_lost(line) or len(said.text()) < SHORT:
        return said
    first = told.setdefault(said.cause or said.text(), line)
    if first is not line:
        return replace(
            said,
            headline=f"{said.headline} Same cause as {first.number}: see there.",
            got="",
            expected="",
            likely="",
            next_step="",
            table=(),
            pictures=(),
        )
    mistake = (said.diagnosis, said.likely, said.next_step)
    first = told.setdefault(mistake, line) if said.diagnosis else line
    if first is line:
        return said
    shown = {picture.png for picture in first.feedback.pictures}
    own_pictures = tuple(one for one in said.pictures if one.png not in shown)
    if said.likely:
        likely = f"the same as on {first.number}"
        return replace(said, likely=likely, next_step="", pictures=own_pictures)
    return replace(said, next_step=f"As on {first.number}.", pictures=own_pictures)


def _notes(line: RubricLine, told: dict[object, RubricLine]) -> tuple[str, ...]:
    """A line's notes, long ones only where they come first."""
    firsts = {note: told.setdefault(("note", note), line) for note in line.feedback.notes}
    return tuple(
        note
        if len(note) < SHORT or first is line
        else f"The note on {first.number} is true here as well."
        for note, first in firsts.items()
    )


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
    """The lines by number, neighbours in one; a part with all its lines by its name."""
    if len(some) == len(lines) > 1:
        return f"all {counted(len(lines), 'line')}"
    numbers = {line.number for line in some}
    places = []
    for part, of_part in groupby(lines, key=lambda line: line.part):
        whole = [line.number for line in of_part]
        if len(whole) > 1 and numbers.issuperset(whole):
            places.append(part)
            continue
        for is_in, run in groupby(whole, key=numbers.__contains__):
            first, *more = run
            if is_in:
                places += [f"{first} to {more[-1]}"] if len(more) > 1 else [first, *more]
    return joined(places)
