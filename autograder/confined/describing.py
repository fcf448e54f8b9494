"""Runs confined: describes what a student's code has made, in words that JSON has.

A model becomes a list of layer names and constructor arguments, a module the names and
shapes of its parameters. What is missing or of the wrong kind is a Refusal.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

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

SETTINGS = ("learning_rate", "batch_size", "epochs", "schedule", "weight_decay")
MAX_LAYERS = 500
MAX_DEPTH = 20


class Refusal(Exception):
    """Something is missing or of the wrong kind; says what, and in which file."""

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file


def import_student(name: str) -> Any:
    """A module of the submission, imported once. Raises Refusal where there is no such file."""
    try:
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


def leaves(model: nn.Sequential, file: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of nested nn.Sequential containers, in order, with their paths."""
    stack: list[Iterator[tuple[str, Any]]] = [iter([("", model)])]
    count = 0
    while stack:
        path, layer = next(stack[-1], ("", None))
        if layer is None:
            stack.pop()
        elif type(layer) is nn.Sequential:
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
    """One layer as its name and constructor arguments; a custom one as its name alone."""
    kind = type(layer)
    known = getattr(nn, kind.__name__, None) is kind and kind.__name__ in LAYER_ARGUMENTS
    description: dict[str, Any] = {
        "kind": kind.__name__ if known else f"{kind.__module__}.{kind.__name__}",
        "path": path,
        "known": known,
        "arguments": {},
        "same_as": same_as,
    }
    if known:
        for name in LAYER_ARGUMENTS[kind.__name__]:
            value = getattr(layer, name)
            description["arguments"][name] = value is not None if name == "bias" else plain(value)
    return description


def describe_settings(module: Any, name: str, file: str) -> dict[str, Any]:
    """The fields of a Training(...) object, as plain values."""
    settings = attribute(module, name, file)
    missing = [field for field in SETTINGS if not hasattr(settings, field)]
    if missing:
        raise Refusal(f"{name} is not a Training(...): it has no {missing[0]}", file)
    result = {field: plain(getattr(settings, field)) for field in SETTINGS}
    decay = getattr(settings, "layer_weight_decay", {})
    if not isinstance(decay, dict):
        raise Refusal(f"{name}.layer_weight_decay is not a dictionary", file)
    result["layer_weight_decay"] = {str(layer): plain(value) for layer, value in decay.items()}
    return result


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
