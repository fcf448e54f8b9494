"""A model as a list of layers: validated, counted, and rebuilt with the grader's own torch.

A submission's nn.Sequential reaches the trusted side only in this form, so whatever its
process claims about weights, parameters or accuracy has nowhere to go.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from autograder.sandbox.replies import LayerReply
from autograder.sandbox.text import name, one_line
from autograder.training.layer_arguments import ARGUMENTS, KEEP_SHAPE
from provided.mnist import CLASSES, IMAGE_SIZE

MAX_PARAMETERS = 5_000_000
MAX_ACTIVATIONS = 2_000_000  # numbers that one image turns into, all layers together
MAX_REASON = 200  # characters of what torch says about a layer
INDEX_DIGITS = 4
MAX_NAMED = 60  # characters of an argument's value in a sentence
MAX_MULTIPLICATIONS = 200_000_000  # of one image's forward pass


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

    def dropout_shares(self) -> list[float]:
        """The probability of every Dropout. Raises ModelProblem where one is none."""
        dropouts = self.of_kind("Dropout")
        for layer in dropouts:
            _check(layer)
        return [float(layer.arguments["p"]) for layer in dropouts]

    def hidden_shapes(self) -> list[tuple[int, ...]]:
        """What every Linear layer but the last, which gives the logits, puts out for one image.

        A Linear works on the last axis alone: before Flatten, it puts out its units for each
        of 28 rows. Where the layers don't fit each other, each counts with its own units.
        Raises ModelProblem where one claims a size that can't be.
        """
        linear = self.of_kind("Linear")
        for layer in linear:
            _check(layer)
        try:
            draft = self._draft()
            shapes = self._output_shapes(draft, self._input_shape(draft))
        except ModelProblem:
            return [(int(layer.arguments["out_features"]),) for layer in linear[:-1]]
        return [
            shape
            for layer, shape in zip(self.layers, shapes, strict=True)
            if layer.known and layer.kind == "Linear"
        ][:-1]

    def hidden_units(self) -> list[int]:
        """How many numbers each of them puts out for one image. Raises ModelProblem."""
        return [prod(shape) for shape in self.hidden_shapes()]

    def top_level_names(self) -> list[str]:
        """The names in the outermost nn.Sequential, in order.

        A container without layers is not seen; among torch's own names, "0", "1" and so on, it
        leaves a gap, which counts as a name.
        """
        names = list(dict.fromkeys(layer.path.partition(".")[0] for layer in self.layers))
        if names and all(map(_is_index, names)):
            return [str(index) for index in range(max(map(int, names)) + 1)]
        return names

    def top_level_indices(self) -> list[int]:
        """For each layer, the index in the outermost nn.Sequential that it lies under."""
        index = {name: index for index, name in enumerate(self.top_level_names())}
        return [index[layer.path.partition(".")[0]] for layer in self.layers]

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
        outputs = self._output_shapes(draft, shape)
        inputs = [shape, *outputs[:-1]]
        return Work(
            layers=len(self.layers),
            multiplications=sum(map(_multiplications, draft, outputs)),
            activations=sum(map(prod, outputs)),
            at_once=max(prod(b) + prod(a) for b, a in zip(inputs, outputs, strict=True)),
        )

    def _output_shapes(self, draft: nn.Sequential, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shape of what each layer puts out for one image of this shape.

        Raises ModelProblem where a layer can't take its input, or the last gives no logits.
        """
        x = torch.zeros(2, *shape, device="meta")
        shapes = []
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
                shapes.append(tuple(x.shape[1:]))
        if tuple(x.shape) != (2, CLASSES):
            raise ModelProblem(
                f"For images of shape {batch_shape((2, *shape))} it returns "
                f"{batch_shape(tuple(x.shape))}; expected (B, {CLASSES}), one logit per digit."
            )
        return shapes


def _is_index(text: str) -> bool:
    """Whether this is how torch names a layer of a nn.Sequential that has no names."""
    digits = text.isascii() and text.isdecimal() and len(text) <= INDEX_DIGITS
    return digits and str(int(text)) == text


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


def _multiplications(module: nn.Module, output: tuple[int, ...]) -> int:
    """Multiplications of one image's pass through a layer that puts out this shape."""
    if isinstance(module, nn.Linear):
        return prod(output) * module.in_features
    if isinstance(module, nn.Conv2d):
        return prod(output) * prod(module.weight.shape[1:])
    return 0
