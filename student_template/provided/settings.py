"""How a network is trained: what you may set, and what the homework fixes."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, TypeGuard

import torch
from torch import nn

from provided.homework import FULLY_CONNECTED, values

BATCH_SIZE: int = values()["training"]["batch_size"]
EPOCHS: int = values()["training"]["epochs"]
SCHEDULES = ("constant", "one_cycle")
MOST_SHOWN = 60  # characters of a value in a sentence


class Optimizer(NamedTuple):
    """One of torch.optim's, and which of the settings it takes besides the weight decay."""

    kind: Callable[..., torch.optim.Optimizer]
    takes: frozenset[str]
    fused: bool = False  # whether it has a form that is faster, on every device


LIKE_ADAM = frozenset({"betas", "eps"})
OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Optimizer(torch.optim.Adam, LIKE_ADAM, True),
    "adamw": Optimizer(torch.optim.AdamW, LIKE_ADAM, True),
    "sgd": Optimizer(torch.optim.SGD, frozenset({"momentum", "nesterov"}), True),
    "rmsprop": Optimizer(torch.optim.RMSprop, frozenset({"momentum", "alpha", "eps"})),
    "adagrad": Optimizer(torch.optim.Adagrad, frozenset({"eps"})),
    "nadam": Optimizer(torch.optim.NAdam, LIKE_ADAM),
    "radam": Optimizer(torch.optim.RAdam, LIKE_ADAM),
    "adamax": Optimizer(torch.optim.Adamax, LIKE_ADAM),
}
OF_OPTIMIZERS = sorted(frozenset().union(*(one.takes for one in OPTIMIZERS.values())))

INITS: dict[str, Callable[[torch.Tensor], object]] = {
    "kaiming_normal": functools.partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "kaiming_uniform": functools.partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
}

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


def noting_unknown(kind: type[Any]) -> type[Any]:
    """Let a dataclass take keywords that it has no field for, and keep their names.

    So a slip in the settings of one model is said where they are used, and doesn't keep
    models.py, with the other model in it, from being imported.
    """
    make = kind.__init__
    known = {one.name for one in fields(kind)}

    @functools.wraps(make)
    def init(self: Any, /, *given: Any, **named: Any) -> None:
        make(self, *given, **{name: named[name] for name in named if name in known})
        object.__setattr__(self, "unknown", tuple(name for name in named if name not in known))

    kind.__init__ = init
    return kind


@noting_unknown
@dataclass(frozen=True)
class Training:
    """How a model is trained, with cross entropy as its loss.

    learning_rate       the constant rate, or the highest one of a one-cycle schedule
    schedule            "constant", or "one_cycle": a linear rise over the first quarter
                        of the steps, then half a cosine down to zero; or a list with the
                        rate of each epoch, which then stands in place of learning_rate
    weight_decay        of every layer, as torch's optimizer of this name has it: an L2
                        penalty, but decoupled from the gradient for adamw
    layer_weight_decay  a layer's own instead: {layer: decay}, the layer by its index in the
                        nn.Sequential, or by its name if it was made from an OrderedDict

    Yours to choose in question 2b, and fixed elsewhere:

    batch_size, epochs  images in a batch; passes over the training set
    optimizer           "adam", "adamw", "sgd", "rmsprop", "adagrad", "nadam", "radam" or
                        "adamax"; with torch's meaning and defaults of `momentum` and
                        `nesterov` (sgd; the first also rmsprop), `alpha` (rmsprop), `betas`
                        (those with "ada" in their names, but adagrad) and `eps` (all but sgd)

    The grader makes the layers anew, so first weights that you set yourself don't reach it:

    init                how the weights of Linear and Conv2d layers begin instead of torch's
                        usual way, with biases of zero: "kaiming_normal", "kaiming_uniform",
                        "xavier_normal", "xavier_uniform" or "orthogonal", from torch.nn.init
    """

    learning_rate: float | None = None
    batch_size: int = BATCH_SIZE
    epochs: int = EPOCHS
    schedule: str | Sequence[float] = "constant"
    weight_decay: float = 0.0
    layer_weight_decay: Mapping[int | str, float] = field(default_factory=dict)
    optimizer: str = "adam"
    momentum: float | None = None
    nesterov: bool | None = None
    betas: tuple[float, float] | None = None
    alpha: float | None = None
    eps: float | None = None
    init: str | None = None

    unknown: ClassVar[tuple[str, ...]] = ()  # what else a call named, see noting_unknown

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimizer", _lower(self.optimizer))
        object.__setattr__(self, "schedule", _rates(self.schedule))
        if isinstance(self.betas, list):
            object.__setattr__(self, "betas", tuple(self.betas))

    @property
    def highest_rate(self) -> float:
        """The learning rate, or the largest of the epochs'."""
        if isinstance(self.schedule, str):
            assert self.learning_rate is not None
            return self.learning_rate
        return max(self.schedule)

    @property
    def of_optimizer(self) -> dict[str, Any]:
        """What is set of what only some optimizers take."""
        each = {name: getattr(self, name) for name in OF_OPTIMIZERS}
        return {name: value for name, value in each.items() if value is not None}


class Bounds(NamedTuple):
    """What the settings of a network may be.

    fixed: whether optimizer, batch size and epochs are the homework's; else those below are
           the largest that are possible
    """

    fixed: bool
    batch_size: int = BATCH_SIZE
    epochs: int = EPOCHS


def bounds_of(network: str) -> Bounds:
    """Those of "fc", "cnn" or "vit"."""
    if network != FULLY_CONNECTED.kind:
        return Bounds(fixed=True)
    section = values()["fully_connected"]
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
        unset: dict[str, Any] = dict.fromkeys(foreign)
        settings = replace(settings, optimizer="adam", **unset)
    if settings.batch_size != bounds.batch_size:
        notes.append(f"The homework fixes batches of {bounds.batch_size} here.")
        settings = replace(settings, batch_size=bounds.batch_size)
    if settings.epochs > bounds.epochs:
        notes.append(f"The homework allows {bounds.epochs} epochs here.")
        settings = in_epochs(settings, bounds.epochs, compressed=False)
    return settings, notes


def in_epochs(settings: Training, epochs: int, *, compressed: bool = True) -> Training:
    """The settings for fewer epochs: a list of rates is cut off, or compressed to all its range."""
    rates = settings.schedule
    if not isinstance(rates, str):
        step = len(rates) / epochs if compressed else 1
        rates = tuple(rates[int(epoch * step)] for epoch in range(epochs))
    return replace(settings, epochs=epochs, schedule=rates)


def layer_names(model: nn.Module) -> list[str]:
    """The names of a model's layers; a model that is no nn.Sequential counts as one."""
    return list(model._modules) if isinstance(model, nn.Sequential) else ["0"]


def decay_of(settings: Training, index: int, name: str) -> float:
    """The weight decay of a layer with this index and name."""
    own = settings.layer_weight_decay
    return own.get(index, own.get(name, settings.weight_decay))


@torch.no_grad()
def initialise(model: nn.Module, settings: Training) -> None:
    """Draw the first weights anew where the settings say how."""
    if settings.init is None:
        return
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            INITS[settings.init](layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()


def in_words(settings: Training) -> str:
    """The settings in a line: "sgd (momentum 0.9), rate 0.1, batches of 128, 20 epochs"."""
    own = ", ".join(f"{name} {value}" for name, value in settings.of_optimizer.items())
    rate = (
        f"rate {settings.learning_rate:g}, {settings.schedule.replace('_', ' ')}"
        if isinstance(settings.schedule, str)
        else f"rates from {settings.schedule[0]:g} to {settings.schedule[-1]:g}"
    )
    words = [
        f"{settings.optimizer} ({own})" if own else settings.optimizer,
        rate,
        f"batches of {settings.batch_size}",
        f"{settings.epochs} epoch{'s' if settings.epochs > 1 else ''}",
    ]
    return ", ".join([*words, *([f"init {settings.init}"] if settings.init else [])])


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
    of_optimizer = _optimizer_problems(as_graded(settings, bounds)[0])
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


def _optimizer_problems(settings: Training) -> list[str | None]:
    if not isinstance(settings.optimizer, str) or settings.optimizer not in OPTIMIZERS:
        return []
    takes = OPTIMIZERS[settings.optimizer].takes
    given = settings.of_optimizer
    found: list[str | None] = [
        f".{name} is set, but {settings.optimizer} takes no {name}"
        for name in given
        if name not in takes
    ]
    found += [
        _in_range(name, given[name]) for name in ("momentum", "alpha", "eps") if name in given
    ]
    betas, nesterov = given.get("betas"), given.get("nesterov")
    if betas is not None and not (
        isinstance(betas, tuple)
        and len(betas) == 2
        and all(is_within(beta, 0, 0.999999) for beta in betas)
    ):
        found.append(f".betas = {shown(betas)} is not two numbers from 0 to below 1")
    if nesterov is not None and not isinstance(nesterov, bool):
        found.append(f".nesterov = {shown(nesterov)} is not True or False")
    if nesterov is True and not given.get("momentum"):
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


def _lower(value: Any) -> Any:
    """An optimizer as it is listed, also where its class or its name in torch is given."""
    value = getattr(value, "__name__", value)
    return value.lower() if isinstance(value, str) else value


def _rates(value: Any) -> Any:
    """A list of rates as a tuple of numbers; anything else as it is."""
    if isinstance(value, str):
        return value
    try:
        return tuple(float(rate) for rate in value)
    except (TypeError, ValueError):
        return value
