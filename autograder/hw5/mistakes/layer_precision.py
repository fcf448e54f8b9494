"""Mistakes in the precision of an encoder layer's numbers, as variants of its steps."""

from __future__ import annotations

from autograder.hw5.mistakes.head_precision import HALF_HINT, ROUNDING_HINT
from autograder.hw5.mistakes.rounding import halved, rounded, seen_out
from autograder.rubric.mistake import Variant

ALL: tuple[Variant, ...] = (
    Variant(
        id="layer-output-rounded",
        line="3b.2",
        explanation="the layer's output is rounded",
        hint=ROUNDING_HINT,
        steps={"out": rounded(seen_out)},
    ),
    Variant(
        id="half-precision-layer",
        line="3b.2",
        explanation="the layer's output passes through half precision",
        hint=HALF_HINT,
        steps={"out": halved(seen_out)},
    ),
)
