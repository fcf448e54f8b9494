"""The training loop: cross entropy, with the optimizer, batches and epochs of a Training(...)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from provided.history import Epoch as Epoch
from provided.mnist import Split
from provided.settings import BATCH_SIZE as BATCH_SIZE
from provided.settings import EPOCHS as EPOCHS
from provided.settings import OPTIMIZERS, decay_of, layer_names
from provided.settings import Training as Training

LEAST_DROPOUT = 0.001  # a smaller probability drops next to nothing
READ_AT_ONCE = 512  # images, or one batch where that is more
EVALUATION_BATCH = 500  # images; large batches are faster where nothing is learned
ROUNDING = 1e-6  # of the progress, far less than a step
WARM_UP = 0.25  # share of the steps in which a one-cycle rate rises
LearnBatch = Callable[[Tensor, Tensor], Tensor]
"""Learns from images (B, 1, 28, 28) and digits (B,); the logits (B, 10) that it had for them."""


@dataclass(frozen=True)
class Step:
    """One batch learned: number from 1 to `total`, its loss, and its accuracy (0 to 1)."""

    number: int
    total: int
    loss: float
    accuracy: float


def run_epochs(
    model: nn.Module,
    train: Split,
    validation: Split,
    settings: Training,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    first_epoch: int = 1,
    optimizer: torch.optim.Optimizer | None = None,
    on_step: Callable[[Step], None] | None = None,
    learn: LearnBatch | None = None,
    evaluation_batch: int = EVALUATION_BATCH,
) -> Iterator[Epoch]:
    """Train `model` in place; yields after each epoch, so a caller can stop when content.

    The order of the images depends on `seed` and the number of the epoch alone. Give
    `first_epoch` and the `optimizer` of an earlier run to continue it. `learn` may take a
    step in another way than `learn_batch`, which is the usual one. `evaluation_batch` is how
    many images are judged at once.
    """
    optimizer = optimizer or make_optimizer(model, settings)
    learn = learn or partial(learn_batch, model, optimizer)
    steps_per_epoch = math.ceil(len(train) / settings.batch_size)
    total = steps_per_epoch * settings.epochs
    for epoch in range(first_epoch, settings.epochs + 1):
        model.train()
        order = torch.randperm(
            len(train), generator=torch.Generator().manual_seed(seed * 1000 + epoch)
        )
        seen: list[tuple[Tensor, Tensor]] = []
        step = (epoch - 1) * steps_per_epoch
        for images, labels in batches(train, order, settings.batch_size, device):
            set_learning_rate(optimizer, settings, step / total)
            step += 1
            seen.append((learn(images, labels), labels))
            if on_step is not None:
                on_step(Step(step, total, *loss_and_accuracy(*seen[-1])))
        logits, labels = map(torch.cat, zip(*seen, strict=True))
        train_loss, train_accuracy = loss_and_accuracy(logits, labels)
        validation_loss, validation_accuracy = evaluate(
            model, validation, device=device, batch_size=evaluation_batch
        )
        yield Epoch(
            epoch=epoch,
            train_loss=train_loss,
            validation_loss=validation_loss,
            train_accuracy=train_accuracy,
            validation_accuracy=validation_accuracy,
        )


def learn_batch(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """One step down the gradient of the batch's mean cross entropy; the logits (B, 10) before."""
    logits = logits_of(model, images)
    loss = functional.cross_entropy(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return logits.detach()


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cross entropy and accuracy (0 to 1) of logits (N, 10) for digits (N,)."""
    hits = (logits.argmax(dim=1) == labels).sum()
    return float(functional.cross_entropy(logits, labels)), int(hits) / len(labels)


def flush_denormals() -> None:
    """Let this thread compute with 0 in place of numbers below 1e-38 (on the processor).

    Where a pixel is black in nearly every image, Adam's mean of its gradients shrinks by a tenth
    at each step until it is such a number; processors are slow with those, and no result hangs on
    them.
    """
    torch.set_flush_denormal(True)


def batches(
    images: Split, order: Tensor, size: int, device: torch.device | str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a set in the given order of its rows: images (B, 1, 28, 28) and digits (B,).

    Many are read at once and handed out one by one, which costs a batch next to nothing.
    """
    for rows in order.split(max(READ_AT_ONCE // size, 1) * size):
        several, labels = images.batch(rows)
        several, labels = several.to(device), labels.to(device)
        yield from zip(several.split(size), labels.split(size), strict=True)


def make_optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """What the settings name, over the model's parameters, each layer with its weight decay."""
    layers = list(model) if isinstance(model, nn.Sequential) else [model]
    by_decay: dict[float, list[nn.Parameter]] = {}  # few groups: each costs time at every step
    seen: set[Tensor] = set()  # a layer that stands twice in the model is trained once
    for index, (name, layer) in enumerate(zip(layer_names(model), layers, strict=True)):
        own = [parameter for parameter in layer.parameters() if parameter not in seen]
        by_decay.setdefault(decay_of(settings, index, name), []).extend(own)
        seen.update(own)
    groups = [{"params": own, "weight_decay": decay} for decay, own in by_decay.items() if own]
    optimizer = OPTIMIZERS[settings.optimizer]
    fused = {"fused": True} if optimizer.fused else {}
    return optimizer.kind(groups, lr=settings.highest_rate, **settings.of_optimizer, **fused)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: Training, progress: float
) -> None:
    """The schedule's rate for the step that starts after `progress` (0 to 1) of all steps."""
    rate = settings.highest_rate
    if not isinstance(settings.schedule, str):
        rates = settings.schedule
        rate = rates[min(int(progress * len(rates) + ROUNDING), len(rates) - 1)]
    elif settings.schedule == "one_cycle":
        if progress < WARM_UP:
            rate *= progress / WARM_UP
        else:
            rate *= 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    images: Split,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = EVALUATION_BATCH,
) -> tuple[float, float]:
    """Mean cross entropy and accuracy (0 to 1) of the model on a set, dropout off."""
    model.eval()
    loss_sum, correct = 0.0, 0
    for start in range(0, len(images), batch_size):
        batch, labels = images.batch(slice(start, start + batch_size))
        batch, labels = batch.to(device), labels.to(device)
        logits = logits_of(model, batch)
        loss_sum += float(functional.cross_entropy(logits, labels, reduction="sum"))
        correct += int((logits.argmax(dim=1) == labels).sum())
    return loss_sum / len(images), correct / len(images)


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """The model's logits (B, 10), also where it returns attention maps along with them."""
    output = model(images)
    return output[0] if isinstance(output, tuple) else output
