"""Numbers with less precision than they were computed in.

How far they were rounded is read off the student's numbers: all of them are multiples of a
power of ten, or all are numbers that half precision has. Random numbers are neither by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder.rubric.mistake import Behind, DoesNotApply, Pass

MOST_DECIMALS = 5  # what rounding to more of them changes is hardly above the tolerance
HALF = (torch.bfloat16, torch.float16)  # in this order: the first's digits fit into the second
Seen = Callable[[Pass[Any]], Tensor | None]


def seen_out(p: Pass[Any]) -> Tensor | None:
    """The student's output, where one is being explained."""
    return None if p.seen is None else p.seen.out


def rounded(seen: Seen) -> Behind:
    """A step rounded to as many decimals as the student's numbers have."""

    def change(p: Pass[Any], value: Tensor) -> Tensor:
        numbers = _like(seen(p), value)
        for decimals in range(MOST_DECIMALS + 1):
            if torch.equal(numbers, numbers.round(decimals=decimals)):
                return _typed(value.round(decimals=decimals), seen(p))
        raise DoesNotApply

    return Behind(change)


def truncated(seen: Seen) -> Behind:
    """A step cut to whole numbers, as int() does."""

    def change(p: Pass[Any], value: Tensor) -> Tensor:
        numbers = _like(seen(p), value)
        if not torch.equal(numbers, numbers.trunc()):
            raise DoesNotApply
        return _typed(value.trunc(), seen(p))

    return Behind(change)


def halved(seen: Seen) -> Behind:
    """A step in the half precision that the student's numbers have."""

    def change(p: Pass[Any], value: Tensor) -> Tensor:
        numbers = _like(seen(p), value)
        for dtype in HALF:
            if torch.equal(numbers, numbers.to(dtype).to(numbers.dtype)):
                return _typed(value.to(dtype).to(value.dtype), seen(p))
        raise DoesNotApply

    return Behind(change)


def _like(numbers: Tensor | None, value: Tensor) -> Tensor:
    """What the student got, if it can be compared with a step and isn't all zero."""
    if numbers is None or numbers.shape != value.shape or not bool(numbers.any()):
        raise DoesNotApply
    return numbers.to(value.dtype).nan_to_num()


def _typed(value: Tensor, seen: Tensor | None) -> Tensor:
    """A value in the dtype that the student's numbers came in."""
    return value if seen is None else value.to(seen.dtype)
