"""Runs confined: answers the grader's questions by running a student's code.

A question is {"ask": name, …} with tensors; each method of Answerer named below answers
one. Student modules are imported when the first question needs them.
"""

from __future__ import annotations

import importlib.util
import mmap
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .describing import (
    Refusal,
    article,
    attribute,
    describe_layer,
    describe_module,
    describe_settings,
    import_student,
    leaves,
)
from .harness_head import HarnessHead
from .observing import Observed
from .preflight import attempts
from .wire import DTYPES, Message

LAYER_NAMES = ("ViTLayer", "TransformerEncoderLayer")
PREDICTION_BATCH = 250  # images; the fastest measured for the Vision Transformer


class Answerer:
    """Answers questions about one submission; keeps the modules it has made between them."""

    def __init__(self, files: dict[str, int], progress: Callable[[dict[str, Any]], None]) -> None:
        self._files = files
        self._progress = progress
        self._modules: dict[int, nn.Module] = {}

    def answer(self, question: Message) -> Message:
        """The reply to one question. Raises whatever the student's code raises."""
        content = dict(question.content)
        methods: dict[str, Callable[..., Message]] = {
            "describe_model": self.describe_model,
            "construct": self.construct,
            "run": self.run,
            "train_transformer": self.train_transformer,
            "load_transformer": self.load_transformer,
            "predict": self.predict,
            "last_attention": self.last_attention,
            "preflight": self.preflight,
        }
        return methods[content.pop("ask")](question.tensors, **content)

    def preflight(self, _: dict[str, Tensor], places: dict[str, Any]) -> Message:
        """What of what must not work works all the same."""
        return Message({"worked": attempts(places)})

    def describe_model(self, _: dict[str, Tensor], builder: str, settings: str) -> Message:
        """The layers of the nn.Sequential that a builder returns, and its training settings."""
        module = import_student("models")
        model = attribute(module, builder, "models.py")()
        if not isinstance(model, nn.Sequential):
            raise Refusal(
                f"{builder}() returned {article(type(model).__name__)}, not an nn.Sequential",
                "models.py",
            )
        seen: dict[int, int] = {}
        layers = []
        for path, layer in leaves(model):
            layers.append(describe_layer(path, layer, seen.get(id(layer))))
            seen.setdefault(id(layer), len(layers) - 1)
        reply: dict[str, Any]
        try:
            reply = {"settings": describe_settings(module, settings), "settings_problem": None}
        except Refusal as problem:
            reply = {"settings": None, "settings_problem": str(problem)}
        return Message({"layers": layers, **reply})

    def construct(
        self, _: dict[str, Tensor], slot: str, arguments: dict[str, Any], heads: str
    ) -> Message:
        """Make an attention head or an encoder layer; returns a handle and what it is made of."""
        kind = head_class() if slot == "head" else layer_class(heads)
        module = kind(**arguments)
        if not isinstance(module, nn.Module):
            raise Refusal(f"{kind.__name__} is not an nn.Module", f"{slot_file(slot)}")
        handle = len(self._modules)
        self._modules[handle] = module
        return Message({"handle": handle, **describe_module(module)})

    def run(
        self,
        tensors: dict[str, Tensor],
        handle: int,
        dtype: str,
        training: bool,
        seed: int,
        gradients: bool,
        watch_for: list[str],
    ) -> Message:
        """Forward (and backward) of a constructed module with the parameters that are sent.

        Tensors: "x"; "parameter:<name>" to set; "upstream:<i>" to pull back from output i.
        Reply: which of the torch functions `watch_for` were called; "output:<i>"; with
        gradients "gradient:x" and "gradient:<name>".
        """
        module = self._modules[handle].to(getattr(torch, dtype)).train(training)
        set_parameters(module, with_prefix(tensors, "parameter:"))
        torch.manual_seed(seed)
        x = tensors["x"].to(getattr(torch, dtype)).requires_grad_(gradients)
        with torch.set_grad_enabled(gradients), Observed(watch_for) as observed:
            outputs = as_outputs(module(x))
        reply = {f"output:{index}": value.detach() for index, value in enumerate(outputs)}
        if gradients:
            reply |= pulled_back(module, x, outputs, with_prefix(tensors, "upstream:"))
        return Message({"outputs": len(outputs), "called": sorted(observed.called)}, reply)

    def train_transformer(
        self,
        _: dict[str, Tensor],
        heads: str,
        seed: int,
        steps: int,
        learning_rate: float,
        training_images: int,
    ) -> Message:
        """Train the Vision Transformer for some steps; keeps it for `predict`."""
        substitute_head(heads)
        mnist = import_student("provided.mnist")
        training = import_student("provided.training")
        images = mapped_idx(self._files["train_images"]).view(-1, 28, 28)
        whole = mnist.Split.of(images, mapped_idx(self._files["train_labels"]))
        torch.manual_seed(seed)
        model = import_student("provided.vision_transformer").VisionTransformer()
        settings = training.Training(learning_rate, schedule="one_cycle")
        optimizer = training.make_optimizer(model, settings)
        train = whole.part(mnist.split_rows(len(whole))[0][:training_images])
        losses = []
        model.train()
        for step in range(steps):
            training.set_learning_rate(optimizer, settings, step / steps)
            start = (step * settings.batch_size) % (len(train) - settings.batch_size)
            batch, labels = train.batch(slice(start, start + settings.batch_size))
            loss = functional.cross_entropy(training.logits_of(model, batch), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            if step % 25 == 0:
                self._progress({"step": step, "steps": steps})
        self._modules[0] = model
        return Message({}, {"losses": torch.tensor(losses)})

    def load_transformer(self, tensors: dict[str, Tensor], heads: str) -> Message:
        """Build the Vision Transformer with the submitted weights; keeps it for `predict`."""
        substitute_head(heads)
        model = import_student("provided.vision_transformer").VisionTransformer()
        own = model.state_dict()
        missing, surplus = sorted(own.keys() - tensors), sorted(tensors.keys() - own)
        if missing or surplus:
            names = ", ".join((missing or surplus)[:3])
            problem = "lacks" if missing else "has unknown"
            raise Refusal(f"the weights file {problem} {names}")
        model.load_state_dict({name: tensors[name].to(own[name].dtype) for name in own})
        self._modules[0] = model
        return Message({})

    @torch.inference_mode()
    def predict(self, tensors: dict[str, Tensor]) -> Message:
        """Logits (N, 10) of the Vision Transformer for images (N, 28, 28) uint8."""
        model = self._modules[0].eval()
        mnist = import_student("provided.mnist")
        training = import_student("provided.training")
        parts = tensors["images"].split(PREDICTION_BATCH)
        logits = [training.logits_of(model, mnist.scale(part)).float() for part in parts]
        return Message({}, {"logits": torch.cat(logits)})

    @torch.inference_mode()
    def last_attention(self, tensors: dict[str, Tensor]) -> Message:
        """The last layer's attention weights for one image (1, 28, 28) uint8."""
        mnist = import_student("provided.mnist")
        model = self._modules[0].eval()
        _, attention = model(mnist.scale(tensors["images"]), return_attention=True)
        if not isinstance(attention, Tensor):
            raise Refusal("the encoder layer returns no attention weights", "encoder.py")
        return Message({}, {"attention": attention.float()})


def head_class() -> type[nn.Module]:
    """The student's own attention head."""
    return attribute(import_student("attention"), "SingleHeadAttention", "attention.py")


def layer_class(heads: str) -> type[nn.Module]:
    """The student's encoder layer, over their own heads or the harness's."""
    substitute_head(heads)
    return attribute(import_student("encoder"), LAYER_NAMES[0], "encoder.py")


def substitute_head(heads: str) -> None:
    """With heads="harness", put the harness's head where the student's own would be imported."""
    if heads == "harness":
        sys.modules["attention"] = stand_in()
    layer = import_student("encoder")
    for name in LAYER_NAMES[1:]:
        if not hasattr(layer, LAYER_NAMES[0]) and hasattr(layer, name):
            setattr(layer, LAYER_NAMES[0], getattr(layer, name))


def stand_in() -> ModuleType:
    """A module `attention` with the harness's head; the student's file is loaded only if needed.

    So what is wrong in attention.py, and be it an endless loop, costs an encoder layer
    nothing, unless it uses something else from there.
    """
    module = ModuleType("attention")

    def from_student(name: str) -> Any:
        spec = None if name.startswith("__") else sys.meta_path[0].find_spec("attention", None)
        if spec is None or spec.loader is None:
            raise AttributeError(f"module 'attention' has no attribute {name!r}")
        real = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(real)
        return getattr(real, name)

    module.__dict__.update(SingleHeadAttention=HarnessHead, __getattr__=from_student)
    return module


def slot_file(slot: str) -> str:
    """The file a slot is filled in."""
    return "attention.py" if slot == "head" else "encoder.py"


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
    """Gradients of the sum over outputs of <upstream, output>; zero where nothing flows."""
    parameters = dict(module.named_parameters())
    pairs = [
        (outputs[int(index)], value.to(outputs[int(index)].dtype))
        for index, value in upstream.items()
        if int(index) < len(outputs) and outputs[int(index)].requires_grad
    ]
    wanted = [x, *parameters.values()]
    flowed = (
        torch.autograd.grad(
            [output for output, _ in pairs],
            [part for part in wanted if part.requires_grad],
            [value for _, value in pairs],
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


def mapped_idx(descriptor: int) -> Tensor:
    """The values of an open IDX file as a flat uint8 tensor, mapped rather than read."""
    data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    header = 4 + 4 * data[3]  # byte 3 is the number of dimensions
    return torch.frombuffer(data, dtype=torch.uint8)[header:]
