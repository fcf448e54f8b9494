"""Questions to an encoder layer, and the answers as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from autograder.homework import LAYER
from autograder.hw5.probes import reference
from autograder.hw5.probes.asker import Asker, Case, Heads, attempt, shapes_of
from autograder.hw5.probes.head import HeadProbe
from autograder.hw5.probes.roles import Block, HeadRoles, LayerRoles, RolesUnclear, layer_candidates
from autograder.rubric.comparison import Difference, compare, well_formed
from autograder.sandbox.client import Workers
from autograder.sandbox.errors import StudentCodeRaised, WorkerError
from autograder.sandbox.replies import ModuleReply

HARNESS_HEAD = HeadRoles(
    Block("query.weight", 0, 1), Block("key.weight", 0, 1), Block("value.weight", 0, 1)
)
PROBE_DROPOUT = 0.5  # dropout whose places are looked for in training mode


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


@dataclass(frozen=True)
class Branches:
    """Values of the output where only one branch is alive and its value is known.

    Every distinct value, in training mode with dropout and in evaluation.
    """

    training: frozenset[float]
    evaluation: frozenset[float]


@dataclass(frozen=True, eq=False)
class LayerProbe:
    """All that is known about a student's encoder layer.

    candidates: every reading of its parameters as those of an encoder layer
    loose:      where there is none, readings that only a mistaken layer can have
    silent_dropout: the base case again in a layer made with dropout, which evaluation silences
    """

    parts: ModuleReply
    candidates: list[LayerRoles]
    loose: list[LayerRoles]
    roles_problem: str
    base: LayerCase
    silent_branches: LayerCase | None
    attention_dropout: Branches | WorkerError | None
    mlp_dropout: Branches | WorkerError | None
    activation: str | None
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
        candidates, loose, problem = _layer_readings(parts, size)
        silent = activation = None
        for roles in (candidates or loose)[:1]:
            silenced = {**values, **_zeros(values, roles, "attention", "mlp")}
            silent = asked.layer_case(parts, size, silenced, dtype)
            activation = asked.activation(parts, size, roles, values)
    dropout: dict[str, Branches | WorkerError | None] = {"attention": None, "mlp": None}
    if candidates or loose:
        for branch in dropout:
            dropout[branch] = attempt(
                _branches, sandbox, generator, seconds, size, own_head, branch, base.x.dtype
            )
    return LayerProbe(
        parts,
        candidates,
        loose,
        problem,
        base,
        silent,
        dropout["attention"],
        dropout["mlp"],
        activation,
        attempt(_silent_dropout, sandbox, generator, seconds, base) if candidates else None,
    )


def _branches(
    sandbox: Workers,
    generator: torch.Generator,
    seconds: float,
    size: LayerSize,
    own_head: HeadProbe | None,
    alive: str,
    dtype: torch.dtype,
) -> Branches:
    """Let one branch give a known constant, and see what dropout makes of it.

    The input is 100 everywhere, both norms put out ones; the attention branch adds 1, the
    MLP branch 1 (from its hidden units) + 10 (from its last bias).
    """
    heads = Heads.HARNESS if own_head is None else Heads.STUDENT
    roles_of_head = HARNESS_HEAD if own_head is None else own_head.roles
    assert roles_of_head is not None
    with sandbox.worker() as worker:
        asked = LayerAsker(worker, generator, seconds, LAYER.name)
        parts = asked.construct(LAYER, size.arguments(PROBE_DROPOUT), heads)
        candidates, loose, _ = _layer_readings(parts, size, roles_of_head)
        if not candidates and not loose:
            problem = "its parameters are not those of the layer that was made before"
            raise worker.refuse(problem, f"making {LAYER.name} with dropout")
        roles = (candidates or loose)[0]
        shapes = shapes_of(parts)
        values = {name: torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}
        known = constant_branch(roles, values, alive)
        x = torch.full(size.out_shape, 100.0, dtype=dtype)
        found = {}
        for training in (True, False):
            case = asked.run_layer(parts, size, known, x, training=training, gradients=False)
            some = case.out.flatten()[: prod(size.out_shape)].unique()
            found[training] = frozenset(round(float(value), 4) for value in some[:200])
    return Branches(training=found[True], evaluation=found[False])


def _silent_dropout(
    sandbox: Workers, generator: torch.Generator, seconds: float, base: LayerCase
) -> LayerCase:
    """What a layer with dropout makes in evaluation of the base case's numbers."""
    with sandbox.worker() as worker:
        asked = LayerAsker(worker, generator, seconds, LAYER.name)
        parts = asked.construct(LAYER, base.size.arguments(PROBE_DROPOUT), Heads.HARNESS)
        return asked.run_layer(parts, base.size, base.values, base.x, gradients=False)


def constant_branch(
    roles: LayerRoles, zeros: Mapping[str, Tensor], alive: str
) -> dict[str, Tensor]:
    """Parameters under which one branch ("attention", "mlp") is constant and the other zero."""
    values = dict(zeros)
    for _, shift in roles.norms:
        if shift is not None:
            values[shift] = torch.ones_like(values[shift])
    if alive == "attention":
        for prefix, head in roles.heads:
            name = prefix + head.value.parameter
            values[name] = torch.full_like(values[name], 1 / values[roles.first].shape[1])
        values[roles.output] = _diagonal(values[roles.output])
    else:
        first = torch.zeros_like(values[roles.first])
        first[:, 0] = 1
        values[roles.first] = first
        values[roles.second] = _diagonal(values[roles.second])
        if roles.second_bias is not None:
            values[roles.second_bias] = torch.full_like(values[roles.second_bias], 10.0)
    return values


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
        known = {**values, **_zeros(values, roles, "attention")}
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
    parts: ModuleReply, size: LayerSize, head_roles: HeadRoles = HARNESS_HEAD
) -> tuple[list[LayerRoles], list[LayerRoles], str]:
    """Readings of an encoder layer, else loose ones and why there are no others."""

    def read(loose: bool) -> list[LayerRoles]:
        sizes = {name: getattr(size, name) for name in ("dim", "heads", "dim_head", "mlp_dim")}
        return list(layer_candidates(shapes_of(parts), **sizes, head_roles=head_roles, loose=loose))

    try:
        return read(loose=False), [], ""
    except RolesUnclear as unclear:
        problem = str(unclear)
    try:
        return [], read(loose=True), problem
    except RolesUnclear:
        return [], [], problem


def _zeros(values: Mapping[str, Tensor], roles: LayerRoles, *branches: str) -> dict[str, Tensor]:
    """Zeros for the last weight and bias of the named branches."""
    names = {
        "attention": (roles.output, roles.output_bias),
        "mlp": (roles.second, roles.second_bias),
    }
    return {
        name: torch.zeros_like(values[name])
        for branch in branches
        for name in names[branch]
        if name is not None
    }


def _diagonal(like: Tensor) -> Tensor:
    return torch.eye(*like.shape, dtype=like.dtype)
