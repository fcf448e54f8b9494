"""Whether a network can be trained with its Training(...), and what the homework fixes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple, TypeGuard

from provided.homework import FULLY_CONNECTED, values
from provided.settings import (
    INITS,
    OPTIMIZERS,
    SCHEDULES,
    Training,
    in_epochs,
)

MOST_SHOWN = 60  # characters of a value in a sentence
OFTEN_MEANT = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "he_normal": "kaiming_normal",
    "he_uniform": "kaiming_uniform",
    "glorot_normal": "xavier_normal",
    "glorot_uniform": "xavier_uniform",
}
RANGES = {  # of the settings that are a number
    "learning_rate": (1e-8, 10),
    "weight_decay": (0, 10),
    "momentum": (0, 0.9999),
    "alpha": (0, 0.9999),
    "eps": (1e-12, 1),
}


class Bounds(NamedTuple):
    """What the settings of a network may be.

    fixed: whether optimizer, batch size and epochs are the homework's; else those below are
           the largest that are possible
    """

    fixed: bool
    batch_size: int
    epochs: int


def bounds_of(network: str, homework: Mapping[str, Any] | None = None) -> Bounds:
    """Those of "fc", "cnn" or "vit".

    homework: the sections of homework.yaml, where they aren't those of the file beside this one
    """
    sections = values() if homework is None else homework
    if network != FULLY_CONNECTED.kind:
        return Bounds(True, sections["training"]["batch_size"], sections["training"]["epochs"])
    section = sections["fully_connected"]
    return Bounds(False, section["max_batch_size"], section["max_epochs"])


def problem_of(
    settings: Training, name: str, bounds: Bounds, layers: Sequence[str] | None = None
) -> str | None:
    """The first thing that is wrong with settings, as a sentence; None where nothing is.

    name:   what models.py calls them
    layers: the names of the layers in the nn.Sequential, "0", "1" and so on where it has none
    """
    found = _problems(settings, bounds, layers)
    return f"{name}{found[0]}{'' if found[0].endswith('?') else '.'}" if found else None


def as_graded(settings: Training, bounds: Bounds) -> tuple[Training, list[str]]:
    """Valid settings as the grader takes them, and a sentence for each that the homework fixes."""
    if not bounds.fixed:
        return settings, []
    notes = []
    adam = OPTIMIZERS["adam"].takes
    foreign = [name for name in settings.of_optimizer if name not in adam]
    if settings.optimizer != "adam" or foreign:
        what = shown(settings.optimizer) if settings.optimizer != "adam" else " and ".join(foreign)
        notes.append(f"The homework fixes Adam here: {what} is not used.")
        unset: dict[str, Any] = {
            one.name: one.default for one in fields(settings) if one.name in foreign
        }
        settings = replace(settings, optimizer="adam", **unset)
    if settings.batch_size != bounds.batch_size:
        notes.append(f"The homework fixes batches of {bounds.batch_size} here.")
        settings = replace(settings, batch_size=bounds.batch_size)
    if settings.epochs > bounds.epochs:
        notes.append(f"The homework allows {bounds.epochs} epochs here.")
        settings = in_epochs(settings, bounds.epochs, compressed=False)
    return settings, notes


def _problems(settings: Training, bounds: Bounds, layers: Sequence[str] | None) -> list[str]:
    always = [
        *map(_unknown, settings.unknown),
        _in_range("learning_rate", settings.learning_rate)
        if isinstance(settings.schedule, str)
        else None,
        _in_range("weight_decay", settings.weight_decay),
        _up_to("epochs", settings.epochs, None if bounds.fixed else bounds.epochs),
        _schedule_problem(settings),
        None if settings.init is None else _one_of("init", settings.init, list(INITS)),
        *_decay_problems(settings, layers),
    ]
    chosen = [
        _up_to("batch_size", settings.batch_size, bounds.batch_size),
        _one_of("optimizer", settings.optimizer, list(OPTIMIZERS)),
    ]
    of_optimizer = _optimizer_problems(settings, bounds.fixed)
    found = [*always, *([] if bounds.fixed else chosen), *of_optimizer]
    return [text for text in found if text is not None]


def _schedule_problem(settings: Training) -> str | None:
    rates = settings.schedule
    if isinstance(rates, tuple):
        wrong = next((rate for rate in rates if not is_within(rate, 0, 10)), None)
        if wrong is not None:
            return f".schedule has the rate {shown(wrong)}, which is not a number from 0 to 10"
        if len(rates) != settings.epochs:
            return f".schedule has {len(rates)} rates for {shown(settings.epochs)} epochs"
        return None
    said = _one_of("schedule", rates, list(SCHEDULES))
    return said and f"{said}, and no list with a rate for each epoch"


def _optimizer_problems(settings: Training, fixed: bool) -> list[str | None]:
    """What is wrong with the settings of the optimizer; where it is fixed, with those it takes."""
    name = "adam" if fixed else settings.optimizer
    if not isinstance(name, str) or name not in OPTIMIZERS:
        return []
    takes, given = OPTIMIZERS[name].takes, settings.of_optimizer
    foreign = [one for one in given if one not in takes]
    own = {one: value for one, value in given.items() if one in takes}
    found: list[str | None] = [_in_range(one, own[one]) for one in own if one in RANGES]
    if not fixed:
        found += [f".{one} is set, but {name} takes no {one}" for one in foreign]
    betas, nesterov = own.get("betas"), own.get("nesterov", False)
    if betas is not None and not (
        isinstance(betas, tuple)
        and len(betas) == 2
        and all(is_within(beta, 0, 0.999999) for beta in betas)
    ):
        found.append(f".betas = {shown(betas)} is not two numbers from 0 to below 1")
    if not isinstance(nesterov, bool):
        found.append(f".nesterov = {shown(nesterov)} is not True or False")
    if nesterov is True and "momentum" not in own:
        found.append(".nesterov needs a momentum above 0")
    return found


def _decay_problems(settings: Training, layers: Sequence[str] | None) -> list[str | None]:
    own = settings.layer_weight_decay
    if not isinstance(own, Mapping):
        return [".layer_weight_decay is not a dictionary"]
    found: list[str | None] = []
    for layer, decay in own.items():
        found.append(_in_range(f"layer_weight_decay[{shown(layer)}]", decay, "weight_decay"))
        if layers is not None and not (
            layer in layers or (is_whole(layer) and 0 <= layer < len(layers))
        ):
            found.append(f".layer_weight_decay names layer {shown(layer)}, which doesn't exist")
    return found


def _in_range(name: str, value: object, kind: str = "") -> str | None:
    if name == "learning_rate" and value is None:
        return " has no learning_rate"
    low, high = RANGES[kind or name]
    if is_within(value, low, high):
        return None
    return f".{name} = {shown(value)} is not a number from {low:g} to {high:g}"


def _up_to(name: str, value: object, most: int | None) -> str | None:
    if is_whole(value) and 1 <= value <= (most or value):
        return None
    to = "" if most is None else f" to {most:,}"
    return f".{name} = {shown(value)} is not a whole number from 1{to}"


def _one_of(name: str, value: object, known: list[str]) -> str | None:
    if value in known:
        return None
    guess = _near(str(value), known, " (did you mean {}?)")
    return f".{name} = {shown(value)} is not one of {', '.join(known)}{guess}"


def is_within(value: object, low: float, high: float) -> bool:
    """Whether something is a number in this range."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return low <= value <= high


def is_whole(value: object) -> TypeGuard[int]:
    """Whether something is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: object) -> str:
    """A value in a sentence, not too long."""
    text = repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def _unknown(name: str) -> str:
    names = [one.name for one in fields(Training)]
    return f" has no setting {name[:MOST_SHOWN]}{_near(name, names, '; did you mean {}?')}"


def _near(name: str, known: Sequence[str], sentence: str) -> str:
    """A guess at what was meant, in a sentence; nothing where there is none."""
    near = difflib.get_close_matches(name, known, 1)
    meant = OFTEN_MEANT.get(name, near[0] if near else None)
    return sentence.format(meant) if meant in known else ""
