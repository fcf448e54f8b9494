"""One layer of a model as a worker claims it, and why a model can't be trained."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from torch import nn

from autograder.sandbox.text import name as as_name


class Reason(enum.Enum):
    """Why a layer list is no model to train."""

    OTHER = "other"  # a layer can't be made, or can't take its input
    FOREIGN = "a layer can't be rebuilt"
    LAZY = "a lazy layer has no size"
    TOO_BIG = "too big to train"
    SIZE = "a layer is made for another size of input"
    ROWS = "a Linear layer gets images that are not flattened"
    OUTPUT = "the wrong number of outputs"


class ModelProblem(Exception):
    """A layer list that can't be rebuilt or doesn't turn images into logits; says why.

    passed: how many layers an image got through
    """

    def __init__(self, text: str, reason: Reason = Reason.OTHER, passed: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.passed = passed


@dataclass(frozen=True)
class Layer:
    """One layer: its class in torch.nn, its place in the student's model, its arguments.

    A foreign layer can't be rebuilt, so all that is said of it is a claim:
    parameters:  how many numbers it learns
    own_forward: it is an nn.Sequential that does something of its own with its layers
    """

    kind: str
    path: str
    known: bool
    arguments: dict[str, Any]
    same_as: int | None
    parameters: int = 0
    own_forward: bool = False

    def __str__(self) -> str:
        place = f" (layer {as_name(self.path)})" if self.path else ""
        return f"{self.name}{place}"

    @property
    def name(self) -> str:
        """The class's name alone."""
        return self.kind.rpartition(".")[2]

    @property
    def is_own(self) -> bool:
        """Whether the class is a student's own, as far as its module says."""
        return not self.known and not self.kind.startswith("torch.")

    @property
    def is_lazy(self) -> bool:
        """Whether it is one of torch's lazy layers that has no size yet."""
        return not self.known and not self.is_own and self.name.startswith("Lazy")

    @property
    def becomes(self) -> str:
        """Its kind; of a lazy layer, the kind that it becomes with its first input."""
        return self.name.removeprefix("Lazy") if self.is_lazy else self.kind

    @property
    def described(self) -> str:
        """What a foreign layer is, for after its name and "is"."""
        if self.own_forward:
            return "an nn.Sequential with a forward of its own"
        if not self.is_own:
            return "not a layer that the grader can rebuild"
        same_name = isinstance(getattr(nn, self.name, None), type)
        named = f" named {self.name}, not torch.nn's" if same_name else ""
        return f"a class of your own{named}"
