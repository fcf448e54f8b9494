"""A network of a submission, looked at without the grader's code: what sentences are held against.

The source is run here, and real batches of zeros go through the layers that come of it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autograder.confined.absent import importing

from .conftest import stand_ins

NOWHERE = Path("nowhere")  # the folder that the source is said to lie in
SHAPES = ((1, 28, 28), (784,))


@dataclass(frozen=True)
class Attempt:
    """A batch of two on its way through the layers: what each got, and where it ended."""

    inputs: list[tuple[int, ...]]
    outputs: list[tuple[int, ...]]
    problem: str

    @property
    def gives_logits(self) -> bool:
        return not self.problem and bool(self.outputs) and self.outputs[-1] == (2, 10)


@dataclass(frozen=True)
class Evidence:
    """A submission's network: its source, who builds it, its settings' name."""

    source: str
    builder: str
    settings_name: str

    @cached_property
    def namespace(self) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "models"}
        with stand_ins(NOWHERE), importing():
            exec(compile(self.source, str(NOWHERE / "models.py"), "exec"), names)
        return names

    @property
    def settings(self) -> Any:
        return self.namespace[self.settings_name]

    @property
    def fresh(self) -> nn.Module:
        """The model as it is built, lazy layers and all."""
        return self.namespace[self.builder]().eval()

    @cached_property
    def tried(self) -> list[tuple[list[tuple[str, nn.Module]], Attempt]]:
        """The layers after a batch of either shape, and what became of it."""
        return [attempt(self.fresh, shape) for shape in SHAPES]

    @cached_property
    def attempts(self) -> list[Attempt]:
        return [one for _, one in self.tried]

    @cached_property
    def working(self) -> Attempt | None:
        """The batch that led to logits."""
        return next((one for one in self.attempts if one.gives_logits), None)

    @cached_property
    def layers(self) -> dict[str, nn.Module]:
        """Each layer by its path."""
        good = (found for found, one in self.tried if one.gives_logits)
        return dict(next(good, self.tried[0][0]))

    def named(self, name: str, path: str) -> nn.Module | None:
        """The layer at a path where its class has this name."""
        layer = self.layers.get(path)
        return layer if type(layer).__name__ == name else None

    @cached_property
    def foreign(self) -> dict[str, nn.Module]:
        """The layers that are not the plain ones which the grader knows how to make."""
        return {path: one for path, one in self.layers.items() if is_own(one) or is_strange(one)}

    def has(self, kind: str, *, inside: bool) -> bool:
        """Whether a layer of torch's of this name is there; `inside` the layers too."""
        wanted = (getattr(nn, kind), getattr(nn, f"Lazy{kind}", ()))
        found = [m for one in self.layers.values() for m in one.modules()]
        return any(type(one) in wanted for one in (found if inside else self.layers.values()))

    @cached_property
    def hidden(self) -> list[int]:
        """What each Linear but the last puts out for one image."""
        linear = [index for index, one in enumerate(self.layers.values()) if type(one) is nn.Linear]
        layers = list(self.layers.values())
        seen = self.working is not None and not self.foreign
        return [
            torch.Size(self.working.outputs[index][1:]).numel()
            if seen and self.working
            else layers[index].out_features
            for index in linear[:-1]
        ]

    def parameters(self, path: str) -> int:
        """Numbers that the layer at a path learns; one that stands twice counts once."""
        first = next(one for one, layer in self.layers.items() if layer is self.layers[path])
        if first != path:
            return 0
        return sum(
            one.numel() for one in self.layers[path].parameters() if not nn.parameter.is_lazy(one)
        )

    @property
    def numbers_between(self) -> int:
        """What all layers put out for one image."""
        outputs = self.working.outputs if self.working else []
        return sum(torch.Size(shape[1:]).numel() for shape in outputs)

    @property
    def multiplications(self) -> int:
        """Of one image's pass through the layers."""
        outputs = self.working.outputs if self.working else []
        return sum(
            torch.Size(shape[1:]).numel() * layer.weight[0].numel()
            for layer, shape in zip(self.layers.values(), outputs, strict=False)
            if isinstance(layer, (nn.Linear, nn.Conv2d))
        )

    @property
    def all_parameters(self) -> int:
        return sum(map(self.parameters, self.layers))


def attempt(
    model: nn.Module, shape: tuple[int, ...]
) -> tuple[list[tuple[str, nn.Module]], Attempt]:
    """Pass a batch of two through a model, layer by layer."""
    layers, inputs, outputs, x = unfolded("", model), [], [], torch.zeros(2, *shape)
    problem = ""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, layer in layers:
            inputs.append(tuple(x.shape))
            try:
                x = layer(x)
            except Exception as error:  # noqa: BLE001  whatever a layer says is kept
                problem = f"{type(error).__name__}: {error}"
                break
            outputs.append(tuple(x.shape) if isinstance(x, Tensor) else ())
    return layers, Attempt(inputs, outputs, problem)


def unfolded(path: str, model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers of a sequence that has no forward of its own, with their paths."""
    kinds = type(model).__mro__
    own = kinds[: kinds.index(nn.Sequential)] if nn.Sequential in kinds else kinds
    plain = nn.Sequential in kinds and not any("forward" in vars(kind) for kind in own)
    if not plain:
        return [(path, model)]
    start = f"{path}." if path else ""
    return [one for name, part in model._modules.items() for one in unfolded(start + name, part)]


def is_own(layer: nn.Module) -> bool:
    """Whether its class is not torch's."""
    return not type(layer).__module__.startswith("torch.")


def is_strange(layer: nn.Module) -> bool:
    """Whether it is one of torch's that the homework has no use for."""
    return type(layer).__name__ in STRANGE


STRANGE = {"PReLU", "GroupNorm", "Conv1d", "LSTM"}
