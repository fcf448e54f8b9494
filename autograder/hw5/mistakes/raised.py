"""A student's view of a worker's error, with the mistake behind it where it is known.

An exception's message is compared with those that the catalogue's variants raise on inputs
of the same shapes; the order of the numbers in it doesn't matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from autograder.homework import CODE_FILES, HEAD, LAYER
from autograder.hw5.mistakes import (
    head,
    head_construction,
    head_steps,
    layer,
    layer_construction,
    layer_steps,
    networks,
    slips,
)
from autograder.hw5.probes.given_model import SIZES
from autograder.hw5.probes.head import BASE_SIZE
from autograder.hw5.probes.layer import LayerSize
from autograder.hw5.probes.reference import HeadParameters, LayerParameters, NormParameters
from autograder.rubric.feedback import Feedback
from autograder.rubric.feedback import of_worker_error as plain
from autograder.rubric.mistake import Mistake, Pass, Step, Variant, hinted, named, run
from autograder.sandbox.errors import Refused, StudentCodeRaised, WorkerError
from provided.mnist import IMAGE_SIZE
from provided.training import BATCH_SIZE

# Sizes of the homework's own Vision Transformer and batches, which none of ours equals.
HOMEWORK_SIZES = frozenset(
    {
        SIZES.patches,
        SIZES.tokens,
        SIZES.patch_size**2,
        SIZES.dim,
        SIZES.dim_head,
        SIZES.mlp_dim,
        BATCH_SIZE,
        IMAGE_SIZE**2,
    }
)
MAX_DIGITS = 9  # of a size; Python itself refuses to read numbers of thousands of digits
IN_PLACE = re.compile("modified by an inplace operation|is being used in an in-place operation")
NO_MODULE = re.compile(r"No module named '(\w{1,60})'")
SIZE_MESSAGES = ("size", "shape", "dimension", "expand")


def of_error(error: WorkerError, code: Mapping[str, str] | None = None) -> Feedback:
    """What a student reads about an error, the likely mistake included.

    code: the text of the submission's files, where names are looked up; None if it isn't known
    """
    if not isinstance(error, StudentCodeRaised):
        return plain(error)
    absent = None if code is None else _absent(error, code)
    if absent:  # the given code, or another file of theirs, imports it
        return plain(Refused("Refusal", f"{absent} was not submitted", absent, None))
    feedback = plain(error)
    mistake = _behind(error)
    if mistake is None:
        return replace(feedback, **(slips.recognised(error, code or {}) or {}))
    said = hinted(mistake) if mistake is networks.NOT_SEQUENTIAL else named(mistake)
    return replace(feedback, **said)


def _absent(error: StudentCodeRaised, code: Mapping[str, str]) -> str | None:
    """The code file that an import missed, if it isn't among those submitted."""
    missed = NO_MODULE.fullmatch(error.message) if error.type == "ModuleNotFoundError" else None
    file = f"{missed[1]}.py" if missed else ""
    return file if file in CODE_FILES and file not in code else None


def _behind(error: StudentCodeRaised) -> Mistake | None:
    if isinstance(error, Refused):
        return networks.NOT_SEQUENTIAL if "not an nn.Sequential" in error.message else None
    numbers, text = _signature(error.message)
    if f"calling {HEAD.name}" in error.doing:
        if IN_PLACE.search(error.message):
            return head_construction.HEAD_IN_PLACE
        found = _raised_by_heads().get((numbers, text))
        return found or _fixed_size(error.message)
    if f"calling {LAYER.name}" in error.doing:
        if error.type in ("TypeError", "AttributeError") and "tuple" in error.message:
            return layer_construction.RESULTS_NOT_UNPACKED
        if IN_PLACE.search(error.message):
            return layer_construction.LAYER_IN_PLACE
        return _raised_by_layers().get((numbers, text)) or _fixed_size(error.message)
    return None


def _fixed_size(message: str) -> Mistake | None:
    numbers, text = _signature(message)
    about_sizes = any(word in text.lower() for word in SIZE_MESSAGES)
    return head_construction.FIXED_SIZE if about_sizes and HOMEWORK_SIZES & set(numbers) else None


def _signature(message: str) -> tuple[tuple[int, ...], str]:
    """The sizes in a message, sorted, and the text around them."""
    found = re.findall(r"\d+", message)
    sizes = sorted(int(number) for number in found if len(number) <= MAX_DIGITS)
    return tuple(sizes), re.sub(r"\d+", "#", message)


Signatures = dict[tuple[tuple[int, ...], str], Mistake]


@lru_cache(maxsize=1)
def _raised_by_heads() -> Signatures:
    size = BASE_SIZE
    weight = torch.ones(size.inner_dim, size.input_dim)
    x = torch.ones(size.batch, size.tokens, size.input_dim)
    given = Pass(x, HeadParameters(weight, weight, weight))
    return dict(_raised(head_steps.STEPS, head.ERRORS, given))


@lru_cache(maxsize=1)
def _raised_by_layers() -> Signatures:
    size = LayerSize()
    weight = torch.ones(size.dim_head, size.dim)
    norm = NormParameters(None, None)
    parameters = LayerParameters(
        heads=(HeadParameters(weight, weight, weight),) * size.heads,
        output=torch.ones(size.dim, size.heads * size.dim_head),
        output_bias=None,
        norms=(norm, norm),
        first=torch.ones(size.mlp_dim, size.dim),
        first_bias=None,
        second=torch.ones(size.dim, size.mlp_dim),
        second_bias=None,
    )
    given = Pass(torch.ones(size.out_shape), parameters)
    return dict(_raised(layer_steps.STEPS, layer.ERRORS, given))


def _raised(
    steps: Mapping[str, Step], variants: Sequence[Variant], given: Pass[Any]
) -> Iterator[tuple[tuple[tuple[int, ...], str], Mistake]]:
    for variant in variants:
        try:
            run(steps, (variant,), given)
        except RuntimeError as problem:
            yield _signature(str(problem)), variant
