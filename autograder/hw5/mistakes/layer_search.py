"""Naming a mistaken encoder layer: its numbers against every variant, under every reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from autograder.hw5.mistakes import (
    layer,
    layer_axes,
    layer_gradients,
    layer_mlp,
    layer_precision,
    layer_steps,
)
from autograder.hw5.mistakes.head_search import PROBES_KEPT
from autograder.hw5.mistakes.layer_steps import with_epsilon
from autograder.hw5.mistakes.reading import Passes, Reading, in_gradients, matching
from autograder.hw5.probes.layer import LayerCase, LayerProbe
from autograder.hw5.probes.reference import LAYER_NORM_EPS
from autograder.hw5.probes.roles import LayerRoles
from autograder.rubric.comparison import compare
from autograder.rubric.mistake import Finding, Variant, combined

MOST_AT_ONCE = 3  # mistakes that are recognised together
# Under how many readings, and with how many of the numbers below, none, one, two and three
# mistakes are tried: a second of work.
READINGS = (None, None, 2, 1)
EPSILONS_TRIED = (None, None, 2, 1)

RARE = frozenset(
    one.id
    for one in (
        *layer_axes.ALL,
        *layer_precision.ALL,
        layer.NORM_EPSILON,
        *(one for one in layer_mlp.SECOND_ACTIVATIONS if "activated" in one.steps),
    )
)

# What a norm adds under its root is nowhere fixed: torch's default first, then what
# published transformers use, Keras's 1e-3 among them.
EPSILONS = (LAYER_NORM_EPS, 1e-6, 1e-8, 1e-12, 0.0, 1e-4, 1e-3)


@dataclass(frozen=True)
class LayerReading(Reading):
    """A reading of an encoder layer."""

    STEPS = layer_steps.STEPS

    roles: LayerRoles


@lru_cache(maxsize=PROBES_KEPT)
def read_layer(probe: LayerProbe) -> LayerReading | None:
    """What reproduces the student's output: the reference, or mistakes, as few as do; or nothing.

    The reference itself counts only under a reading that a right layer can have.
    """
    least, out = 0 if probe.candidates else 1, probe.base.out
    for count in range(least, MOST_AT_ONCE + 1):
        tries = list(_tries(probe, count))
        tried = [
            Passes(LayerReading(replace(roles, eps=eps), ()), probe.base)
            for eps in EPSILONS[: EPSILONS_TRIED[count]]
            for roles in probe.readings[: READINGS[count]]
        ]
        found = matching(tried, tries, lambda steps: compare(out, steps["out"]) is None)
        reading: LayerReading | None = next(found, None)
        if reading is not None:
            return _with_closest_eps(reading, probe.base)
    return None


def find_in_gradients(reading: LayerReading, case: LayerCase) -> Finding | None:
    """Which mistakes reproduce the student's gradients."""
    return in_gradients(reading, case, layer_gradients.ALL, layer_gradients.FROZEN)


def _tries(probe: LayerProbe, count: int) -> Iterator[tuple[Variant, ...]]:
    """Combinations of mistakes, those left out that the MLP's activation speaks against.

    Where the probe knows it, no other mistake can change what stands between the two Linears.
    """
    known = layer.OTHER_ACTIVATIONS.get(str(probe.activation))
    variants = list(_variants(count))
    elsewhere = [one for one in variants if "activated" not in one.steps]
    if probe.activation is None:
        yield from combined(variants, count)
    elif known is None:
        yield from combined(elsewhere, count)
    elif count > 0:
        yield from ((known, *rest) for rest in combined(elsewhere, count - 1, (known,)))


def _variants(count: int) -> Iterator[Variant]:
    """All mistakes, but for three at once the rare ones.

    Alone, the norm's eps comes with each number that it is likely to be.
    """
    for one in layer.OUTPUT:
        if count == MOST_AT_ONCE and one.id in RARE:
            continue
        if one.id == layer.NORM_EPSILON.id and count == 1:
            numbers = layer.TAKEN_FOR_EPSILON.values()
            yield from (replace(one, steps=with_epsilon(number)) for number in numbers)
        else:
            yield one


def _with_closest_eps(reading: LayerReading, case: LayerCase) -> LayerReading:
    """The same reading with what the norms add: several may agree in the output, and then only
    the right one does in the gradients, which differ more."""

    def distance(eps: float) -> float:
        steps = replace(reading, roles=replace(reading.roles, eps=eps)).steps(case)
        return float((case.out.double() - steps["out"].double()).abs().max())

    return replace(reading, roles=replace(reading.roles, eps=min(EPSILONS, key=distance)))
