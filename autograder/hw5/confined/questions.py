"""Runs confined: this homework's questions, about a module of one's own and the Transformer.

Which class of which file is meant stands in the question. The attention head that the
grader's own can replace is found in the given code's declaration, a pristine copy of which
lies beside the submission.
"""

from __future__ import annotations

import importlib.util
import inspect
import mmap
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from autograder.confined.answerer import Answerer
from autograder.confined.describing import Refusal, attribute, import_student
from autograder.confined.wire import Message

from .harness_head import HarnessHead

PREDICTION_BATCH = 250  # images; the fastest measured for the Vision Transformer


class Questions(Answerer):
    """Answers this homework's questions too.

    heads: whose attention head a layer or a Transformer is built on, "student" or "harness"
    """

    QUESTIONS: ClassVar[tuple[str, ...]] = (
        *Answerer.QUESTIONS,
        "construct",
        "take_steps",
        "train_transformer",
        "load_transformer",
        "predict",
        "last_attention",
    )

    def construct(
        self,
        _: dict[str, Tensor],
        file: str,
        names: list[str],
        arguments: dict[str, Any],
        heads: str,
    ) -> Message:
        """Make a module of the submission's; returns a handle and what it is made of."""
        substitute_head(heads)
        return self.keep(made(student_class(file, names), arguments))

    def take_steps(
        self, tensors: dict[str, Tensor], heads: str, seed: int, batch: int, learning_rate: float
    ) -> Message:
        """Some plain gradient steps of the Vision Transformer; keeps it for `last_attention`.

        Tensors: "images" (N, 28, 28) and "labels" (N,), a step for each `batch` of them.
        Reply: the "logits" (N, 10) that each batch had, and every parameter as the model was
        made, "before:<name>", and in the end, "after:<name>".
        """
        substitute_head(heads)
        mnist = import_student("provided.mnist")
        training = import_student("provided.training")
        torch.manual_seed(seed)
        model = import_student("provided.vision_transformer").VisionTransformer().train()
        parameters = dict(model.named_parameters())
        reply = {f"before:{name}": value.detach().clone() for name, value in parameters.items()}
        optimizer = torch.optim.SGD(parameters.values(), lr=learning_rate)
        images, labels = tensors["images"].split(batch), tensors["labels"].long().split(batch)
        logits = [
            training.learn_batch(model, optimizer, mnist.scale(some), digits)
            for some, digits in zip(images, labels, strict=True)
        ]
        self.modules[0] = model
        reply |= {f"after:{name}": value.detach() for name, value in parameters.items()}
        return Message({}, {"logits": torch.cat(logits), **reply})

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
        images = mapped_idx(self.files["train_images"]).view(-1, 28, 28)
        whole = mnist.Split.of(images, mapped_idx(self.files["train_labels"]))
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
                self.progress({"step": step, "steps": steps})
        self.modules[0] = model
        return Message({}, {"losses": torch.tensor(losses)})

    def load_transformer(
        self, tensors: dict[str, Tensor], heads: str, buffers: bool = True
    ) -> Message:
        """Build the Vision Transformer with weights that are sent; keeps it for `predict`.

        buffers: whether they may hold the model's buffers too; those that they lack stay as they
                 are made
        """
        substitute_head(heads)
        model = import_student("provided.vision_transformer").VisionTransformer()
        needed = dict(model.named_parameters())
        own = model.state_dict() if buffers else needed
        missing, surplus = sorted(needed.keys() - tensors), sorted(tensors.keys() - own)
        if missing or surplus:
            names = ", ".join((missing or surplus)[:3])
            problem = "lacks" if missing else "has unknown"
            raise Refusal(f"the weights file {problem} {names}")
        values = {name: value.to(own[name].dtype) for name, value in tensors.items()}
        model.load_state_dict(values, strict=False)
        self.modules[0] = model
        return Message({})

    @torch.inference_mode()
    def predict(self, tensors: dict[str, Tensor]) -> Message:
        """Logits (N, 10) of the Vision Transformer for images (N, 28, 28) uint8."""
        model = self.modules[0].eval()
        mnist = import_student("provided.mnist")
        training = import_student("provided.training")
        parts = tensors["images"].split(PREDICTION_BATCH)
        logits = [training.logits_of(model, mnist.scale(part)).float() for part in parts]
        return Message({}, {"logits": torch.cat(logits)})

    @torch.inference_mode()
    def last_attention(self, tensors: dict[str, Tensor]) -> Message:
        """The last layer's attention weights for one image (1, 28, 28) uint8."""
        mnist = import_student("provided.mnist")
        model = self.modules[0].eval()
        _, attention = model(mnist.scale(tensors["images"]), return_attention=True)
        if not isinstance(attention, Tensor):
            raise Refusal("the encoder layer returns no attention weights", "encoder.py")
        return Message({}, {"attention": attention.float()})


def student_class(file: str, names: Sequence[str]) -> Any:
    """A class that a file of the submission's defines, by the first of its names that is there."""
    module = import_student(file.removesuffix(".py"))
    name = next((name for name in names if hasattr(module, name)), names[0])
    return attribute(module, name, file)


def made(build: Any, arguments: dict[str, Any]) -> Any:
    """What a student's class makes of arguments, whatever it calls them.

    They go by name; where the class has names of its own, by position, as in the given code.
    """
    try:
        parameters = inspect.signature(build)
    except (TypeError, ValueError):  # made by something that tells no signature
        return build(**arguments)
    if not fits(parameters, **arguments) and fits(parameters, *arguments.values()):
        return build(*arguments.values())
    return build(**arguments)


def fits(parameters: inspect.Signature, *given: Any, **named: Any) -> bool:
    """Whether a call with these arguments is possible."""
    try:
        parameters.bind(*given, **named)
    except TypeError:
        return False
    return True


def substitute_head(heads: str) -> None:
    """With heads="harness", put the harness's head where the student's own would be imported."""
    if heads == "harness":
        slot = import_student("provided.homework").HEAD
        sys.modules[slot.module] = stand_in(slot.module, slot.name)


def stand_in(module_name: str, class_name: str) -> ModuleType:
    """The module of the attention head, with the harness's; the student's is loaded if needed.

    So what is wrong in attention.py, and be it an endless loop, costs an encoder layer
    nothing, unless it uses something else from there.
    """
    module = ModuleType(module_name)

    def from_student(name: str) -> Any:
        spec = None if name.startswith("__") else sys.meta_path[0].find_spec(module_name, None)
        if spec is None or spec.loader is None:
            raise AttributeError(f"module {module_name!r} has no attribute {name!r}")
        real = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(real)
        return getattr(real, name)

    module.__dict__.update({class_name: HarnessHead, "__getattr__": from_student})
    return module


def mapped_idx(descriptor: int) -> Tensor:
    """The values of an open IDX file as a flat uint8 tensor, mapped rather than read."""
    data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    header = 4 + 4 * data[3]  # byte 3 is the number of dimensions
    return torch.frombuffer(data, dtype=torch.uint8)[header:]
