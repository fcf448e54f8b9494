"""A known mistake, and the variant of the reference that makes it.

A computation is written as named steps, each a function of the steps before it. A variant
replaces some of them, or changes what they give; variants that differ in what they change make
a combination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Generic, TypeVar

from torch import Tensor

from autograder.rubric.feedback import Named

Parameters = TypeVar("Parameters")

MOST_AT_ONCE = 2  # mistakes that are recognised together


class DoesNotApply(Exception):
    """A variant makes no sense for these tensors, as where it needs what wasn't returned."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A known mistake.

    id:          its name in results.json and in expected.yaml
    line:        the rubric line on which it is paid for
    explanation: what was done, in one sentence
    hint:        what to think about, without giving the line of code away
    """

    id: str
    line: str
    explanation: str
    hint: str


class Pass(Generic[Parameters]):
    """One forward pass: the input, the parameters, what the student got, the steps so far."""

    def __init__(self, x: Tensor, parameters: Parameters, seen: Any = None) -> None:
        self.x = x
        self.parameters = parameters
        self.seen = seen
        self._done: dict[str, Tensor] = {}

    def __getitem__(self, step: str) -> Tensor:
        return self._done[step]

    def __setitem__(self, step: str, value: Tensor) -> None:
        self._done[step] = value

    def __contains__(self, step: str) -> bool:
        return step in self._done

    def take_over(self, other: Pass[Parameters], steps: Iterable[str]) -> None:
        """Take steps from another pass, as far as that has come."""
        self._done.update({name: other[name] for name in steps if name in other})


Step = Callable[[Pass[Any]], Tensor]


@dataclass(frozen=True)
class Behind:
    """What a mistake makes of a step's result, whatever computes it.

    in_gradients: whether it leaves the numbers alone, so that it goes with any other change
    """

    change: Callable[[Pass[Any], Tensor], Tensor]
    in_gradients: bool = False


def cut_off(step: str) -> dict[str, Behind]:
    """A step that no gradient passes."""
    return {step: Behind(lambda given, value: value.detach(), in_gradients=True)}


@dataclass(frozen=True, kw_only=True)
class Variant(Mistake):
    """A mistake that is known by its numbers: steps of the reference, replaced or changed.

    frozen: names of a submission's parameters that get no gradient
    """

    steps: Mapping[str, Step | Behind]
    frozen: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Finding:
    """The mistakes that were recognised, one or a combination."""

    mistakes: tuple[Mistake, ...]

    @property
    def id(self) -> str:
        """The id, or the ids joined by a plus."""
        return "+".join(mistake.id for mistake in self.mistakes)

    @property
    def named(self) -> Named:
        """What `reject` takes: likely mistake, next step and id."""
        hints = dict.fromkeys(mistake.hint for mistake in self.mistakes)
        return {
            "likely": "; ".join(mistake.explanation for mistake in self.mistakes),
            "next_step": " ".join(hints),
            "diagnosis": self.id,
        }

    def paid_on(self, line: str) -> Finding | None:
        """The part of it that is paid for on a rubric line."""
        here = tuple(mistake for mistake in self.mistakes if mistake.line == line)
        return Finding(here) if here else None


def named(finding: Finding | Mistake | None) -> Named:
    """What is said about a mistake; nothing where there is none."""
    if isinstance(finding, Mistake):
        return Finding((finding,)).named
    return {} if finding is None else finding.named


def hinted(finding: Finding | Mistake | None) -> Named:
    """The same for a mistake that the headline has named already: what to do next, and its id."""
    said = named(finding)
    said.pop("likely", None)
    return said


def first_that_gives(
    candidates: Sequence[tuple[Mistake, object]], got: object, right: object
) -> Mistake | None:
    """The first mistake that leads to this answer, of those that change the right one."""
    return next((one for one, value in candidates if value == got and value != right), None)


def run(
    steps: Mapping[str, Step],
    variants: Sequence[Variant],
    given: Pass[Parameters],
) -> Pass[Parameters]:
    """All steps in order, with what the variants make of them."""
    replaced: dict[str, Step] = {}
    behind: dict[str, list[Behind]] = {}
    for variant in variants:
        for name, step in variant.steps.items():
            if isinstance(step, Behind):
                behind.setdefault(name, []).append(step)
            else:
                replaced[name] = step
    for name, step in steps.items():
        if name in given:
            continue
        value = replaced.get(name, step)(given)
        for one in behind.get(name, ()):
            value = one.change(given, value)
        given[name] = value
    return given


def combined(
    variants: Sequence[Variant], count: int, beside: tuple[Variant, ...] = ()
) -> Iterator[tuple[Variant, ...]]:
    """Every combination of `count` variants that, beside others, don't change the same thing."""
    for chosen in combinations(variants, count):
        changes = [
            (name, (step.in_gradients,) if isinstance(step, Behind) else ())
            for variant in (*beside, *chosen)
            for name, step in variant.steps.items()
        ]
        if len(changes) == len(set(changes)):
            yield chosen
