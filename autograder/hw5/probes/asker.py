"""Questions to a worker about one of the submission's modules, with random numbers.

The grader draws parameters and inputs, has the module compute outputs and gradients with
them, and keeps both sides. Sizes all differ from each other, so that a shape tells what it
belongs to and a mix-up of axes can't hide.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from autograder.hw5.probes.source_rules import BUILT_IN_ATTENTION
from autograder.sandbox import claims
from autograder.sandbox.errors import StudentCodeRaised, WorkerError
from autograder.sandbox.replies import ModuleReply, OutputsReply, TraceReply
from autograder.sandbox.worker import Worker
from provided.homework import Slot

Shapes = dict[str, tuple[int, ...]]
MOST_TRIED = 40  # parameters without a gradient that are changed one by one


class Heads(str, enum.Enum):
    """Whose attention heads an encoder layer or a Vision Transformer is built on."""

    STUDENT = "student"
    HARNESS = "harness"


class Sized(Protocol):
    """The sizes that a module is asked about."""

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the module's output."""


Size = TypeVar("Size", bound=Sized)
AnyCase = TypeVar("AnyCase", bound="Case[Any]")


@dataclass(frozen=True)
class Case(Generic[Size]):
    """One pass through a student's module: what was sent, what came back.

    values:    its parameters
    upstream:  the gradient that was sent back from the output, if any was
    gradients: what came of it, for "x" and every parameter
    backward:  what the code raised instead, where forward alone works
    """

    size: Size
    values: dict[str, Tensor]
    x: Tensor
    upstream: Tensor = field(default_factory=lambda: torch.empty(0))
    outputs: list[Tensor] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    backward: StudentCodeRaised | None = None

    @property
    def out(self) -> Tensor:
        """The output: the tensor of its shape, wherever it stands; else the first."""
        shape = self.size.out_shape
        return next((o for o in self.outputs if tuple(o.shape) == shape), self.outputs[0])

    @property
    def in_order(self) -> bool:
        """Whether the output comes first."""
        return self.out is self.outputs[0]


def attempt(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What a question gives, or the error that it ends with."""
    try:
        return ask(*arguments)
    except WorkerError as problem:
        return problem


def shapes_of(parts: ModuleReply) -> Shapes:
    """Names and shapes of a constructed module's parameters that are more than a number.

    A single number, such as a scale kept as a parameter, has the value that its constructor
    gives it: the grader draws none for it, and it plays none of the roles that are looked for.
    """
    return {one.name: tuple(one.shape) for one in parts.parameters if prod(one.shape) != 1}


def trained_numbers(parts: ModuleReply, gradients: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Single numbers among the parameters that training would change, as a learned scale."""
    names = [one.name for one in parts.parameters if prod(one.shape) == 1]
    return tuple(name for name in names if name in gradients and bool(gradients[name].any()))


def kept_shapes(shapes: Shapes, idle: Collection[str]) -> Iterator[Shapes]:
    """The parameters to find roles among: all of them, then without those that do nothing.

    All come first: a projection that is made and then forgotten is a mistake with a name.
    """
    yield shapes
    if not shapes.keys().isdisjoint(idle):
        yield {name: shape for name, shape in shapes.items() if name not in idle}


class Asker:
    """Asks one worker about one kind of module, with random parameters and inputs.

    called: ready-made attention that the worker told of, whenever it was called
    """

    def __init__(
        self,
        worker: Worker,
        generator: torch.Generator,
        seconds: float,
        name: str,
    ) -> None:
        self.called: set[str] = set()
        self._worker = worker
        self._generator = generator
        self._seconds = seconds
        self._name = name

    def construct(
        self, slot: Slot, arguments: dict[str, Any], heads: Heads = Heads.STUDENT
    ) -> ModuleReply:
        """Make the student's module; returns what it is made of, which is little enough to draw.

        With heads=HARNESS the grader's attention head stands where the student's would.
        """
        reply: ModuleReply
        doing = f"making {self._name}({_listed(arguments)})"
        reply, _ = self._worker.ask(
            "construct",
            ModuleReply,
            seconds=self._seconds,
            doing=doing,
            on_progress=self._listen,
            file=slot.file,
            names=list(slot.names),
            arguments=arguments,
            heads=heads,
        )
        problem = claims.excess_parameters(tuple(one.shape) for one in reply.parameters)
        if problem:
            raise self.refuse(problem, doing)
        return reply

    def draw(self, shapes: Shapes, dtype: torch.dtype, factor: float = 1.0) -> dict[str, Tensor]:
        """Random parameters: normal, weights scaled to keep the size of what passes through."""
        return {
            name: self.normal(shape, dtype)
            * (factor * 1.5 / max(shape[-1], 1) ** 0.5 if len(shape) > 1 else 0.5)
            + (1.0 if len(shape) == 1 and name.endswith("weight") else 0.0)
            for name, shape in shapes.items()
        }

    def run(
        self,
        parts: ModuleReply,
        values: Mapping[str, Tensor],
        x: Tensor,
        upstream: Mapping[str, Tensor],
        dtype: torch.dtype,
        training: bool,
        seed: int | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Outputs, or with upstream gradients the gradients of x and every parameter."""
        tensors = {"x": x, **upstream}
        tensors |= {f"parameter:{name}": value for name, value in values.items()}
        backward = ", or in the backward pass" if upstream else ""
        reply, returned = self._worker.ask(
            "run",
            OutputsReply,
            seconds=self._seconds,
            doing=f"calling {self._name} on an input of shape {tuple(x.shape)}{backward}",
            tensors=tensors,
            on_progress=self._listen,
            handle=parts.handle,
            dtype=str(dtype)[6:],
            training=training,
            seed=self.seed() if seed is None else seed,
            gradients=bool(upstream),
        )
        outputs = [
            returned[f"output:{i}"] for i in range(reply.outputs) if f"output:{i}" in returned
        ]
        if len(outputs) != reply.outputs:
            raise self.refuse("an output is missing", f"calling {self._name}")
        for problem in (claims.excess_result(tuple(output.shape)) for output in outputs):
            if problem:
                raise self.refuse(problem, f"calling {self._name}")
        gradients = {
            name.removeprefix("gradient:"): value
            for name, value in returned.items()
            if name.startswith("gradient:")
        }
        return outputs, gradients

    def trace(self, parts: ModuleReply, values: Mapping[str, Tensor], x: Tensor) -> TraceReply:
        """What the worker says about the order in which things run in training mode."""
        reply: TraceReply
        reply, _ = self._worker.ask(
            "trace",
            TraceReply,
            seconds=self._seconds,
            doing=f"following one pass of {self._name}",
            tensors={"x": x, **{f"parameter:{name}": value for name, value in values.items()}},
            on_progress=self._listen,
            handle=parts.handle,
            dtype=str(x.dtype)[6:],
            seed=self.seed(),
        )
        return reply

    def pass_through(
        self,
        parts: ModuleReply,
        case: AnyCase,
        training: bool = False,
        gradients: bool = True,
        seed: int | None = None,
    ) -> AnyCase:
        """A case's input passed forward and, if asked, a random gradient back from its output."""
        dtype = case.x.dtype
        outputs, _ = self.run(parts, case.values, case.x, {}, dtype, training, seed)
        case = replace(case, outputs=outputs)
        if not gradients:
            return case
        upstream = self.normal(tuple(case.out.shape), dtype)
        place = next(i for i, output in enumerate(outputs) if output is case.out)
        pulled = {f"upstream:{place}": upstream}
        try:
            _, found = self.run(parts, case.values, case.x, pulled, dtype, training, seed)
        except StudentCodeRaised as problem:
            return replace(case, upstream=upstream, backward=problem)
        return replace(case, upstream=upstream, gradients=found)

    def idle(self, parts: ModuleReply, case: Case[Any]) -> frozenset[str]:
        """Parameters that do nothing: no gradient reaches them, and no result depends on them.

        A parameter that is cut off from the gradient still changes results, so both are asked.
        """
        names = [
            name
            for name in case.values
            if name in case.gradients and not bool(case.gradients[name].any())
        ]
        if not names:
            return frozenset()
        seed = self.seed()

        def results(*changed: str) -> list[Tensor]:
            others = self.draw({name: tuple(case.values[name].shape) for name in changed}, dtype)
            values = {**case.values, **others}
            return self.run(parts, values, case.x, {}, dtype, training=False, seed=seed)[0]

        dtype = case.x.dtype
        before = results()
        if _same_numbers(before, results(*names)):
            return frozenset(names)
        one_by_one = names[:MOST_TRIED]
        return frozenset(name for name in one_by_one if _same_numbers(before, results(name)))

    def _listen(self, told: dict[str, Any]) -> None:
        """Keep what the worker tells while it answers; a name that isn't known says nothing."""
        name = told.get("called")
        if isinstance(name, str) and name in BUILT_IN_ATTENTION:
            self.called.add(name)

    def refuse(self, problem: str, doing: str) -> WorkerError:
        """End the worker over an answer that is not what was asked."""
        return self._worker.refuse(problem, doing)

    def seed(self) -> int:
        """A fresh seed for the worker."""
        return int(torch.randint(2**31, (), generator=self._generator))

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Random numbers from the standard normal distribution."""
        return torch.randn(shape, generator=self._generator, dtype=torch.float64).to(dtype)


def _same_numbers(before: list[Tensor], after: list[Tensor]) -> bool:
    return len(before) == len(after) and all(map(torch.equal, before, after))


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
