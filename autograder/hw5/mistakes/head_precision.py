"""Mistakes in the precision of an attention head's numbers, as variants of its steps."""

from __future__ import annotations

from autograder.hw5.mistakes.head_steps import seen_weights
from autograder.hw5.mistakes.rounding import halved, rounded, seen_out, truncated
from autograder.rubric.mistake import Variant

ROUNDING_HINT = (
    "Rounding has no gradient, and what it takes away is gone for every later layer. Round only "
    "what you print."
)
HALF_HINT = (
    "Half precision keeps three digits, bfloat16 two. Look for half(), bfloat16(), autocast and "
    "dtype=..."
)

ALL: tuple[Variant, ...] = (
    Variant(
        id="output-rounded",
        line="3a.4",
        explanation="the output is rounded",
        hint=ROUNDING_HINT,
        steps={"out": rounded(seen_out)},
    ),
    Variant(
        id="output-truncated",
        line="3a.4",
        explanation="the output is cut to whole numbers",
        hint=ROUNDING_HINT,
        steps={"out": truncated(seen_out)},
    ),
    Variant(
        id="weights-rounded",
        line="3a.4",
        explanation="the attention weights are rounded",
        hint=ROUNDING_HINT,
        steps={"weights": rounded(seen_weights)},
    ),
    Variant(
        id="half-precision-output",
        line="3a.4",
        explanation="the output passes through half precision",
        hint=HALF_HINT,
        steps={"out": halved(seen_out)},
    ),
    Variant(
        id="half-precision-weights",
        line="3a.4",
        explanation="the attention weights pass through half precision",
        hint=HALF_HINT,
        steps={"weights": halved(seen_weights)},
    ),
)
