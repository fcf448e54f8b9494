"""All known mistakes, by id."""

from __future__ import annotations

from autograder.hw5.mistakes import (
    convolution,
    data,
    head,
    head_construction,
    head_gradients,
    layer,
    layer_construction,
    layer_gradients,
    networks,
    pooling,
    slips,
)
from autograder.rubric.mistake import Mistake

CATALOGUE: dict[str, Mistake] = {
    mistake.id: mistake
    for mistakes in (
        convolution.ALL,
        pooling.ALL,
        data.ALL,
        networks.ALL,
        head.VALUES,
        (*head_gradients.ALL, head_gradients.FROZEN),
        head.RETURNED,
        head.LARGE_SCORES,
        head.ERRORS,
        head_construction.ALL,
        layer.OUTPUT,
        (*layer_gradients.ALL, layer_gradients.FROZEN),
        layer.ERRORS,
        layer_construction.ALL,
        slips.ALL,
    )
    for mistake in mistakes
}
