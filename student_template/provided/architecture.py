"""A network in a line."""

from __future__ import annotations

from torch import nn


def in_short(model: nn.Module) -> str:
    """The architecture in a line: 'Flatten, Linear(784, 50), ReLU, Linear(50, 10)'."""
    if not isinstance(model, nn.Sequential):
        return type(model).__name__
    return ", ".join(layer_in_short(layer) for layer in model)


def layer_in_short(layer: nn.Module) -> str:
    """One layer with the sizes that matter."""
    name = type(layer).__name__
    if isinstance(layer, nn.Sequential):
        return in_short(layer)
    if isinstance(layer, nn.Linear):
        return f"{name}({layer.in_features}, {layer.out_features})"
    if isinstance(layer, nn.Conv2d):
        sizes = [layer.in_channels, layer.out_channels, one_number(layer.kernel_size)]
        stride, padding = one_number(layer.stride), one_number(layer.padding)
        sizes += [f"stride={stride}"] if stride != 1 else []
        sizes += [f"padding={padding}"] if padding != 0 else []
        return f"{name}({', '.join(str(size) for size in sizes)})"
    if isinstance(layer, nn.MaxPool2d):
        return f"{name}({one_number(layer.kernel_size)})"
    if isinstance(layer, nn.BatchNorm2d):
        return f"{name}({layer.num_features})"
    if isinstance(layer, nn.Dropout):
        return f"{name}({layer.p:g})"
    return name


def one_number(size: object) -> object:
    """3 for (3, 3); anything else as it is."""
    if isinstance(size, tuple) and len(set(size)) == 1:
        return size[0]
    return size
