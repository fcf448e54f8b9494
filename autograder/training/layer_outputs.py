"""What a layer on the meta device puts out, where nothing is allocated or computed.

For most layers torch imports sympy and its compiler to compute on that device: a second and
100 MiB in every process that asks. So a layer of ordinary size gets an empty batch on the
processor instead. Torch's own checks of sizes are the same there, but for batch norms.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from autograder.training.layer_arguments import MAX_PARAMETERS

POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def put_out(module: nn.Module, x: Tensor) -> Tensor:
    """module(x), both on the meta device. Raises what torch raises there."""
    if isinstance(module, nn.LayerNorm):
        return _normalised(module, x)
    with contextlib.suppress(Exception):
        shape = _shape(module, tuple(x.shape))
        if shape is not None:
            return x.new_empty(shape)
    out: Tensor = module(x)
    return out


def _normalised(module: nn.LayerNorm, x: Tensor) -> Tensor:
    over = tuple(module.normalized_shape)
    if tuple(x.shape[-len(over) :]) != over:
        functional.layer_norm(torch.zeros(()).expand(x.shape), over)  # says so before it computes
    return x


def _shape(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape for a batch of this shape; None where an empty batch doesn't tell it."""
    if isinstance(module, (nn.Flatten, nn.Unflatten)) or len(shape) < 2:
        return None  # they may change the batch's own axis
    if isinstance(module, NORMS):
        axes = (4,) if isinstance(module, nn.BatchNorm2d) else (2, 3)
        fits = len(shape) in axes and shape[1] == module.num_features and module.eps > 0
        return shape if fits else None
    if sum(one.numel() for one in module.parameters()) > MAX_PARAMETERS:
        return None  # some layers copy their weights, also for an empty batch
    if isinstance(module, POOLS) and len(shape) != 4:
        return _of_empty(module, shape) if len(shape) == 3 else None  # one image (C, H, W)
    return shape[0], *_of_empty(module, shape[1:])


def _of_empty(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what comes out for each of no inputs of this shape."""
    kept = [*module.named_parameters(), *module.named_buffers()]
    weights = {name: torch.zeros((), dtype=one.dtype).expand(one.shape) for name, one in kept}
    out = functional_call(module, weights, torch.zeros(0, *shape))
    return tuple(out.shape[1:])
