"""What a report needs of one results.json, read leniently: it may be the platform's copy.

A value that isn't what it should be counts as absent; nothing here fails over what it reads.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from autograder.sandbox.text import one_line
from autograder.staff.classroom.lenient import as_list, as_mapping, as_number, as_text

MAX_TITLE = 120  # characters of a line's title
MAX_HEADLINE = 300  # of what is said on a line
MAX_NAME = 80
KINDS: Final = ("fc", "cnn")  # the networks that the grader trains, as extra_data calls them
COUNT_LINE: Final = "2c.3"  # whose text tells the size of a convolutional network
CNN_SIZE: Final = "CNN: parameters"

TAG = re.compile(r"<[^>]*>")
COUNTED = re.compile(r"(?:Correct: |Got:\s*)(\d[\d,]{0,14})(?: parameters|, of which)")


@dataclass(frozen=True)
class Line:
    """A rubric line as it was judged."""

    number: str
    title: str
    score: float
    points: float
    mistakes: tuple[str, ...]
    headline: str

    @property
    def full(self) -> bool:
        """Whether nothing was lost on it."""
        return self.score >= self.points


@dataclass(frozen=True)
class Placed:
    """A figure on the leaderboard."""

    name: str
    value: float
    rising: bool  # whether less is better


@dataclass(frozen=True)
class Reading:
    """What one results.json says.

    score:      points in all; None where they aren't told
    faults:     of the grader: where, and what
    flags:      lines for a person to look at, and why
    accuracy:   network -> best test accuracy in the grader's trainings
    parameters: network -> its size, where it is told
    """

    lines: Mapping[str, Line] = field(default_factory=dict)
    score: float | None = None
    faults: tuple[tuple[str, str], ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    complete: bool = True
    accuracy: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, int] = field(default_factory=dict)
    leaderboard: tuple[Placed, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether its scores mean something: graded to the end, without a fault of the grader."""
        return bool(self.lines) and self.complete and not self.faults

    @cached_property
    def points(self) -> float:
        """Points that there are."""
        return math.fsum(line.points for line in self.lines.values())

    @cached_property
    def mistakes(self) -> Mapping[str, tuple[str, ...]]:
        """Each known mistake, with the lines that it was named on."""
        found: dict[str, list[str]] = {}
        for line in self.lines.values():
            for mistake in line.mistakes:
                found.setdefault(mistake, []).append(line.number)
        return {mistake: tuple(lines) for mistake, lines in found.items()}


def read(results: Mapping[str, Any] | None) -> Reading:
    """A results.json, as far as it can be read; an empty reading for none."""
    results = results or {}
    tests = as_list(results.get("tests"))
    lines = {line.number: line for each in tests if (line := _line(each))}
    extra = as_mapping(results.get("extra_data"))
    trainings = as_mapping(extra.get("trainings"))
    board = tuple(
        placed for each in as_list(results.get("leaderboard")) if (placed := _placed(each))
    )
    return Reading(
        lines=dict(sorted(lines.items())),
        score=math.fsum(line.score for line in lines.values())
        if lines
        else as_number(results.get("score")),
        faults=tuple(
            (one_line(where, MAX_NAME), _last_line(what))
            for where, what in as_mapping(extra.get("faults")).items()
        ),
        flags=(*_flags(extra), *_for_a_person(extra)),
        complete=extra.get("complete") is not False,
        accuracy={
            kind: best
            for kind in KINDS
            if (best := _best(as_mapping(trainings.get(kind)))) is not None
        },
        parameters=_parameters(extra, board, tests),
        leaderboard=board,
    )


def _line(content: object) -> Line | None:
    said = as_mapping(content)
    score, points = as_number(said.get("score")), as_number(said.get("max_score"))
    name = as_text(said.get("name"))
    place = as_text(said.get("number")) or name.partition(" ")[0]
    if score is None or points is None or not place:
        return None
    named = as_text(as_mapping(said.get("extra_data")).get("diagnosis"))
    return Line(
        number=one_line(place, MAX_NAME),
        title=one_line(name.removeprefix(f"{place} "), MAX_TITLE),
        score=score,
        points=points,
        mistakes=tuple(one_line(each, MAX_NAME) for each in named.split("+") if each.strip()),
        headline=headline(
            as_text(said.get("output")), as_text(said.get("output_format")) == "html"
        ),
    )


def headline(output: str, is_html: bool) -> str:
    """The first line of a feedback as plain text."""
    if is_html:
        output = plain(output.partition("<br>")[0])
    return one_line(output.strip().partition("\n")[0], MAX_HEADLINE)


def _placed(content: object) -> Placed | None:
    said = as_mapping(content)
    value = as_number(said.get("value"))
    if value is None or not as_text(said.get("name")):
        return None
    return Placed(one_line(said["name"], MAX_NAME), value, said.get("order") == "asc")


def _flags(extra: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (as_text(said.get("line")), one_line(as_text(said.get("what")), MAX_HEADLINE))
        for each in as_list(extra.get("flags"))
        if (said := as_mapping(each))
    ]


def _for_a_person(extra: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines at which a person should look; a part by itself is an answer that a person grades."""
    return [
        (one_line(line, MAX_NAME), one_line(as_text(why), MAX_HEADLINE))
        for line, why in as_mapping(extra.get("for_a_person")).items()
        if "." in line and as_text(why)
    ]


def _best(training: Mapping[str, Any]) -> float | None:
    reached = [
        accuracy
        for trial in as_list(training.get("trials"))
        for each in as_list(as_mapping(trial).get("test_accuracy"))
        if (accuracy := as_number(each)) is not None
    ]
    return max(reached, default=None)


def _parameters(
    extra: Mapping[str, Any], board: Sequence[Placed], tests: Sequence[Any]
) -> dict[str, int]:
    """Sizes that the results tell; of earlier graders, the leaderboard or a line does."""
    networks = as_mapping(extra.get("networks"))
    found = {
        kind: int(count)
        for kind in KINDS
        if (count := as_number(as_mapping(networks.get(kind)).get("parameters"))) is not None
    }
    placed = [int(one.value) for one in board if one.name == CNN_SIZE]
    said = [as_mapping(each) for each in tests if as_mapping(each).get("number") == COUNT_LINE]
    matches = [COUNTED.search(plain(as_text(line.get("output")))) for line in said]
    told = [int(match[1].replace(",", "")) for match in matches if match]
    for count in (*placed, *told):
        found.setdefault("cnn", count)
    return found


def plain(markup: str) -> str:
    """The text of an HTML fragment."""
    return html.unescape(TAG.sub("", markup))


def _last_line(trace: object) -> str:
    lines = as_text(trace).strip().splitlines()
    return one_line(lines[-1], MAX_HEADLINE) if lines else ""
