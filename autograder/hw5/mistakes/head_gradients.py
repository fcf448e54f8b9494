"""Known mistakes in an attention head that only gradients show, as variants of its steps."""

from __future__ import annotations

from torch.nn import functional

from autograder.hw5.mistakes.head_steps import detached
from autograder.rubric.mistake import Variant

DETACH_HINT = (
    "The forward pass doesn't show this: call backward() and look at .grad of each projection. "
    "detach(), .data, .item(), numpy and no_grad all cut the graph."
)

ALL: tuple[Variant, ...] = (
    Variant(
        id="detached-query",
        line="3a.5",
        explanation="no gradient flows through the query",
        hint=DETACH_HINT,
        steps=detached("query"),
    ),
    Variant(
        id="detached-key",
        line="3a.5",
        explanation="no gradient flows through the key",
        hint=DETACH_HINT,
        steps=detached("key"),
    ),
    Variant(
        id="detached-value",
        line="3a.5",
        explanation="no gradient flows through the value",
        hint=DETACH_HINT,
        steps=detached("value"),
    ),
    Variant(
        id="detached-weights",
        line="3a.5",
        explanation="no gradient flows through the attention weights",
        hint=DETACH_HINT,
        steps=detached("weights"),
    ),
    Variant(
        id="detached-input",
        line="3a.5",
        explanation="no gradient flows back to the input",
        hint=DETACH_HINT,
        steps={
            "query": lambda p: functional.linear(
                p.x.detach(), p.parameters.query, p.parameters.query_bias
            ),
            "key": lambda p: functional.linear(
                p.x.detach(), p.parameters.key, p.parameters.key_bias
            ),
            "value": lambda p: functional.linear(
                p.x.detach(), p.parameters.value, p.parameters.value_bias
            ),
        },
    ),
)
