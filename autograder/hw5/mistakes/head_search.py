"""Naming a mistaken attention head: its numbers against every variant, under every reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from autograder.hw5.mistakes import head, head_gradients, head_steps
from autograder.hw5.mistakes.head_steps import Head
from autograder.hw5.mistakes.reading import Passes, Reading, in_gradients, matching
from autograder.hw5.probes.head import HeadCase, HeadProbe
from autograder.hw5.probes.roles import HeadRoles
from autograder.rubric.comparison import compare
from autograder.rubric.mistake import MOST_AT_ONCE, Finding, combined

PROBES_KEPT = 16
BEHIND_WEIGHTS = ("value", "mixed", "out")  # steps that the attention weights don't depend on


@dataclass(frozen=True)
class HeadReading(Reading):
    """A reading of an attention head."""

    STEPS = head_steps.STEPS

    roles: HeadRoles


@lru_cache(maxsize=PROBES_KEPT)
def read_head(probe: HeadProbe) -> HeadReading | None:
    """What reproduces the student's output: the reference, one mistake or more; or nothing.

    As few as explain it: one, two, or two in the weights with up to two behind them, where the
    weights that the head returns show the first two by themselves.
    """
    if probe.roles is not None:
        return HeadReading(probe.roles, ())
    case = probe.base
    tried = [Passes(HeadReading(roles, ()), case) for roles in probe.candidates or probe.loose]
    for count in range(1, MOST_AT_ONCE + 1):
        tries = list(combined(head.VALUES, count))
        found = _likeliest(matching(tried, tries, lambda steps: _agrees(steps, case)), case)
        if found is not None:
            return found
    return next(_by_weights(tried, case), None)


def find_in_gradients(reading: HeadReading, case: HeadCase) -> Finding | None:
    """Which mistakes reproduce the student's gradients."""
    return in_gradients(reading, case, head_gradients.ALL, head_gradients.FROZEN)


def find_in_returned(reading: HeadReading, case: HeadCase) -> Finding | None:
    """Which mistake explains the second result, where the output is explained."""
    if case.attention is None or _agrees_in_weights(reading, case):
        return reading.finding
    for (variant,) in combined(head.RETURNED, 1, reading.variants):
        returned = reading.steps(case, variant)["returned"]
        if compare(case.attention, returned) is None:
            return Finding((variant,))
    return reading.finding


def find_in_large_scores(reading: HeadReading, case: HeadCase) -> Finding | None:
    """Which mistake makes the same numbers infinite or undefined."""
    if bool(case.out.isfinite().all()):
        return None
    for (variant,) in combined(head.LARGE_SCORES, 1, reading.variants):
        out = reading.steps(case, variant)["out"]
        if out.shape == case.out.shape and torch.equal(out.isfinite(), case.out.isfinite()):
            return Finding((variant,))
    return None


def _likeliest(readings: Iterator[HeadReading], case: HeadCase) -> HeadReading | None:
    """The first reading that explains the weights too; else the first."""
    in_output: HeadReading | None = None
    for one in readings:
        if _agrees_in_weights(one, case):
            return one
        in_output = in_output or one
    return in_output


def _by_weights(tried: Sequence[Passes], case: HeadCase) -> Iterator[HeadReading]:
    """Readings with more mistakes: those in the weights are found first, by what is returned."""
    behind = [one for one in head.VALUES if set(one.steps) <= set(BEHIND_WEIGHTS)]
    before = [one for one in head.VALUES if one not in behind]
    weights = case.attention
    if weights is None:
        return
    for count in range(1, MOST_AT_ONCE + 1):
        for passes in tried:
            in_weights = matching(
                [passes],
                list(combined(before, count)),
                lambda steps: compare(weights, steps["returned"]) is None,
            )
            for one in in_weights:
                rest = [
                    (*one.variants, *more)
                    for others in range(MOST_AT_ONCE + 1)
                    for more in combined(behind, others, one.variants)
                ]
                yield from matching([passes], rest, lambda steps: _agrees(steps, case))


def _agrees(steps: Head, case: HeadCase) -> bool:
    return compare(case.out, steps["out"]) is None


def _agrees_in_weights(one: HeadReading, case: HeadCase) -> bool:
    weights = case.attention
    return weights is not None and compare(weights, one.steps(case)["returned"]) is None
