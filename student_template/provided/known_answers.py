"""A small example with a known result, for the attention head and for the encoder layer.

Weights and tokens are drawn from a seed; what a correct module makes of them stands in
known_answers.yaml. Names and order of your parameters are your own: each way of reading them as
query, key and value is tried, and one that gives the known result is enough. In the layer all
heads get the same weights, norms and biases stay out of it. What can't be read is no mistake:
then the answer is "can't tell".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from provided.conditions import names_in_short, unused_parameters

FILE = Path(__file__).with_name("known_answers.yaml")
SEED = 189
BATCH, TOKENS = 2, 6
INPUT, INNER = 7, 4  # of the head; all sizes differ, so that a shape says which axis is which
HEADS, HIDDEN = 5, 9  # of the layer, whose tokens and heads have the sizes above
PROJECTIONS = 3  # query, key and value
MOST_READINGS = 500
# As a share of the largest number: single precision leaves some 1e-6, and a layer may add up to
# 1e-3 under the root of its norms.
TOLERANCE = {"head": 1e-4, "layer": 1e-3}

RIGHT, WRONG = "right", "wrong"
Assignment = list[tuple[Tensor, Tensor]]  # views of parameters, and what is written into each


class CannotTell(Exception):
    """The known answer says nothing about this module; says why."""


@dataclass(frozen=True)
class Example:
    """Numbers that go in: tokens (B, T, I) for the head, for the layer, and each part's weights."""

    x: Tensor
    tokens: Tensor
    query: Tensor  # (D, I)
    key: Tensor
    value: Tensor
    output: Tensor  # W_O (I, H * D)
    first: Tensor  # (M, I)
    second: Tensor  # (I, M)


@cache
def example() -> Example:
    """The example's numbers, the same on every machine."""
    drawn = random.Random(SEED)

    def numbers(*shape: int) -> Tensor:
        count = torch.Size(shape).numel()
        return torch.tensor([2 * drawn.random() - 1 for _ in range(count)]).reshape(shape)

    return Example(
        numbers(BATCH, TOKENS, INPUT),
        4 * numbers(BATCH, TOKENS, INPUT),  # beside which what a norm adds under its root is little
        2 * numbers(INNER, INPUT),
        2 * numbers(INNER, INPUT),
        numbers(INNER, INPUT),
        numbers(INPUT, HEADS * INNER),
        numbers(HIDDEN, INPUT),
        numbers(INPUT, HIDDEN),
    )


@cache
def known() -> dict[str, dict[str, Any]]:
    """What correct modules make of the example."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def judge_head(build: Callable[..., nn.Module]) -> str:
    """Whether a head gives the known result: "right" or "wrong". Raises CannotTell."""
    given = example()
    head = build(INPUT, INNER, 0.0).eval()
    used = _used(head, given.x)
    blocks, rest = _projections(used)
    _need_nothing_left(rest, biases={INNER, 2 * INNER, 3 * INNER})
    held = [len(layouts[0]) for layouts in blocks]
    if sum(held) != PROJECTIONS:
        raise CannotTell(
            f"{sum(held)} projections from {INPUT} to {INNER} numbers are in use, where query, "
            "key and value are looked for"
        )
    weights = (given.query, given.key, given.value)
    zeros = [(value, torch.zeros_like(value)) for value in rest.values() if value.dim() == 1]
    readings: Iterator[Assignment] = (
        [*zip([view for layout in chosen for view in layout], order, strict=True), *zeros]
        for chosen in product(*blocks)
        for order in permutations(weights)
    )
    return _judged("head", head, given.x, readings)


def judge_layer(build: Callable[..., nn.Module]) -> str:
    """Whether a layer gives the known result. Its heads must be right. Raises CannotTell."""
    given = example()
    layer = build(INPUT, HEADS, INNER, HIDDEN, 0.0).eval()
    used = _used(layer, given.tokens)
    blocks, rest = _projections(used)
    held = sum(len(layouts[0]) for layouts in blocks)
    if held != PROJECTIONS * HEADS:
        raise CannotTell(
            f"its {HEADS} heads should hold {PROJECTIONS * HEADS} projections from {INPUT} to "
            f"{INNER} numbers, and {held} are in use"
        )
    output = _one(rest, (INPUT, HEADS * INNER), "W_O, from the heads back to dim,")
    shapes = {tuple(value.shape): name for name, value in rest.items()}
    if {(HIDDEN, INPUT), (INPUT, HIDDEN)} - shapes.keys():
        raise CannotTell("an MLP with mlp_dim hidden units is looked for")
    one, other = (rest.pop(shapes[shape]) for shape in ((HIDDEN, INPUT), (INPUT, HIDDEN)))
    _need_nothing_left(rest, biases={INPUT, HIDDEN})
    scales, zeros = _norms_and_biases(rest)
    fixed: Assignment = [(output, given.output), *zeros]
    mlps: list[Assignment] = [
        [(one, given.first), (other, given.second)],
        [(one, given.second.T), (other, given.first.T)],  # used as x @ weight
    ]
    # All heads are laid out alike, so it is tried for all together.
    readings: Iterator[Assignment] = (
        [
            *((view, given.query) for layouts in blocks for view in layouts[kind % len(layouts)]),
            *mlp,
            *fixed,
        ]
        for kind in range(max(len(layouts) for layouts in blocks))
        for mlp in mlps
    )
    verdict = _judged("layer", layer, given.tokens, readings)
    if verdict is RIGHT and scales == 1:
        raise CannotTell("the scale of a single norm is in use, where two norms are looked for")
    return verdict


def _norms_and_biases(rest: Mapping[str, Tensor]) -> tuple[int, Assignment]:
    """How many norms' scales there are, which stay at one; and zeros for all other vectors."""
    scales = [name for name, value in rest.items() if bool((value == 1).all())]
    others = {name: value for name, value in rest.items() if name not in scales}
    # A norm's shift begins with zeros; the MLP's last bias alone is drawn.
    drawn = [n for n, value in others.items() if value.shape[0] == INPUT and bool(value.any())]
    if len(scales) > 2 or len(drawn) > 1:
        raise CannotTell(f"it isn't clear what {names_in_short(drawn or scales)} is for")
    return len(scales), [(value, torch.zeros_like(value)) for value in others.values()]


def _used(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The parameters that do something, but for single numbers: constants."""

    def out(tokens: Tensor) -> Tensor:
        results = module(tokens.clone())
        first = results[0] if isinstance(results, (tuple, list)) and results else results
        if not isinstance(first, Tensor):
            raise CannotTell(f"forward returned {type(first).__name__} where a tensor is expected")
        return first

    unused = unused_parameters(module, out, x)
    return {
        name: value.data
        for name, value in module.named_parameters()
        if name not in unused and value.numel() != 1
    }


def _projections(
    used: Mapping[str, Tensor],
) -> tuple[list[list[list[Tensor]]], dict[str, Tensor]]:
    """For each parameter that holds projections: the ways to cut it into them; and the others."""
    blocks, rest = [], {}
    for name, value in used.items():
        layouts = list(_layouts(value))
        if layouts:
            blocks.append(layouts)
        else:
            rest[name] = value
    return blocks, rest


def _layouts(value: Tensor) -> Iterator[list[Tensor]]:
    """The ways to cut a parameter into projections (D, I), as views of it."""
    if value.dim() == 3:
        axes = {size: axis for axis, size in enumerate(value.shape)}
        held = [size for size in axes if size not in (INNER, INPUT)]
        if len(axes) == 3 and len(held) == 1 and held[0] in (2, PROJECTIONS):
            yield list(value.permute(axes[held[0]], axes[INNER], axes[INPUT]))
        return
    for count in range(1, PROJECTIONS + 1):
        for shape, upright in (
            ((count * INNER, INPUT), value),
            ((INPUT, count * INNER), value.T if value.dim() == 2 else value),
        ):
            if tuple(value.shape) == shape:
                yield list(upright.split(INNER))
                if count > 1:
                    yield [upright[place::count] for place in range(count)]


def _one(rest: dict[str, Tensor], shape: tuple[int, int], what: str) -> Tensor:
    """Take the one matrix of a shape, upright or as it is used in x @ weight."""
    found = [name for name, value in rest.items() if sorted(value.shape) == sorted(shape)]
    if len(found) != 1:
        raise CannotTell(f"{what} should be one weight of shape {shape}; {len(found)} are in use")
    value = rest.pop(found[0])
    return value if tuple(value.shape) == shape else value.T


def _need_nothing_left(rest: Mapping[str, Tensor], biases: set[int]) -> None:
    """Only vectors that a bias or a norm can be remain."""
    odd = [name for name, value in rest.items() if value.dim() != 1 or value.shape[0] not in biases]
    if odd:
        raise CannotTell(f"it isn't clear what {names_in_short(odd)} is for")


def _judged(kind: str, module: nn.Module, x: Tensor, readings: Iterator[Assignment]) -> str:
    """Right where one reading of the parameters gives the known results."""
    expected = {name: torch.tensor(value) for name, value in known()[kind].items()}
    if kind == "layer":
        expected["attention"] = expected["attention"].expand(-1, HEADS, -1, -1)
    tolerance = TOLERANCE[kind]
    with torch.no_grad():
        for number, reading in enumerate(readings):
            if number >= MOST_READINGS:
                raise CannotTell("there are too many ways to read its parameters")
            for view, value in reading:
                view.copy_(value)
            got = module(x.clone())
            if _agrees(got, expected, tolerance):
                return RIGHT
    return WRONG


def _agrees(got: object, expected: Mapping[str, Tensor], tolerance: float) -> bool:
    """Whether a forward returned the known output and weights, axes in either order."""
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise CannotTell("forward should return two tensors: its output and the attention weights")
    return all(
        isinstance(one, Tensor) and any(_close(shown, wanted, tolerance) for shown in _turns(one))
        for one, wanted in zip(got, expected.values(), strict=True)
    )


def _turns(tensor: Tensor) -> Sequence[Tensor]:
    """A tensor; attention maps (H, B, T, T) with the batch first as well."""
    return (tensor, tensor.transpose(0, 1)) if tensor.dim() == 4 else (tensor,)


def _close(got: Tensor, wanted: Tensor, tolerance: float) -> bool:
    most = tolerance * float(wanted.abs().max())
    return got.shape == wanted.shape and torch.allclose(got.float(), wanted, rtol=0, atol=most)
