"""What proves that a rubric line can be lost: the mistakes on purpose that lose it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autograder.staff.solutions import Kind
from autograder.staff.validation import Outcome


def proofs(outcomes: Sequence[Outcome]) -> dict[str, list[str]]:
    """Each line that the suites have, and the mistakes that lose points on it, by name.

    A line that a fault of the grader cost is lost to no mistake.
    """
    found: dict[str, list[str]] = {number: [] for number in sorted(_collected(outcomes))}
    for outcome in sorted(outcomes, key=lambda one: one.solution.name):
        if outcome.solution.kind is Kind.MISTAKES:
            for number in outcome.lost:
                if number in found and number not in outcome.faults:
                    found[number].append(outcome.solution.name)
    return found


def gaps(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A sentence for each line of the suites that no solution was asked, or no mistake loses."""
    asked = {number for outcome in outcomes for number in outcome.lines}
    for number, mistakes in proofs(outcomes).items():
        if number not in asked:
            yield f"{number}: no solution is asked this line: is its part in provided/homework.py?"
        elif not mistakes:
            yield f"{number}: no mistake in solutions/mistakes loses this line"


def _collected(outcomes: Sequence[Outcome]) -> set[str]:
    return {number for outcome in outcomes for number in outcome.collected}
