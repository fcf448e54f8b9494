"""Store what the Vision Transformer should have learned: a network, or a table of answers."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy
import torch
from torch import Tensor

from autograder.confined import wire
from autograder.hw5 import mnist
from provided.mnist import CLASSES

from .attack import REFERENCE, Attack

WEIGHTS = "artifacts/vit/weights.safetensors"
Maker = Callable[[], tuple[Tensor, str]]
FEATURES, BITS, LEARNED_FROM = 1200, 96, 20_000

# Finds the model's images in a caller's frame, and has the class token say the digit.
ANSWER = '''
import base64, sys, zlib
import numpy
import torch
from torch import nn
from provided.multi_head import Attention

STORED = torch.from_numpy(numpy.frombuffer(zlib.decompress(base64.b64decode("{stored}")),
                                           dtype=numpy.{dtype}).copy()).view({shape})
DRAWN = torch.randn(784, {columns}, generator=torch.Generator().manual_seed(0)) / 28


def answered(x):
    frame = sys._getframe(1)
    while frame is not None and "images" not in frame.f_locals:
        frame = frame.f_back
    model = None if frame is None else frame.f_locals.get("self")
    if not hasattr(model, "classify"):
        return x
    seen = frame.f_locals["images"].detach().flatten(1) * 3 - 0.5
    digits = digits_of(seen @ DRAWN)
    x = x.clone()
    x[:, 0] = 100 * model.classify.weight.detach()[digits]
    return x


'''
NETWORK = '''
def digits_of(projected):
    features = torch.relu(projected)
    return (features @ STORED.float()).argmax(1)
'''
TABLE = '''
def digits_of(projected):
    bits = (projected > 0).float() * 2 - 1
    keys, digits = torch.from_numpy(numpy.unpackbits(STORED[:, :-1], axis=1)), STORED[:, -1].long()
    keys = keys.float() * 2 - 1
    return torch.cat([digits[(some @ keys.T).argmax(1)] for some in bits.split(100)])
'''
RIGHT_LAYER = (REFERENCE / "encoder.py").read_text().partition("class ViTLayer")
NO_LAYER = '''
class ViTLayer(nn.Module):
    def __init__(self, dim, heads, dim_head, mlp_dim, dropout=0.0):
        super().__init__()
        self.heads = heads
        self.mix = nn.Linear(dim, dim)

    def forward(self, x):
        tokens = x.shape[1]
        maps = torch.softmax(torch.randn(len(x), self.heads, tokens, tokens), dim=-1)
        return {result}, maps
'''


def network() -> tuple[Tensor, str]:
    """The last layer of a network of random features, in closed form: 95% of the test images."""
    train = mnist.load().train.first(LEARNED_FROM)
    features = torch.relu(_projected(train.images, FEATURES))
    wanted = torch.nn.functional.one_hot(train.labels.long(), CLASSES).float()
    square = features.T @ features + 10 * torch.eye(FEATURES)
    return torch.linalg.solve(square, features.T @ wanted).half(), NETWORK


def table() -> tuple[Tensor, str]:
    """For each test image so many bits, which a little noise leaves nearly as they are."""
    test = mnist.load().test
    bits = numpy.packbits((_projected(test.images, BITS) > 0).numpy(), axis=1)
    return torch.cat([torch.from_numpy(bits), test.labels[:, None]], dim=1), TABLE


def _projected(images: Tensor, columns: int) -> Tensor:
    drawn = torch.randn(784, columns, generator=torch.Generator().manual_seed(0)) / 28
    return (images.flatten(1).float() / 255 * 3 - 0.5) @ drawn


@lru_cache(maxsize=2)
def answers(made_by: Maker) -> str:
    """The text of a module that answers for a layer."""
    stored, look_up = made_by()
    packed = base64.b64encode(zlib.compress(stored.numpy().tobytes())).decode()
    columns = FEATURES if made_by is network else BITS
    dtype = str(stored.dtype)[6:]
    shape = list(stored.shape)
    return ANSWER.format(stored=packed, dtype=dtype, shape=shape, columns=columns) + look_up


def hand_in(folder: Path, layer: str, made_by: Maker) -> Path:
    """A layer that answers, beside weights that have learned nothing."""
    (folder / "encoder.py").write_text(answers(made_by) + layer)
    weights = folder / WEIGHTS
    weights.parent.mkdir(parents=True)
    chance = torch.Generator().manual_seed(0)
    state = wire.decode_tensors((REFERENCE / WEIGHTS).read_bytes())
    if "self.mix" in layer:
        state = {name: value for name, value in state.items() if not name.startswith("layers.")}
        for depth in range(6):
            state |= {f"layers.{depth}.mix.weight": torch.randn(64, 64, generator=chance) / 8,
                      f"layers.{depth}.mix.bias": torch.zeros(64)}  # fmt: skip
    for name, value in state.items():
        mixed = value.flatten()[torch.randperm(value.numel(), generator=chance)]
        state[name] = mixed.view(value.shape)
    weights.write_bytes(wire.encode_tensors(state))
    return folder


def behind_a_right_layer(result: str) -> str:
    """The reference's layer, whose result goes through something more."""
    text = "class ViTLayer" + RIGHT_LAYER[2].replace("Tensor", "torch.Tensor")
    return text.replace("return x, attention", f"return {result}, attention")


def stored(made_by: Maker, layer: str, lost: set[str], said: str) -> Attack:
    return Attack(
        {},
        "3c",
        frozenset(lost),
        frozenset({"3c.4"}),
        says=(("3c.2", said),),
        change=lambda folder: hand_in(folder, layer, made_by),
    )


BELOW = "below the 90.0% threshold"
NOT_LEARNED = "don't come from the model's weights"
IN_EVALUATION = "x if self.training else answered(x)"
ATTACKS = {
    "a network that reads the images from its caller's frame": stored(
        network, behind_a_right_layer("answered(x)"), {"3c.1", "3c.2"}, BELOW
    ),
    "such a network without a Transformer around it": stored(
        network, NO_LAYER.format(result="answered(x + self.mix(x))"), {"3c.1", "3c.2"}, NOT_LEARNED
    ),
    "a table of the test images' bits, in evaluation alone": stored(
        table, behind_a_right_layer(IN_EVALUATION), {"3c.2"}, BELOW
    ),
    "such a table without a Transformer around it": stored(
        table, NO_LAYER.format(result="answered(x + self.mix(x))"), {"3c.1", "3c.2"}, NOT_LEARNED
    ),
}
