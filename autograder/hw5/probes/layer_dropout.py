"""What dropout an encoder layer uses, and where.

Seen by values: parameters and input are chosen so that one place of dropout shows in the
output and the others don't, whatever its share, on whichever side of a norm, with biases or
without. Two passes in training mode then differ, or don't:

    nothing is added to x        both branches silent        only dropout on x itself shows; if it
                                                             does with x = 0 too, a branch isn't
                                                             silent (a Sigmoid at its end makes 0.5
                                                             of 0), and these values tell nothing
    the attention's branch       the MLP's branch silent     what follows the attention
    inside the MLP               hidden units in pairs that  only a mask over hidden units
                                 cancel each other           leaves something over
    after the MLP                all numbers of a token in   only a mask over a token's numbers
                                 two groups of equals        makes equals differ

Told by the worker: which parts ran in which order. That is a claim; it names what is missing,
and decides only where values can't.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autograder.hw5.probes.roles import LayerRoles
from autograder.rubric.comparison import TOLERANCES, compare
from autograder.sandbox.replies import ModuleReply, TraceReply
from autograder.sandbox.text import name as as_name

PROBE_DROPOUT = 0.5  # what the constructor is given

Values = dict[str, Tensor]
Ask = Callable[[Values, Tensor, bool], Tensor]  # parameters, x, training -> the output


class Place(str, enum.Enum):
    """Where an encoder layer drops numbers."""

    AFTER_ATTENTION = "after the attention"
    INSIDE_MLP = "inside the MLP"
    AFTER_MLP = "after the MLP"
    ELSEWHERE = "elsewhere"  # before a sub-layer, or on the result of a norm


PLACES = (Place.AFTER_ATTENTION, Place.INSIDE_MLP, Place.AFTER_MLP)


@dataclass(frozen=True)
class Dropped:
    """A dropout that ran: where, in which module, and the share that it dropped."""

    place: Place
    module: str
    share: float | None


@dataclass(frozen=True)
class LayerDropout:
    """What is known about an encoder layer's dropout.

    at_all:   whether anything is dropped in training
    steady:   whether two passes in evaluation agree
    finite:   whether all outputs were finite
    on_input: whether numbers of x itself are dropped
    loud:     whether a branch says something though its last weights are zero
    shown:    the places that show in the values
    traced:   the dropouts that the worker tells of, in their order
    uncalled: paths of nn.Dropout modules outside the heads that it says never ran
    """

    at_all: bool
    steady: bool
    finite: bool
    on_input: bool
    loud: bool
    shown: frozenset[Place]
    traced: tuple[Dropped, ...] = ()
    uncalled: tuple[str, ...] = ()


def observed(ask: Ask, roles: LayerRoles, values: Values, x: Tensor) -> LayerDropout:
    """What the values of some passes show. Random parameters and input are given."""
    passes = [ask(values, x, True), ask(values, x, True)]
    evaluated = [ask(values, x, False), ask(values, x, False)]
    seen = [*passes, *evaluated]

    def vary(known: Values, given: Tensor) -> bool:
        outputs = [ask(known, given, True), ask(known, given, True)]
        seen.extend(outputs)
        return _differ(*outputs)

    quiet = silent(values, roles, Place.AFTER_ATTENTION, Place.AFTER_MLP)
    on_input = vary(quiet, x)
    loud = on_input and vary(quiet, torch.zeros_like(x))
    shown = set()
    if not loud and vary(silent(values, roles, Place.AFTER_MLP), x):
        shown.add(Place.AFTER_ATTENTION)
    known, grouped_x = paired(values, roles), groups(x)
    outputs = [ask(known, grouped_x, True), ask(known, grouped_x, True)]
    if not loud and _differ(*outputs):
        shown.add(Place.INSIDE_MLP)
    known = grouped(values, roles)
    outputs += [ask(known, grouped_x, True), ask(known, grouped_x, True)]
    if any(map(unequal_in_groups, outputs[2:])):
        shown.add(Place.AFTER_MLP)
    finite = all(bool(one.isfinite().all()) for one in (*seen, *outputs))
    return LayerDropout(
        at_all=_differ(*passes),
        steady=not _differ(*evaluated),
        finite=finite,
        on_input=on_input and not loud,
        loud=loud,
        shown=frozenset(shown),
    )


def silent(values: Mapping[str, Tensor], roles: LayerRoles, *branches: Place) -> Values:
    """The parameters, with zeros for the last weight and bias of the named branches."""
    last = {
        Place.AFTER_ATTENTION: (roles.output, roles.output_bias),
        Place.AFTER_MLP: (roles.second, roles.second_bias),
    }
    zeros = {
        name: torch.zeros_like(values[name])
        for branch in branches
        for name in last[branch]
        if name is not None
    }
    return {**values, **zeros}


def paired(values: Mapping[str, Tensor], roles: LayerRoles) -> Values:
    """Only the MLP speaks: equal hidden units, of which each cancels another exactly.

    What they add differs from number to number, or a norm behind the sum would take it away.
    """
    known = _equal_units(values, roles)
    size, units = values[roles.second].shape  # (I, M)
    pairs = _signs(units, values[roles.second].dtype)
    pairs[units // 2 * 2 :] = 0.0
    added = torch.linspace(0.5, 1.5, size, dtype=pairs.dtype)
    return {**known, roles.second: added[:, None] * pairs}


def grouped(values: Mapping[str, Tensor], roles: LayerRoles) -> Values:
    """Only the MLP speaks: it adds the same to all numbers of a token."""
    known = _equal_units(values, roles)
    second = torch.full_like(values[roles.second], 1 / values[roles.second].shape[1])
    if roles.second_bias is not None:
        known[roles.second_bias] = torch.ones_like(values[roles.second_bias])
    return {**known, roles.second: second}


def groups(x: Tensor) -> Tensor:
    """Tokens like x (B, T, I) whose numbers are 1 and -1 by turns."""
    return _signs(x.shape[-1], x.dtype).expand_as(x).clone()


def unequal_in_groups(out: Tensor) -> bool:
    """Whether numbers of a token that stand for equals (every second) differ."""
    if out.dim() != 3 or out.shape[-1] < 2:
        return False
    allowed = TOLERANCES.get(out.dtype, 1e-4) * max(float(out.abs().max()), 1e-3)
    spread = (out[..., start::2] for start in (0, 1))
    return any(float((one.amax(-1) - one.amin(-1)).max()) > allowed for one in spread)


def places_of(
    trace: TraceReply, parts: ModuleReply, roles: LayerRoles
) -> tuple[tuple[Dropped, ...], tuple[str, ...]]:
    """The dropouts of a trace with their places, and the modules that it says never ran."""
    of_role = {as_name(name): place for name, place in _places(parts, roles).items()}
    heads = tuple(as_name(prefix) for prefix, _ in roles.heads)
    last, dropped = Place.ELSEWHERE, []
    for event in trace.events:
        if event.what == "dropout":
            if event.p != 0 or not f"{event.name}.".startswith(heads):  # heads may go without
                dropped.append(Dropped(last, event.name, event.p))
        else:
            last = of_role.get(event.name, last)
    ran = set(trace.modules)
    uncalled = [
        part.path
        for part in parts.modules
        if part.kind == "Dropout" and part.path not in ran and not part.path.startswith(heads)
    ]
    return tuple(dropped), tuple(uncalled)


def _places(parts: ModuleReply, roles: LayerRoles) -> dict[str, Place]:
    """Where a dropout stands that follows the use of a parameter."""
    found = {
        one.name: Place.AFTER_ATTENTION
        for one in parts.parameters
        if any(one.name.startswith(prefix) for prefix, _ in roles.heads)
    }
    found |= {name: Place.ELSEWHERE for norm in roles.norms for name in norm if name is not None}
    return found | {
        roles.output: Place.AFTER_ATTENTION,
        roles.first: Place.INSIDE_MLP,
        roles.second: Place.AFTER_MLP,
    }


def _equal_units(values: Mapping[str, Tensor], roles: LayerRoles) -> Values:
    """Hidden units that are all equal and positive, and a silent rest.

    Scale and shift of a norm are the same numbers, so it doesn't matter which is which.
    """
    known = silent(values, roles, Place.AFTER_ATTENTION, Place.AFTER_MLP)
    for name in (name for norm in roles.norms for name in norm if name is not None):
        known[name] = _signs(len(values[name]), values[name].dtype)
    first = values[roles.first]  # (M, I)
    known[roles.first] = (_signs(first.shape[1], first.dtype) / first.shape[1]).expand_as(first)
    known[roles.first] = known[roles.first].contiguous()
    if roles.first_bias is not None:
        known[roles.first_bias] = torch.ones_like(values[roles.first_bias])
    return known


def _signs(size: int, dtype: torch.dtype) -> Tensor:
    signs = torch.ones(size, dtype=dtype)
    signs[1::2] = -1.0
    return signs


def _differ(one: Tensor, other: Tensor) -> bool:
    return compare(one, other) is not None
