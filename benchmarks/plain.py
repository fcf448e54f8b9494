"""The course's way, to compare with: DataLoader, one image at a time, the loop of tutorials.

With torchvision installed it is torchvision's own data set with ToTensor and Normalize, as in
PyTorch's MNIST example; without, a data set that does somewhat less for each image.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Subset

from autograder.hw5 import mnist
from provided.mnist import Split

BATCH_SIZE = 32


class PictureDataset(Dataset):  # type: ignore[type-arg]
    """Images as pictures, turned into tensors one by one, as ready-made data sets do it."""

    def __init__(self, images: Split) -> None:
        self.images = images.images.numpy()
        self.labels = images.labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images[index])
        array = np.array(picture, copy=True)[None]
        return torch.from_numpy(array).contiguous().float().div(255), self.labels[index]


def pictures(images: Split, train: bool) -> Dataset:  # type: ignore[type-arg]
    """The same images as a data set that gives a tensor and a digit for each number."""
    try:
        from torchvision.datasets import MNIST
        from torchvision.transforms import Compose, Normalize, ToTensor
    except (ImportError, RuntimeError):  # it can be there and not fit this torch
        return PictureDataset(images)
    prepare = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    whole = MNIST(str(mnist.DATA), train=train, transform=prepare)
    return Subset(whole, images.rows.tolist())


def plain_steps(model: nn.Module, images: Split) -> Iterator[float]:
    """Train step by step with Adam; yields the seconds that each step took, loading included."""
    loader = DataLoader(pictures(images, train=True), batch_size=BATCH_SIZE, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    while True:
        batches = iter(loader)
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                break
            inputs, labels = batch
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
            yield time.perf_counter() - started


def plain_evaluation_seconds(model: nn.Module, images: Split) -> float:
    """How long one evaluation takes in batches of 32."""
    started = time.perf_counter()
    model.eval()
    with torch.no_grad():
        for inputs, _ in DataLoader(pictures(images, train=False), batch_size=BATCH_SIZE):
            model(inputs)
    return time.perf_counter() - started
