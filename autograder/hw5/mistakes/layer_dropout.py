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
from autograder.rubric.mistake import DoesNotApply, Pass, Step, run

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
    own = {name: step for one in reading.variants for name, step in one.steps.items()}
    steps = {**reading.STEPS, **own}
    try:
        plain = _out(reading, steps, passes)
        dropping = _out(reading, _with_mask(steps, STEP_OF[place]), passes)
    except (DoesNotApply, RuntimeError):
        return False
    if place is Place.AFTER_MLP:
        return unequal_in_groups(dropping)
    return compare(dropping, plain) is not None


def _out(reading: LayerReading, steps: dict[str, Step], passes: _Passes) -> Tensor:
    return run(steps, (), Pass(passes.x, reading.roles.parameters(passes.values)))["out"]


def _with_mask(steps: dict[str, Step], name: str) -> dict[str, Step]:
    """The steps, with a fixed random half of one step's numbers dropped."""

    def dropped(p: Pass[object]) -> Tensor:
        result = steps[name](p)
        kept = torch.rand(result.shape, generator=torch.Generator().manual_seed(0)) < 0.5
        return result * kept * 2

    return {**steps, name: dropped}
