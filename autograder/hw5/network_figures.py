"""A network of question 2 in short, for staff: its layers, its settings, its size."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from torch import nn

from autograder.hw5.described import Model
from autograder.sandbox.text import name, one_line
from autograder.training.layer import Layer, ModelProblem
from autograder.training.layer_list import LayerList
from provided.training import Training

MAX_VALUE = 60  # characters of an argument or a setting


def network_figures(model: Model) -> dict[str, Any]:
    """Layers, settings where they can be read, and parameters where they can be counted."""
    found: dict[str, Any] = {"layers": layers_in_short(model.layers)}
    if model.settings is not None:
        found["settings"] = settings_in_short(model.settings)
    parameters = count_of_parameters(model.layers)
    if parameters is not None:
        found["parameters"] = parameters
    return found


def layers_in_short(layers: LayerList) -> list[str]:
    """Each layer as one would write it: Linear(784, 64), Dropout(p=0.2)."""
    return [_in_short(layer) for layer in layers.layers]


def settings_in_short(settings: Training) -> dict[str, float | str]:
    """Every setting by its name; what is neither a number nor a word, as Python writes it."""
    values = {one.name: getattr(settings, one.name) for one in fields(settings)}
    return {
        key: value
        if isinstance(value, (int, float, str)) and not isinstance(value, bool)
        else one_line(repr(value), MAX_VALUE)
        for key, value in values.items()
    }


def count_of_parameters(layers: LayerList) -> int | None:
    """How many parameters the network has; None where its layers can't be rebuilt."""
    try:
        return sum(count for _, count in layers.parameter_counts())
    except ModelProblem:
        return None


def _in_short(layer: Layer) -> str:
    kind = name(layer.kind)
    again = f" (the same as layer {layer.same_as})" if layer.same_as is not None else ""
    return f"{kind}({', '.join(_arguments(layer))}){again}"


def _arguments(layer: Layer) -> Iterator[str]:
    """The arguments that torch has no default for, then those that differ from it, by name."""
    torch_class = getattr(nn, layer.kind, None) if layer.known else None
    usual = inspect.signature(torch_class).parameters if inspect.isclass(torch_class) else {}
    for argument, value in layer.arguments.items():
        default = usual[argument].default if argument in usual else inspect.Parameter.empty
        if default is inspect.Parameter.empty and argument in usual:
            yield _value(value)
        elif value != default:
            yield f"{name(argument)}={_value(value)}"


def _value(value: Any) -> str:
    """A value; of a pair of equal numbers, one."""
    pair = isinstance(value, (list, tuple)) and len(value) == 2 and value[0] == value[1]
    return one_line(str(value[0] if pair else value), MAX_VALUE)
