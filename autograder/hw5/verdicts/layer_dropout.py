"""From evidence to verdict, for the encoder layer's dropout.

Values decide. What the worker tells about the order of the pass gives names to what is
missing, and decides only where a mistake in the layer hides dropout from the values.
"""

from __future__ import annotations

from collections.abc import Sequence

from autograder.homework import LAYER
from autograder.hw5.mistakes import layer_construction as known
from autograder.hw5.mistakes.layer_dropout import hidden_places
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.probes.layer import LayerProbe
from autograder.hw5.probes.layer_dropout import PLACES, PROBE_DROPOUT, LayerDropout, Place
from autograder.hw5.verdicts import numbers
from autograder.rubric.feedback import Rejected, joined, reject
from autograder.rubric.mistake import Finding, Mistake, hinted, named
from autograder.sandbox.errors import WorkerError

MISSING = {
    Place.AFTER_ATTENTION: known.NO_ATTENTION_DROPOUT,
    Place.INSIDE_MLP: known.NO_HIDDEN_DROPOUT,
    Place.AFTER_MLP: known.NO_LAST_DROPOUT,
}
EXPECTED = "dropout after the attention, inside the MLP and after it"


def check_layer_dropout(probe: LayerProbe) -> None:
    """Dropout at all three places while training, at none in evaluation."""
    if not probe.readings:
        raise numbers.unexpected_parameters(LAYER.name, probe.roles_problem)
    found = probe.dropout
    if isinstance(found, WorkerError):
        raise Rejected(of_error(found))
    assert found is not None
    _check_what_is_dropped(found)
    missing = [place for place in PLACES if not _is_there(place, found, probe)]
    if missing:
        finding, why = _why_missing(missing, found, probe)
        raise reject(
            f"Dropout is missing {joined(place.value for place in missing)}.",
            expected=EXPECTED,
            likely=why,
            next_step=finding.named["next_step"],
            diagnosis=finding.id,
        )
    if probe.always:
        raise reject(
            "The constructor's dropout is ignored: with dropout=0, two passes in training mode "
            "still differ.",
            got=_fixed_shares(probe),
            expected="dropout with the share that the constructor is given",
            **hinted(known.DROPOUT_IGNORED),
        )


def _check_what_is_dropped(found: LayerDropout) -> None:
    """Finite numbers, nothing dropped in evaluation, nothing of x itself."""
    if not found.finite:
        raise reject(
            "The output contains NaN or infinity.",
            got=f"with dropout={PROBE_DROPOUT}, numbers that are not finite",
            expected="a finite output",
            next_step="Print each step's largest number: at which step is it no longer finite?",
        )
    if not found.steady:
        raise reject(
            "Dropout is still active in evaluation mode.",
            got="after eval(), two passes on the same input differ",
            expected="dropout that follows the layer's training mode, as nn.Dropout does",
            **hinted(known.LAYER_DROPOUT_ALIVE),
        )
    if found.on_input:
        raise reject(
            "Dropout is applied to more than the branches.",
            got="with W_O and the MLP's last Linear set to zero, two passes in training mode "
            "still differ: numbers of x itself are dropped",
            expected="dropout on what a branch adds to x, never on x itself",
            **named(known.DROPOUT_ON_RESIDUAL),
        )


def _is_there(place: Place, found: LayerDropout, probe: LayerProbe) -> bool:
    """Whether the values show dropout at a place; where they can't, whether it was told of.

    What follows the attention and what precedes it look alike in the values: if dropout was
    told of before a sub-layer, and none after the attention, it is the former. A layer of which
    neither can tell has another mistake; it gets the benefit of the doubt.
    """
    told = {one.place for one in found.traced if one.share != 0}
    if found.loud and not found.traced:
        return found.at_all  # neither values nor the trace can tell
    if place in found.shown:
        return not (
            place is Place.AFTER_ATTENTION and Place.ELSEWHERE in told and place not in told
        )
    return found.at_all and place in told and (found.loud or place in hidden_places(probe))


def _why_missing(
    missing: Sequence[Place], found: LayerDropout, probe: LayerProbe
) -> tuple[Finding, str]:
    """The mistakes, and in words what the order of the pass says about them."""
    mistakes: list[Mistake] = [MISSING[place] for place in missing]
    said = []
    if found.uncalled:
        mistakes.append(known.DROPOUT_NOT_CALLED)
        verb, it = ("is", "it") if len(found.uncalled) == 1 else ("are", "them")
        said.append(
            f"{numbers.first_of(list(found.uncalled))} {verb} made in the constructor, but forward "
            f"never calls {it}"
        )
    if any(one.share == 0 and one.place in missing for one in found.traced):
        mistakes.append(known.DROPOUT_IGNORED)
        said.append(
            f"a dropout there has the share 0, though the constructor was given {PROBE_DROPOUT}"
        )
    elif probe.always:
        mistakes.append(known.DROPOUT_IGNORED)
        said.append("the constructor's dropout is ignored elsewhere: with 0, numbers still drop")
    if any(one.place is Place.ELSEWHERE and one.share != 0 for one in found.traced):
        mistakes.append(known.DROPOUT_BEFORE)
        said.append(
            "a dropout runs before the attention or the MLP, where it drops what goes in instead "
            "of what comes out"
        )
    return Finding(tuple(mistakes)), "; ".join(said)


def _fixed_shares(probe: LayerProbe) -> str:
    """The nn.Dropout modules of a layer made with dropout=0 that drop all the same."""
    shares = [
        f"{part.path} has p = {part.p:g}"
        for part in probe.parts.modules
        if part.kind == "Dropout" and isinstance(part.p, (int, float)) and part.p > 0
    ]
    return numbers.first_of(shares)
