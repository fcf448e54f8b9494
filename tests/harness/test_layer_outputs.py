"""What a layer puts out, told without computing it: as torch tells it on the meta device."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from autograder.training.layer_outputs import put_out

from .conftest import ROOT

SHAPES = [
    *(
        (2, channels, height, width)
        for channels in (1, 2, 4)
        for height in (28, 1, 5)
        for width in (28, 7)
    ),
    *[(2, 784), (2, 28), (2, 4), (2, 4, 28), (2, 28, 28), (2, 7, 7), (20,), (2, 2, 1, 28, 28)],
]
CASES = 400  # of each kind of layer


def sizes(chance: random.Random) -> int | tuple[int, int]:
    return chance.choice([1, 2, 3, 5, (2, 3), (1, 7)])


def norm(kind: type[nn.Module], chance: random.Random) -> nn.Module:
    return kind(
        chance.choice([1, 2, 4, 28]),
        eps=chance.choice([1e-5, 1.0, 0.0, -1.0]),
        affine=chance.choice([True, False]),
        track_running_stats=chance.choice([True, False]),
    )


def windowed(chance: random.Random) -> dict[str, object]:
    return {
        "kernel_size": sizes(chance),
        "stride": chance.choice([1, 2, 3, (2, 1)]),
        "padding": chance.choice([0, 0, 1]),
        "ceil_mode": chance.choice([True, False]),
    }


def convolution(chance: random.Random) -> nn.Module:
    padding = chance.choice([0, 1, 2, (1, 0), "valid", "same"])
    return nn.Conv2d(
        chance.choice([2, 4]),
        chance.choice([4, 8]),
        sizes(chance),
        stride=1 if padding == "same" else chance.choice([1, 2, 3]),
        padding=padding,
        dilation=chance.choice([1, 2]),
        groups=chance.choice([1, 1, 2]),
        bias=chance.choice([True, False]),
        padding_mode=chance.choice(["zeros", "reflect", "replicate", "circular"]),
    )


KINDS: dict[str, Callable[[random.Random], nn.Module]] = {
    "Linear": lambda chance: nn.Linear(
        chance.choice([28, 784, 4]), 10, chance.choice([True, False])
    ),
    "Conv2d": convolution,
    "MaxPool2d": lambda chance: nn.MaxPool2d(**windowed(chance), dilation=chance.choice([1, 2])),
    "AvgPool2d": lambda chance: nn.AvgPool2d(**windowed(chance)),
    "AdaptiveAvgPool2d": lambda c: nn.AdaptiveAvgPool2d(c.choice([1, 7, (1, None), (None, 3)])),
    "AdaptiveMaxPool2d": lambda c: nn.AdaptiveMaxPool2d(c.choice([1, 7, (1, None), (None, 3)])),
    "BatchNorm1d": lambda chance: norm(nn.BatchNorm1d, chance),
    "BatchNorm2d": lambda chance: norm(nn.BatchNorm2d, chance),
    "LayerNorm": lambda chance: nn.LayerNorm(
        chance.choice([[28], [28, 28], [4, 28, 28], [4], [784]])
    ),
    "Dropout1d": lambda chance: nn.Dropout1d(0.1),
    "Dropout2d": lambda chance: nn.Dropout2d(0.1),
    "Softmax": lambda chance: nn.Softmax(chance.choice([None, 0, 1, -1, 2])),
    "LogSoftmax": lambda chance: nn.LogSoftmax(chance.choice([None, 0, 1, -1, 2])),
    "Flatten": lambda chance: nn.Flatten(chance.choice([0, 1, 2]), chance.choice([-1, 2, 1])),
    "Unflatten": lambda c: nn.Unflatten(
        c.choice([0, 1]), c.choice([[1, 2], [4, 7], [28, 28], [2]])
    ),
}


def told(makes: Callable[[], Tensor]) -> object:
    """A shape, or what was raised."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of a softmax without dim
        try:
            return tuple(makes().shape)
        except Exception as problem:  # noqa: BLE001  torch raises many kinds
            return type(problem), str(problem)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_what_is_raised_are_those_of_the_meta_device(kind):
    chance = random.Random(kind)
    seen = {True: 0, False: 0}
    for _ in range(CASES):
        with torch.device("meta"):
            module, x = KINDS[kind](chance), torch.empty(chance.choice(SHAPES))
        expected = told(lambda module=module, x=x: module(x))
        found = told(lambda module=module, x=x: put_out(module, x))
        if kind == "LayerNorm" and found != expected:  # the processor's words say it better
            assert "expected input with shape [*, " in found[1]
            found = expected
        assert found == expected, (module, x.shape)
        seen[not isinstance(expected[0], type)] += 1
    always = ("Dropout1d", "Softmax", "LogSoftmax")
    assert seen[True] > 10
    assert seen[False] > 10 or kind in always


# Prints the shapes of layers with far too many weights, and the MiB that telling them took.
HUGE = """
import resource, sys
import torch
from torch import nn
from autograder.training.layer_outputs import put_out

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

torch.set_num_threads(1)
with torch.device("meta"):
    nn.Linear(2, 2)(torch.empty(1, 2))  # imports what it does
    layers = [
        (nn.Linear(100_000, 100_000), (2, 100_000)),
        (nn.Conv2d(10_000, 10_000, 28, padding=64), (2, 10_000, 28, 28)),
        (nn.Conv2d(6_000, 6_000, 1), (2, 6_000, 5, 5)),
        (nn.Conv2d(600, 600, 20, groups=2), (2, 600, 28, 28)),
        (nn.Conv2d(300, 300, 20, padding="same", dilation=2), (2, 300, 28, 28)),
        (nn.LayerNorm([20_000, 100, 100]), (2, 20_000, 100, 100)),
    ]
    inputs = [torch.empty(shape) for _, shape in layers]
before = peak()
shapes = [list(put_out(layer, x).shape) for (layer, _), x in zip(layers, inputs)]
print([shapes, peak() - before])
"""


def test_layers_with_far_too_many_weights_take_no_memory():
    command = [sys.executable, "-c", HUGE]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    shapes, mib = json.loads(ended.stdout)
    assert shapes == [
        [2, 100_000],
        [2, 10_000, 129, 129],
        [2, 6_000, 5, 5],
        [2, 600, 9, 9],
        [2, 300, 28, 28],
        [2, 20_000, 100, 100],
    ]
    assert mib < 64  # the least of the weights would take 130


def test_a_batch_norm_that_averages_over_all_steps_is_told_too():
    """On the meta device it asks for the number of steps, which isn't there."""
    with torch.device("meta"):
        norm, x = nn.BatchNorm2d(4, momentum=None), torch.empty(2, 4, 7, 7)
    assert put_out(norm, x).shape == (2, 4, 7, 7)
