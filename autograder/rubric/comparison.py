"""Comparing tensors from a worker with the reference: shape, dtype, finite, then tolerance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Share of the largest value that two correct ways to compute the same may differ by: of float32,
# some hundred roundings (1.2e-7 each); of float64, some ten of those, as a constant such as
# √d is often kept in float32. No mistake is as small.
# Half precision stands here for what a mistake gives: a few of its roundings, 5e-4 and 4e-3 each.
TOLERANCES = {
    torch.float64: 1e-6,
    torch.float32: 1e-4,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
}


@dataclass(frozen=True)
class Difference:
    """How two tensors differ: in words for a student, and by how much where that is known."""

    text: str
    largest: float | None = None
    allowed: float | None = None


def compare(got: Tensor, expected: Tensor) -> Difference | None:
    """None where `got` equals `expected` within the tolerance of its dtype.

    The tolerance is a share of the largest expected value (at least of 1e-3, so that a
    reference of zeros asks for no impossible precision).
    """
    problem = well_formed(got, tuple(expected.shape), expected.dtype)
    if problem is not None:
        return problem
    if not expected.numel():
        return None
    if not (expected.is_floating_point() or expected.is_complex()):  # of truth values and counts
        got, expected = got.double(), expected.double()
    largest = float((got - expected).abs().max())
    allowed = TOLERANCES.get(expected.dtype, 0.0) * max(float(expected.abs().max()), 1e-3)
    if largest <= allowed:
        return None
    return Difference(f"differs by up to {largest:.3g} (allowed {allowed:.1g})", largest, allowed)


def well_formed(
    got: Tensor, shape: tuple[int, ...], dtype: torch.dtype | None = None
) -> Difference | None:
    """None where a tensor has this shape (and dtype) and no NaN or infinity."""
    if tuple(got.shape) != shape:
        return Difference(f"has shape {tuple(got.shape)}, expected {shape}")
    if dtype is not None and got.dtype != dtype:
        return Difference(f"has dtype {str(got.dtype)[6:]}, expected {str(dtype)[6:]}")
    if not bool(torch.isfinite(got).all()):
        return Difference("contains NaN or infinity")
    return None
