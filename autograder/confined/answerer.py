"""Runs confined: answers the grader's questions by running a student's code.

A question is {"ask": name, …} with tensors, answered by the method of that name. Here are
those that any homework asks; a homework's own Answerer adds to them. Student modules are
imported when the first question needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .describing import (
    Refusal,
    article,
    attribute,
    describe_layer,
    describe_module,
    has_forward,
    import_student,
    leaves,
    sized,
    without_forward,
)
from .describing_training import begins_as_usual, describe_settings
from .preflight import attempts
from .tracing import traced
from .wire import DTYPES, Message


class Answerer:
    """Answers questions about one submission; keeps the modules it has made between them.

    QUESTIONS: names of the methods that answer one
    files:     data files by name, as open descriptors
    progress:  called with what is to be told while a question takes long
    """

    QUESTIONS: ClassVar[tuple[str, ...]] = ("preflight", "describe_model", "run", "trace")

    def __init__(self, files: dict[str, int], progress: Callable[[dict[str, Any]], None]) -> None:
        self.files = files
        self.progress = progress
        self.modules: dict[int, nn.Module] = {}

    def answer(self, question: Message) -> Message:
        """The reply to one question. Raises whatever the student's code raises."""
        content = dict(question.content)
        name = content.pop("ask")
        if name not in self.QUESTIONS:
            raise Refusal(f"there is no question {name}")
        method: Callable[..., Message] = getattr(self, name)
        return method(question.tensors, **content)

    def preflight(self, _: dict[str, Tensor], places: dict[str, Any]) -> Message:
        """What of what must not work works all the same."""
        return Message({"worked": attempts(places)})

    def describe_model(
        self,
        _: dict[str, Tensor],
        file: str,
        builder: str,
        settings: str,
        inputs: Sequence[Sequence[int]] = (),
        outputs: int = 0,
    ) -> Message:
        """The layers of the nn.Sequential that a builder returns, and its training settings.

        inputs:  shapes of one input that the model may be made for; lazy layers need one
        outputs: how many numbers it makes of one
        """
        module = import_student(file.removesuffix(".py"))
        model, lazy_problem = sized(attribute(module, builder, file), inputs, outputs)
        if not isinstance(model, nn.Sequential):
            raise Refusal(
                f"{builder}() returned {article(type(model).__name__)}, not an nn.Sequential", file
            )
        seen: dict[int, int] = {}
        layers, own_weights = [], []
        for path, layer in leaves(model, file):
            if not begins_as_usual(layer):
                own_weights.append(path)
            layers.append(describe_layer(path, layer, seen.get(id(layer))))
            seen.setdefault(id(layer), len(layers) - 1)
        reply: dict[str, Any]
        try:
            reply = {
                "settings": describe_settings(module, settings, file),
                "settings_problem": None,
            }
        except Refusal as problem:
            reply = {"settings": None, "settings_problem": str(problem)}
        said = {"own_weights": own_weights, "lazy_problem": lazy_problem, **reply}
        return Message({"layers": layers, **said})

    def keep(self, module: object) -> Message:
        """Keep a module for later questions; returns its handle and what it is made of."""
        if not isinstance(module, nn.Module):
            raise Refusal(f"{type(module).__name__} is not an nn.Module")
        if not has_forward(module):
            raise Refusal(without_forward(type(module)))
        handle = len(self.modules)
        self.modules[handle] = module
        return Message({"handle": handle, **describe_module(module)})

    def run(
        self,
        tensors: dict[str, Tensor],
        handle: int,
        dtype: str,
        training: bool,
        seed: int,
        gradients: bool,
    ) -> Message:
        """Forward (and backward) of a constructed module with the parameters that are sent.

        Tensors: "x"; "parameter:<name>" to set; "upstream:<i>" to pull back from output i.
        Reply: "output:<i>"; with gradients "gradient:x" and "gradient:<name>".
        """
        module = self.modules[handle].to(getattr(torch, dtype)).train(training)
        set_parameters(module, with_prefix(tensors, "parameter:"))
        torch.manual_seed(seed)
        x = tensors["x"].to(getattr(torch, dtype)).requires_grad_(gradients)
        with torch.set_grad_enabled(gradients):
            # A copy, as in a model: of a leaf, autograd lets nothing be changed in place.
            outputs = as_outputs(module(x.clone()))
        reply = {f"output:{index}": value.detach() for index, value in enumerate(outputs)}
        if gradients:
            reply |= pulled_back(module, x, outputs, with_prefix(tensors, "upstream:"))
        return Message({"outputs": len(outputs)}, reply)

    @torch.no_grad()
    def trace(self, tensors: dict[str, Tensor], handle: int, dtype: str, seed: int) -> Message:
        """What runs in which order in one forward pass in training mode; sent as for `run`."""
        module = self.modules[handle].to(getattr(torch, dtype)).train()
        set_parameters(module, with_prefix(tensors, "parameter:"))
        torch.manual_seed(seed)
        x = tensors["x"].to(getattr(torch, dtype))
        with traced(module) as trace:
            module(x)
        return Message({"events": trace.events, "modules": list(trace.modules)})


def set_parameters(module: nn.Module, values: dict[str, Tensor]) -> None:
    """Give the named parameters the values sent, in place."""
    own = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)


def as_outputs(result: Any) -> list[Tensor]:
    """What a forward returned as a list of tensors: one, or several in a tuple or list."""
    parts = list(result) if isinstance(result, (tuple, list)) else [result]
    if len(parts) > 1 and parts[-1] is None:  # no attention maps: their own lines say so
        parts.pop()
    for part in parts:
        if not isinstance(part, Tensor):
            what = article(type(part).__name__)
            raise Refusal(f"forward returned {what} where a tensor is expected")
        if part.layout != torch.strided or part.is_meta:
            what = "without data" if part.is_meta else f"of layout {str(part.layout)[6:]}"
            raise Refusal(f"forward returned a tensor {what} where a plain one is expected")
        if part.dtype not in DTYPES.values():
            dtype = str(part.dtype)[6:]
            raise Refusal(f"forward returned a tensor of dtype {dtype}, expected real numbers")
    return parts[:4]


def pulled_back(
    module: nn.Module, x: Tensor, outputs: list[Tensor], upstream: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Gradients of the sum over outputs of <upstream, output>; zero where nothing flows.

    Raises RuntimeError where a shape isn't that of its upstream. The sum is written out, as
    torch imports sympy to be given upstreams: half a second and 40 MiB.
    """
    parameters = dict(module.named_parameters())
    pairs = [
        (outputs[int(index)], value.to(outputs[int(index)].dtype))
        for index, value in upstream.items()
        if int(index) < len(outputs) and outputs[int(index)].requires_grad
    ]
    for output, value in pairs:
        if output.shape != value.shape:
            shapes = f"{tuple(output.shape)} and its gradient {tuple(value.shape)}"
            raise RuntimeError(f"the output has shape {shapes}")
    wanted = [x, *parameters.values()]
    flowed = (
        torch.autograd.grad(
            [(output * value).sum() for output, value in pairs],
            [part for part in wanted if part.requires_grad],
            allow_unused=True,
        )
        if pairs
        else []
    )
    flowing = iter(flowed)
    gradients = [next(flowing, None) if part.requires_grad else None for part in wanted]
    return {
        f"gradient:{name}": torch.zeros_like(part) if gradient is None else gradient
        for name, part, gradient in zip(("x", *parameters), wanted, gradients, strict=True)
    }


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, under the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
