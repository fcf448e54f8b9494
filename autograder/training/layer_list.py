"""A model as a list of layers: validated, counted, and rebuilt with the grader's own torch.

A submission's nn.Sequential reaches the trusted side only in this form, so whatever its
process claims about weights, parameters or accuracy has nowhere to go.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from autograder.sandbox.replies import LayerReply
from autograder.sandbox.text import name, one_line
from provided.mnist import CLASSES, IMAGE_SIZE

MAX_PARAMETERS = 5_000_000
MAX_ACTIVATIONS = 2_000_000  # numbers that one image turns into, all layers together
MAX_REASON = 200  # characters of what torch says about a layer
MAX_NAMED = 60  # characters of an argument's value in a sentence
MAX_MULTIPLICATIONS = 200_000_000  # of one image's forward pass

Size = Annotated[int, Field(ge=1, le=100_000, strict=True)]
Window = Annotated[int, Field(ge=1, le=64)]
WindowPair = Window | tuple[Window, Window]
Padding = Annotated[int, Field(ge=0, le=64)]
PaddingPair = Padding | tuple[Padding, Padding]
Real = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Axis = Annotated[int, Field(ge=-4, le=4)]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _None(_Arguments):
    pass


class _Linear(_Arguments):
    in_features: Size
    out_features: Size
    bias: bool


class _Conv2d(_Arguments):
    in_channels: Size
    out_channels: Size
    kernel_size: WindowPair
    stride: WindowPair
    padding: PaddingPair | Literal["same", "valid"]
    dilation: WindowPair
    groups: Size
    bias: bool
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"]


class _MaxPool(_Arguments):
    kernel_size: WindowPair
    stride: WindowPair
    padding: PaddingPair
    dilation: WindowPair
    ceil_mode: bool


class _AvgPool(_Arguments):
    kernel_size: WindowPair
    stride: WindowPair
    padding: PaddingPair
    ceil_mode: bool
    count_include_pad: bool


class _AdaptivePool(_Arguments):
    output_size: Window | tuple[Window | None, Window | None]


class _BatchNorm(_Arguments):
    num_features: Size
    eps: Real
    momentum: Share | None
    affine: bool
    track_running_stats: bool


class _LayerNorm(_Arguments):
    normalized_shape: Annotated[list[Size], Field(min_length=1, max_length=4)]
    eps: Real
    elementwise_affine: bool


class _Dropout(_Arguments):
    p: Share


class _Softmax(_Arguments):
    dim: Axis | None


class _Flatten(_Arguments):
    start_dim: Axis
    end_dim: Axis


class _Unflatten(_Arguments):
    dim: Axis
    unflattened_size: Annotated[list[Size], Field(min_length=1, max_length=4)]


class _LeakyReLU(_Arguments):
    negative_slope: Real


class _ELU(_Arguments):
    alpha: Real


class _GELU(_Arguments):
    approximate: Literal["none", "tanh"]


_PLAIN: tuple[str, ...] = (
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Identity",
    "Hardswish",
    "Mish",
)
KEEP_SHAPE = frozenset({*_PLAIN, "LeakyReLU", "ELU", "GELU", "Dropout"})
ARGUMENTS: dict[str, type[_Arguments]] = {
    **dict.fromkeys(_PLAIN, _None),
    "Linear": _Linear,
    "Conv2d": _Conv2d,
    "MaxPool2d": _MaxPool,
    "AvgPool2d": _AvgPool,
    "AdaptiveAvgPool2d": _AdaptivePool,
    "AdaptiveMaxPool2d": _AdaptivePool,
    "BatchNorm1d": _BatchNorm,
    "BatchNorm2d": _BatchNorm,
    "LayerNorm": _LayerNorm,
    "Dropout": _Dropout,
    "Dropout1d": _Dropout,
    "Dropout2d": _Dropout,
    "Softmax": _Softmax,
    "LogSoftmax": _Softmax,
    "Flatten": _Flatten,
    "Unflatten": _Unflatten,
    "LeakyReLU": _LeakyReLU,
    "ELU": _ELU,
    "GELU": _GELU,
}


class ModelProblem(Exception):
    """A layer list that can't be rebuilt or doesn't turn images into logits; says why."""


@dataclass(frozen=True)
class Work:
    """What one image's forward pass takes: layers, multiplications, numbers in between.

    at_once: the most numbers that one layer reads and writes
    """

    layers: int
    multiplications: int
    activations: int
    at_once: int = 0


@dataclass(frozen=True)
class Layer:
    """One layer: its class in torch.nn, its place in the student's model, its arguments."""

    kind: str
    path: str
    known: bool
    arguments: dict[str, Any]
    same_as: int | None

    def __str__(self) -> str:
        place = f" (layer {name(self.path)})" if self.path else ""
        return f"{self.kind.rpartition('.')[2]}{place}"


@dataclass(frozen=True)
class LayerList:
    """The layers of one nn.Sequential, in order."""

    layers: tuple[Layer, ...]

    @classmethod
    def from_replies(cls, replies: Sequence[LayerReply]) -> LayerList:
        """From what a worker claims."""
        return cls(
            tuple(
                Layer(reply.kind, reply.path, reply.known, dict(reply.arguments), reply.same_as)
                for reply in replies
            )
        )

    def outside(self, allowed: Collection[str]) -> list[Layer]:
        """The layers that a part's list doesn't allow."""
        return [layer for layer in self.layers if not layer.known or layer.kind not in allowed]

    def of_kind(self, kind: str) -> list[Layer]:
        """The layers of one class."""
        return [layer for layer in self.layers if layer.known and layer.kind == kind]

    def hidden_units(self) -> list[int]:
        """Outputs of every Linear layer but the last, which gives the logits.

        Raises ModelProblem where one claims a size that can't be.
        """
        linear = self.of_kind("Linear")
        for layer in linear:
            _check(layer)
        return [int(layer.arguments["out_features"]) for layer in linear[:-1]]

    def top_level_indices(self) -> list[int]:
        """For each layer, the index in the outermost nn.Sequential that it lies under."""
        names = [layer.path.partition(".")[0] for layer in self.layers]
        if all(name.isdecimal() for name in names):
            return [int(name) for name in names]  # torch's own names: empty containers count
        order = {name: index for index, name in enumerate(dict.fromkeys(names))}
        return [order[name] for name in names]

    def build(self) -> nn.Sequential:
        """A new nn.Sequential with these layers. Raises ModelProblem."""
        draft = self._draft()
        if count_parameters(draft) > MAX_PARAMETERS:
            raise ModelProblem(
                f"It has {count_parameters(draft):,} parameters; "
                f"the limit for training here is {MAX_PARAMETERS:,}."
            )
        self._input_shape(draft)
        return self._assemble()

    def parameter_counts(self) -> list[tuple[Layer, int]]:
        """How many parameters each layer has; a layer that stands twice counts once."""
        return [
            (layer, 0 if layer.same_as is not None else count_parameters(module))
            for layer, module in zip(self.layers, self._draft(), strict=True)
        ]

    def takes_flat_images(self) -> bool:
        """Whether the first layer wants images as (B, 784). Raises ModelProblem."""
        return len(self._input_shape(self._draft())) == 1

    def _draft(self) -> nn.Sequential:
        """The model on the meta device, where nothing is allocated or computed."""
        self._check_arguments()
        with torch.device("meta"):
            return self._assemble()

    def _input_shape(self, draft: nn.Sequential) -> tuple[int, ...]:
        """The shape of one image as this model wants it: (1, 28, 28), or flat (784,).

        Raises ModelProblem where neither gives ten logits, or the model is far too big.
        """
        first: ModelProblem | None = None
        for shape in ((1, IMAGE_SIZE, IMAGE_SIZE), (IMAGE_SIZE**2,)):
            try:
                self._check_shapes(draft, shape)
            except ModelProblem as problem:
                first = first or problem
            else:
                return shape
        assert first is not None
        raise first

    def _check_arguments(self) -> None:
        if not self.layers:
            raise ModelProblem("It has no layers.")
        for index, layer in enumerate(self.layers):
            if not layer.known or layer.kind not in ARGUMENTS:
                raise ModelProblem(
                    f"{layer} is not a layer that the grader can rebuild, so it can't train the "
                    "model."
                )
            if layer.same_as is not None and not (
                layer.same_as < index
                and self.layers[layer.same_as].kind == layer.kind
                and self.layers[layer.same_as].same_as is None
            ):
                raise ModelProblem(f"{layer} claims to be the same object as a different layer.")
            _check(layer)

    def _assemble(self) -> nn.Sequential:
        modules: list[nn.Module] = []
        for layer in self.layers:
            if layer.same_as is not None:
                modules.append(modules[layer.same_as])
                continue
            arguments = ARGUMENTS[layer.kind].model_validate(layer.arguments).model_dump()
            try:
                modules.append(getattr(nn, layer.kind)(**arguments))
            except Exception as problem:  # noqa: BLE001  torch raises many kinds
                reason = one_line(str(problem), MAX_REASON)
                raise ModelProblem(f"{layer} can't be created: {reason}") from None
        return nn.Sequential(*modules)

    def work(self) -> Work:
        """What one image's forward pass takes, counted layer by layer. Raises ModelProblem."""
        draft = self._draft()
        return self._work(draft, self._input_shape(draft))

    def _check_shapes(self, draft: nn.Sequential, shape: tuple[int, ...]) -> None:
        work = self._work(draft, shape)
        if work.activations > MAX_ACTIVATIONS or work.multiplications > MAX_MULTIPLICATIONS:
            raise ModelProblem(
                f"One image takes {work.multiplications / 1e6:,.0f} million multiplications and "
                f"{work.activations:,} intermediate numbers: too much to train here in time "
                f"(limits: {MAX_MULTIPLICATIONS // 10**6} million and {MAX_ACTIVATIONS:,})."
            )

    def _work(self, draft: nn.Sequential, shape: tuple[int, ...]) -> Work:
        x = torch.zeros(2, *shape, device="meta")
        activations = multiplications = at_once = 0
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # torch warns of a Softmax without dim
            for layer, module in zip(self.layers, draft, strict=True):
                before = tuple(x.shape)
                try:
                    _check_axis(module, x)
                    _check_width(module, x)
                    # These keep a shape; some of them import a compiler for meta tensors.
                    x = x if layer.kind in KEEP_SHAPE else module(x)
                except Exception as problem:  # noqa: BLE001  torch raises many kinds
                    reason = one_line(str(problem).partition("\n")[0], MAX_REASON)
                    raise ModelProblem(
                        f"{layer} can't take its input of shape {batch_shape(before)}: {reason}"
                    ) from None
                activations += prod(x.shape[1:])
                at_once = max(at_once, prod(before[1:]) + prod(x.shape[1:]))
                multiplications += _multiplications(module, x)
        if tuple(x.shape) != (2, CLASSES):
            raise ModelProblem(
                f"For images of shape {batch_shape((2, *shape))} it returns "
                f"{batch_shape(tuple(x.shape))}; expected (B, {CLASSES}), one logit per digit."
            )
        return Work(len(self.layers), multiplications, activations, at_once)


def _check(layer: Layer) -> None:
    """Raise ModelProblem where a layer's arguments are none that it can be made with."""
    try:
        ARGUMENTS[layer.kind].model_validate(layer.arguments)
    except ValidationError as problem:
        error = problem.errors()[0]
        place = str(error["loc"][0]) if error["loc"] else "its arguments"
        value = one_line(str(layer.arguments.get(place)), MAX_NAMED)
        raise ModelProblem(
            f"{layer} has {name(place)} = {value}, which can't be rebuilt here."
        ) from None


def count_parameters(module: nn.Module) -> int:
    """Numbers that training changes: the product of shapes over all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def batch_shape(shape: tuple[int, ...]) -> str:
    """A shape with B for the number of images."""
    return f"(B, {', '.join(str(size) for size in shape[1:])})" if len(shape) > 1 else "(B,)"


def _check_axis(module: nn.Module, x: Tensor) -> None:
    """Raise IndexError for a softmax over an axis that isn't there; meta tensors let it pass."""
    dim = getattr(module, "dim", None)
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and dim is not None:
        x.size(dim)


def _check_width(module: nn.Module, x: Tensor) -> None:
    """Raise ValueError where a Linear gets another number of inputs, plainer than torch does."""
    if isinstance(module, nn.Linear) and x.shape[-1] != module.in_features:
        raise ValueError(f"it expects {module.in_features} inputs and gets {x.shape[-1]}")


def _multiplications(module: nn.Module, output: Tensor) -> int:
    """Multiplications of one image's pass through a layer."""
    if isinstance(module, nn.Linear):
        return prod(output.shape[1:]) * module.in_features
    if isinstance(module, nn.Conv2d):
        return prod(output.shape[1:]) * prod(module.weight.shape[1:])
    return 0
