"""From evidence to verdict, for the attention head.

A mistake is paid for once. Where a known mistake reproduces the output, it costs the line
that it belongs to; the other lines compare with a reference that makes the same mistake.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from autograder.homework import HEAD
from autograder.hw5.mistakes import head_construction as known
from autograder.hw5.mistakes.head import VALUE_HINT
from autograder.hw5.mistakes.head_search import (
    HeadReading,
    find_in_gradients,
    find_in_large_scores,
    find_in_returned,
    read_head,
)
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.probes import source_modules
from autograder.hw5.probes.asker import shapes_of
from autograder.hw5.probes.head import HeadCase, HeadProbe
from autograder.hw5.verdicts import numbers
from autograder.hw5.verdicts.maps import head_maps, showing
from autograder.rubric.comparison import Difference, compare, well_formed
from autograder.rubric.feedback import Named, Rejected, reject
from autograder.rubric.mistake import DoesNotApply, Finding, hinted, named
from autograder.sandbox.errors import StudentCodeRaised, WorkerError
from autograder.sandbox.replies import ModuleReply

NAME = HEAD.name
TWO_RESULTS = "the output (B, T, inner_dim), then the attention weights (B, T, T)"
CASE = "Run your head on random input of these sizes; print the shape and values of each step."


def check_head_shape(probe: HeadProbe) -> None:
    """The output has a row of inner_dim numbers for every token of every sequence."""
    base = probe.base
    problem = well_formed(base.out, base.out_shape)
    if problem is not None:
        raise reject(
            "The output has the wrong shape.",
            got=f"for x of shape {tuple(base.x.shape)} the output {problem.text}",
            expected=f"(B, T, inner_dim) = {base.out_shape}",
            **(named(_finding(probe)) if base.in_order else _swapped_too(probe)),
        )


def check_head_order(probe: HeadProbe) -> None:
    """The output comes first, the weights second."""
    if not probe.base.in_order:
        raise reject(
            "The two results are in the wrong order.",
            got="the attention weights, then the output",
            expected=TWO_RESULTS,
            **hinted(known.RESULTS_SWAPPED),
        )


def check_head_source(code: Mapping[str, str]) -> None:
    """attention.py uses nothing of torch.nn beyond the list, nor do files that it imports."""
    if HEAD.file not in code:
        raise reject(f"{HEAD.file} was not submitted.")
    numbers.check_source(
        source_modules.search_head(code).violations,
        expected="from torch.nn only Linear, Softmax and Dropout; plain tensor operations",
        built_in=known.BUILT_IN_ATTENTION,
        other=known.FOREIGN_LAYER,
    )


def check_head_calls(probe: HeadProbe) -> None:
    """No ready-made attention was called, by whatever name the source reaches it."""
    if probe.called:
        raise reject(
            f"While your head was imported, made or run, torch's {', '.join(probe.called[:3])} "
            "was called.",
            expected="attention that you compute yourself, from plain tensor operations",
            **named(known.BUILT_IN_ATTENTION),
        )


def check_head_parts(parts: ModuleReply) -> None:
    """Only allowed layers inside the constructed head."""
    allowed = {"Linear", "Softmax", "Dropout"}
    neutral = {
        "ModuleList",
        "ModuleDict",
        "Sequential",
        "Identity",
        "ParameterList",
        "ParameterDict",
    }
    foreign = [
        part for part in parts.modules if part.from_torch and part.kind not in allowed | neutral
    ]
    if foreign:
        inside = tuple(f"{part.path}." for part in foreign)  # their own biases are no projection's
        biases = [name for name in _biases(parts) if not name.startswith(inside)]
        names = [f"{part.kind} ({part.path})" for part in foreign]
        raise reject(
            f"The head contains {numbers.first_of(names)}.",
            expected="from torch.nn only Linear, Softmax and Dropout",
            **numbers.and_more(
                known.FOREIGN_LAYER, Finding((known.PROJECTION_BIAS,)) if biases else None
            ),
        )


def check_head_biases(probe: HeadProbe) -> None:
    """No projection has a bias and no single number is learned, but for what does nothing."""
    biases = [name for name in _biases(probe.parts) if name not in probe.idle]
    if biases:
        named_so = all(name.rpartition(".")[2] == "bias" for name in biases)
        what = "biases" if named_so else "biases, or parameters with the shape of one"
        raise reject(
            f"The head has {what}: {numbers.first_of(biases)}.",
            expected="query, key and value without bias",
            **hinted(known.PROJECTION_BIAS),
        )
    if probe.trained:
        raise reject(
            "The head has a parameter that is a single number, and training changes it: "
            f"{numbers.first_of(list(probe.trained))}.",
            expected="no parameters beside the projections; a fixed scale of 1/√inner_dim",
            **hinted(known.TRAINED_SCALE),
        )


def _biases(parts: ModuleReply) -> list[str]:
    """The parameters that are named or shaped as a bias is."""
    shapes = shapes_of(parts)
    biases = [name for name in shapes if name.rpartition(".")[2] == "bias"]
    return biases + [name for name in shapes if len(shapes[name]) == 1 and name not in biases]


def check_head_returns_weights(probe: HeadProbe) -> None:
    """There are attention weights, one square for each sequence."""
    base = probe.base
    if base.attention is None:
        raise reject(
            "The head returns no attention weights.",
            got="the output alone",
            expected=TWO_RESULTS,
            **hinted(known.WEIGHTS_NOT_RETURNED),
        )
    problem = well_formed(base.attention, base.map_shape)
    if problem is not None:
        reading = read_head(probe)
        raise reject(
            "The attention weights have the wrong shape.",
            got=f"a tensor that {problem.text}",
            expected=f"(B, T, T) = {base.map_shape}",
            **named(None if reading is None else find_in_returned(reading, base)),
        )


def check_head_rows(probe: HeadProbe, pictures: bool) -> None:
    """Each row of the weights is a probability distribution; if not, the map is shown."""
    reading = read_head(probe)
    assert probe.base.attention is not None
    try:
        numbers.check_rows(probe.base.attention, "the attention weights")
    except Rejected as rejected:
        finding = None if reading is None else find_in_returned(reading, probe.base)
        raise showing(_renamed(rejected, finding), head_maps(probe), pictures) from None


def check_head_values(probe: HeadProbe, pictures: bool) -> None:
    """The output equals the reference's under one reading; if not, maps that differ are shown."""
    reading = read_head(probe)
    if reading is None:
        _need_candidates(probe)
    if reading is not None and not reading.paid_on("3a.4"):
        return
    difference = probe.closest(probe.base)
    rejected = reject(
        f"The output is wrong: it {difference.text}." if difference else probe.roles_problem,
        expected="softmax(Q Kᵀ / √inner_dim) V, for the same weights and the same x",
        **(named(reading.paid_on("3a.4") if reading else None) or what_is_known(probe)),
    )
    raise showing(rejected, head_maps(probe), pictures)


def check_head_gradients(probe: HeadProbe) -> None:
    """Gradients of the input and each parameter equal the reference's."""
    base = probe.base
    if base.backward is not None:
        raise Rejected(of_error(base.backward))
    known_reading = read_head(probe)
    reading = known_reading or _likeliest(probe)
    if reading.steps(base)["out"].shape != base.out.shape:
        raise numbers.no_gradients("3a.1")
    expected = reading.gradients(base)
    numbers.check_gradients(
        base.gradients,
        expected,
        lambda: find_in_gradients(known_reading, base) if known_reading else None,
    )


def check_head_case(probe: HeadProbe, case: HeadCase | WorkerError | None, what: str) -> None:
    """One further case equals the reference's, under the reading that the base case settled."""
    if isinstance(case, WorkerError):
        raise Rejected(of_error(case))
    assert case is not None
    reading = read_head(probe) or _likeliest(probe)
    try:
        expected = reading.steps(case)["out"]
    except DoesNotApply:
        return  # the mistake, paid for on 3a.4, can't be followed here
    except (RuntimeError, IndexError):  # parameters of other shapes than its own sizes ask for
        raise reject(
            f"With {what} (input_dim {case.size.input_dim}, inner_dim {case.size.inner_dim}) the "
            "parameters don't have the shapes that these sizes ask for.",
            expected="projections of input_dim to inner_dim numbers, whatever both are",
            next_step="Is a size written into your constructor as a number?",
        ) from None
    problem = compare(case.out, expected)
    if problem is not None:
        same = Named(likely="" if read_head(probe) else "the same as on line 3a.4", next_step=CASE)
        shape = f"x of shape {tuple(case.x.shape)}, inner_dim {case.size.inner_dim}"
        raise reject(
            f"With {what} ({shape}) the output {problem.text}.",
            expected="the same computation for any B, T, input_dim and inner_dim, and finite "
            "numbers for scores of any size",
            **(named(find_in_large_scores(reading, case)) or same),
        )


def check_float64(probe: HeadProbe) -> None:
    """The head computes in the precision of its input and weights."""
    problem = probe.float64_problem
    if problem is None:
        return
    text = f"the output {problem.text}" if isinstance(problem, Difference) else _why(problem)
    raise reject(
        f"In float64 {text}.",
        expected="results in the precision of the input and the weights",
        **named(known.CAST_TO_FLOAT32 if _is_float32(probe) else _finding(probe)),
    )


def what_is_known(probe: HeadProbe) -> Named:
    """What can be said about an output that no known mistake explains."""
    weights = probe.base.attention
    facts = []
    if well_formed(probe.base.out, probe.base.out_shape) is None:
        facts.append("the shape is right")
    if weights is not None and well_formed(weights, probe.base.map_shape) is None:
        sums = float((weights.double().sum(dim=-1) - 1).abs().max())
        facts.append(f"rows of the weights {'sum' if sums < 1e-3 else 'do not sum'} to one")
        if any(
            compare(weights, probe.expected(probe.base, roles).attention) is None
            for roles in probe.candidates
        ):
            facts.append("the weights are right, so look at what follows the softmax")
    return {
        "likely": f"none of the known ones; {', '.join(facts)}" if facts else "",
        "next_step": VALUE_HINT,
    }


def _swapped_too(probe: HeadProbe) -> Named:
    """What is said where the output is wrong and comes second."""
    finding = _finding(probe)
    found = () if finding is None else finding.mistakes
    return named(Finding((*found, known.RESULTS_SWAPPED)))


def _finding(probe: HeadProbe) -> Finding | None:
    reading = read_head(probe)
    return None if reading is None else reading.finding


def _likeliest(probe: HeadProbe) -> HeadReading:
    """Where nothing explains the output: the reference under the likeliest reading."""
    _need_candidates(probe)
    return HeadReading(probe.candidates[0], ())


def _renamed(rejected: Rejected, finding: Finding | None) -> Rejected:
    """The same verdict with the mistake named, where it is known."""
    if finding is None:
        return rejected
    feedback = rejected.feedback
    return reject(feedback.headline, got=feedback.got, expected=feedback.expected, **finding.named)


def _need_candidates(probe: HeadProbe) -> None:
    if not probe.candidates:
        raise numbers.unexpected_parameters(NAME, probe.roles_problem)


def _is_float32(probe: HeadProbe) -> bool:
    """Whether float32 is what came instead of float64, or what the code stumbled over."""
    return probe.base.out.dtype == torch.float32


def _why(problem: WorkerError) -> str:
    if isinstance(problem, StudentCodeRaised):
        return f"your code raised {problem.summary}"
    return f"your code could not be run ({torch.float64})"
