"""One way to read a module's parameters, with the mistakes that reproduce its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from autograder.hw5.probes.asker import Case
from autograder.rubric.comparison import compare
from autograder.rubric.mistake import Finding, Pass, Step, Variant, run


@dataclass(frozen=True)
class Reading:
    """A reading of the parameters, and the variants that reproduce the output under it.

    STEPS: the reference's own, which variants replace
    """

    STEPS: ClassVar[Mapping[str, Step]]

    roles: Any
    variants: tuple[Variant, ...]

    @property
    def finding(self) -> Finding | None:
        """The mistakes in it; None where the module is right."""
        return Finding(self.variants) if self.variants else None

    def steps(self, case: Case[Any], *more: Variant) -> Pass[Any]:
        """Every step of a case, mistakes included."""
        return self._run(case, case.x, case.values, more)

    def gradients(self, case: Case[Any], *more: Variant) -> dict[str, Tensor]:
        """Gradients of the input and every parameter, mistakes included."""
        leaves = {name: value.clone().requires_grad_() for name, value in case.values.items()}
        x = case.x.clone().requires_grad_()
        out = self._run(case, x, leaves, more)["out"]
        return pulled_back(out, case.upstream, {"x": x, **leaves})

    def _run(
        self, case: Case[Any], x: Tensor, values: Mapping[str, Tensor], more: tuple[Variant, ...]
    ) -> Pass[Any]:
        given = Pass(x, self.roles.parameters(values), case)
        return run(self.STEPS, (*self.variants, *more), given)


def pulled_back(out: Tensor, upstream: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of <upstream, out>; zero where nothing flows."""
    if not out.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    found = torch.autograd.grad(out, list(leaves.values()), upstream, allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


def same(got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether every expected gradient came back."""
    return all(
        name in got and compare(got[name], gradient) is None for name, gradient in expected.items()
    )
