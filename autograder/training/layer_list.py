"""A model as a list of layers: validated, counted, and rebuilt with the grader's own torch.

A submission's nn.Sequential reaches the trusted side only in this form, so whatever its
process claims about weights, parameters or accuracy has nowhere to go.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from autograder.sandbox.replies import LayerReply
from autograder.sandbox.text import name, one_line
from autograder.training.layer import Layer, ModelProblem, Reason
from autograder.training.layer_arguments import ARGUMENTS, KEEP_SHAPE, MAX_PARAMETERS, MAX_SIZE
from autograder.training.layer_outputs import put_out
from provided.mnist import CLASSES, IMAGE_SIZE

MAX_ACTIVATIONS = 2_000_000  # numbers that one image turns into, all layers together
MAX_REASON = 200  # characters of what torch says about a layer
INDEX_DIGITS = 4
MAX_NAMED = 60  # characters of an argument's value in a sentence
MAX_MULTIPLICATIONS = 200_000_000  # of one image's forward pass


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
class LayerList:
    """The layers of one nn.Sequential, in order.

    lazy_problem: why some have no size, as torch or the student's code says it
    """

    layers: tuple[Layer, ...]
    lazy_problem: str = ""

    @classmethod
    def from_replies(cls, replies: Sequence[LayerReply], lazy_problem: str = "") -> LayerList:
        """From what a worker claims."""
        return cls(tuple(Layer(**reply.model_dump()) for reply in replies), lazy_problem)

    @property
    def foreign(self) -> list[Layer]:
        """The layers that can't be rebuilt."""
        return [layer for layer in self.layers if not layer.known or layer.kind not in ARGUMENTS]

    def outside(self, allowed: Collection[str]) -> list[Layer]:
        """The layers that a part's list doesn't allow; a lazy layer is what it would become."""
        return [
            layer
            for layer in self.layers
            if not (layer.known or layer.is_lazy) or layer.becomes not in allowed
        ]

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
                f"the limit for training here is {MAX_PARAMETERS:,}.",
                Reason.TOO_BIG,
            )
        self._input_shape(draft)
        return self._assemble()

    def parameter_counts(self) -> list[tuple[Layer, int]]:
        """How many parameters each layer has; a layer that stands twice counts once.

        Of a foreign layer it is what is claimed. Raises ModelProblem for a size that can't be.
        """
        foreign = self.foreign
        rest = tuple(
            Layer("Identity", layer.path, True, {}, None) if layer in foreign else layer
            for layer in self.layers
        )
        counts = map(count_parameters, LayerList(rest)._draft())
        return [
            (
                layer,
                0 if layer.same_as is not None else layer.parameters if layer in foreign else count,
            )
            for layer, count in zip(self.layers, counts, strict=True)
        ]

    def over_batch(self) -> list[Layer]:
        """The softmaxes that run over the images of a batch. Raises ModelProblem."""
        draft = self._draft()
        shape = self._input_shape(draft)
        inputs = [shape, *self._output_shapes(draft, shape)[:-1]]
        return [
            layer
            for layer, before in zip(self.layers, inputs, strict=True)
            if layer.kind in ("Softmax", "LogSoftmax")
            and layer.arguments["dim"] in _batch_axes(len(before) + 1)
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

        Raises ModelProblem where neither gives ten logits, or the model is far too big: that of
        the images that get further.
        """
        problems: list[ModelProblem] = []
        for shape in ((1, IMAGE_SIZE, IMAGE_SIZE), (IMAGE_SIZE**2,)):
            try:
                self._check_shapes(draft, shape)
            except ModelProblem as problem:
                problems.append(problem)
            else:
                return shape
        raise max(problems, key=lambda problem: problem.passed)

    def _check_arguments(self) -> None:
        if not self.layers:
            raise ModelProblem("It has no layers.")
        for index, layer in enumerate(self.layers):
            if layer.is_lazy:
                raise ModelProblem(
                    f"{layer} takes its size from what it gets first, and a batch of zeros didn't "
                    "get there.",
                    Reason.LAZY,
                )
            if not layer.known or layer.kind not in ARGUMENTS:
                so = "" if layer.described.endswith("rebuild") else ": the grader can't rebuild it"
                raise ModelProblem(f"{layer} is {layer.described}{so}.", Reason.FOREIGN)
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
                f"(limits: {MAX_MULTIPLICATIONS // 10**6} million and {MAX_ACTIVATIONS:,}).",
                Reason.TOO_BIG,
                len(self.layers),
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
        shapes: list[tuple[int, ...]] = []
        rows = False  # whether a Linear layer has worked on more than one axis of an image
        x = torch.zeros(2, *shape, device="meta")
        for layer, module in zip(self.layers, draft, strict=True):
            x, before = self._after(layer, module, x, len(shapes)), x
            rows = rows or (isinstance(module, nn.Linear) and before.dim() > 2)
            shapes.append(tuple(x.shape[1:]))
        if tuple(x.shape) != (2, CLASSES):
            raise ModelProblem(
                f"For images of shape {batch_shape((2, *shape))} it returns "
                f"{batch_shape(tuple(x.shape))}; expected (B, {CLASSES}), one logit per digit.",
                Reason.ROWS if rows else Reason.OUTPUT,
                len(shapes),
            )
        return shapes

    @staticmethod
    def _after(layer: Layer, module: nn.Module, x: Tensor, passed: int) -> Tensor:
        """What a layer makes of its input. Raises ModelProblem where it can't take it."""
        try:
            with warnings.catch_warnings(), torch.inference_mode():
                warnings.simplefilter("ignore")  # torch warns of a Softmax without dim
                _check_axis(module, x)
                _check_size(module, x)
                if layer.kind in KEEP_SHAPE:
                    return x
                return put_out(module, x)
        except Exception as problem:  # noqa: BLE001  torch raises many kinds
            said = one_line(str(problem).partition("\n")[0], MAX_REASON)
            reason = Reason.SIZE if isinstance(problem, _OtherSize) else Reason.OTHER
            if isinstance(module, nn.Linear) and x.dim() > 2:
                reason = Reason.ROWS
            raise ModelProblem(
                f"{layer} can't take its input of shape {batch_shape(tuple(x.shape))}: {said}",
                reason,
                passed,
            ) from None


class _OtherSize(ValueError):
    """A layer gets another number of inputs, channels or features than it was made for."""


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
        value = layer.arguments.get(place)
        too_big = isinstance(value, int) and value > MAX_SIZE
        raise ModelProblem(
            f"{layer} has {name(place)} = {one_line(str(value), MAX_NAMED)}, which can't be "
            "rebuilt here.",
            Reason.TOO_BIG if too_big else Reason.OTHER,
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


def _check_size(module: nn.Module, x: Tensor) -> None:
    """Raise _OtherSize where a layer is made for another size, plainer than torch does."""
    if isinstance(module, nn.Linear):
        made_for, got, what = module.in_features, x.shape[-1], "input"
    elif isinstance(module, nn.Conv2d) and x.dim() == 4:
        made_for, got, what = module.in_channels, x.shape[1], "channel"
    elif isinstance(module, nn.BatchNorm2d) and x.dim() == 4:
        made_for, got, what = module.num_features, x.shape[1], "channel"
    else:
        return
    if got != made_for:
        raise _OtherSize(
            f"it expects {made_for} {what}{'' if made_for == 1 else 's'} and gets {got}"
        )


def _batch_axes(axes: int) -> tuple[int | None, ...]:
    """How a softmax may call the first of so many axes; of three, torch takes it if unasked."""
    return (0, -axes, None) if axes == 3 else (0, -axes)


def _multiplications(module: nn.Module, output: tuple[int, ...]) -> int:
    """Multiplications of one image's pass through a layer that puts out this shape."""
    if isinstance(module, nn.Linear):
        return prod(output) * module.in_features
    if isinstance(module, nn.Conv2d):
        return prod(output) * prod(module.weight.shape[1:])
    return 0
