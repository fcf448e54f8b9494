"""A network of question 2 as a submission describes it: its layers, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from autograder.hw5.assignment import Assignment
from autograder.rubric.feedback import joined
from autograder.sandbox.replies import ModelReply, SettingsReply
from autograder.sandbox.text import name as as_name
from autograder.sandbox.text import one_line
from autograder.training.layer_list import LayerList
from provided.homework import Network
from provided.settings import INITS, Training, decay_of
from provided.settings_rules import as_graded, bounds_of, problem_of

MAX_SENTENCE = 400  # characters about settings that are none
SECTIONS = {"training", "fully_connected"}  # of the assignment, that bound settings
MAX_NAMED = 4  # layers in a sentence


@dataclass(frozen=True)
class Model:
    """A submission's nn.Sequential as a layer list, and how it is to be trained.

    settings: None where they are none that a network can be trained with; the problem, a
              sentence, says why
    """

    layers: LayerList
    settings: Training | None
    settings_problem: str
    notes: tuple[str, ...] = ()


def read_settings(
    layers: LayerList, reply: ModelReply, network: Network, assignment: Assignment
) -> Model:
    """The training settings, checked; what the homework fixes is corrected and noted."""
    assert reply.settings is not None
    claimed = _claimed(reply.settings)
    bounds = bounds_of(network.kind, assignment.model_dump(include=SECTIONS))
    problem = problem_of(claimed, network.settings, bounds, layers.top_level_names())
    if problem is not None:
        return Model(layers, None, one_line(problem, MAX_SENTENCE))
    settings, notes = as_graded(claimed, bounds)
    settings = replace(settings, layer_weight_decay=_by_position(settings, layers))
    return Model(layers, settings, "", (*notes, *_own_weights(reply.own_weights, settings)))


def _by_position(settings: Training, layers: LayerList) -> dict[int | str, float]:
    """The decays of single layers by their place in the list, nested containers unfolded."""
    if not settings.layer_weight_decay:
        return {}
    names, each = layers.top_level_names(), layers.top_level_indices()
    return {place: decay_of(settings, top, names[top]) for place, top in enumerate(each)}


def _claimed(reply: SettingsReply) -> Training:
    """What a worker claims of a Training(...), not checked yet."""
    given: dict[str, Any] = reply.model_dump(exclude={"unknown", "layer_weight_decay"})
    given["layer_weight_decay"] = {
        int(layer) if layer.isdecimal() else layer: value
        for layer, value in reply.layer_weight_decay.items()
    }
    given |= dict.fromkeys(map(as_name, reply.unknown))
    return Training(**given)


def _own_weights(paths: Sequence[str], settings: Training) -> tuple[str, ...]:
    """That first weights which a submission set by itself don't come across."""
    if not paths or settings.init is not None:
        return ()
    named = [as_name(path) for path in paths[:MAX_NAMED]]
    if len(paths) > MAX_NAMED:
        named.append(f"{len(paths) - MAX_NAMED} more")
    return (
        f"Your code sets the first weights of layer{'s' if len(paths) > 1 else ''} "
        f"{joined(named)} itself. The grader makes layers anew and begins with torch's usual "
        f"weights; for another way set init in Training(...) to one of {', '.join(INITS)}.",
    )
