"""The models that are timed, and what one step of each costs at least."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZE = 32
PASSES = 3  # forward, and backward for inputs and for weights


def fully_connected() -> nn.Module:
    """784-200-10, as the reference."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Dropout(0.3), nn.Linear(200, 10)
    )


def small_cnn() -> nn.Module:
    """9,642 parameters, as the reference."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 4, stride=2, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 22, 3, bias=False),
        nn.BatchNorm2d(22),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(198, 10),
    )


def large_cnn() -> nn.Module:
    """42,570 parameters, convolutions at full resolution."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(1568, 24),
        nn.ReLU(),
        nn.Linear(24, 10),
    )


def transformer() -> nn.Module:
    """The Vision Transformer on the reference's head and layer."""
    sys.path[:0] = [str(ROOT / "solutions" / "reference"), str(ROOT / "student_template")]
    from provided.vision_transformer import VisionTransformer

    return VisionTransformer()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "fully connected": fully_connected,
    "CNN, small": small_cnn,
    "CNN, large": large_cnn,
    "Vision Transformer": transformer,
}


def multiplications(model: nn.Module) -> int:
    """Multiplications of one image's forward pass, counted as it happens."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += output.numel() * module.in_features
        elif isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    with torch.no_grad():
        model.eval()(torch.zeros(1, 1, 28, 28))
    for hook in hooks:
        hook.remove()
    return total


def peak_multiplications_per_second(size: int = 1024, repeats: int = 8) -> float:
    """The machine's own limit with one thread: a large matrix product in float32."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(repeats):
        started = perf_counter()
        a @ b
        times.append(perf_counter() - started)
    return size**3 / min(times)


def least_seconds_per_step(model: nn.Module, peak: float) -> float:
    """What a step's multiplications take at the machine's limit."""
    return PASSES * BATCH_SIZE * multiplications(model) / peak
