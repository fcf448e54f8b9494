"""Two signs that a network can learn, seen in a second and without any data.

A network that knows nothing gives each digit the same chance, so its loss is ln 10. And one
that can learn at all learns a handful of images by heart, whatever their labels are.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from provided.mnist import CLASSES

IMAGES = 32
STEPS = 100
LEARNING_RATE = 3e-3  # of Adam
INK = 0.2  # share of pixels that aren't black, about as in MNIST
SEED = 189
FAR = 0.5  # from ln 10, for the first loss
BY_HEART = 0.9  # of the images, from which on they count as learned
MOST_SECONDS = 4.0


@dataclass(frozen=True)
class Sign:
    """What was seen, in a sentence, and whether it is as it should be."""

    good: bool
    text: str


def random_batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Images (B, *shape) of scattered bright pixels, and labels (B,) that mean nothing."""
    drawn = torch.Generator().manual_seed(SEED)
    bright = torch.rand(IMAGES, *shape, generator=drawn)
    images = bright * (torch.rand(IMAGES, *shape, generator=drawn) < INK)
    return images, torch.randint(CLASSES, (IMAGES,), generator=drawn)


def first_loss(model: nn.Module, shape: tuple[int, ...]) -> Sign:
    """The loss before training, beside that of guessing."""
    images, labels = random_batch(shape)
    with torch.no_grad():
        loss = float(functional.cross_entropy(model.eval()(images), labels))
    guessing = math.log(CLASSES)
    text = f"the loss before training is {loss:.2f}; guessing gives ln {CLASSES} = {guessing:.2f}"
    good = abs(loss - guessing) <= FAR
    return Sign(good, text if good else f"{text}: do the first weights fit, is a ReLU the last?")


def by_heart(model: nn.Module, shape: tuple[int, ...]) -> Sign:
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
    good = hits >= BY_HEART * IMAGES or steps < STEPS
    return Sign(good, text if good else f"{text}: a network that can learn gets nearly all")
