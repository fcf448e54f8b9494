"""Questions to an attention head and an encoder layer, and the answers as evidence.

The grader draws random parameters and inputs, has the submission's module compute outputs
and gradients with them, and keeps both sides. Sizes all differ from each other, so that a
shape tells what it belongs to and a mix-up of axes can't hide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autograder import reference
from autograder.comparison import Difference, compare, well_formed
from autograder.roles import (
    Block,
    HeadRoles,
    LayerRoles,
    RolesUnclear,
    head_candidates,
    layer_candidates,
)
from autograder.sandbox.client import Sandbox, StudentCodeRaised, Worker, WorkerError
from autograder.sandbox.replies import ModuleReply, OutputsReply

Shapes = dict[str, tuple[int, ...]]

HARNESS_HEAD = HeadRoles(
    Block("query.weight", 0, 1), Block("key.weight", 0, 1), Block("value.weight", 0, 1)
)
EVAL_DROPOUT = 0.25  # dropout that must be silent in evaluation
PROBE_DROPOUT = 0.5  # dropout whose places are looked for in training mode
LARGE = 40.0  # factor on query and key at which scores pass 709, where exp overflows float64


@dataclass(frozen=True)
class HeadSize:
    """Sizes that a head is asked about; all different within one question."""

    batch: int
    tokens: int
    input_dim: int
    inner_dim: int


BASE_SIZE = HeadSize(batch=3, tokens=7, input_dim=12, inner_dim=5)
OTHER_SIZES = (HeadSize(2, 11, 6, 9), HeadSize(1, 1, 8, 3), HeadSize(5, 4, 3, 16))


@dataclass(frozen=True)
class HeadCase:
    """One forward (and backward) pass of a student's head: what was sent, what came back."""

    size: HeadSize
    values: dict[str, Tensor]
    x: Tensor
    upstream: Tensor
    outputs: list[Tensor]
    gradients: dict[str, Tensor]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(B, T, D)."""
        return (self.size.batch, self.size.tokens, self.size.inner_dim)

    @property
    def map_shape(self) -> tuple[int, ...]:
        """(B, T, T)."""
        return (self.size.batch, self.size.tokens, self.size.tokens)

    @property
    def out(self) -> Tensor:
        """The output: the tensor of its shape, wherever it stands; else the first."""
        return next((o for o in self.outputs if tuple(o.shape) == self.out_shape), self.outputs[0])

    @property
    def attention(self) -> Tensor | None:
        """The attention weights: the tensor of their shape, else the second, if there is one."""
        rest = [o for o in self.outputs if o is not self.out]
        return next(
            (o for o in rest if tuple(o.shape) == self.map_shape), rest[0] if rest else None
        )

    @property
    def in_order(self) -> bool:
        """Whether the output comes first."""
        return self.out is self.outputs[0]


@dataclass(frozen=True)
class HeadProbe:
    """All that is known about a student's attention head."""

    parts: ModuleReply
    candidates: list[HeadRoles]
    roles_problem: str
    base: HeadCase
    others: list[HeadCase | WorkerError]
    large: HeadCase | WorkerError | None
    float64_problem: WorkerError | Difference | None = field(default=None)

    @cached_property
    def roles(self) -> HeadRoles | None:
        """The reading of the parameters that reproduces the student's numbers, if any."""
        for candidate in self.candidates:
            if self.difference(self.base, candidate) is None:
                return candidate
        return None

    @property
    def is_right(self) -> bool:
        """Whether the head computes what the reference computes."""
        return self.roles is not None

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


def probe_head(sandbox: Sandbox, generator: torch.Generator, seconds: float) -> HeadProbe:
    """Ask a student's head all that its rubric lines need. Raises WorkerError."""
    with sandbox.worker() as worker:
        asked = _Asker(worker, generator, seconds, "SingleHeadAttention")
        parts = asked.construct("head", _head_arguments(BASE_SIZE))
        float64_problem: StudentCodeRaised | Difference | None = None
        try:
            base = asked.head_case(parts, BASE_SIZE, torch.float64)
            if base.out.dtype != torch.float64:
                float64_problem = well_formed(base.out, tuple(base.out.shape), torch.float64)
        except StudentCodeRaised as problem:
            float64_problem = problem
        if float64_problem is not None:
            base = asked.head_case(parts, BASE_SIZE, torch.float32)
    dtype = base.x.dtype
    with sandbox.worker() as worker:
        asked = _Asker(worker, generator, seconds, "SingleHeadAttention")
        others = [attempt(asked.fresh_head_case, size, dtype) for size in OTHER_SIZES]
        large = attempt(asked.fresh_head_case, BASE_SIZE, dtype, LARGE)
    try:
        candidates = head_candidates(shapes_of(parts), BASE_SIZE.input_dim, BASE_SIZE.inner_dim)
        problem_text = ""
    except RolesUnclear as unclear:
        candidates, problem_text = [], str(unclear)
    return HeadProbe(parts, candidates, problem_text, base, others, large, float64_problem)


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

    @property
    def map_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Attention maps stacked batch first or heads first."""
        square = (self.tokens, self.tokens)
        return ((self.batch, self.heads, *square), (self.heads, self.batch, *square))


@dataclass(frozen=True)
class LayerCase:
    """One pass of a student's encoder layer: what was sent, what came back."""

    size: LayerSize
    values: dict[str, Tensor]
    x: Tensor
    upstream: Tensor
    outputs: list[Tensor]
    gradients: dict[str, Tensor]

    @property
    def out(self) -> Tensor:
        """The output: the tensor of its shape, else the first."""
        shape = self.size.out_shape
        return next((o for o in self.outputs if tuple(o.shape) == shape), self.outputs[0])

    @property
    def attention(self) -> Tensor | None:
        """The attention maps, if there are any."""
        return next((o for o in self.outputs if o is not self.out), None)


@dataclass(frozen=True)
class Branches:
    """Values of the output where only one branch is alive and its value is known.

    Every distinct value, in training mode with dropout and in evaluation.
    """

    training: frozenset[float]
    evaluation: frozenset[float]


@dataclass(frozen=True)
class LayerProbe:
    """All that is known about a student's encoder layer."""

    parts: ModuleReply
    candidates: list[LayerRoles]
    roles_problem: str
    base: LayerCase
    silent_branches: LayerCase | None
    attention_dropout: Branches | WorkerError | None
    mlp_dropout: Branches | WorkerError | None
    activation: str | None

    @cached_property
    def matched(self) -> tuple[LayerRoles, str] | None:
        """The reading and activation that reproduce the student's numbers, if any."""
        for activation in reference.ACTIVATIONS:
            for roles in self.candidates:
                if self.difference(roles, activation) is None:
                    return roles, activation
        return None

    def expected(self, roles: LayerRoles, activation: str = "ReLU") -> reference.LayerSteps:
        """The reference's steps for the base case."""
        return reference.encoder_layer(self.base.x, roles.parameters(self.base.values), activation)

    def difference(self, roles: LayerRoles, activation: str = "ReLU") -> Difference | None:
        """How the student's output differs from the reference's under one reading."""
        return compare(self.base.out, self.expected(roles, activation).out)

    def closest(self) -> Difference | None:
        """The smallest difference over all readings; None where one agrees."""
        found = [self.difference(roles) for roles in self.candidates]
        known = [one for one in found if one is not None]
        if not found or len(known) < len(found):
            return None
        return min(known, key=lambda one: one.largest if one.largest is not None else 1e300)


def probe_layer(
    sandbox: Sandbox, generator: torch.Generator, seconds: float, own_head: HeadProbe | None
) -> LayerProbe:
    """Ask a student's encoder layer all that its rubric lines need. Raises WorkerError.

    It is built on the harness's heads, except for the question after dropout, where the
    student's own head counts if it is right (`own_head`): its dropout may be the one asked for.
    """
    size = LayerSize()
    with sandbox.worker() as worker:
        asked = _Asker(worker, generator, seconds, "ViTLayer")
        parts = asked.construct("layer", size.arguments(dropout=0.0))
        dtype = torch.float64
        values = asked.draw(shapes_of(parts), dtype)
        try:
            base = asked.layer_case(parts, size, values)
        except StudentCodeRaised:
            values = {name: value.float() for name, value in values.items()}
            base = asked.layer_case(parts, size, values)
        try:
            candidates = _layer_candidates(parts, size, HARNESS_HEAD)
            problem = ""
        except RolesUnclear as unclear:
            candidates, problem = [], str(unclear)
        silent = activation = None
        if candidates:
            silenced = {**values, **_zeros(values, candidates[0], "attention", "mlp")}
            silent = asked.layer_case(parts, size, silenced)
            activation = asked.activation(parts, size, candidates[0], values)
    dropout: dict[str, Branches | WorkerError | None] = {"attention": None, "mlp": None}
    if candidates:
        for branch in dropout:
            dropout[branch] = attempt(
                _branches, sandbox, generator, seconds, size, own_head, branch, base.x.dtype
            )
    return LayerProbe(
        parts,
        candidates,
        problem,
        base,
        silent,
        dropout["attention"],
        dropout["mlp"],
        activation,
    )


def _branches(
    sandbox: Sandbox,
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
    heads = "harness" if own_head is None else "student"
    roles_of_head = HARNESS_HEAD if own_head is None else own_head.roles
    assert roles_of_head is not None
    with sandbox.worker() as worker:
        asked = _Asker(worker, generator, seconds, "ViTLayer")
        parts = asked.construct("layer", size.arguments(PROBE_DROPOUT), heads)
        roles = _layer_candidates(parts, size, roles_of_head)[0]
        shapes = shapes_of(parts)
        values = {name: torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}
        known = constant_branch(roles, values, alive)
        x = torch.full(size.out_shape, 100.0, dtype=dtype)
        found = {}
        for training in (True, False):
            case = asked.run_layer(parts, size, known, x, training=training, gradients=False)
            found[training] = frozenset(round(float(value), 4) for value in case.out.unique()[:200])
    return Branches(training=found[True], evaluation=found[False])


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


def attempt(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What a question gives, or the error that it ends with."""
    try:
        return ask(*arguments)
    except WorkerError as problem:
        return problem


def shapes_of(parts: ModuleReply) -> Shapes:
    """Names and shapes of a constructed module's parameters."""
    return {parameter.name: tuple(parameter.shape) for parameter in parts.parameters}


def _head_arguments(size: HeadSize) -> dict[str, Any]:
    return {
        "input_dim": size.input_dim,
        "inner_dim": size.inner_dim,
        "dropout": EVAL_DROPOUT,
    }


def _layer_candidates(
    parts: ModuleReply, size: LayerSize, head_roles: HeadRoles
) -> list[LayerRoles]:
    return list(
        layer_candidates(
            shapes_of(parts),
            dim=size.dim,
            heads=size.heads,
            dim_head=size.dim_head,
            mlp_dim=size.mlp_dim,
            head_roles=head_roles,
        )
    )


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


class _Asker:
    """Asks one worker about one kind of module, with random parameters and inputs."""

    def __init__(
        self, worker: Worker, generator: torch.Generator, seconds: float, name: str
    ) -> None:
        self._worker = worker
        self._generator = generator
        self._seconds = seconds
        self._name = name

    def construct(
        self, slot: str, arguments: dict[str, Any], heads: str = "harness"
    ) -> ModuleReply:
        reply, _ = self._worker.ask(
            "construct",
            ModuleReply,
            seconds=self._seconds,
            doing=f"making {self._name}({_listed(arguments)})",
            slot=slot,
            arguments=arguments,
            heads=heads,
        )
        return reply

    def draw(self, shapes: Shapes, dtype: torch.dtype, factor: float = 1.0) -> dict[str, Tensor]:
        """Random parameters: normal, weights scaled to keep the size of what passes through."""
        return {
            name: self._normal(shape, dtype)
            * (factor * 1.5 / shape[-1] ** 0.5 if len(shape) > 1 else 0.5)
            + (1.0 if len(shape) == 1 and name.endswith("weight") else 0.0)
            for name, shape in shapes.items()
        }

    def fresh_head_case(self, size: HeadSize, dtype: torch.dtype, factor: float = 1.0) -> HeadCase:
        """Construct a head of this size and pass something through it."""
        parts = self.construct("head", _head_arguments(size))
        return self.head_case(parts, size, dtype, factor)

    def head_case(
        self, parts: ModuleReply, size: HeadSize, dtype: torch.dtype, factor: float = 1.0
    ) -> HeadCase:
        values = self.draw(shapes_of(parts), dtype, factor)
        x = self._normal((size.batch, size.tokens, size.input_dim), dtype)
        upstream = self._normal((size.batch, size.tokens, size.inner_dim), dtype)
        empty = HeadCase(size, values, x, upstream, [], {})
        forward = self._run(parts, values, x, {}, dtype, training=False)
        case = replace(empty, outputs=forward[0])
        place = next(i for i, output in enumerate(case.outputs) if output is case.out)
        if well_formed(case.out, case.out_shape) is not None:
            return case
        pulled = {f"upstream:{place}": upstream}
        _, gradients = self._run(parts, values, x, pulled, dtype, training=False)
        return replace(case, gradients=gradients)

    def layer_case(
        self, parts: ModuleReply, size: LayerSize, values: dict[str, Tensor]
    ) -> LayerCase:
        dtype = next(iter(values.values())).dtype
        return self.run_layer(parts, size, values, self._normal(size.out_shape, dtype))

    def run_layer(
        self,
        parts: ModuleReply,
        size: LayerSize,
        values: dict[str, Tensor],
        x: Tensor,
        training: bool = False,
        gradients: bool = True,
    ) -> LayerCase:
        upstream = self._normal(size.out_shape, x.dtype)
        outputs, _ = self._run(parts, values, x, {}, x.dtype, training)
        case = LayerCase(size, values, x, upstream, outputs, {})
        if not gradients or well_formed(case.out, size.out_shape) is not None:
            return case
        place = next(i for i, output in enumerate(outputs) if output is case.out)
        pulled = {f"upstream:{place}": upstream}
        _, found = self._run(parts, values, x, pulled, x.dtype, training)
        return replace(case, gradients=found)

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
        x = self._normal(size.out_shape, shift.dtype)
        case = self.run_layer(parts, size, known, x, gradients=False)
        if well_formed(case.out, size.out_shape) is not None:
            return None
        for name in reference.ACTIVATIONS:
            branch = reference.mlp(shift, roles.parameters(known), name).expand(size.out_shape)
            if compare(case.out, x + branch) is None or compare(case.out, branch) is None:
                return name
        return None

    def _run(
        self,
        parts: ModuleReply,
        values: Mapping[str, Tensor],
        x: Tensor,
        upstream: Mapping[str, Tensor],
        dtype: torch.dtype,
        training: bool,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Outputs, or with upstream gradients the gradients of x and every parameter."""
        tensors = {"x": x, **upstream}
        tensors |= {f"parameter:{name}": value for name, value in values.items()}
        reply, returned = self._worker.ask(
            "run",
            OutputsReply,
            seconds=self._seconds,
            doing=f"calling {self._name} on an input of shape {tuple(x.shape)}",
            tensors=tensors,
            handle=parts.handle,
            dtype=str(dtype)[6:],
            training=training,
            seed=int(torch.randint(2**31, (), generator=self._generator)),
            gradients=bool(upstream),
        )
        outputs = [
            returned[f"output:{i}"] for i in range(reply.outputs) if f"output:{i}" in returned
        ]
        if len(outputs) != reply.outputs:
            raise self._worker.refuse("an output is missing", f"calling {self._name}")
        gradients = {
            name.removeprefix("gradient:"): value
            for name, value in returned.items()
            if name.startswith("gradient:")
        }
        return outputs, gradients

    def _normal(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64).to(dtype)


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
