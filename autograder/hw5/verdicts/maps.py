"""A student's attention map beside the expected one, as a sentence and a picture.

One sequence of the probe is shown. Its input and the weights are random, new in each run and
shown nowhere, so the expected map is of no use for another run and says nothing about how it
was computed. The sentence stands alone where pictures are switched off.

B sequences, T tokens, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autograder.hw5.mistakes.head_search import read_head
from autograder.hw5.mistakes.layer_search import read_layer
from autograder.hw5.probes.head import HeadProbe
from autograder.hw5.probes.layer import LayerProbe
from autograder.hw5.verdicts.pictures import difference_picture
from autograder.rubric.comparison import compare, well_formed
from autograder.rubric.feedback import Rejected

LEAST_SHOWN = 0.02  # smaller differences no eye sees in a map


@dataclass(frozen=True)
class MapPair:
    """Attention weights (..., T, T): what a student returned, and what the reference gives."""

    got: Tensor
    expected: Tensor

    @property
    def agree(self) -> bool:
        """Whether they are the same within the tolerance."""
        return compare(self.got, self.expected) is None

    @property
    def largest(self) -> float:
        """The largest difference."""
        got, expected = self._numbers()
        return float((got - expected).abs().max())

    def most_different(self) -> tuple[Tensor, Tensor]:
        """The one map of each (T, T) in which they differ most."""
        got, expected = (one.flatten(0, -3) for one in self._numbers())
        place = int((got - expected).abs().amax(dim=(-2, -1)).argmax())
        return got[place], expected[place]

    def _numbers(self) -> tuple[Tensor, Tensor]:
        """Both as float64: a student's may be of any dtype, also truth values."""
        return self.got.double(), self.expected.double()


def head_maps(probe: HeadProbe) -> MapPair | None:
    """The maps (B, T, T) of an attention head.

    None where the head returned no such map, or lacks projections that the reference needs.
    Where no known mistake says which projection is which, the reading that is closest counts.
    """
    got = probe.base.attention
    if got is None or well_formed(got, probe.base.map_shape) or not probe.candidates:
        return None
    reading = read_head(probe)
    likely = [reading.roles] if reading else probe.candidates
    pairs = [MapPair(got, probe.expected(probe.base, roles).attention) for roles in likely]
    return min(pairs, key=lambda pair: pair.largest)


def layer_maps(probe: LayerProbe) -> MapPair | None:
    """The maps (B, H, T, T) of an encoder layer, stacked by the student in either order.

    None where it returned none, or lacks parameters that the reference needs.
    """
    if not probe.candidates:
        return None
    reading = read_layer(probe)
    likely = [reading.roles] if reading else probe.candidates
    pairs = [
        MapPair(got, expected)
        for expected in (probe.expected(roles).attention for roles in likely)
        for output in probe.base.outputs
        for got in ((output, output.transpose(0, 1)) if output.dim() == 4 else ())
        if well_formed(got, tuple(expected.shape)) is None
    ]
    return min(pairs, key=lambda pair: pair.largest, default=None)


def showing(rejected: Rejected, pair: MapPair | None, pictures: bool) -> Rejected:
    """The same verdict, with the maps where they differ enough to be seen."""
    if pair is None or pair.agree:
        return rejected
    feedback = rejected.feedback.noting(
        f"Your attention weights differ from the expected ones by up to {pair.largest:.2g}."
    )
    if pictures and pair.largest >= LEAST_SHOWN:
        title = "Attention weights for one of the grader's random inputs"
        picture = difference_picture(*pair.most_different(), title)
        feedback = feedback.showing(picture) if picture else feedback
    return Rejected(feedback, rejected.points)
