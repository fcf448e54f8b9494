"""Questions to an attention head, and the answers as evidence."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder.homework import HEAD
from autograder.hw5.probes import reference
from autograder.hw5.probes.asker import (
    Asker,
    Case,
    Shapes,
    attempt,
    kept_shapes,
    shapes_of,
    trained_numbers,
)
from autograder.hw5.probes.roles import (
    HeadRoles,
    RolesUnclear,
    head_candidates,
    loose_head_candidates,
)
from autograder.rubric.comparison import Difference, compare, well_formed
from autograder.sandbox.client import Workers
from autograder.sandbox.errors import StudentCodeRaised, WorkerError
from autograder.sandbox.replies import ModuleReply

EVAL_DROPOUT = 0.25  # dropout that must be silent in evaluation
LARGE = 40.0  # factor on query and key at which scores pass 709, where exp overflows float64


@dataclass(frozen=True)
class HeadSize:
    """Sizes that a head is asked about; all different within one question."""

    batch: int
    tokens: int
    input_dim: int
    inner_dim: int

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(B, T, D)."""
        return (self.batch, self.tokens, self.inner_dim)


BASE_SIZE = HeadSize(batch=3, tokens=7, input_dim=12, inner_dim=5)
OTHER_SIZES = (HeadSize(2, 11, 6, 9), HeadSize(1, 1, 8, 3), HeadSize(5, 4, 3, 16))


@dataclass(frozen=True)
class HeadCase(Case[HeadSize]):
    """One forward (and backward) pass of a student's head: what was sent, what came back."""

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(B, T, D)."""
        return self.size.out_shape

    @property
    def map_shape(self) -> tuple[int, ...]:
        """(B, T, T)."""
        return (self.size.batch, self.size.tokens, self.size.tokens)

    @property
    def out(self) -> Tensor:
        """The output: the tensor of its shape, wherever it stands; else the first but the map."""
        shapes = [tuple(output.shape) for output in self.outputs]
        if self.out_shape not in shapes and shapes[0] == self.map_shape and len(shapes) > 1:
            return self.outputs[1]
        return super().out

    @property
    def attention(self) -> Tensor | None:
        """The attention weights: the tensor of their shape, else the second, if there is one."""
        rest = [o for o in self.outputs if o is not self.out]
        return next(
            (o for o in rest if tuple(o.shape) == self.map_shape), rest[0] if rest else None
        )


@dataclass(frozen=True, eq=False)
class HeadProbe:
    """All that is known about a student's attention head.

    candidates: every reading of its parameters as three projections
    loose:      where there is none, readings that only a mistaken head can have
    called:     ready-made attention that it was seen to call
    idle:       parameters that do nothing
    trained:    single numbers that training would change, as a learned scale
    """

    parts: ModuleReply
    candidates: list[HeadRoles]
    loose: list[HeadRoles]
    roles_problem: str
    base: HeadCase
    others: list[HeadCase | WorkerError]
    large: HeadCase | WorkerError | None
    float64_problem: WorkerError | Difference | None = field(default=None)
    called: tuple[str, ...] = ()
    idle: frozenset[str] = frozenset()
    trained: tuple[str, ...] = ()

    @cached_property
    def roles(self) -> HeadRoles | None:
        """The reading of the parameters that reproduces the student's numbers, if any."""
        for candidate in self.candidates:
            if self.difference(self.base, candidate) is None:
                return candidate
        return None

    @property
    def is_right(self) -> bool:
        """Whether the head can be built on: it computes and returns what the reference does."""
        works = self.base.in_order and self.base.backward is None
        return self.roles is not None and works and self.float64_problem is None

    @property
    def can_stand(self) -> bool:
        """Whether a Vision Transformer can be built on it: right, and returning its weights."""
        return self.is_right and self._returns_weights

    @property
    def _returns_weights(self) -> bool:
        """Whether what it returns beside its output are the attention weights."""
        got, roles = self.base.attention, self.roles
        if got is None or roles is None:
            return False
        return compare(got, self.expected(self.base, roles).attention) is None

    def difference(self, case: HeadCase, roles: HeadRoles) -> Difference | None:
        """How the student's output differs from the reference's under one reading."""
        return compare(case.out, self.expected(case, roles).out)

    @staticmethod
    def expected(case: HeadCase, roles: HeadRoles) -> reference.HeadSteps:
        """The reference's steps for a case."""
        return reference.head(case.x, roles.parameters(case.values))

    def closest(self, case: HeadCase) -> Difference | None:
        """The smallest difference over all readings; None where one agrees."""
        found = [self.difference(case, roles) for roles in self.candidates]
        known = [one for one in found if one is not None]
        if not found or len(known) < len(found):
            return None
        return min(known, key=lambda one: one.largest if one.largest is not None else 1e300)


def probe_head(sandbox: Workers, generator: torch.Generator, seconds: float) -> HeadProbe:
    """Ask a student's head all that its rubric lines need. Raises WorkerError."""
    with sandbox.worker() as worker:
        asked = HeadAsker(worker, generator, seconds, HEAD.name)
        parts = asked.construct(HEAD, _head_arguments(BASE_SIZE))
        float64_problem: StudentCodeRaised | Difference | None = None
        try:
            base = asked.head_case(parts, BASE_SIZE, torch.float64)
            if base.out.dtype != torch.float64:
                float64_problem = well_formed(base.out, tuple(base.out.shape), torch.float64)
        except StudentCodeRaised as problem:
            float64_problem = problem
        if float64_problem is not None:
            base = asked.head_case(parts, BASE_SIZE, torch.float32)
        idle = asked.idle(parts, base)
    dtype, called = base.x.dtype, tuple(sorted(asked.called))
    with sandbox.worker() as worker:
        asked = HeadAsker(worker, generator, seconds, HEAD.name)
        names = shapes_of(parts).keys()
        others = [attempt(asked.fresh_head_case, size, dtype, names) for size in OTHER_SIZES]
        large = attempt(asked.fresh_head_case, BASE_SIZE, dtype, names, LARGE)
    candidates, loose, unclear = _head_readings(shapes_of(parts), idle)
    return HeadProbe(
        parts,
        candidates,
        loose,
        unclear,
        base,
        others,
        large,
        float64_problem,
        called,
        idle,
        trained_numbers(parts, base.gradients),
    )


def _head_readings(
    shapes: Shapes, idle: Collection[str]
) -> tuple[list[HeadRoles], list[HeadRoles], str]:
    """Readings of a head at the base size, else loose ones and why there are no others."""
    sizes = (BASE_SIZE.input_dim, BASE_SIZE.inner_dim)
    why = ""
    for kept in kept_shapes(shapes, idle):
        try:
            return head_candidates(kept, *sizes), [], ""
        except RolesUnclear as unclear:
            why = str(unclear)
    found = (loose_head_candidates(kept, *sizes) for kept in kept_shapes(shapes, idle))
    return [], next(filter(None, found), []), why


class HeadAsker(Asker):
    """Passes random numbers through a student's attention head."""

    def fresh_head_case(
        self, size: HeadSize, dtype: torch.dtype, names: Collection[str], factor: float = 1.0
    ) -> HeadCase:
        """Construct a head of this size, with parameters of these names, and use it."""
        parts = self.construct(HEAD, _head_arguments(size))
        if shapes_of(parts).keys() != set(names):
            problem = "its parameters have other names than for another size"
            raise self.refuse(problem, f"making {self._name}")
        return self.head_case(parts, size, dtype, factor)

    def head_case(
        self, parts: ModuleReply, size: HeadSize, dtype: torch.dtype, factor: float = 1.0
    ) -> HeadCase:
        """Pass random numbers forward and backward through a constructed head."""
        values = self.draw(shapes_of(parts), dtype, factor)
        x = self.normal((size.batch, size.tokens, size.input_dim), dtype)
        seed = self.seed()  # one for both passes, so that random zeros fall on the same places
        case = HeadCase(size, values, x)
        return self.pass_through(parts, case, seed=seed)


def _head_arguments(size: HeadSize) -> dict[str, Any]:
    return {
        "input_dim": size.input_dim,
        "inner_dim": size.inner_dim,
        "dropout": EVAL_DROPOUT,
    }
