"""Naming a mistaken encoder layer: its numbers against every variant, under every reading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from autograder.hw5.mistakes import layer, layer_gradients, layer_steps
from autograder.hw5.mistakes.head_search import PROBES_KEPT
from autograder.hw5.mistakes.reading import Reading, same
from autograder.hw5.probes.layer import LayerCase, LayerProbe
from autograder.hw5.probes.reference import LAYER_NORM_EPS
from autograder.hw5.probes.roles import LayerRoles
from autograder.rubric.comparison import compare
from autograder.rubric.mistake import (
    MOST_AT_ONCE,
    DoesNotApply,
    Finding,
    combined,
)

PAIR_READINGS = 4  # readings under which pairs of mistakes are tried: a second of work

# What a norm adds under its root is nowhere fixed: torch's default first, then what
# published transformers use.
EPSILONS = (LAYER_NORM_EPS, 1e-6, 1e-8, 1e-12, 0.0)


@dataclass(frozen=True)
class LayerReading(Reading):
    """A reading of an encoder layer."""

    STEPS = layer_steps.STEPS

    roles: LayerRoles

    def paid_on(self, line: str) -> Finding | None:
        """The mistakes in it that belong to a rubric line."""
        return Finding(self.variants).paid_on(line)


@lru_cache(maxsize=PROBES_KEPT)
def read_layer(probe: LayerProbe) -> LayerReading | None:
    """What reproduces the student's output: the reference, one mistake or two; or nothing.

    The reference itself counts only under a reading that a right layer can have.
    """
    for count in range(0 if probe.candidates else 1, MOST_AT_ONCE + 1):
        tries = list(combined(layer.OUTPUT, count))
        for eps in EPSILONS if count < MOST_AT_ONCE else EPSILONS[:2]:
            for roles in probe.readings if count < MOST_AT_ONCE else probe.readings[:PAIR_READINGS]:
                for variants in tries:
                    reading = LayerReading(replace(roles, eps=eps), variants)
                    if _agrees(reading, probe.base):
                        return _with_closest_eps(reading, probe.base)
    return None


def find_in_gradients(reading: LayerReading, case: LayerCase) -> Finding | None:
    """Which mistakes reproduce the student's gradients."""
    for count in range(1, MOST_AT_ONCE + 1):
        for variants in combined(layer_gradients.ALL, count, reading.variants):
            if same(case.gradients, reading.gradients(case, *variants)):
                return Finding(variants)
    return None


def _with_closest_eps(reading: LayerReading, case: LayerCase) -> LayerReading:
    """The same reading with what the norms add: several may agree in the output, and then only
    the right one does in the gradients, which differ more."""

    def distance(eps: float) -> float:
        steps = replace(reading, roles=replace(reading.roles, eps=eps)).steps(case)
        return float((case.out - steps["out"]).abs().max())

    return replace(reading, roles=replace(reading.roles, eps=min(EPSILONS, key=distance)))


def _agrees(reading: LayerReading, case: LayerCase) -> bool:
    try:
        return compare(case.out, reading.steps(case)["out"]) is None
    except (DoesNotApply, RuntimeError):  # a variant that these shapes don't allow
        return False
