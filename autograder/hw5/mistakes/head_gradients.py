"""Known mistakes in an attention head that only gradients show, as variants of its steps."""

from __future__ import annotations

from autograder.rubric.mistake import Variant, cut_off

FROZEN_HINT = (
    "All other gradients are right, so the formula is: look at how this weight is made and used. "
    "requires_grad=False, detach(), .data and no_grad keep it as it was drawn."
)
DETACH_HINT = (
    "The forward pass doesn't show this: call backward() and look at .grad of each projection. "
    "detach(), .data, .item(), numpy and no_grad all cut the graph."
)

FROZEN = Variant(
    id="frozen-projection",
    line="3a.5",
    explanation="a projection's weights are frozen or detached, so they never learn",
    hint=FROZEN_HINT,
    steps={},
)

ALL: tuple[Variant, ...] = (
    Variant(
        id="detached-query",
        line="3a.5",
        explanation="no gradient flows through the query",
        hint=DETACH_HINT,
        steps=cut_off("query"),
    ),
    Variant(
        id="detached-key",
        line="3a.5",
        explanation="no gradient flows through the key",
        hint=DETACH_HINT,
        steps=cut_off("key"),
    ),
    Variant(
        id="detached-value",
        line="3a.5",
        explanation="no gradient flows through the value",
        hint=DETACH_HINT,
        steps=cut_off("value"),
    ),
    Variant(
        id="detached-weights",
        line="3a.5",
        explanation="no gradient flows through the attention weights",
        hint=DETACH_HINT,
        steps=cut_off("weights"),
    ),
    Variant(
        id="detached-input",
        line="3a.5",
        explanation="no gradient flows back to the input",
        hint=DETACH_HINT,
        steps=cut_off("input"),
    ),
)
