"""Known mistakes in an encoder layer that only gradients show, as variants of its steps."""

from __future__ import annotations

from autograder.hw5.mistakes.layer_steps import heads, projected
from autograder.rubric.mistake import Variant

DETACH_HINT = (
    "The forward pass doesn't show this: call backward() and look at .grad of each weight. "
    "detach(), .data, numpy and no_grad all cut the graph."
)

ALL: tuple[Variant, ...] = (
    Variant(
        id="detached-attention",
        line="3b.3",
        explanation="no gradient flows through the attention's branch",
        hint=DETACH_HINT,
        steps={"projected": lambda p: projected(p).detach()},
    ),
    Variant(
        id="detached-mlp",
        line="3b.3",
        explanation="no gradient flows through the MLP's branch",
        hint=DETACH_HINT,
        steps={"branch": lambda p: p["second"].detach()},
    ),
    Variant(
        id="detached-heads",
        line="3b.3",
        explanation="no gradient flows through the heads",
        hint=DETACH_HINT,
        steps={"heads": lambda p: heads(p).detach()},
    ),
    Variant(
        id="detached-middle",
        line="3b.3",
        explanation="no gradient flows from what follows the attention to what precedes it",
        hint=DETACH_HINT,
        steps={"middle": lambda p: (p.x + p["projected"]).detach()},
    ),
)
