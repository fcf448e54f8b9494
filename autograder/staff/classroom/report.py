"""report.html: what staff want to know of a class, on one page that needs nothing else.

It loads nothing from anywhere, and works without its script, which sorts and filters tables.
Whatever is a student's is escaped by the template, and short.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.hw5.mistakes.catalogue import CATALOGUE
from autograder.rubric.feedback import counted
from autograder.staff.classroom import charts, figures, identical, statistics
from autograder.staff.classroom.changes import UNKNOWN, changes
from autograder.staff.classroom.figures import Changed, Trained
from autograder.staff.classroom.records import SETTINGS, Entry, write_text
from autograder.staff.classroom.roster import Member, number_of_people, roster
from autograder.staff.classroom.statistics import Bin, Summary

FILE = "report.html"
TEMPLATES = Path(__file__).with_name("templates")
LINES_SAID = 4  # of a changed score: what they say now; further ones are listed by number
CAUSE_UNKNOWN = "cause not known"  # as in exports of a grader that doesn't tell its version
INCOMPLETE = "The grading was stopped before its end."

HEADINGS = {
    "faults": "Faults of the grader",
    "ungraded": "Not graded",
    "scores": "Scores",
    "changes": "Scores that changed",
    "lines": "Rubric lines",
    "mistakes": "Known mistakes",
    "networks": "Accuracy against parameters",
    "leaderboard": "Leaderboard",
    "chance": "Decided by chance",
    "person": "For a person to look at",
    "identical": "Identical files",
    "time": "Time and memory",
    "all": "All submissions",
}


@dataclass(frozen=True)
class Network:
    """One of the networks that are trained, over the class."""

    heading: str
    threshold: float
    trained: Sequence[Trained]
    chart: Markup | None
    about: str


def write_report(entries: Sequence[Entry], into: Path, *, anonymous: bool = False) -> None:
    """Write report.html into a folder, in one step. Raises OSError."""
    write_text(into / FILE, [page(entries, anonymous=anonymous, settings=into / SETTINGS)])


def page(entries: Sequence[Entry], *, anonymous: bool, settings: Path) -> str:
    """The whole page.

    settings: the folder of what digests of settings stand for
    """
    template = _environment().get_template("report.html")
    return template.render(content(entries, anonymous=anonymous, settings=settings))


def content(entries: Sequence[Entry], *, anonymous: bool, settings: Path) -> dict[str, Any]:
    """All that the template shows."""
    members = roster(entries, anonymous=anonymous)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    shown = {
        "title": assignments.load().title,
        "anonymous": anonymous,
        "members": members,
        "students": number_of_people(entries),
        "settled": figures.settled(members),
        "style": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "parts": sorted({number.partition(".")[0] for one in members for number in one.now.lines}),
        "part_score": part_score,
        "changes": partial(changed_lines, settings=settings),
        "explained": _Explained(),
        **_troubles(members),
        **_scores(members),
        **_changes(members),
        "lines": figures.line_figures(members),
        "mistakes": figures.mistakes(members),
        "networks": networks(members, assignments.load()),
        "leaderboard": figures.leaderboard(members),
        "differing": figures.differing(members),
        "identical": identical.groups(members),
    }
    optional = {"ungraded": "ungraded", "changes": "compared", "chance": "differing"}
    shown["sections"] = [
        (name, heading)
        for name, heading in HEADINGS.items()
        if name not in optional or shown[optional[name]]
    ]
    return shown


def _troubles(members: Sequence[Member]) -> dict[str, Any]:
    """What a person has to look at."""
    ungraded = [(one, one.entry.trouble) for one in members if one.entry.trouble]
    ungraded += [(one, INCOMPLETE) for one in members if one.now.lines and not one.now.complete]
    return {
        "faults": [(one, where, what) for one in members for where, what in one.now.faults],
        "flags": [(one, line, why) for one in members for line, why in one.now.flags],
        "ungraded": ungraded,
    }


def _scores(members: Sequence[Member]) -> dict[str, Any]:
    """How scores, tries and times are distributed."""
    settled = figures.settled(members)
    scores = [one.now.score for one in settled if one.now.score is not None]
    points = max((one.now.points for one in settled), default=0.0)
    tries = [float(one.tries) for one in members if one.tries]
    gains = [
        one.now.score - one.entry.history[0]
        for one in settled
        if one.entry.history and one.now.score is not None
    ]
    slowest = figures.slowest(members)
    seconds = [one.entry.seconds for one in slowest if one.entry.seconds is not None]
    score_bins = statistics.bins(scores, points)
    second_bins = statistics.bins(seconds, 0.0)
    gain = statistics.summary(gains)
    return {
        "scores": statistics.summary(scores),
        "points": points,
        "bins": score_bins,
        "tries": statistics.summary(tries) if any(count > 1 for count in tries) else None,
        "gain": gain.median if gain else None,
        "slowest": slowest,
        "seconds": statistics.summary(seconds),
        "second_bins": second_bins,
        "charts": {
            "scores": _chart(score_bins, "scores", "points", statistics.summary(scores)),
            "seconds": _chart(second_bins, "seconds", "seconds", statistics.summary(seconds)),
        },
    }


def _chart(bins: Sequence[Bin], name: str, unit: str, six: Summary | None) -> Markup:
    if six is None:
        return Markup("")
    return charts.histogram(
        bins,
        name=name,
        title=f"How many submissions have how many {unit}",
        about=f"{counted(six.count, 'submission')}, from {six.lowest:.5g} to {six.highest:.5g} "
        f"{unit}, median {six.median:.5g}. The table below has the same numbers.",
        x_axis=unit,
    )


def _changes(members: Sequence[Member]) -> dict[str, Any]:
    changed = figures.changed(members)
    return {
        "compared": figures.comparable(members),
        "fallen": [one for one in changed if one.by < 0],
        "risen": [one for one in reversed(changed) if one.by > 0],
    }


def changed_lines(one: Changed, settings: Path) -> Markup:
    """The lines whose score changed: points, cause, what they say now."""
    if not one.lines:
        return Markup("The earlier results tell no lines.")
    causes = {
        change.line: CAUSE_UNKNOWN if change.cause == UNKNOWN else change.cause
        for change in changes(one.member.entry, settings)
    }
    said = [
        Markup("<li>{}: {} → {}, {}{}</li>").format(
            change.line.number,
            short(change.before),
            short(change.line.score),
            causes.get(change.line.number, ""),
            _now(one, change),
        )
        for change in one.lines[:LINES_SAID]
    ]
    further = ", ".join(change.line.number for change in one.lines[LINES_SAID:])
    if further:
        said.append(Markup("<li>also {}</li>").format(further))
    return Markup("<ul>{}</ul>").format(Markup("").join(said))


def _now(one: Changed, change: figures.Change) -> str:
    if any(where == change.line.number for where, _ in one.member.now.faults):
        return ". A fault of the grader"
    named = f" [{'+'.join(change.line.mistakes)}]" if change.line.mistakes else ""
    return f"{named}. Now: {one.member.told(change.line.headline)}"


def networks(members: Sequence[Member], assignment: Assignment) -> list[Network]:
    """The networks of 2b and 2c, with a chart where sizes are known."""
    rules = {
        "fc": ("2b, fully connected", assignment.fully_connected.training.accuracy, None),
        "cnn": ("2c, CNN", assignment.cnn.training.accuracy, assignment.cnn.max_parameters),
    }
    return [
        _network(kind, trained, *rules[kind])
        for kind, trained in figures.trained(members).items()
        if trained
    ]


def _network(
    kind: str, trained: Sequence[Trained], heading: str, threshold: float, limit: int | None
) -> Network:
    points = [
        charts.Point(one.parameters, one.accuracy, one.member.label)
        for one in trained
        if one.parameters
    ]
    reached = sum(one.accuracy >= threshold for one in trained)
    deep = sum(charts.is_deep(point.y, threshold) for point in points)
    about = f"{reached} of {len(trained)} meet the threshold of {threshold:.1%}, the dashed line."
    if limit:
        about += f" The upright one is the limit of {limit:,} parameters."
    if deep:
        about += f" {deep} far below the threshold are triangles at the lower edge."
    if len(points) < len(trained):
        about += (
            f" Sizes of {len(trained) - len(points)} aren't known: they are in the table alone."
        )
    chart = None
    if points:
        chart = charts.scatter(
            points,
            name=kind,
            title=f"{heading}: test accuracy against parameters",
            about=f"{about} The table below has the same numbers.",
            threshold=threshold,
            limit=limit,
        )
    return Network(heading, threshold, trained, chart, about)


def part_score(member: Member, part: str) -> str:
    """A submission's points on a part."""
    scores = [
        line.score for number, line in member.now.lines.items() if number.partition(".")[0] == part
    ]
    return short(math.fsum(scores)) if scores else "–"


class _Explained(dict[str, str]):
    """What a known mistake consists of; empty for one that isn't known here."""

    def __missing__(self, name: str) -> str:
        return CATALOGUE[name].explanation if name in CATALOGUE else ""


def short(value: float) -> str:
    """A number with at most four digits behind the point, and no more than it needs."""
    return f"{round(value, 4):g}" if abs(value) < 1e5 else f"{value:,.0f}"


def signed(value: float) -> str:
    """A difference with its sign."""
    shown = f"{value:+.2f}".rstrip("0").rstrip(".")
    return "0" if shown in ("+0", "-0") else shown.replace("-", "−")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": counted,
        "short": short,
        "signed": signed,
        "signed_r": lambda value: f"{value:.2f}".replace("-", "−"),
        "figure": lambda value: f"{value:,.0f}" if value > 1 else f"{value:.4f}",
    }
    return environment
