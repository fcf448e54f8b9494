"""Known mistakes in a pooled matrix (question 1c), each computed with torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from autograder.hw5.answer_keys import Matrix, Pooling
from autograder.rubric.mistake import Mistake

EXACT = 1e-9  # what two ways to write the same decimal number differ by at most
POOL_HINT = "Lay the window over the matrix again: neighbouring windows share a row or a column."
BLANK_HINT = "Read the name of the blank again: does it ask for averages or for maxima?"

MAX_FOR_AVERAGE = Mistake(
    id="maximum-for-average",
    line="1c.1",
    explanation="these are the maxima, but the question asks for averages",
    hint=BLANK_HINT,
)
AVERAGE_FOR_MAX = Mistake(
    id="average-for-maximum",
    line="1c.2",
    explanation="these are the averages, but the question asks for maxima",
    hint=BLANK_HINT,
)
MIN_FOR_MAX = Mistake(
    id="minimum-for-maximum",
    line="1c.2",
    explanation="these are the minima, but the question asks for maxima",
    hint="Which of the numbers under a window does max pooling keep?",
)
SUM_FOR_AVERAGE = Mistake(
    id="sum-for-average",
    line="1c.1",
    explanation="the windows are summed but not divided",
    hint="How many numbers lie under one window?",
)
ZEROS_SKIPPED = Mistake(
    id="zeros-skipped",
    line="1c.1",
    explanation="the zeros are left out of the averages",
    hint="How many numbers lie under one window, zeros included?",
)
POOLING_TRANSPOSED = Mistake(
    id="pooling-transposed",
    line="1c.1",
    explanation="the result is transposed: rows and columns are swapped",
    hint="Which corner of the result belongs to the upper right window?",
)
POOLING_STRIDE_1 = Mistake(
    id="pooling-stride-1",
    line="1c.1",
    explanation="the window moves by one place at a time",
    hint="By how many places does the window move, to the right and down?",
)
POOLING_STRIDE_3 = Mistake(
    id="pooling-stride-3",
    line="1c.1",
    explanation="the windows don't overlap, as if the stride were their size",
    hint="By how many places does the window move, to the right and down?",
)
POOLING_WINDOW_2 = Mistake(
    id="pooling-window-2",
    line="1c.1",
    explanation="the window is 2 by 2",
    hint="How many rows and columns does the window in the question have?",
)
OTHER_MATRIX = Mistake(
    id="other-matrix",
    line="1c.1",
    explanation="this is the result for the other matrix",
    hint="Which of the two matrices does this blank ask for?",
)

ROUNDED_TOO_FAR = Mistake(
    id="rounded-too-far",
    line="1c.1",
    explanation="the numbers are rounded or cut off too far",
    hint="Give at least two decimals, rounded, or exact fractions such as 5/7.",
)

ALL: tuple[Mistake, ...] = (
    MAX_FOR_AVERAGE,
    AVERAGE_FOR_MAX,
    MIN_FOR_MAX,
    SUM_FOR_AVERAGE,
    ZEROS_SKIPPED,
    POOLING_TRANSPOSED,
    POOLING_STRIDE_1,
    POOLING_STRIDE_3,
    POOLING_WINDOW_2,
    OTHER_MATRIX,
    ROUNDED_TOO_FAR,
)


Pool = Callable[[Pooling, Tensor], Tensor]  # (1, 1, H, W) -> (1, 1, h, w)


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
    coarse = mine.shape == right.shape and _rounded_too_far(mine, right, pooling.tolerance)
    return ROUNDED_TOO_FAR if coarse else None


def _rounded_too_far(mine: Tensor, right: Tensor, tolerance: float) -> bool:
    """Whether each wrong number is what rounding or cutting off makes of the right one.

    To whole numbers or one decimal; cut off at two decimals, it can be wrong as well.
    """
    near = (mine - right).abs() <= tolerance
    for decimals in (0, 1, 2):
        scaled = right * 10**decimals
        for made in ((scaled + 0.5).floor(), scaled.round(), scaled.trunc()):
            near |= (mine - made / 10**decimals).abs() < EXACT
    return bool(near.all())


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


def _average(p: Pooling, x: Tensor, stride: int | None = None) -> Tensor:
    return functional.avg_pool2d(x, p.window, stride or p.stride)


def _maximum(p: Pooling, x: Tensor, stride: int | None = None) -> Tensor:
    return functional.max_pool2d(x, p.window, stride or p.stride)


def _average_of_nonzero(p: Pooling, x: Tensor) -> Tensor:
    return _average(p, x) / _average(p, (x != 0).to(x.dtype)).clamp(min=1e-9)


def _right(average: bool) -> list[Pool]:
    return [_average if average else _maximum]


def _image(matrix: Matrix) -> Tensor:
    return torch.tensor(matrix, dtype=torch.float64)[None, None]


def _near(value: Tensor, other: Tensor, pooling: Pooling) -> bool:
    return float((value - other).abs().max()) <= pooling.tolerance
