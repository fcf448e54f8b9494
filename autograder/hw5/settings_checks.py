"""What settings must hold beyond their types: names that exist, points and times that fit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from torch import nn

from autograder.homework import SUITES
from autograder.hw5.settings_file import Place, did_you_mean
from autograder.rubric.outline import outline
from autograder.training.layer_arguments import ARGUMENTS

if TYPE_CHECKING:
    from autograder.hw5.assignment import Assignment, Bar

PLATFORM_SECONDS = 600  # after so many the platform kills a run
Complaint = tuple[Place, str]  # which value is wrong, and why


def complaints(assignment: Assignment, ships: bool) -> Iterator[Complaint]:
    """Every value that makes no sense beside the others, with a sentence.

    ships: whether the settings are for the platform
    """
    yield from _layers(assignment)
    for section in ("fully_connected", "cnn"):
        seeds = getattr(assignment, section).training.seeds
        for index in _repeated(seeds):
            yield (section, "training", "seeds", index), f"seed {seeds[index]} stands twice"
    yield from _points(assignment)
    total = assignment.seconds.total
    if ships and total >= PLATFORM_SECONDS:
        yield (
            ("seconds", "total"),
            f"{total:g} is too long: the platform kills a run after {PLATFORM_SECONDS} seconds",
        )


def _layers(assignment: Assignment) -> Iterator[Complaint]:
    of_torch = [name for name in dir(nn) if _is_layer(getattr(nn, name))]
    cnn = assignment.cnn
    for place, layers, known, wanted in (
        (
            ("fully_connected", "allowed_layers"),
            assignment.fully_connected.allowed_layers,
            list(ARGUMENTS),
            "a layer that the grader can rebuild",
        ),
        (
            ("cnn", "allowed_layers"),
            cnn.allowed_layers,
            list(ARGUMENTS),
            "a layer that the grader can rebuild",
        ),
        (
            ("cnn", "required_layers"),
            cnn.required_layers,
            list(cnn.allowed_layers),
            "among cnn.allowed_layers",
        ),
        (("head", "allowed_layers"), assignment.head.allowed_layers, of_torch, "in torch.nn"),
    ):
        for index, name in enumerate(layers):
            if name not in known:
                yield (*place, index), f"{name} is not {wanted}{did_you_mean(name, known)}"
        for index in _repeated(layers):
            yield (*place, index), f"{layers[index]} stands twice"


def _points(assignment: Assignment) -> Iterator[Complaint]:
    """Partial credit is less than its line gives in full."""
    full = {line.number: line.points for line in outline(SUITES, assignment)}
    bars: tuple[tuple[Place, str, Sequence[Bar]], ...] = (
        (("fully_connected", "training"), "2b.3", assignment.fully_connected.training.partial),
        (("cnn", "training"), "2c.4", assignment.cnn.training.partial),
        (("transformer",), "3c.2", assignment.transformer.partial),
    )
    for place, line, partial in bars:
        for index, bar in enumerate(partial):
            if line in full and bar.points >= full[line]:
                yield (
                    (*place, "partial", index, "points"),
                    f"partial credit of {bar.points:g} points is not less than the "
                    f"{full[line]:g} of line {line}",
                )


def _is_layer(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _repeated(values: Collection[object]) -> Iterator[int]:
    """Where a value stands that has stood before."""
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index
        seen.add(value)
