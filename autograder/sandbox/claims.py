"""How much a worker may claim, or send, before the grader does anything with it.

A claim costs a worker nothing: a parameter of 900,000,000 numbers can be one number seen
from as many sides. What the grader would draw, allocate or compare for it costs memory here.
So each claim is counted first, and one beyond its budget ends the question.

The wire has budgets of its own for frames, tensors and names (confined/wire.py), the schemas
for texts and lists (replies.py), the layer lists for models (training/layer_list.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

# The largest module that is asked for has 1,300 parameters, the largest result 432 numbers. A
# million float64 are 8 MB: three copies of that are no danger in the smallest container.
MAX_PARAMETER_NUMBERS = 1_000_000
MAX_RESULT_NUMBERS = 1_000_000


def excess_parameters(shapes: Iterable[tuple[int, ...]]) -> str:
    """What is wrong with a module's parameters where they are too many numbers, else nothing."""
    count = sum(prod(shape) for shape in shapes)
    if count <= MAX_PARAMETER_NUMBERS:
        return ""
    return f"its parameters hold {count:,} numbers, more than {MAX_PARAMETER_NUMBERS:,}"


def excess_result(shape: tuple[int, ...]) -> str:
    """What is wrong with a result where it is too many numbers, else nothing."""
    if prod(shape) <= MAX_RESULT_NUMBERS:
        return ""
    return f"a result of shape {shape} holds more than {MAX_RESULT_NUMBERS:,} numbers"
