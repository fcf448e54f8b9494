"""What the report says of a class, computed from its submissions; no text, no page.

One submission counts once, also where a group handed it in. Figures of scores leave out what
isn't settled: submissions without results, and those on which the grader had a fault.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autograder.staff.classroom import statistics
from autograder.staff.classroom.reading import KINDS, Line
from autograder.staff.classroom.roster import Member

MOST_PLACES = 10  # on the leaderboard
MOST_PLACED = 30  # of them, where many are level
SAME = 1e-6  # points that differ by less are the same


@dataclass(frozen=True)
class LineFigures:
    """A rubric line over the whole class.

    count:      submissions on which it was judged
    mean:       points
    full:       share of submissions with full marks
    item_total: how it goes with the sum of the other lines; None where that can't be said
    tries:      median number of tries of those with full marks; None where it isn't known
    """

    number: str
    title: str
    points: float
    count: int
    mean: float
    full: float
    item_total: float | None
    tries: float | None


class Change(NamedTuple):
    """A line whose score is another than before."""

    before: float
    line: Line


@dataclass(frozen=True)
class Changed:
    """A submission whose score is another than before, over the lines that both know."""

    member: Member
    before: float
    after: float
    lines: tuple[Change, ...]

    @property
    def by(self) -> float:
        """Points that were won, or lost where it is negative."""
        return self.after - self.before


@dataclass(frozen=True)
class MistakeFigures:
    """A known mistake, where it was named, and whose it is."""

    id: str
    lines: tuple[str, ...]
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Trained:
    """A network that the grader has trained; parameters are None where they aren't told."""

    member: Member
    accuracy: float
    parameters: int | None


class Place(NamedTuple):
    """A place on the leaderboard; those that are level share it."""

    rank: int
    member: Member
    value: float


class Differs(NamedTuple):
    """A line on which another seed gave other points."""

    member: Member
    line: Line
    again: float


def settled(members: Iterable[Member]) -> list[Member]:
    """Those whose scores mean something."""
    return [member for member in members if member.now.settled]


def line_figures(members: Sequence[Member]) -> list[LineFigures]:
    """Each rubric line, in order. Of settled submissions."""
    members = settled(members)
    lines: dict[str, list[tuple[Member, Line]]] = {}
    for member in members:
        for number, line in member.now.lines.items():
            lines.setdefault(number, []).append((member, line))
    together = item_totals(members)
    return [_of_line(number, lines[number], together.get(number)) for number in sorted(lines)]


def _of_line(
    number: str, judged: Sequence[tuple[Member, Line]], item_total: float | None
) -> LineFigures:
    last = judged[-1][1]
    tries = [member.tries for member, line in judged if line.full and member.tries]
    median = statistics.summary(tries)
    return LineFigures(
        number,
        last.title,
        max(line.points for _, line in judged),
        len(judged),
        statistics.mean([line.score for _, line in judged]),
        sum(line.full for _, line in judged) / len(judged),
        item_total,
        median.median if median else None,
    )


def item_totals(members: Sequence[Member]) -> dict[str, float | None]:
    """Each line's item-total correlation, over the submissions that have the same lines.

    These are the lines that most of them have: a total over other lines is another total.
    """
    kinds = Counter(tuple(member.now.lines) for member in members)
    if not kinds:
        return {}
    common = max(kinds, key=lambda lines: (kinds[lines], lines))
    scores = [
        [line.score for line in member.now.lines.values()]
        for member in members
        if tuple(member.now.lines) == common
    ]
    return {number: statistics.item_total(scores, place) for place, number in enumerate(common)}


def changed(members: Iterable[Member]) -> list[Changed]:
    """Submissions whose score is another than before; those that lost most come first."""
    found = [one for member in members if (one := _compared(member)) and abs(one.by) >= SAME]
    return sorted(found, key=lambda one: one.by)


def comparable(members: Iterable[Member]) -> int:
    """How many submissions have a score of before and one of now."""
    return sum(_compared(member) is not None for member in members)


def _compared(member: Member) -> Changed | None:
    now, before = member.now, member.before
    if before is None:
        return None
    both = [number for number in now.lines if number in before.lines]
    if both:
        return Changed(
            member,
            math.fsum(before.lines[number].score for number in both),
            math.fsum(now.lines[number].score for number in both),
            tuple(
                Change(before.lines[number].score, now.lines[number])
                for number in both
                if abs(before.lines[number].score - now.lines[number].score) >= SAME
            ),
        )
    if now.score is None or before.score is None or before.lines:
        return None
    return Changed(member, before.score, now.score, ())


def mistakes(members: Iterable[Member]) -> list[MistakeFigures]:
    """Known mistakes, the most frequent first."""
    found: dict[str, list[Member]] = {}
    lines: dict[str, set[str]] = {}
    for member in members:
        for mistake, where in member.now.mistakes.items():
            found.setdefault(mistake, []).append(member)
            lines.setdefault(mistake, set()).update(where)
    figures = [
        MistakeFigures(mistake, tuple(sorted(lines[mistake])), tuple(those))
        for mistake, those in found.items()
    ]
    return sorted(figures, key=lambda one: (-len(one.members), one.id))


def trained(members: Sequence[Member]) -> dict[str, list[Trained]]:
    """The networks that were trained, by kind, the most accurate first."""
    return {
        kind: sorted(
            (
                Trained(member, accuracy, member.now.parameters.get(kind))
                for member in members
                if (accuracy := member.now.accuracy.get(kind)) is not None
            ),
            key=lambda one: -one.accuracy,
        )
        for kind in KINDS
    }


def leaderboard(members: Iterable[Member]) -> dict[str, list[Place]]:
    """The first places of each figure that students may compare themselves by."""
    values: dict[str, list[tuple[float, Member]]] = {}
    rising: dict[str, bool] = {}
    for member in members:
        for placed in member.now.leaderboard:
            rising.setdefault(placed.name, placed.rising)
            sign = 1 if rising[placed.name] else -1
            values.setdefault(placed.name, []).append((sign * placed.value, member))
    return {name: list(_places(values[name], rising[name])) for name in sorted(values)}


def _places(values: Sequence[tuple[float, Member]], rising: bool) -> Iterator[Place]:
    ordered = sorted(values, key=lambda pair: pair[0])
    rank = 0
    for place, (value, member) in enumerate(ordered[:MOST_PLACED], 1):
        if place == 1 or value > ordered[place - 2][0]:
            rank = place
        if rank > MOST_PLACES:
            return
        yield Place(rank, member, value if rising else -value)


def differing(members: Iterable[Member]) -> list[Differs]:
    """Lines on which another seed gave other points."""
    return [
        Differs(member, line, member.again.lines[number].score)
        for member in members
        if member.again is not None
        for number, line in member.now.lines.items()
        if number in member.again.lines
        and abs(member.again.lines[number].score - line.score) >= SAME
    ]


def slowest(members: Iterable[Member]) -> list[Member]:
    """Those whose grading is timed or measured, the slowest first."""
    measured = [
        member
        for member in members
        if member.entry.seconds is not None or member.entry.peak_mib is not None
    ]
    return sorted(measured, key=lambda one: -(one.entry.seconds or 0.0))
