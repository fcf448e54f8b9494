"""The arithmetic of the report: nothing here knows what the numbers stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_PAIRS = 3  # two pairs always lie on a line
TOUCHING = 1e-9  # a spread below it is rounding: scores are multiples of at least 0.0001


@dataclass(frozen=True)
class Summary:
    """A set of numbers in six: how many, the lowest, the quartiles, the highest, and the mean."""

    count: int
    lowest: float
    lower_quartile: float
    median: float
    upper_quartile: float
    highest: float
    mean: float


@dataclass(frozen=True)
class Bin:
    """How many numbers lie from `start` up to `end`, the end left out but in the last bin."""

    start: float
    end: float
    count: int


def summary(numbers: Sequence[float]) -> Summary | None:
    """None for no numbers."""
    if not numbers:
        return None
    ordered = sorted(numbers)
    return Summary(
        len(ordered),
        ordered[0],
        quantile(ordered, 0.25),
        quantile(ordered, 0.5),
        quantile(ordered, 0.75),
        ordered[-1],
        mean(ordered),
    )


def mean(numbers: Sequence[float]) -> float:
    """The arithmetic mean. There must be a number."""
    return math.fsum(numbers) / len(numbers)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest of sorted numbers, as numpy's default and most spreadsheets.

    Hyndman and Fan's type 7. There must be a number.
    """
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None where one of them is constant, or there are fewer than three pairs."""
    if len(one) < LEAST_PAIRS or _is_constant(one) or _is_constant(other):
        return None
    middle, other_middle = mean(one), mean(other)
    apart = [value - middle for value in one]
    other_apart = [value - other_middle for value in other]
    together = math.fsum(a * b for a, b in zip(apart, other_apart, strict=True))
    spread = math.fsum(a * a for a in apart) * math.fsum(b * b for b in other_apart)
    return max(-1.0, min(1.0, together / math.sqrt(spread)))


def item_total(scores: Sequence[Sequence[float]], item: int) -> float | None:
    """How one item goes with the sum of all others, without itself in that sum.

    scores: a row for each submission, its items in the same order. An item that is in its own
    total goes with it in any case, most of all where there are few items or it is worth much.
    """
    rest = [math.fsum((*row[:item], *row[item + 1 :])) for row in scores]
    return correlation([row[item] for row in scores], rest)


def bins(numbers: Sequence[float], end: float, most: int = 16) -> list[Bin]:
    """Counts from 0 to `end` in bins of a round width, at most so many; empty for no numbers."""
    if not numbers:
        return []
    end = max(end, *numbers)
    width = round_width(end, most)
    count = max(1, math.ceil(end / width - TOUCHING))
    found = [0] * count
    for value in numbers:
        found[min(count - 1, max(0, math.floor(value / width + TOUCHING)))] += 1
    return [Bin(place * width, (place + 1) * width, many) for place, many in enumerate(found)]


def round_width(end: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 4 and 5 times a power of ten that needs at most `most` bins."""
    if end <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(end / most))
    widths = (factor * scale for scale in (power, 10 * power) for factor in (1, 2, 2.5, 4, 5))
    return next(width for width in widths if end / width <= most + TOUCHING)


def _is_constant(numbers: Sequence[float]) -> bool:
    return max(numbers) - min(numbers) < TOUCHING
