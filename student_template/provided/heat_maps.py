"""The attention weights of the Vision Transformer's last layer, as the write-up shows them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from provided.homework import HEAD, LAYER
from provided.problems import Problem
from provided.slots import what_was_raised

NONE = "There are no attention weights to draw"
TITLE = "Last layer's attention, first validation image"


def last_attention(model: nn.Module, image: Tensor) -> Tensor:
    """Weights (heads, T, T) of the last layer for one image (1, 1, H, W), on the processor.

    Leaves torch's random numbers as they are. Raises Problem where nothing can be drawn.
    """
    try:
        attention = _second_result(model, image)
    except NotImplementedError:  # still to be written
        raise
    except Exception as problem:
        raise Problem(f"{NONE}: for one image alone, {what_was_raised(problem)}") from problem
    if attention is None:
        raise Problem(
            f"{NONE}: {HEAD.name} should return out, attention; {LAYER.name} x, attention."
        )
    if not isinstance(attention, Tensor):
        raise Problem(
            f"{NONE}: {LAYER.name} returns {type(attention).__name__} as its second result, not a "
            "tensor (B, heads, T, T)."
        )
    maps = _of_one_image(attention)
    if maps is None:
        raise Problem(
            f"{NONE}: {LAYER.name} returns some of shape {tuple(attention.shape)} for one image, "
            "not (B, heads, T, T) with B = 1."
        )
    return maps.detach().float().cpu()


def tell_if_there_are_none(model: nn.Module, images: Tensor) -> None:
    """Say before the time is spent that there will be no heat maps, where that is so.

    images: two or more (B, 1, H, W); a model that can't take them will say so in its training
    """
    try:
        last_attention(model, images[:1])
    except Problem as problem:
        if problem.__cause__ is not None:
            try:
                _second_result(model, images)
            except Exception:  # noqa: BLE001  whatever your code raises
                return
        print(f"{problem} It trains all the same; Ctrl-C stops it.")


def _second_result(model: nn.Module, images: Tensor) -> object:
    trained = model.training
    here = [images.device] if images.is_cuda else []
    try:
        with torch.random.fork_rng(here), torch.no_grad():
            _, attention = model.eval()(images, return_attention=True)
    finally:
        model.train(trained)
    return attention


def _of_one_image(attention: Tensor) -> Tensor | None:
    """Weights (heads, T, T), from those with an axis for the batch; None of another shape."""
    if attention.dim() == 4:
        batch_axis = 1 if attention.shape[0] != 1 else 0  # heads may be stacked first
        if attention.shape[batch_axis] != 1:
            return None
        attention = attention.squeeze(batch_axis)
    square = attention.dim() == 3 and attention.shape[1] == attention.shape[2]
    return attention if square and attention.numel() else None
