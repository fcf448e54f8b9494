"""Where an encoder layer's mistakes hide its dropout from the passes that look for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autograder.hw5.mistakes.layer_search import LayerReading, read_layer
from autograder.hw5.probes.layer import LayerProbe
from autograder.hw5.probes.layer_dropout import (
    PLACES,
    Place,
    Values,
    grouped,
    groups,
    paired,
    silent,
    unequal_in_groups,
)
from autograder.rubric.comparison import compare
from autograder.rubric.mistake import Behind, DoesNotApply, Pass, Variant, run

STEP_OF = {  # whose numbers a dropout at this place drops
    Place.AFTER_ATTENTION: "projected",
    Place.INSIDE_MLP: "activated",
    Place.AFTER_MLP: "second",
}


@dataclass(frozen=True)
class _Passes:
    """The parameters and the input that let one place be seen."""

    values: Values
    x: Tensor


def hidden_places(probe: LayerProbe) -> frozenset[Place]:
    """Places at which a dropout wouldn't show in the output, by what the layer computes.

    All of them where nothing explains the layer; none where it is the reference.
    """
    reading = read_layer(probe)
    if reading is None:
        return frozenset(PLACES)
    return frozenset(place for place in PLACES if not _shows(reading, probe, place))


def _shows(reading: LayerReading, probe: LayerProbe, place: Place) -> bool:
    """Whether dropped numbers at this place change what the passes look at."""
    values, x, roles = probe.base.values, probe.base.x, reading.roles
    passes = {
        Place.AFTER_ATTENTION: lambda: _Passes(silent(values, roles, Place.AFTER_MLP), x),
        Place.INSIDE_MLP: lambda: _Passes(paired(values, roles), groups(x)),
        Place.AFTER_MLP: lambda: _Passes(grouped(values, roles), groups(x)),
    }[place]()
    dropped = Variant(
        id="dropped",
        line="3b.5",
        explanation="half of the numbers are dropped",
        hint="",
        steps={STEP_OF[place]: Behind(_half_of)},
    )
    try:
        plain = _out(reading, passes)
        dropping = _out(reading, passes, dropped)
    except (DoesNotApply, RuntimeError):
        return False
    if place is Place.AFTER_MLP:
        return unequal_in_groups(dropping)
    return compare(dropping, plain) is not None


def _out(reading: LayerReading, passes: _Passes, *more: Variant) -> Tensor:
    given = Pass(passes.x, reading.roles.parameters(passes.values))
    return run(reading.STEPS, (*reading.variants, *more), given)["out"]


def _half_of(_: object, numbers: Tensor) -> Tensor:
    """The numbers, a fixed random half of them dropped."""
    kept = torch.rand(numbers.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    return numbers * kept * 2
