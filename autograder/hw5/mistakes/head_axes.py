"""Mistakes in the axes of an attention head's tensors, as variants of its steps.

B sequences, T tokens, D numbers per head.
"""

from __future__ import annotations

from autograder.hw5.mistakes.head_steps import along_batch, viewed
from autograder.rubric.mistake import Behind, Variant

RESHAPE_HINT = (
    "reshape and view keep the order in which numbers lie in memory, and only cut the rows anew. "
    "Try both on torch.arange(6).view(2, 3): which one swaps the axes?"
)
BATCH_HINT = (
    "x comes batch first. Change one image of a batch: should the output for another image change?"
)

RESHAPED: tuple[Variant, ...] = (
    Variant(
        id="key-reshaped",
        line="3a.4",
        explanation="the key is reshaped to (B, D, T) where its last two axes should be swapped",
        hint=RESHAPE_HINT,
        steps={
            "scores": lambda p: p["query"] @ p["key"].reshape(p["key"].transpose(1, 2).shape),
        },
    ),
    Variant(
        id="output-reshaped",
        line="3a.4",
        explanation=(
            "the output, computed as (B, D, T), is reshaped to (B, T, D) where its last two axes "
            "should be swapped"
        ),
        hint=RESHAPE_HINT,
        steps={"out": Behind(lambda p, out: out.transpose(1, 2).reshape(out.shape))},
    ),
    Variant(
        id="joint-projection-parts-first",
        line="3a.4",
        explanation=(
            "the joint projection (B, T, 3·D) is viewed as (3, B, T, D), which mixes images and "
            "tokens instead of telling query, key and value apart"
        ),
        hint=RESHAPE_HINT,
        steps=viewed("3", "B", "T", "D"),
    ),
    Variant(
        id="joint-projection-parts-second",
        line="3a.4",
        explanation=(
            "the joint projection (B, T, 3·D) is viewed as (B, 3, T, D), which mixes tokens "
            "instead of telling query, key and value apart"
        ),
        hint=RESHAPE_HINT,
        steps=viewed("B", "3", "T", "D"),
    ),
)

EXCHANGED: tuple[Variant, ...] = (
    Variant(
        id="attention-along-batch",
        line="3a.4",
        explanation=(
            "the code takes x for (T, B, input_dim), so that the images of a batch attend to each "
            "other"
        ),
        hint=BATCH_HINT,
        steps={
            "scores": along_batch,
            "mixed": lambda p: (p["weights"] @ p["value"].transpose(0, 1)).transpose(0, 1),
        },
    ),
    Variant(
        id="output-tokens-first",
        line="3a.1",
        explanation="the output has its first two axes swapped: tokens first, then images",
        hint="Which axis of x is the batch? The output keeps that order.",
        steps={"out": Behind(lambda p, out: out.transpose(0, 1))},
    ),
    Variant(
        id="output-transposed",
        line="3a.1",
        explanation="the output has its last two axes swapped: (B, D, T)",
        hint="The output has a row for each token, and the token's numbers stand in it.",
        steps={"out": Behind(lambda p, out: out.transpose(1, 2))},
    ),
)
