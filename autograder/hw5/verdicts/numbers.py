"""What heads and layers are judged alike by: their text, gradients, weights and parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Tensor

from autograder.hw5.mistakes import slips
from autograder.hw5.mistakes.head_gradients import DETACH_HINT
from autograder.hw5.probes.source_rules import Violation, lines_of
from autograder.rubric.comparison import Difference, compare
from autograder.rubric.feedback import Named, Rejected, reject
from autograder.rubric.mistake import Finding, Mistake, hinted, named

NAMES_SHOWN = 4  # of parameters in one sentence
ROW_SUM_TOLERANCE = 1e-3  # float32 rows of attention weights, summed
ROWS_EXPECTED = "no negative number, and a sum of 1 in each row"
PLAINLY = (
    "Import what you use at the top of the file and call it by its name: these questions need no "
    "module beyond torch and math, and no access by a name made at run time."
)
ROWS_HINT = "Print the smallest weight, and the sums along each axis: which should be all ones?"


def check_source(
    violations: list[Violation], expected: str, built_in: Mistake, other: Mistake | None = None
) -> None:
    """The files behind a slot could be read by the rules, and use nothing beyond them.

    built_in: the mistake where ready-made attention is used
    other:    the one where something else is named that isn't allowed
    """
    _check_searchable(violations)
    if violations:
        raise reject(
            f"{violations[0].file} uses something this question doesn't allow.",
            got="; ".join(lines_of(violations)),
            expected=expected,
            **_what_is_used(violations, built_in, other),
        )


def _check_searchable(violations: list[Violation]) -> None:
    unreadable = [one for one in violations if one.is_unreadable]
    if unreadable:
        raise reject(
            f"{unreadable[0].file} can't be searched for what this question doesn't allow.",
            got="; ".join(lines_of(unreadable)),
            expected="Python that can be read without running it",
            next_step="Fix that line, or write it more simply: shorter expressions, no unusual "
            "characters.",
        )


def _what_is_used(violations: list[Violation], built_in: Mistake, other: Mistake | None) -> Named:
    """The mistake behind violations; none where all reach something without naming it."""
    if any(one.is_built_in for one in violations):
        return named(built_in)
    if all(one.is_indirect for one in violations):
        return Named(next_step=PLAINLY)
    misspelled = [slips.misspelled(one.name) for one in violations]
    if misspelled[0] is not None and all(misspelled):
        return misspelled[0]
    return named(other)


def and_more(mistake: Mistake, others: Finding | None) -> Named:
    """What is said about a mistake that the headline names, and others on the same line."""
    if others is None:
        return hinted(mistake)
    more = named(Finding((mistake, *others.mistakes)))
    return {**more, "likely": others.named["likely"]}


def check_gradients(
    got: dict[str, Tensor], expected: dict[str, Tensor], find: Callable[[], Finding | None]
) -> None:
    """Each expected gradient came back, within the tolerance; `find` names what is wrong."""
    wrong = {
        name: Difference("is missing") if name not in got else compare(got[name], gradient)
        for name, gradient in expected.items()
    }
    wrong = {name: difference for name, difference in wrong.items() if difference is not None}
    if not wrong:
        return
    without = [name for name in wrong if name in got and not got[name].any()]
    first = next(difference for difference in wrong.values() if difference is not None)
    names = first_of([_readable(name) for name in without or wrong])
    raise reject(
        f"No gradient reaches {names}."
        if without
        else f"The gradient of {names} is wrong: it {first.text}.",
        expected="the derivative of what the forward pass computes",
        **(
            named(find())
            or Named(
                likely="the output is wrong too, or something on the way cuts off the gradient",
                next_step=DETACH_HINT,
            )
        ),
    )


def no_gradients(shape_line: str) -> Rejected:
    """The verdict on gradients of an output whose shape is wrong: its own line says so."""
    return reject(
        "The gradients can't be compared because the output has the wrong shape.",
        next_step=f"Fix the shape of the output first: see line {shape_line}.",
    )


def check_rows(weights: Tensor, what: str) -> None:
    """Rows of attention weights are probabilities: none negative, sums of one."""
    weights = weights.double()  # they may be truth values or whole numbers
    if bool((weights < -ROW_SUM_TOLERANCE).any()):
        raise reject(
            f"Some of {what} are negative.",
            got=f"smallest value {float(weights.min()):.3g}",
            expected=ROWS_EXPECTED,
            likely="the scores are returned instead of the weights after the softmax",
            next_step=ROWS_HINT,
        )
    sums = weights.sum(dim=-1)
    worst = float((sums - 1).abs().max())
    if worst > ROW_SUM_TOLERANCE:
        columns = float((weights.sum(dim=-2) - 1).abs().max()) <= ROW_SUM_TOLERANCE
        raise reject(
            f"The rows of {what} don't sum to one.",
            got=f"row sums from {float(sums.min()):.3g} to {float(sums.max()):.3g}",
            expected=ROWS_EXPECTED,
            next_step=ROWS_HINT,
            likely="the softmax runs over the queries; it belongs over the keys, the last axis"
            if columns
            else "no softmax, or a softmax over another axis than the keys",
        )


def idle_note(idle: Collection[str]) -> str:
    """A remark on parameters that do nothing, which cost no point; empty where all do something."""
    if not idle:
        return ""
    return (
        f"No result depends on {first_of(sorted(idle))}: forward doesn't use it. It costs nothing, "
        "and you can remove it."
    )


def unexpected_parameters(name: str, problem: str) -> Rejected:
    """The verdict on a module whose parameters have no reading at all."""
    return reject(
        f"The parameters of {name} are not the expected ones.",
        got=problem,
        next_step="Print the names and shapes in named_parameters(): which is missing or extra?",
    )


def first_of(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _readable(name: str) -> str:
    return "the input x" if name == "x" else name
