"""Known mistakes in an encoder layer that only gradients show, as variants of its steps."""

from __future__ import annotations

from autograder.hw5.mistakes.head_gradients import FROZEN_HINT
from autograder.rubric.mistake import Variant, cut_off

DETACH_HINT = (
    "The forward pass doesn't show this: call backward() and look at .grad of each weight. "
    "detach(), .data, numpy and no_grad all cut the graph."
)

FROZEN = Variant(
    id="frozen-weights",
    line="3b.3",
    explanation="weights of the layer are frozen or detached, so they never learn",
    hint=FROZEN_HINT,
    steps={},
)


ALL: tuple[Variant, ...] = (
    Variant(
        id="detached-attention",
        line="3b.3",
        explanation="no gradient flows through the attention's branch",
        hint=DETACH_HINT,
        steps=cut_off("projected"),
    ),
    Variant(
        id="detached-mlp",
        line="3b.3",
        explanation="no gradient flows through the MLP's branch",
        hint=DETACH_HINT,
        steps=cut_off("branch"),
    ),
    Variant(
        id="detached-heads",
        line="3b.3",
        explanation="no gradient flows through the heads",
        hint=DETACH_HINT,
        steps=cut_off("heads"),
    ),
    Variant(
        id="detached-middle",
        line="3b.3",
        explanation="no gradient flows from what follows the attention to what precedes it",
        hint=DETACH_HINT,
        steps=cut_off("middle"),
    ),
)
