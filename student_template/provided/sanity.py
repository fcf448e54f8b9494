"""Two signs that a network can learn, seen in a second and without any data.

A network that knows nothing gives each digit the same chance, so its loss is ln 10. And one
that can learn at all learns a handful of images by heart, whatever their labels are.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from provided.conditions import Remark
from provided.mnist import CLASSES

IMAGES = 32
STEPS = 100
LEARNING_RATE = 3e-3  # of Adam
INK = 0.2  # share of pixels that aren't black, about as in MNIST
SEED = 189
FAR = 0.5  # from ln 10, for the first loss
BY_HEART = 0.9  # of the images, from which on they count as learned
HIGH = 1.0  # loss where all images are learned
MOST_SECONDS = 4.0  # of the clock


def can_learn(model: nn.Module, shape: tuple[int, ...]) -> Iterator[str]:
    """What both signs say of a model for images (B, *shape); a Remark where they don't look good.

    Neither decides on anything.
    """
    yield first_loss(model, shape)
    yield by_heart(model, shape)


def random_batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Images (B, *shape) of scattered bright pixels, and labels (B,) that mean nothing."""
    drawn = torch.Generator().manual_seed(SEED)
    bright = torch.rand(IMAGES, *shape, generator=drawn)
    images = bright * (torch.rand(IMAGES, *shape, generator=drawn) < INK)
    return images, torch.randint(CLASSES, (IMAGES,), generator=drawn)


def first_loss(model: nn.Module, shape: tuple[int, ...]) -> str:
    """The loss before training, beside that of guessing."""
    images, labels = random_batch(shape)
    with torch.no_grad():
        loss = float(functional.cross_entropy(model.eval()(images), labels))
    guessing = math.log(CLASSES)
    text = f"the loss before training is {loss:.2f}; guessing gives ln {CLASSES} = {guessing:.2f}"
    good = abs(loss - guessing) <= FAR
    return text if good else Remark(f"{text}: are the first weights of your own too large?")


def by_heart(model: nn.Module, shape: tuple[int, ...]) -> str:
    """Whether a copy of the model learns some random images with random labels."""
    images, labels = random_batch(shape)
    model = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    started = time.monotonic()
    steps = 0
    while steps < STEPS and time.monotonic() - started < MOST_SECONDS:
        model.train()
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        steps += 1
    with torch.no_grad():
        logits = model.eval()(images)
    loss = float(functional.cross_entropy(logits, labels))
    hits = int((logits.argmax(dim=1) == labels).sum())
    text = f"{hits} of {IMAGES} random images learned by heart in {steps} steps, loss {loss:.2g}"
    if hits < BY_HEART * IMAGES and steps == STEPS:
        return Remark(f"{text}: a network that can learn gets nearly all")
    if loss > HIGH:
        return Remark(f"{text}: high, as with a Softmax at the end (cross entropy has its own)")
    return text
