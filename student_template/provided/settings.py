"""How a network is trained: all that you may set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from provided.homework import values

BATCH_SIZE: int = values()["training"]["batch_size"]
EPOCHS: int = values()["training"]["epochs"]
SCHEDULES = ("constant", "one_cycle")


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
    momentum: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] | None = None
    alpha: float | None = None
    eps: float | None = None
    init: str | None = None

    unknown: ClassVar[tuple[str, ...]] = ()  # what else a call named, see noting_unknown

    def __post_init__(self) -> None:
        for one in fields(self):
            object.__setattr__(self, one.name, _plain(getattr(self, one.name)))
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
        each = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        return {name: each[name][0] for name in OF_OPTIMIZERS if each[name][0] != each[name][1]}


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


def _plain(value: Any) -> Any:
    """A number of numpy's or torch's as one of Python's; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () else value


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
