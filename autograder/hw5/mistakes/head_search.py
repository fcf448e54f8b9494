"""Naming a mistaken attention head: its numbers against every variant, under every reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch

from autograder.hw5.mistakes import head, head_gradients, head_steps
from autograder.hw5.mistakes.head_steps import Head
from autograder.hw5.mistakes.reading import Reading, same
from autograder.hw5.probes.head import HeadCase, HeadProbe
from autograder.hw5.probes.roles import HeadRoles
from autograder.rubric.comparison import compare
from autograder.rubric.mistake import (
    MOST_AT_ONCE,
    DoesNotApply,
    Finding,
    combined,
)

PROBES_KEPT = 16


@dataclass(frozen=True)
class HeadReading(Reading):
    """A reading of an attention head."""

    STEPS = head_steps.STEPS

    roles: HeadRoles


@lru_cache(maxsize=PROBES_KEPT)
def read_head(probe: HeadProbe) -> HeadReading | None:
    """What reproduces the student's output: the reference, one mistake or two; or nothing."""
    if probe.roles is not None:
        return HeadReading(probe.roles, ())
    for count in range(1, MOST_AT_ONCE + 1):
        in_output: HeadReading | None = None
        for roles in probe.candidates or probe.loose:
            for variants in combined(head.VALUES, count):
                reading = HeadReading(roles, variants)
                if _agrees(reading, probe.base):
                    if _agrees_in_weights(reading, probe.base):
                        return reading
                    in_output = in_output or reading
        if in_output is not None:
            return in_output
    return None


def find_in_gradients(reading: HeadReading, case: HeadCase) -> Finding | None:
    """Which mistakes reproduce the student's gradients."""
    for count in range(1, MOST_AT_ONCE + 1):
        for variants in combined(head_gradients.ALL, count, reading.variants):
            if same(case.gradients, reading.gradients(case, *variants)):
                return Finding(variants)
    return None


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


def _agrees(reading: HeadReading, case: HeadCase) -> bool:
    return _close(reading, case, lambda steps: compare(case.out, steps["out"]) is None)


def _agrees_in_weights(reading: HeadReading, case: HeadCase) -> bool:
    weights = case.attention
    return weights is not None and _close(
        reading, case, lambda steps: compare(weights, steps["returned"]) is None
    )


def _close(reading: HeadReading, case: HeadCase, holds: Callable[[Head], bool]) -> bool:
    try:
        return holds(reading.steps(case))
    except (DoesNotApply, RuntimeError):  # a variant that these shapes don't allow
        return False
