"""Known mistakes in the sizes of a convolution (questions 1a and 1b), each computed with torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from autograder.hw5.answer_keys import Convolution1d, Convolution2d
from autograder.rubric.mistake import Mistake, first_that_gives
from autograder.training.layer_list import count_parameters

Convolution = Convolution1d | Convolution2d

COUNT_HINT = "Count the weights of one filter, then its bias, then how many filters there are."
PLACES_HINT = "Write down the first positions at which a filter can start, and the very last one."

BIAS_FORGOTTEN = Mistake(
    id="bias-forgotten",
    line="1a.1",
    explanation="the biases are not counted",
    hint="Every filter learns one more number in addition to its weights.",
)
ONE_FILTER = Mistake(
    id="one-filter-counted",
    line="1a.1",
    explanation="only one filter is counted",
    hint=COUNT_HINT,
)
ONE_BIAS = Mistake(
    id="one-bias-counted",
    line="1a.1",
    explanation="only one bias is counted for all filters together",
    hint=COUNT_HINT,
)
ONE_CHANNEL = Mistake(
    id="one-channel-counted",
    line="1b.1",
    explanation="a filter is counted with only one input channel",
    hint="A filter covers all channels of the input at once.",
)
OUTPUTS_COUNTED = Mistake(
    id="outputs-counted",
    line="1a.1",
    explanation="the numbers in the output are counted, not the learned parameters",
    hint="The same filter is used at every position: which numbers change in training?",
)
PLUS_ONE_FORGOTTEN = Mistake(
    id="plus-one-forgotten",
    line="1a.2",
    explanation="one position is missing, most often the very first",
    hint=PLACES_HINT,
)
PADDED = Mistake(
    id="padded-or-rounded-up",
    line="1a.2",
    explanation=("the size is the input's divided by the stride, as with padding or rounding up"),
    hint=(
        "Without padding, the whole filter must lie inside the input: what is its last position?"
    ),
)
STRIDE_1 = Mistake(
    id="stride-1",
    line="1a.2",
    explanation="the filter moves by one position, not by the stride",
    hint=PLACES_HINT,
)
STRIDE_3 = Mistake(
    id="stride-3",
    line="1a.2",
    explanation="the filter moves by three positions, not by the stride",
    hint=PLACES_HINT,
)
CHANNELS_FIRST = Mistake(
    id="channels-first",
    line="1a.2",
    explanation="the sizes are right but in the wrong order",
    hint=("Write the output's sizes in the order in which the question gives the input's."),
)
FILTERS_FORGOTTEN = Mistake(
    id="filters-forgotten",
    line="1a.2",
    explanation="the output has as many channels as the input",
    hint=(
        "Each filter gives one number at each position: how many numbers does a position then have?"
    ),
)
KERNEL_SIZED = Mistake(
    id="kernel-for-channels",
    line="1a.2",
    explanation="the filter's size is given in place of the number of filters",
    hint=(
        "Each filter gives one number at each position: how many numbers does a position then have?"
    ),
)

ALL: tuple[Mistake, ...] = (
    BIAS_FORGOTTEN,
    ONE_FILTER,
    ONE_BIAS,
    ONE_CHANNEL,
    OUTPUTS_COUNTED,
    PLUS_ONE_FORGOTTEN,
    PADDED,
    STRIDE_1,
    STRIDE_3,
    CHANNELS_FIRST,
    FILTERS_FORGOTTEN,
    KERNEL_SIZED,
)


def of_parameters(convolution: Convolution, got: int) -> Mistake | None:
    """Which mistake leads to this number of parameters."""
    layer = _layer(convolution)
    weights = layer.weight.numel()
    candidates = [
        (BIAS_FORGOTTEN, weights),
        (ONE_FILTER, count_parameters(_layer(convolution, filters=1))),
        (ONE_BIAS, weights + 1),
        (ONE_CHANNEL, count_parameters(_layer(convolution, input_channels=1))),
        (OUTPUTS_COUNTED, _numel(convolution.output_shape())),
    ]
    return first_that_gives(candidates, got, convolution.parameters())


def of_output_shape(convolution: Convolution, got: tuple[int, ...]) -> Mistake | None:
    """Which mistake leads to this shape."""
    right = convolution.output_shape()
    sizes, channels = right[:-1], right[-1]
    whole = (
        (convolution.length,)
        if isinstance(convolution, Convolution1d)
        else (convolution.height, convolution.width)
    )
    candidates = [
        (PLUS_ONE_FORGOTTEN, (*(size - 1 for size in sizes), channels)),
        (PADDED, (*(-(-size // convolution.stride) for size in whole), channels)),
        (STRIDE_1, convolution.model_copy(update={"stride": 1}).output_shape()),
        (STRIDE_3, convolution.model_copy(update={"stride": 3}).output_shape()),
        (FILTERS_FORGOTTEN, (*sizes, convolution.input_channels)),
        (KERNEL_SIZED, (*sizes, convolution.kernel)),
    ]
    found = first_that_gives(candidates, got, right)
    if found is None and sorted(got) == sorted(right):
        return CHANNELS_FIRST
    return found


def _layer(convolution: Convolution, **changes: int) -> nn.Conv1d | nn.Conv2d:
    changed = convolution.model_copy(update=changes)
    kind = nn.Conv1d if isinstance(convolution, Convolution1d) else nn.Conv2d
    return kind(changed.input_channels, changed.filters, changed.kernel, changed.stride)


def _numel(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
