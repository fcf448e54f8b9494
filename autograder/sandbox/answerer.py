"""Runs confined: answers the grader's questions by running a student's code.

A question is {"ask": name, …} with tensors; each method of Answerer named below answers
one. Student modules are imported when the first question needs them.
"""

from __future__ import annotations

import importlib
import mmap
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .harness_head import HarnessHead
from .preflight import attempts
from .wire import Message

# What a layer is made from: the attributes that are passed to its constructor again.
LAYER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features", "bias"),
    "Conv2d": (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
        "groups", "bias", "padding_mode",
    ),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "AdaptiveAvgPool2d": ("output_size",),
    "AdaptiveMaxPool2d": ("output_size",),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "LayerNorm": ("normalized_shape", "eps", "elementwise_affine"),
    "Dropout": ("p",),
    "Dropout1d": ("p",),
    "Dropout2d": ("p",),
    "Softmax": ("dim",),
    "LogSoftmax": ("dim",),
    "Flatten": ("start_dim", "end_dim"),
    "Unflatten": ("dim", "unflattened_size"),
    "LeakyReLU": ("negative_slope",),
    "ELU": ("alpha",),
    "GELU": ("approximate",),
    "ReLU": (), "ReLU6": (), "SELU": (), "SiLU": (), "Sigmoid": (), "Tanh": (),
    "Softplus": (), "Identity": (), "Hardswish": (), "Mish": (),
}  # fmt: skip

SETTINGS = ("learning_rate", "batch_size", "epochs", "schedule", "weight_decay")
LAYER_NAMES = ("ViTLayer", "TransformerEncoderLayer")
MAX_LAYERS = 500
MAX_DEPTH = 20
PREDICTION_BATCH = 250  # images; the fastest measured for the Vision Transformer


class Refusal(Exception):
    """Something is missing or of the wrong kind; says what, and in which file."""

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message)
        self.file = file


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
    ) -> Message:
        """Forward (and backward) of a constructed module with the parameters that are sent.

        Tensors: "x"; "parameter:<name>" to set; "upstream:<i>" to pull back from output i.
        Reply: "output:<i>"; with gradients "gradient:x" and "gradient:<name>".
        """
        module = self._modules[handle].to(getattr(torch, dtype)).train(training)
        set_parameters(module, with_prefix(tensors, "parameter:"))
        torch.manual_seed(seed)
        x = tensors["x"].to(getattr(torch, dtype)).requires_grad_(gradients)
        with torch.set_grad_enabled(gradients):
            outputs = as_outputs(module(x))
        reply = {f"output:{index}": value.detach() for index, value in enumerate(outputs)}
        if gradients:
            reply |= pulled_back(module, x, outputs, with_prefix(tensors, "upstream:"))
        return Message({"outputs": len(outputs)}, reply)

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


def import_student(name: str) -> Any:
    """A module of the submission, imported once. Raises Refusal where there is no such file."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name == name:
            raise Refusal(f"{name}.py was not submitted", f"{name}.py") from None
        raise


def attribute(module: Any, name: str, file: str) -> Any:
    """An attribute that a slot must define. Raises Refusal where it is missing."""
    try:
        return getattr(module, name)
    except AttributeError:
        raise Refusal(f"{file} defines no {name}", file) from None


def head_class() -> type[nn.Module]:
    """The student's own attention head."""
    return attribute(import_student("attention"), "SingleHeadAttention", "attention.py")


def layer_class(heads: str) -> type[nn.Module]:
    """The student's encoder layer, over their own heads or the harness's."""
    substitute_head(heads)
    module = import_student("encoder")
    for name in LAYER_NAMES:
        if hasattr(module, name):
            if name != LAYER_NAMES[0]:
                setattr(module, LAYER_NAMES[0], getattr(module, name))
            return getattr(module, name)
    raise Refusal("encoder.py defines no ViTLayer", "encoder.py")


def substitute_head(heads: str) -> None:
    """With heads="harness", put the harness's head where the student's own would be imported."""
    if heads == "harness":
        try:
            module = import_student("attention")
        except BaseException:  # the student's file may fail in any way; it is not used here
            module = sys.modules["attention"] = type(sys)("attention")
        module.SingleHeadAttention = HarnessHead
    if heads == "harness" or "encoder" not in sys.modules:
        layer = import_student("encoder")
        for name in LAYER_NAMES[1:]:
            if not hasattr(layer, LAYER_NAMES[0]) and hasattr(layer, name):
                setattr(layer, LAYER_NAMES[0], getattr(layer, name))


def slot_file(slot: str) -> str:
    """The file a slot is filled in."""
    return "attention.py" if slot == "head" else "encoder.py"


def leaves(model: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    """The layers of nested nn.Sequential containers, in order, with their paths."""
    stack: list[Iterator[tuple[str, Any]]] = [iter([("", model)])]
    count = 0
    while stack:
        path, layer = next(stack[-1], ("", None))
        if layer is None:
            stack.pop()
        elif type(layer) is nn.Sequential:
            if len(stack) > MAX_DEPTH:
                raise Refusal("the nn.Sequential is nested too deeply", "models.py")
            prefix = f"{path}." if path else ""
            stack.append(iter([(prefix + name, child) for name, child in layer._modules.items()]))
        else:
            count += 1
            if count > MAX_LAYERS:
                raise Refusal(f"the model has more than {MAX_LAYERS} layers", "models.py")
            yield path, layer


def describe_layer(path: str, layer: nn.Module, same_as: int | None) -> dict[str, Any]:
    """One layer as its name and constructor arguments; a custom one as its name alone."""
    kind = type(layer)
    known = getattr(nn, kind.__name__, None) is kind and kind.__name__ in LAYER_ARGUMENTS
    description: dict[str, Any] = {
        "kind": kind.__name__ if known else f"{kind.__module__}.{kind.__name__}",
        "path": path,
        "known": known,
        "arguments": {},
        "same_as": same_as,
    }
    if known:
        for name in LAYER_ARGUMENTS[kind.__name__]:
            value = getattr(layer, name)
            description["arguments"][name] = value is not None if name == "bias" else plain(value)
    return description


def describe_settings(module: Any, name: str) -> dict[str, Any]:
    """The fields of a Training(...) object, as plain values."""
    settings = attribute(module, name, "models.py")
    missing = [field for field in SETTINGS if not hasattr(settings, field)]
    if missing:
        raise Refusal(f"{name} is not a Training(...): it has no {missing[0]}", "models.py")
    result = {field: plain(getattr(settings, field)) for field in SETTINGS}
    decay = getattr(settings, "layer_weight_decay", {})
    if not isinstance(decay, dict):
        raise Refusal(f"{name}.layer_weight_decay is not a dictionary", "models.py")
    result["layer_weight_decay"] = {str(layer): plain(value) for layer, value in decay.items()}
    return result


def describe_module(module: nn.Module) -> dict[str, Any]:
    """Names and shapes of the parameters, and the kinds of the modules that hold them."""
    parameters = [
        {"name": name, "shape": list(parameter.shape)}
        for name, parameter in module.named_parameters()
    ]
    modules = [
        {
            "path": path,
            "kind": type(part).__name__,
            "from_torch": type(part).__module__.startswith("torch.nn."),
            "p": plain(part.p) if isinstance(part, nn.Dropout) else None,
        }
        for path, part in module.named_modules()
        if path
    ]
    return {"parameters": parameters, "modules": modules}


def plain(value: Any) -> Any:
    """Numbers, strings and tuples of them as JSON has them; anything else as text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value[:8]]
    if isinstance(value, Tensor) and value.numel() == 1:
        return plain(value.item())
    return f"<{type(value).__name__}>"


def set_parameters(module: nn.Module, values: dict[str, Tensor]) -> None:
    """Give the named parameters the values sent, in place."""
    own = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)


def as_outputs(result: Any) -> list[Tensor]:
    """What a forward returned as a list of tensors: one, or several in a tuple or list."""
    parts = list(result) if isinstance(result, (tuple, list)) else [result]
    for part in parts:
        if not isinstance(part, Tensor):
            raise Refusal(
                f"forward returned {article(type(part).__name__)} where a tensor is expected"
            )
    return parts[:4]


def pulled_back(
    module: nn.Module, x: Tensor, outputs: list[Tensor], upstream: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Gradients of the sum over outputs of <upstream, output>; zero where nothing flows."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    pairs = [
        (outputs[int(index)], value.to(outputs[int(index)].dtype))
        for index, value in upstream.items()
        if int(index) < len(outputs) and outputs[int(index)].requires_grad
    ]
    wanted = [x, *parameters]
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
        for name, part, gradient in zip(("x", *names), wanted, gradients, strict=True)
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


def article(name: str) -> str:
    """'a Tensor', 'an int', 'nothing' for None."""
    if name == "NoneType":
        return "nothing (None)"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
