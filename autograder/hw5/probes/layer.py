"""Questions to an encoder layer, and the answers as evidence."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autograder.homework import LAYER
from autograder.hw5.probes import layer_dropout, reference
from autograder.hw5.probes.asker import (
    Asker,
    Case,
    Heads,
    attempt,
    kept_shapes,
    shapes_of,
    trained_numbers,
)
from autograder.hw5.probes.head import HeadProbe
from autograder.hw5.probes.layer_dropout import PROBE_DROPOUT, LayerDropout, Place, silent
from autograder.hw5.probes.roles import Block, HeadRoles, LayerRoles, RolesUnclear, layer_candidates
from autograder.rubric.comparison import Difference, compare, well_formed
from autograder.sandbox.client import Workers
from autograder.sandbox.errors import StudentCodeRaised, WorkerError
from autograder.sandbox.replies import ModuleReply

HARNESS_HEAD = HeadRoles(
    Block("query.weight", 0, 1), Block("key.weight", 0, 1), Block("value.weight", 0, 1)
)


@dataclass(frozen=True)
class LayerSize:
    """Sizes that an encoder layer is asked about; all different, also heads · dim_head."""

    batch: int = 2
    tokens: int = 7
    dim: int = 12
    heads: int = 3
    dim_head: int = 5
    mlp_dim: int = 20

    def arguments(self, dropout: float) -> dict[str, Any]:
        """For ViTLayer(...)."""
        return {
            "dim": self.dim,
            "heads": self.heads,
            "dim_head": self.dim_head,
            "mlp_dim": self.mlp_dim,
            "dropout": dropout,
        }

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(B, T, dim)."""
        return (self.batch, self.tokens, self.dim)


@dataclass(frozen=True)
class LayerCase(Case[LayerSize]):
    """One pass of a student's encoder layer: what was sent, what came back."""


@dataclass(frozen=True, eq=False)
class LayerProbe:
    """All that is known about a student's encoder layer.

    candidates: every reading of its parameters as those of an encoder layer
    loose:      where there is none, readings that only a mistaken layer can have
    dropout:    what a layer made with dropout does; None where its parameters have no reading
    always:     whether a layer made with dropout=0 still drops numbers in training
    idle:       parameters that do nothing
    trained:    single numbers that training would change, as a learned factor
    silent_dropout: the base case again in a layer made with dropout, which evaluation silences
    """

    parts: ModuleReply
    candidates: list[LayerRoles]
    loose: list[LayerRoles]
    roles_problem: str
    base: LayerCase
    silent_branches: LayerCase | None
    dropout: LayerDropout | WorkerError | None
    activation: str | None
    always: bool = False
    idle: frozenset[str] = frozenset()
    trained: tuple[str, ...] = ()
    silent_dropout: LayerCase | WorkerError | None = None

    @property
    def readings(self) -> list[LayerRoles]:
        """The candidates, or what stands in for them."""
        return self.candidates or self.loose

    def expected(self, roles: LayerRoles) -> reference.LayerSteps:
        """The reference's steps for the base case."""
        return reference.encoder_layer(self.base.x, roles.parameters(self.base.values))

    def closest(self) -> Difference | None:
        """The smallest difference over all readings; None where one agrees."""
        found = [compare(self.base.out, self.expected(roles).out) for roles in self.readings]
        known = [one for one in found if one is not None]
        if not found or len(known) < len(found):
            return None
        return min(known, key=lambda one: one.largest if one.largest is not None else 1e300)


def probe_layer(
    sandbox: Workers, generator: torch.Generator, seconds: float, own_head: HeadProbe | None
) -> LayerProbe:
    """Ask a student's encoder layer all that its rubric lines need. Raises WorkerError.

    It is built on the harness's heads, except for the question after dropout, where the
    student's own head counts if it is right (`own_head`): its dropout may be the one asked for.
    """
    size = LayerSize()
    with sandbox.worker() as worker:
        asked = LayerAsker(worker, generator, seconds, LAYER.name)
        parts = asked.construct(LAYER, size.arguments(dropout=0.0), Heads.HARNESS)
        dtype = torch.float64
        values = asked.draw(shapes_of(parts), dtype)
        try:
            base = asked.layer_case(parts, size, values, dtype)
        except StudentCodeRaised:
            dtype = torch.float32
            values = {name: value.float() for name, value in values.items()}
            base = asked.layer_case(parts, size, values, dtype)
        idle = asked.idle(parts, base)
        candidates, loose, problem = _layer_readings(parts, size, idle)
        silent_branches = activation = None
        for roles in (candidates or loose)[:1]:
            silenced = silent(values, roles, Place.AFTER_ATTENTION, Place.AFTER_MLP)
            silent_branches = asked.layer_case(parts, size, silenced, dtype)
            activation = asked.activation(parts, size, roles, values)
        in_training = [asked.in_training(parts, base) for _ in range(2)]
    dropout: LayerDropout | WorkerError | None = None
    if candidates or loose:
        dropout = attempt(_probe_dropout, sandbox, generator, seconds, own_head, dtype)
    return LayerProbe(
        parts,
        candidates,
        loose,
        problem,
        base,
        silent_branches,
        dropout,
        activation,
        compare(*in_training) is not None,
        idle,
        trained_numbers(parts, base.gradients),
        attempt(_silent_dropout, sandbox, generator, seconds, base) if candidates else None,
    )


def _probe_dropout(
    sandbox: Workers,
    generator: torch.Generator,
    seconds: float,
    own_head: HeadProbe | None,
    dtype: torch.dtype,
) -> LayerDropout:
    """What dropout a layer uses that is made with some. Raises WorkerError."""
    heads = Heads.HARNESS if own_head is None else Heads.STUDENT
    head_roles = HARNESS_HEAD if own_head is None else own_head.roles
    assert head_roles is not None
    size = LayerSize(batch=4, tokens=16)  # many numbers: a small share drops some of them too
    with sandbox.worker() as worker:
        asked = LayerAsker(worker, generator, seconds, LAYER.name)
        parts = asked.construct(LAYER, size.arguments(PROBE_DROPOUT), heads)
        values = asked.draw(shapes_of(parts), dtype)
        candidates, loose, _ = _layer_readings(parts, size, (), head_roles)
        if not candidates and not loose:
            idle = asked.idle(parts, asked.layer_case(parts, size, values, dtype))
            candidates, loose, _ = _layer_readings(parts, size, idle, head_roles)
        if not candidates and not loose:
            problem = "its parameters are not those of the layer that was made before"
            raise worker.refuse(problem, f"making {LAYER.name} with dropout")
        roles = (candidates or loose)[0]

        def ask(known: layer_dropout.Values, x: Tensor, training: bool) -> Tensor:
            return asked.run_layer(parts, size, known, x, training, gradients=False).out

        x = asked.normal(size.out_shape, dtype)
        found = layer_dropout.observed(ask, roles, values, x)
        trace = attempt(asked.trace, parts, values, x)
    if isinstance(trace, WorkerError):
        return found
    dropped, uncalled = layer_dropout.places_of(trace, parts, roles)
    return replace(found, traced=dropped, uncalled=uncalled)


def _silent_dropout(
    sandbox: Workers, generator: torch.Generator, seconds: float, base: LayerCase
) -> LayerCase:
    """What a layer with dropout makes in evaluation of the base case's numbers."""
    with sandbox.worker() as worker:
        asked = LayerAsker(worker, generator, seconds, LAYER.name)
        parts = asked.construct(LAYER, base.size.arguments(PROBE_DROPOUT), Heads.HARNESS)
        return asked.run_layer(parts, base.size, base.values, base.x, gradients=False)


class LayerAsker(Asker):
    """Passes numbers through a student's encoder layer."""

    def layer_case(
        self, parts: ModuleReply, size: LayerSize, values: dict[str, Tensor], dtype: torch.dtype
    ) -> LayerCase:
        """Pass a random input through a constructed layer with these parameters."""
        return self.run_layer(parts, size, values, self.normal(size.out_shape, dtype))

    def run_layer(
        self,
        parts: ModuleReply,
        size: LayerSize,
        values: dict[str, Tensor],
        x: Tensor,
        training: bool = False,
        gradients: bool = True,
    ) -> LayerCase:
        """Pass an input forward, and if asked backward, through a constructed layer."""
        case = LayerCase(size, values, x)
        return self.pass_through(parts, case, training, gradients)

    def in_training(self, parts: ModuleReply, case: LayerCase) -> Tensor:
        """The output for a case's input in training mode."""
        found = self.run_layer(parts, case.size, case.values, case.x, True, gradients=False)
        return found.out

    def activation(
        self,
        parts: ModuleReply,
        size: LayerSize,
        roles: LayerRoles,
        values: dict[str, Tensor],
    ) -> str | None:
        """Which activation the MLP has, whatever else is wrong; None where none fits.

        The attention branch is silenced and both norms put out the same known vector, so
        the MLP's input is known, whether or not what it adds to is.
        """
        known = silent(values, roles, Place.AFTER_ATTENTION)
        shift = None
        for weight, bias in roles.norms:
            if weight is not None:
                known[weight] = torch.zeros_like(values[weight])
            if bias is not None:
                shift = values[bias] if shift is None else shift
                known[bias] = shift
        if shift is None:
            return None
        x = self.normal(size.out_shape, shift.dtype)
        case = self.run_layer(parts, size, known, x, gradients=False)
        if well_formed(case.out, size.out_shape) is not None:
            return None
        for name in reference.ACTIVATIONS:
            branch = reference.mlp(shift, roles.parameters(known), name).expand(size.out_shape)
            if compare(case.out, x + branch) is None or compare(case.out, branch) is None:
                return name
        return None


def _layer_readings(
    parts: ModuleReply,
    size: LayerSize,
    idle: Collection[str],
    head_roles: HeadRoles = HARNESS_HEAD,
) -> tuple[list[LayerRoles], list[LayerRoles], str]:
    """Readings of an encoder layer, else loose ones and why there are no others."""
    sizes = {name: getattr(size, name) for name in ("dim", "heads", "dim_head", "mlp_dim")}
    problem = ""
    for loose in (False, True):
        for shapes in kept_shapes(shapes_of(parts), idle):
            try:
                found = list(layer_candidates(shapes, **sizes, head_roles=head_roles, loose=loose))
            except RolesUnclear as unclear:
                problem = problem if loose else str(unclear)
                continue
            return ([], found, problem) if loose else (found, [], "")
    return [], [], problem
