"""What check.py looks for in your attention head and your encoder layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from provided.conditions import Problem, Remark, names_in_short
from provided.source_rules import CONTAINERS, HEAD_LAYERS


def output_of(results: object) -> Tensor:
    """The first of a forward's results, or the one that there is."""
    first = results[0] if isinstance(results, (tuple, list)) and results else results
    return first if isinstance(first, Tensor) else torch.empty(0)


def on_copies(module: nn.Module) -> Callable[[Tensor], object]:
    """The module on a copy of its input, so that what it changes in place is its own."""
    return lambda x: module(x.clone())


def remark_on(unused: Sequence[str]) -> Iterator[str]:
    """A remark on parameters that do nothing."""
    if unused:
        said = f"no result depends on {names_in_short(unused)}: fine if it is left over"
        yield Remark(said)


def need_head_layers(head: nn.Module) -> None:
    """The head is made of the layers on the list."""
    foreign = {
        type(part).__name__
        for part in list(head.modules())[1:]
        if type(part).__module__.startswith("torch.nn.")
    } - {*HEAD_LAYERS, *CONTAINERS}
    if foreign:
        raise Problem(f"the head contains {', '.join(sorted(foreign))}: not allowed here.")


def need_no_biases(head: nn.Module, unused: Sequence[str]) -> None:
    """No projection has a bias, and nothing else is learned but the projections."""
    vectors = [
        (name, value)
        for name, value in head.named_parameters()
        if value.dim() < 2 and name not in unused
    ]
    biases = [name for name, value in vectors if value.numel() != 1]
    if biases:
        raise Problem(f"no biases are allowed in the head: {', '.join(biases)}.")
    numbers = [name for name, value in vectors if value.requires_grad]
    if numbers:
        raise Problem(f"a single number that is learned doesn't belong here: {', '.join(numbers)}.")


def need_output_projection(layer: nn.Module, shape: tuple[int, int], unused: Sequence[str]) -> None:
    """W_O, by its shape (dim, heads * dim_head), has no bias."""
    for name, part in layer.named_modules():
        is_output = isinstance(part, nn.Linear) and part.weight.shape == shape
        if is_output and part.bias is not None and f"{name}.bias" not in unused:
            raise Problem(f"W_O, the Linear from heads * dim_head to dim, has a bias: {name}.")
