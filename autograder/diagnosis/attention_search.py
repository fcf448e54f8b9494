"""Naming a mistaken attention head: its numbers against every variant, under every reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from autograder.comparison import compare
from autograder.diagnosis import attention, attention_steps
from autograder.diagnosis.attention_steps import Head
from autograder.diagnosis.mistake import (
    MOST_AT_ONCE,
    DoesNotApply,
    Finding,
    Pass,
    Variant,
    combined,
    run,
)
from autograder.probing import HeadCase, HeadProbe
from autograder.roles import HeadRoles

PROBES_KEPT = 16


@dataclass(frozen=True)
class HeadReading:
    """A reading of the parameters, and the variants that reproduce the output under it."""

    roles: HeadRoles
    variants: tuple[Variant, ...]

    @property
    def finding(self) -> Finding | None:
        """The mistakes in it; None where the head is right."""
        return Finding(self.variants) if self.variants else None

    def steps(self, case: HeadCase, *more: Variant) -> Head:
        """Every step of a case, mistakes included."""
        given = Pass(case.x, self.roles.parameters(case.values), case)
        return run(attention_steps.STEPS, (*self.variants, *more), given)

    def gradients(self, case: HeadCase, *more: Variant) -> dict[str, Tensor]:
        """Gradients of the input and every parameter, mistakes included."""
        leaves = {name: value.clone().requires_grad_() for name, value in case.values.items()}
        x = case.x.clone().requires_grad_()
        given = Pass(x, self.roles.parameters(leaves), case)
        out = run(attention_steps.STEPS, (*self.variants, *more), given)["out"]
        return pulled_back(out, case.upstream, {"x": x, **leaves})


@lru_cache(maxsize=PROBES_KEPT)
def read_head(probe: HeadProbe) -> HeadReading | None:
    """What reproduces the student's output: the reference, one mistake or two; or nothing."""
    if probe.roles is not None:
        return HeadReading(probe.roles, ())
    for count in range(1, MOST_AT_ONCE + 1):
        in_output: HeadReading | None = None
        for roles in probe.candidates or probe.loose:
            for variants in combined(attention.VALUES, count):
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
        for variants in combined(attention.GRADIENTS, count, reading.variants):
            if same(case.gradients, reading.gradients(case, *variants)):
                return Finding(variants)
    return None


def find_in_returned(reading: HeadReading, case: HeadCase) -> Finding | None:
    """Which mistake explains the second result, where the output is explained."""
    if case.attention is None or _agrees_in_weights(reading, case):
        return reading.finding
    for (variant,) in combined(attention.RETURNED, 1, reading.variants):
        returned = reading.steps(case, variant)["returned"]
        if compare(case.attention, returned) is None:
            return Finding((variant,))
    return reading.finding


def find_in_large_scores(reading: HeadReading, case: HeadCase) -> Finding | None:
    """Which mistake makes the same numbers infinite or undefined."""
    if bool(case.out.isfinite().all()):
        return None
    for (variant,) in combined(attention.LARGE_SCORES, 1, reading.variants):
        out = reading.steps(case, variant)["out"]
        if out.shape == case.out.shape and torch.equal(out.isfinite(), case.out.isfinite()):
            return Finding((variant,))
    return None


def pulled_back(out: Tensor, upstream: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of <upstream, out>; zero where nothing flows."""
    if not out.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    found = torch.autograd.grad(out, list(leaves.values()), upstream, allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


def same(got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether every expected gradient came back."""
    return all(
        name in got and compare(got[name], gradient) is None for name, gradient in expected.items()
    )


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
