"""Runs confined: describes what a student's code has made, in words that JSON has.

A model becomes a list of layer names and constructor arguments, a module the names and
shapes of its parameters. What is missing or of the wrong kind is a Refusal.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .absent import importing

# What a layer is made from: the attributes that are passed to its constructor again.
LAYER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features", "bias"),
    "Conv2d": (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
        "padding_mode",
    ),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "AdaptiveAvgPool2d": ("output_size",),
    "AdaptiveMaxPool2d": ("output_size",),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "LayerNorm": ("normalized_shape", "eps", "elementwise_affine"),
    "Dropout": ("p",),
    "Dropout1d": ("p",),
    "Dropout2d": ("p",),
    "Softmax": ("dim",),
    "LogSoftmax": ("dim",),
    "Flatten": ("start_dim", "end_dim"),
    "Unflatten": ("dim", "unflattened_size"),
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "GELU": ("approximate",),
    "ReLU": (),
    "ReLU6": (),
    "SELU": (),
    "SiLU": (),
    "Sigmoid": (),
    "Tanh": (),
    "Softplus": (),
    "Identity": (),
    "Hardswish": (),
    "Mish": (),
}

MAX_LAYERS = 500
MAX_DEPTH = 20
MAX_COUNTED = 10**9  # parameters of a layer that isn't torch's
MAX_PROBLEM = 200  # characters about a pass that failed


class Refusal(Exception):
    """Something is missing or of the wrong kind; says what, and in which file."""

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file


def import_student(name: str) -> Any:
    """A module of the submission, imported once. Raises Refusal where there is no such file."""
    try:
        with importing():
            return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name == name:
            raise Refusal(f"{name}.py was not submitted", f"{name}.py") from None
        raise


def attribute(module: Any, name: str, file: str) -> Any:
    """An attribute that a slot must define. Raises Refusal where it is missing."""
    try:
        return getattr(module, name)
    except AttributeError:
        raise Refusal(f"{file} defines no {name}", file) from None


def is_sequence(layer: object) -> bool:
    """Whether a layer only passes its input through its own layers, one after the other.

    So does an nn.Sequential, and a subclass that has no forward of its own.
    """
    return (
        isinstance(layer, nn.Sequential)
        and type(layer).forward is nn.Sequential.forward
        and type(layer).__call__ is nn.Sequential.__call__
        and "forward" not in vars(layer)
    )


def sized(
    build: Callable[[], Any], inputs: Sequence[Sequence[int]], outputs: int
) -> tuple[Any, str]:
    """What a builder returns, lazy layers turned into ordinary ones; why not, where some stay lazy.

    A lazy layer takes its size from what it gets first. A batch of zeros is passed, in each of
    the shapes of `inputs` until one leads to (B, outputs); else the first counts.
    """
    model = build()
    if not isinstance(model, nn.Sequential) or not has_lazy_layers(model):
        return model, ""
    found = []
    for shape in inputs:
        problem, result = passed(model, shape)
        if isinstance(result, Tensor) and result.dim() == 2 and result.shape[1] == outputs:
            return model, ""
        found.append((model, problem))
        model = build()  # the sizes of this one are still open
    return found[0] if found else (model, "")


def has_lazy_layers(model: nn.Module) -> bool:
    """Whether some layer has no size yet."""
    return any(nn.parameter.is_lazy(one) for one in (*model.parameters(), *model.buffers()))


def passed(model: nn.Module, shape: Sequence[int]) -> tuple[str, Any]:
    """Pass a batch of zeros through a model: what went wrong, and what came out."""
    try:
        with torch.no_grad():
            return "", model.eval()(torch.zeros(2, *shape))
    except Exception as problem:  # noqa: BLE001  the student's own layers may raise anything
        first = str(problem).strip().partition("\n")[0]
        return f"{type(problem).__name__}: {first}"[:MAX_PROBLEM], None


def leaves(model: nn.Sequential, file: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of nested sequences, in order, with their paths."""
    stack: list[Iterator[tuple[str, Any]]] = [iter([("", model)])]
    count = 0
    while stack:
        path, layer = next(stack[-1], ("", None))
        if layer is None:
            stack.pop()
        elif is_sequence(layer):
            if len(stack) > MAX_DEPTH:
                raise Refusal("the nn.Sequential is nested too deeply", file)
            prefix = f"{path}." if path else ""
            stack.append(iter([(prefix + name, child) for name, child in layer._modules.items()]))
        else:
            count += 1
            if count > MAX_LAYERS:
                raise Refusal(f"the model has more than {MAX_LAYERS} layers", file)
            yield path, layer


def describe_layer(path: str, layer: nn.Module, same_as: int | None) -> dict[str, Any]:
    """One layer as its name and constructor arguments.

    One that can't be made from these is described by its name and how much it learns.
    """
    kind = type(layer)
    known = getattr(nn, kind.__name__, None) is kind and kind.__name__ in LAYER_ARGUMENTS
    description: dict[str, Any] = {
        "kind": kind.__name__ if known else f"{kind.__module__}.{kind.__name__}",
        "path": path,
        "known": known,
        "arguments": {},
        "same_as": same_as,
        "parameters": 0 if known else parameters_of(layer),
        "own_forward": isinstance(layer, nn.Sequential),
    }
    if known:
        for name in LAYER_ARGUMENTS[kind.__name__]:
            value = getattr(layer, name)
            description["arguments"][name] = value is not None if name == "bias" else plain(value)
    return description


def parameters_of(layer: nn.Module) -> int:
    """How many numbers a layer learns; those of a lazy layer are not known yet."""
    sizes = (one.numel() for one in layer.parameters() if not nn.parameter.is_lazy(one))
    return min(sum(sizes), MAX_COUNTED)


def describe_module(module: nn.Module) -> dict[str, Any]:
    """Names and shapes of the parameters, and the kinds of the modules that hold them."""
    parameters = [
        {"name": name, "shape": list(parameter.shape)}
        for name, parameter in module.named_parameters()
    ]
    modules = [
        {
            "path": path,
            "kind": type(part).__name__,
            "from_torch": type(part).__module__.startswith("torch.nn."),
            "p": plain(part.p) if isinstance(part, nn.Dropout) else None,
        }
        for path, part in module.named_modules()
        if path
    ]
    return {"parameters": parameters, "modules": modules}


def has_forward(module: nn.Module) -> bool:
    """Whether a module can be called: it has a forward of its own, or does without."""
    kind = type(module)
    return (
        kind.forward is not nn.Module.forward
        or kind.__call__ is not nn.Module.__call__
        or "forward" in vars(module)
    )


def without_forward(kind: type) -> str:
    """What is said of a class without forward: also what it has that may be meant for it."""
    own = {name.lower(): name for name in vars(kind) if not name.startswith("__")}
    near = [*difflib.get_close_matches("forward", own, 1), *(own.keys() & {"call"})]
    but = f", but one called {own[near[0]]}" if near else ""
    return f"{kind.__name__} has no method forward{but}"


def plain(value: Any) -> Any:
    """Numbers, strings and tuples of them as JSON has them; anything else as text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value[:8]]
    if isinstance(value, Tensor) and value.numel() == 1:
        return plain(value.item())
    return f"<{type(value).__name__}>"


def article(name: str) -> str:
    """'a Tensor', 'an int', 'nothing' for None."""
    if name == "NoneType":
        return "nothing (None)"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
