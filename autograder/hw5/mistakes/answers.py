"""Known mistakes in the answers to questions 1 and 2a, each computed from the assignment.

A wrong answer is compared with what each mistake leads to; torch does the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder.hw5.assignment import Convolution1d, Convolution2d, Matrix, Pooling
from autograder.rubric.mistake import Mistake
from autograder.training.layer_list import count_parameters
from provided.mnist import Mnist

Convolution = Convolution1d | Convolution2d

COUNT_HINT = "Count the weights of one filter, then its bias, then how many filters there are."
PLACES_HINT = "Write down the first places at which a filter can start, and the very last one."
POOL_HINT = "Lay the window over the matrix again: neighbouring windows share a row or a column."
BLANK_HINT = "Read the blank's name again: does it ask for averages or for maxima?"
LOOK_HINT = "Load the data with provided/mnist.py; print its length, an image's shape, its numbers."

BIAS_FORGOTTEN = Mistake(
    "bias-forgotten", "1a.1", "the biases are not counted",
    "Every filter learns one more number besides its weights.",
)  # fmt: skip
ONE_FILTER = Mistake("one-filter-counted", "1a.1", "one filter is counted, not all", COUNT_HINT)
ONE_BIAS = Mistake(
    "one-bias-counted", "1a.1", "one bias is counted for all filters together", COUNT_HINT
)
ONE_CHANNEL = Mistake(
    "one-channel-counted", "1b.1", "a filter is counted with one input channel",
    "A filter covers all channels of the input at once.",
)  # fmt: skip
OUTPUTS_COUNTED = Mistake(
    "outputs-counted", "1a.1", "the numbers of the output are counted, not what is learned",
    "The same filter is used at every place: which numbers change in training?",
)  # fmt: skip
PLUS_ONE_FORGOTTEN = Mistake(
    "plus-one-forgotten", "1a.2", "one place is missing, most often the very first", PLACES_HINT
)
PADDED = Mistake(
    "padded-or-rounded-up", "1a.2",
    "the size is the input's divided by the stride, as with padding or rounding up",
    "Without padding, the whole filter must lie inside the input: what is the last place for it?",
)  # fmt: skip
STRIDE_1 = Mistake("stride-1", "1a.2", "the filter moves by one place, not by the stride",
                   PLACES_HINT)  # fmt: skip
STRIDE_3 = Mistake("stride-3", "1a.2", "the filter moves by three places, not by the stride",
                   PLACES_HINT)  # fmt: skip
CHANNELS_FIRST = Mistake(
    "channels-first", "1a.2", "the sizes are right but stand in another order",
    "Write the output's sizes in the order in which the question gives the input's.",
)  # fmt: skip
FILTERS_FORGOTTEN = Mistake(
    "filters-forgotten", "1a.2", "the output has as many channels as the input",
    "Each filter gives one number at each place: how many numbers does a place then have?",
)  # fmt: skip
KERNEL_SIZED = Mistake(
    "kernel-for-channels", "1a.2", "the filter's size stands where the number of filters belongs",
    "Each filter gives one number at each place: how many numbers does a place then have?",
)  # fmt: skip

CONVOLUTIONS: tuple[Mistake, ...] = (
    BIAS_FORGOTTEN, ONE_FILTER, ONE_BIAS, ONE_CHANNEL, OUTPUTS_COUNTED, PLUS_ONE_FORGOTTEN, PADDED,
    STRIDE_1, STRIDE_3, CHANNELS_FIRST, FILTERS_FORGOTTEN, KERNEL_SIZED,
)  # fmt: skip


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
    return _first(candidates, got, convolution.parameters())


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
    found = _first(candidates, got, right)
    if found is None and sorted(got) == sorted(right):
        return CHANNELS_FIRST
    return found


def _layer(convolution: Convolution, **changes: int) -> nn.Conv1d | nn.Conv2d:
    changed = convolution.model_copy(update=changes)
    kind = nn.Conv1d if isinstance(convolution, Convolution1d) else nn.Conv2d
    return kind(changed.input_channels, changed.filters, changed.kernel, changed.stride)


def _numel(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


Pool = Callable[[Pooling, Tensor], Tensor]  # (1, 1, H, W) -> (1, 1, h, w)


def _average(p: Pooling, x: Tensor, stride: int | None = None) -> Tensor:
    return functional.avg_pool2d(x, p.window, stride or p.stride)


def _maximum(p: Pooling, x: Tensor, stride: int | None = None) -> Tensor:
    return functional.max_pool2d(x, p.window, stride or p.stride)


def _average_of_nonzero(p: Pooling, x: Tensor) -> Tensor:
    return _average(p, x) / _average(p, (x != 0).to(x.dtype)).clamp(min=1e-9)


MAX_FOR_AVERAGE = Mistake(
    "maximum-for-average", "1c.1", "these are the maxima, where averages are asked for", BLANK_HINT
)
AVERAGE_FOR_MAX = Mistake(
    "average-for-maximum", "1c.2", "these are the averages, where maxima are asked for", BLANK_HINT
)
MIN_FOR_MAX = Mistake(
    "minimum-for-maximum", "1c.2", "these are the minima, where maxima are asked for",
    "Which one of the numbers under a window does max pooling keep?",
)  # fmt: skip
SUM_FOR_AVERAGE = Mistake(
    "sum-for-average", "1c.1", "the windows are summed but not divided",
    "How many numbers lie under one window?",
)  # fmt: skip
ZEROS_SKIPPED = Mistake(
    "zeros-skipped", "1c.1", "the zeros are left out of the averages",
    "How many numbers lie under one window, zeros included?",
)  # fmt: skip
POOLING_TRANSPOSED = Mistake(
    "pooling-transposed", "1c.1", "the result is transposed: rows and columns are exchanged",
    "In which corner of the result does the upper right window belong?",
)  # fmt: skip
POOLING_STRIDE_1 = Mistake(
    "pooling-stride-1", "1c.1", "the window moves by one place at a time",
    "By how many places does the window move, to the right and down?",
)  # fmt: skip
POOLING_STRIDE_3 = Mistake(
    "pooling-stride-3", "1c.1", "the windows don't overlap, as if the stride were their size",
    "By how many places does the window move, to the right and down?",
)  # fmt: skip
POOLING_WINDOW_2 = Mistake(
    "pooling-window-2",
    "1c.1",
    "the window is 2 by 2",
    "How many rows and columns has the window in the question?",
)
OTHER_MATRIX = Mistake(
    "other-matrix", "1c.1", "this is the result for the other matrix",
    "Which of the two matrices does this blank ask for?",
)  # fmt: skip

POOLINGS: tuple[Mistake, ...] = (
    MAX_FOR_AVERAGE, AVERAGE_FOR_MAX, MIN_FOR_MAX, SUM_FOR_AVERAGE, ZEROS_SKIPPED,
    POOLING_TRANSPOSED, POOLING_STRIDE_1, POOLING_STRIDE_3, POOLING_WINDOW_2, OTHER_MATRIX,
)  # fmt: skip


def of_pooling(pooling: Pooling, got: Matrix, matrix: Matrix, average: bool) -> Mistake | None:
    """Which mistake leads to this pooled matrix."""
    if len({len(row) for row in got}) != 1:
        return None
    mine = torch.tensor(got, dtype=torch.float64)
    right, *_ = (pool(pooling, _image(matrix))[0, 0] for pool in _right(average))
    for mistake, wrong in _poolings(pooling, matrix, average):
        value = wrong[0, 0]
        if value.shape == right.shape and _near(value, right, pooling):
            continue  # for this matrix the mistake makes no difference
        if value.shape == mine.shape and _near(value, mine, pooling):
            return mistake
    return None


def _poolings(p: Pooling, matrix: Matrix, average: bool) -> Iterator[tuple[Mistake, Tensor]]:
    x = _image(matrix)
    pool = _average if average else _maximum
    if average:
        yield MAX_FOR_AVERAGE, _maximum(p, x)
        yield SUM_FOR_AVERAGE, _average(p, x) * p.window**2
        yield ZEROS_SKIPPED, _average_of_nonzero(p, x)
    else:
        yield AVERAGE_FOR_MAX, _average(p, x)
        yield MIN_FOR_MAX, -_maximum(p, -x)
    yield POOLING_TRANSPOSED, pool(p, x).transpose(2, 3)
    yield POOLING_STRIDE_1, pool(p, x, 1)
    yield POOLING_STRIDE_3, pool(p, x, 3)
    yield POOLING_WINDOW_2, pool(p.model_copy(update={"window": 2}), x)
    other = p.second if matrix == p.first else p.first
    yield OTHER_MATRIX, pool(p, _image(other))


def _right(average: bool) -> list[Pool]:
    return [_average if average else _maximum]


def _image(matrix: Matrix) -> Tensor:
    return torch.tensor(matrix, dtype=torch.float64)[None, None]


def _near(value: Tensor, other: Tensor, pooling: Pooling) -> bool:
    return float((value - other).abs().max()) <= pooling.tolerance


SIZE_WITH_BORDER = Mistake(
    "size-with-border", "2a.1", "this is the size with a border of 2 pixels, or of other images",
    LOOK_HINT,
)  # fmt: skip
SIZE_FLATTENED = Mistake(
    "size-flattened", "2a.1", "this is the size of an image that has been flattened", LOOK_HINT
)
PIXELS: dict[str, Mistake] = {
    "color": Mistake(
        "pixel-color", "2a.2", "these images have no colors",
        "How many numbers belong to one pixel? A color needs three of them.",
    ),
    "label": Mistake(
        "pixel-label", "2a.2", "the label says which digit it is, and is kept apart from the image",
        LOOK_HINT,
    ),
    "probability": Mistake(
        "pixel-probability", "2a.2",
        "scaled pixels lie between 0 and 1, yet don't say how likely anything is",
        "Do the pixels of an image sum to one? Print them beside the picture.",
    ),
}  # fmt: skip
SETS_EXCHANGED = Mistake(
    "sets-exchanged", "2a.3", "the numbers of training and test images are exchanged", LOOK_HINT
)
ALL_COUNTED = Mistake(
    "all-images-counted", "2a.3", "training and test images are counted together", LOOK_HINT
)
VALIDATION_COUNTED = Mistake(
    "validation-counted", "2a.3", "this is the number of validation images", LOOK_HINT
)
OTHER_SPLIT = Mistake(
    "other-split",
    "2a.3",
    "this is what another split leaves, with 5,000 validation images",
    LOOK_HINT,
)

DATA: tuple[Mistake, ...] = (
    SIZE_WITH_BORDER, SIZE_FLATTENED, *PIXELS.values(), SETS_EXCHANGED, ALL_COUNTED,
    VALIDATION_COUNTED, OTHER_SPLIT,
)  # fmt: skip


def of_image_size(data: Mnist, got: tuple[int, ...]) -> Mistake | None:
    """Which mistake leads to this height and width."""
    height, width = data.test.images.shape[1:]
    if got == (height + 4, width + 4):
        return SIZE_WITH_BORDER
    return SIZE_FLATTENED if height * width in got else None


def of_image_count(data: Mnist, got: int, training: bool) -> Mistake | None:
    """Which mistake leads to this number of training or test images."""
    train, validation, test = len(data.train), len(data.validation), len(data.test)
    candidates = [
        (SETS_EXCHANGED, test if training else train + validation),
        (SETS_EXCHANGED, test if training else train),
        (ALL_COUNTED, train + validation + test),
        (VALIDATION_COUNTED, validation),
        (OTHER_SPLIT, train + validation - 5_000),
    ]
    return _first(candidates, got, train if training else test)


def _first(candidates: Sequence[tuple[Mistake, object]], got: object, right: object) -> (
    Mistake | None
):  # fmt: skip
    """The first mistake whose result is the answer, leaving out those that change nothing."""
    return next((one for one, value in candidates if value == got and value != right), None)
