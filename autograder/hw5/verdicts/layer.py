"""From evidence to verdict, for the encoder layer.

A mistake is paid for once. Where a known mistake reproduces the output, it costs the line
that it belongs to; the other lines compare with a reference that makes the same mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autograder.homework import LAYER
from autograder.hw5.mistakes import layer_construction as known
from autograder.hw5.mistakes.layer import MLP_HINT, OTHER_ACTIVATIONS, RESIDUAL_HINT
from autograder.hw5.mistakes.layer_search import LayerReading, find_in_gradients, read_layer
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.probes import source_modules
from autograder.hw5.probes.layer import LayerCase, LayerProbe
from autograder.hw5.probes.layer_dropout import PROBE_DROPOUT
from autograder.hw5.probes.reference import ACTIVATIONS
from autograder.hw5.verdicts import numbers
from autograder.hw5.verdicts.maps import layer_maps, showing
from autograder.rubric.comparison import compare, well_formed
from autograder.rubric.feedback import Named, Rejected, reject
from autograder.rubric.mistake import Finding, Mistake, named

NAME = LAYER.name


def check_layer_shape(probe: LayerProbe) -> None:
    """The output has the shape of the input."""
    base = probe.base
    problem = well_formed(base.out, base.size.out_shape)
    if problem is not None:
        raise reject(
            "The output has the wrong shape.",
            got=f"for x of shape {tuple(base.x.shape)} the output {problem.text}",
            expected=f"(B, T, dim) = {base.size.out_shape}",
            **named(_finding(probe)),
        )


def check_layer_order(probe: LayerProbe) -> None:
    """The tokens come first, the attention maps second."""
    if not probe.base.in_order:
        raise reject(
            "The two results are in the wrong order.",
            got="the attention maps, then the tokens",
            expected="the tokens (B, T, dim), then the attention maps (B, heads, T, T)",
            **numbers.and_more(known.LAYER_RESULTS_SWAPPED, _paid_on(probe, "3b.1")),
        )


def check_residuals(probe: LayerProbe) -> None:
    """With both branches silenced the input comes out unchanged."""
    _need_readings(probe)
    case = probe.silent_branches
    assert case is not None
    if case.out.shape != case.x.shape:
        return  # check_layer_shape says so
    difference = compare(case.out, case.x)
    reading = read_layer(probe)
    paid_elsewhere = reading is not None and not reading.paid_on("3b.1")
    if difference is None or paid_elsewhere:
        return
    raise reject(
        "The residual connections don't pass the input through unchanged.",
        got="with W_O and the MLP's last Linear set to zero, the output, compared with the input, "
        f"{difference.text}",
        expected="exactly the input: a branch that outputs zeros changes nothing",
        **(
            named(reading.paid_on("3b.1") if reading else None)
            or Named(
                likely="a residual connection is missing, added twice, or taken from elsewhere",
                next_step=RESIDUAL_HINT,
            )
        ),
    )


def check_layer_values(probe: LayerProbe, pictures: bool) -> None:
    """The output equals the reference's, but for what belongs to other lines.

    If not, attention maps that differ are shown: they say on which side of the attention to look.
    """
    _need_readings(probe)
    reading = read_layer(probe)
    if reading is not None and not reading.paid_on("3b.2"):
        _check_epsilon(probe, reading)
        return
    difference = probe.closest()
    maps = layer_maps(probe)
    rejected = reject(
        f"The output is wrong: it {difference.text}."
        if difference
        else "This is not the encoder layer that the question asks for.",
        expected="y = x + W_O·heads(norm₁(x)), then y + MLP(norm₂(y))",
        **(named(reading.paid_on("3b.2") if reading else None) or what_is_known(probe)),
    )
    if maps is not None and maps.agree:
        note = "The attention maps are right: look at what happens after them."
        raise Rejected(rejected.feedback.noting(note), rejected.points)
    raise showing(rejected, maps, pictures)


def _check_epsilon(probe: LayerProbe, reading: LayerReading) -> None:
    """The norms' eps is not the layer's dropout, which changes what they put out."""
    case = probe.silent_dropout
    if not isinstance(case, LayerCase) or compare(case.out, probe.base.out) is None:
        return
    changed = replace(reading, roles=replace(reading.roles, eps=PROBE_DROPOUT))
    if compare(case.out, changed.steps(case)["out"]) is None:
        raise reject(
            f"With dropout {PROBE_DROPOUT:g} the output is another than with 0, also after eval().",
            got=f"norms that add {PROBE_DROPOUT:g} to the variance, where they added 0 before",
            expected="the same output: in evaluation nothing is dropped",
            **named(known.NORM_EPSILON_DROPOUT),
        )


def check_layer_gradients(probe: LayerProbe) -> None:
    """Gradients of the input and each parameter equal the reference's."""
    _need_readings(probe)
    base = probe.base
    if base.backward is not None:
        raise Rejected(of_error(base.backward))
    known_reading = read_layer(probe)
    reading = known_reading or LayerReading(probe.readings[0], ())
    if reading.steps(base)["out"].shape != base.out.shape:
        raise numbers.no_gradients("3b.1")
    expected = reading.gradients(base)
    numbers.check_gradients(
        base.gradients,
        expected,
        lambda: find_in_gradients(known_reading, base) if known_reading else None,
    )


def check_layer_source(code: Mapping[str, str]) -> None:
    """encoder.py uses no attention that torch has ready-made, nor do files that it imports."""
    numbers.check_source(
        source_modules.search_layer(code).violations,
        expected="a layer built from Attention, LayerNorm, Linear, ReLU and Dropout",
        built_in=known.BUILT_IN_LAYER,
    )


def check_layer_structure(probe: LayerProbe) -> None:
    """W_O without bias, an MLP of Linear, ReLU, Linear with mlp_dim hidden units."""
    _need_readings(probe)
    roles = probe.readings[0]
    shapes = {part.name: tuple(part.shape) for part in probe.parts.parameters}
    found: list[Mistake] = []
    if roles.output_bias is not None:
        found.append(known.OUTPUT_BIAS)
    if shapes[roles.first][0] != probe.base.size.mlp_dim:
        found.append(known.WRONG_HIDDEN_SIZE)
    found += _activation_mistakes(probe)
    if probe.trained:
        found.append(known.TRAINED_FACTOR)
    if found:
        finding = Finding(tuple(found))
        raise reject(
            f"The layer is not built as the question asks: {finding.named['likely']}.",
            expected="W_O = Linear(heads * dim_head, dim) without bias; "
            "MLP = Linear(dim, mlp_dim), ReLU, Linear(mlp_dim, dim)",
            next_step=f"{finding.named['next_step']} This costs no other line.",
            diagnosis=finding.id,
        )
    if read_layer(probe) is None and probe.activation is None:
        raise reject(
            "The MLP is not Linear, ReLU, Linear.",
            got=f"numbers that none of {', '.join(ACTIVATIONS)} between the two reproduces",
            next_step=MLP_HINT,
        )


def what_is_known(probe: LayerProbe) -> Named:
    """What can be said about an output that no known mistake explains."""
    facts = []
    if well_formed(probe.base.out, probe.base.size.out_shape) is None:
        facts.append("the shape is right")
    silent = probe.silent_branches
    if silent is not None and compare(silent.out, silent.x) is None:
        facts.append("both residual connections are there")
    if probe.activation is not None:
        facts.append(f"the MLP's activation is {probe.activation}")
    return {
        "likely": f"none of the known ones; {', '.join(facts)}" if facts else "",
        "next_step": "Follow one token by hand: what is normalised, what is added to what?",
    }


def _activation_mistakes(probe: LayerProbe) -> list[Mistake]:
    reading = read_layer(probe)
    if reading is not None:
        paid_here = reading.paid_on("3b.4")
        return list(paid_here.mistakes) if paid_here else []
    if probe.activation in ("ReLU", None):
        return []
    return [OTHER_ACTIVATIONS[str(probe.activation)]]


def _finding(probe: LayerProbe) -> Finding | None:
    reading = read_layer(probe)
    return None if reading is None else reading.finding


def _paid_on(probe: LayerProbe, line: str) -> Finding | None:
    finding = _finding(probe)
    return None if finding is None else finding.paid_on(line)


def _need_readings(probe: LayerProbe) -> None:
    if not probe.readings:
        raise numbers.unexpected_parameters(NAME, probe.roles_problem)
