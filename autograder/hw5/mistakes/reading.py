"""One way to read a module's parameters, with the mistakes that reproduce its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from autograder.hw5.probes.asker import Case
from autograder.rubric.comparison import compare
from autograder.rubric.mistake import (
    MOST_AT_ONCE,
    DoesNotApply,
    Finding,
    Pass,
    Step,
    Variant,
    combined,
    run,
)


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

    def paid_on(self, line: str) -> Finding | None:
        """The mistakes in it that belong to a rubric line."""
        return Finding(self.variants).paid_on(line)

    def steps(self, case: Case[Any], *more: Variant) -> Pass[Any]:
        """Every step of a case, mistakes included."""
        return self._run(case, case.x, case.values, more)

    def gradients(self, case: Case[Any], *more: Variant) -> dict[str, Tensor]:
        """Gradients of the input and every parameter, mistakes included."""
        leaves = {name: value.clone().requires_grad_() for name, value in case.values.items()}
        x = case.x.clone().requires_grad_()
        out = self._run(case, x, leaves, more)["out"]
        found = pulled_back(out, case.upstream, {"x": x, **leaves})
        frozen = {name for variant in (*self.variants, *more) for name in variant.frozen}
        return {
            name: torch.zeros_like(value) if name in frozen else value
            for name, value in found.items()
        }

    def _run(
        self, case: Case[Any], x: Tensor, values: Mapping[str, Tensor], more: tuple[Variant, ...]
    ) -> Pass[Any]:
        given = Pass(x, self.roles.parameters(values), case)
        return run(self.STEPS, (*self.variants, *more), given)


class Passes:
    """Forward passes of a case under one reading, with variant after variant.

    A pass with several variants takes over what it shares with the pass of the one that changes
    the earliest step: a search runs thousands of them.
    """

    def __init__(self, reading: Reading, case: Case[Any]) -> None:
        self.reading = reading
        self.case = case
        self._parameters = reading.roles.parameters(case.values)
        self._order = {name: place for place, name in enumerate(reading.STEPS)}
        self._alone: dict[str, Pass[Any]] = {}

    def under(self, variants: Sequence[Variant]) -> Pass[Any] | None:
        """Every step with these variants; None where these shapes don't allow them."""
        ordered = sorted(variants, key=self._begins)
        given = Pass(self.case.x, self._parameters, self.case)
        if len(ordered) > 1:
            first = ordered[0]
            if first.id not in self._alone:
                self._alone[first.id] = Pass(self.case.x, self._parameters, self.case)
                self._run((first,), self._alone[first.id])
            given.take_over(self._alone[first.id], list(self._order)[: self._begins(ordered[1])])
        return self._run(variants, given)

    def _run(self, variants: Sequence[Variant], given: Pass[Any]) -> Pass[Any] | None:
        try:
            return run(self.reading.STEPS, variants, given)
        except (DoesNotApply, RuntimeError):
            return None

    def _begins(self, variant: Variant) -> int:
        """The place of the first step that a variant changes."""
        return min(self._order[name] for name in variant.steps)


def matching(
    tried: Sequence[Passes],
    tries: Sequence[tuple[Variant, ...]],
    holds: Callable[[Pass[Any]], bool],
) -> Iterator[Any]:
    """The readings, with the variants among `tries`, under which a pass holds."""
    for passes in tried:
        for variants in tries:
            steps = passes.under(variants)
            if steps is not None and holds(steps):
                yield replace(passes.reading, variants=variants)


def in_gradients(
    reading: Reading, case: Case[Any], variants: Sequence[Variant], frozen: Variant
) -> Finding | None:
    """Which mistakes that only gradients show reproduce the student's, the fewest first.

    frozen: the mistake of parameters that get no gradient while all else does; where it does as
    well as another, the other is meant
    """
    beside: tuple[Variant, ...] | None = None  # what explains all, with frozen parameters
    for count in range(MOST_AT_ONCE + 1):
        found = beside
        beside = None
        for chosen in combined(variants, count, reading.variants):
            expected = reading.gradients(case, *chosen)
            idle = _idle(case.gradients, expected)
            for name in idle:
                expected[name] = torch.zeros_like(expected[name])
            if not same(case.gradients, expected):
                continue
            if not idle:
                return Finding(chosen) if chosen else None
            beside = beside or (*chosen, replace(frozen, frozen=idle))
        if found is not None:
            return Finding(found)
    return Finding(beside) if beside else None


def _idle(got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> frozenset[str]:
    """Parameters that have no gradient where one is expected."""
    return frozenset(
        name
        for name, gradient in expected.items()
        if name != "x" and name in got and not got[name].any() and gradient.any()
    )


def pulled_back(out: Tensor, upstream: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of <upstream, out>; zero where nothing flows."""
    if not out.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    if out.shape != upstream.shape:
        raise RuntimeError(f"an upstream {tuple(upstream.shape)} for {tuple(out.shape)}")
    # Given the upstream itself, torch imports sympy: half a second.
    found = torch.autograd.grad((out * upstream).sum(), list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


def same(got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether every expected gradient came back."""
    return all(
        name in got and compare(got[name], gradient) is None for name, gradient in expected.items()
    )
