"""Charts as small inline SVG: described for those who don't see them, colours from the page.

They are drawn 420 units wide, so that their text can still be read on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from autograder.staff.classroom.statistics import Bin, round_width

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 44  # margins, for what stands at the axes
TICKS = 5  # on an axis, at most
EDGES = 8  # of bins that have a number, at most
DEEP = 0.025  # how far below a threshold accuracies are drawn to scale
AIR = 0.002  # of accuracy above the highest point, and below the lowest
ASIDE = 1.2  # by which factor the scale of sizes goes on at both ends
MIDDLE = Markup('text-anchor="middle"')

Scale = Callable[[float], float]


class Point(NamedTuple):
    """A point of a scatter plot and whose it is."""

    x: float
    y: float
    label: str


def histogram(bins: Sequence[Bin], *, name: str, title: str, about: str, x_axis: str) -> Markup:
    """Bars of how many submissions lie in each bin."""
    most, end = max(one.count for one in bins), bins[-1].end
    step = max(1.0, round_width(most, TICKS))
    x = _linear(0, end, LEFT, WIDTH - RIGHT)
    y = _linear(0, math.ceil(most / step) * step, HEIGHT - BOTTOM, TOP)
    bars = [
        Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"/>').format(
            _at(x(one.start) + 1),
            _at(y(one.count)),
            _at(x(one.end) - x(one.start) - 2),
            _at(y(0) - y(one.count)),
        )
        for one in bins
        if one.count
    ]
    edges = [*(one.start for one in bins), end][:: math.ceil(len(bins) / EDGES)]
    ticks = [place * step for place in range(math.ceil(most / step) + 1)]
    axes = [
        *_y_axis(y, [(tick, f"{tick:g}") for tick in ticks], "submissions"),
        *_x_axis(x, [(edge, f"{edge:g}") for edge in edges], x_axis),
    ]
    return _drawn(name, title, about, [*axes, *bars])


def scatter(
    points: Sequence[Point],
    *,
    name: str,
    title: str,
    about: str,
    threshold: float,
    limit: int | None = None,
) -> Markup:
    """Accuracy against parameters, these on a logarithmic scale, with the lines that matter.

    What lies far below the threshold is drawn as a triangle at the lower edge.
    """
    lowest = max(0.0, max(min(point.y for point in points), threshold - DEEP) - AIR)
    highest = min(1.0, max(threshold, *(point.y for point in points)) + AIR)
    sizes = [point.x for point in points] + ([limit] if limit else [])
    x = _logarithmic(min(sizes) / ASIDE, max(sizes) * ASIDE, LEFT, WIDTH - RIGHT)
    y = _linear(lowest, highest, HEIGHT - BOTTOM - 6, TOP)
    step = round_width(highest - lowest, TICKS)
    ticks = [tick * step for tick in range(math.ceil(lowest / step), int(highest / step) + 1)]
    goals = [_path("goal", f"M{LEFT} {_at(y(threshold))}H{WIDTH - RIGHT}")]
    if limit:
        goals.append(_path("goal", f"M{_at(x(limit))} {TOP}V{HEIGHT - BOTTOM}"))
    marks = [_mark(point, x, y, lowest) for point in points]
    axes = [
        *_y_axis(y, [(tick, f"{tick:.1%}") for tick in ticks], "test accuracy"),
        *_x_axis(x, [(size, _short(size)) for size in _decades(sizes)], "parameters (logarithmic)"),
    ]
    return _drawn(name, title, about, [*axes, *goals, *marks])


def is_deep(accuracy: float, threshold: float) -> bool:
    """Whether an accuracy lies so far below a threshold that it isn't drawn to scale."""
    return accuracy < threshold - DEEP - AIR


def _mark(point: Point, x: Scale, y: Scale, lowest: float) -> Markup:
    said = f"{point.label}: {point.y:.2%}, {point.x:,.0f} parameters"
    if point.y < lowest:
        triangle = f"M{_at(x(point.x))} {HEIGHT - BOTTOM}l-4 -7h8z"
        return Markup('<path class="dot" d="{}"><title>{}</title></path>').format(triangle, said)
    return Markup('<circle class="dot" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>').format(
        _at(x(point.x)), _at(y(point.y)), said
    )


def _drawn(name: str, title: str, about: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-t {n}-d">'
        '<title id="{n}-t">{title}</title><desc id="{n}-d">{about}</desc>{parts}</svg>'
    ).format(w=WIDTH, h=HEIGHT, n=name, title=title, about=about, parts=Markup("").join(parts))


def _y_axis(y: Scale, ticks: Sequence[tuple[float, str]], title: str) -> Iterator[Markup]:
    for value, shown in ticks:
        yield _path("grid", f"M{LEFT} {_at(y(value))}H{WIDTH - RIGHT}")
        yield Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
            LEFT - 5, _at(y(value) + 4), shown
        )
    yield Markup('<text transform="translate(11 {}) rotate(-90)" {}>{}</text>').format(
        (TOP + HEIGHT - BOTTOM) // 2, MIDDLE, title
    )


def _x_axis(x: Scale, ticks: Sequence[tuple[float, str]], title: str) -> Iterator[Markup]:
    text = Markup('<text x="{}" y="{}" {}>{}</text>')
    for value, shown in ticks:
        yield text.format(_at(x(value)), HEIGHT - BOTTOM + 15, MIDDLE, shown)
    yield text.format((LEFT + WIDTH - RIGHT) // 2, HEIGHT - 8, MIDDLE, title)
    yield _path("axis", f"M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}")


def _path(kind: str, course: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, course)


def _linear(start: float, end: float, first: float, last: float) -> Scale:
    return lambda value: first + (value - start) / (end - start) * (last - first)


def _logarithmic(start: float, end: float, first: float, last: float) -> Scale:
    line = _linear(math.log(start), math.log(end), first, last)
    return lambda value: line(math.log(value))


def _decades(sizes: Sequence[float]) -> list[float]:
    """1, 2 and 5 times each power of ten in the range; the powers alone where it is wide."""
    lowest, highest = min(sizes) / ASIDE, max(sizes) * ASIDE
    powers = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [tick for tick in ticks if lowest <= tick <= highest]


def _short(size: float) -> str:
    if size >= 1e6:
        return f"{size / 1e6:g}M"
    return f"{size / 1e3:g}k" if size >= 1e3 else f"{size:g}"


def _at(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0")
