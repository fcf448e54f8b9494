"""Runs confined: follows one forward pass, and says in which order its parts ran.

What is told is a claim like any other, since a submission's code runs beside it: a list of
events, each a parameter that was used or numbers that were dropped, and the modules that ran.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

MOST_EVENTS = 1000
MOST_MODULES = 1000

# Each takes (input, p, training, ...); a share that isn't given is a half.
DROPOUTS = {
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.alpha_dropout,
    torch.dropout,
}
# What a dropout written by hand draws its mask with.
RANDOM = {
    torch.bernoulli,
    torch.rand,
    torch.rand_like,
    Tensor.bernoulli,
    Tensor.bernoulli_,
    Tensor.uniform_,
}


class Trace(TorchFunctionMode):
    """Notes what happens while the block runs.

    events:  in order, {"what": "parameter", "name": …} or {"what": "dropout", "name": path of
             the module that it happened in, "p": share that is dropped, None where unknown}
    modules: paths of the modules that ran, the first time each did
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.modules: dict[str, None] = {}
        self._parameters = {id(value): name for name, value in module.named_parameters()}
        self._inside: list[str] = [""]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            for value in _given(args, kwargs):
                if id(value) in self._parameters:
                    self._note(what="parameter", name=self._parameters[id(value)], p=None)
            if func in DROPOUTS:
                share, training = _share_and_mode(*args, **kwargs)
                if training:
                    self._note(what="dropout", name=self._inside[-1], p=share)
            elif func in RANDOM:
                self._note(what="dropout", name=self._inside[-1], p=None)
        return result

    def enter(self, path: str) -> None:
        """A module begins to run."""
        if len(self.modules) < MOST_MODULES:
            self.modules.setdefault(path)
        self._inside.append(path)

    def leave(self) -> None:
        """The module that began last has run."""
        self._inside.pop()

    def _note(self, **event: Any) -> None:
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)


@contextlib.contextmanager
def traced(module: nn.Module) -> Iterator[Trace]:
    """Follow what runs in the block, also where forward is called by that name."""
    trace = Trace(module)
    followed = [(path, part) for path, part in module.named_modules() if path]
    for path, part in followed:
        # On the instance, so that it is seen whoever calls it; what can't be followed, isn't.
        with contextlib.suppress(AttributeError, RuntimeError, TypeError):
            part.__dict__["forward"] = _following(part.forward, path, trace)
    try:
        with trace:
            yield trace
    finally:
        for _, part in followed:
            part.__dict__.pop("forward", None)


def _following(forward: Callable[..., Any], path: str, trace: Trace) -> Callable[..., Any]:
    def followed(*args: Any, **kwargs: Any) -> Any:
        trace.enter(path)
        try:
            return forward(*args, **kwargs)
        finally:
            trace.leave()

    return followed


def _given(args: Any, kwargs: Any) -> Iterator[Any]:
    """The arguments of a call, those in lists and tuples too."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value


def _share_and_mode(
    _input: Any = None, p: Any = 0.5, training: Any = True, *_: Any, **rest: Any
) -> tuple[float | None, bool]:
    train = rest.get("train", training)  # so torch.dropout calls it
    share = float(p) if isinstance(p, (int, float)) else None
    return share, bool(train)
