"""Mistakes in the axes of an encoder layer's tensors, as variants of its steps.

B sequences, T tokens, H heads of D numbers.
"""

from __future__ import annotations

from torch import Tensor

from autograder.hw5.mistakes.head_axes import BATCH_HINT
from autograder.hw5.mistakes.layer_steps import Layer, attended
from autograder.rubric.mistake import Behind, Variant

MERGE_HINT = (
    "Attention has joined its heads already: (B, T, heads * dim_head). reshape and view keep the "
    "order in memory; which number ends up in which token's row?"
)


def tokens_in_heads_order(p: Layer, heads: Tensor) -> Tensor:
    """Split into heads (B, T, H, D), moved to (B, H, T, D), and reshaped from there."""
    split = heads.unflatten(-1, (len(p.parameters.heads), -1))
    return split.transpose(1, 2).reshape(heads.shape)


def heads_in_tokens_order(p: Layer, heads: Tensor) -> Tensor:
    """Viewed as (B, H, T, D), moved to (B, T, H, D), and reshaped from there."""
    batch, tokens, _ = heads.shape
    split = heads.reshape(batch, len(p.parameters.heads), tokens, -1)
    return split.transpose(1, 2).reshape(heads.shape)


ALL: tuple[Variant, ...] = (
    Variant(
        id="layer-attention-along-batch",
        line="3b.2",
        explanation=(
            "the attention gets its input as (T, B, dim), so that the images of a batch attend to "
            "each other"
        ),
        hint=BATCH_HINT,
        steps={"heads": lambda p: attended(p, p["normed"].transpose(0, 1)).transpose(0, 1)},
    ),
    Variant(
        id="heads-merged-out-of-order",
        line="3b.2",
        explanation=(
            "the heads' output is reshaped from (B, heads, T, dim_head), without moving the axis "
            "of the heads back behind the tokens"
        ),
        hint=MERGE_HINT,
        steps={"heads": Behind(tokens_in_heads_order)},
    ),
    Variant(
        id="heads-split-out-of-order",
        line="3b.2",
        explanation=(
            "the heads' output is viewed as (B, heads, T, dim_head), although the tokens come "
            "before the heads in it"
        ),
        hint=MERGE_HINT,
        steps={"heads": Behind(heads_in_tokens_order)},
    ),
)
