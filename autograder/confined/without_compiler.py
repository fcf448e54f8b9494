"""Torch's optimizers without torch's compiler.

The first optimizer that a process makes imports the compiler, only to exempt the optimizer from
it: a second of processor time and 70 MiB, for programs that compile nothing. A program that does
compile imports it then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

IMPORTING = "_use_grad"  # what torch calls the wrapper of a step


def leave_out_compiler() -> None:
    """Let making, stepping and clearing an optimizer of torch import nothing.

    Where another release of torch has other names, it imports what it always has.
    """
    from torch import optim

    for function in vars(optim.Optimizer).values():
        exempt = getattr(function, "__wrapped__", None)
        if callable(exempt):
            # Where torch looks for the exempt form before it has one made.
            exempt.__dict__["__dynamo_disable"] = exempt
    for kind in vars(optim).values():
        step: Any = vars(kind).get("step") if isinstance(kind, type) else None
        if getattr(getattr(step, "__code__", None), "co_name", "") == IMPORTING:
            kind.step = _as_torch_steps(step.__wrapped__)


def _as_torch_steps(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step in which gradients are recorded only where its optimizer asks for that."""
    import torch

    @functools.wraps(step)
    def stepping(optimizer: Any, *arguments: Any, **named: Any) -> Any:
        with torch.set_grad_enabled(optimizer.defaults["differentiable"]):
            return step(optimizer, *arguments, **named)

    return stepping
