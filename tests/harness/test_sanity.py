"""Two signs that a network can learn: seen in right ones, missed in those that can't."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from provided.conditions import Remark
from provided.layers import flat_layers, image_shape
from provided.sanity import by_heart, can_learn, first_loss

from .student_copy import replace, run, solved

IMAGE = (1, 28, 28)


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.2), nn.Flatten(), nn.Linear(288, 10),
    )  # fmt: skip


def connected() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def scaled(factor: float) -> nn.Sequential:
    model = connected()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    return model


RIGHT = {
    "convolutional": convolutional,
    "fully connected": connected,
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
    "flat images": lambda: nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10)),
    "much dropout": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(200, 10)
    ),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", RIGHT)
def test_a_network_that_can_learn_shows_both_signs(name, seed):
    torch.manual_seed(seed)
    model = RIGHT[name]()
    before = [value.clone() for value in model.state_dict().values()]
    said = list(can_learn(model, image_shape(flat_layers(model))))
    assert not any(isinstance(one, Remark) for one in said)
    assert "guessing gives ln 10 = 2.30" in said[0]
    assert "random images learned by heart in" in said[1]
    assert all(map(torch.equal, before, model.state_dict().values()))  # a copy learned


@pytest.mark.parametrize(
    ("look", "model", "words"),
    [
        (first_loss, lambda: scaled(20), "first weights"),
        (by_heart, lambda: scaled(0), "gets nearly all"),
        (
            by_heart,
            lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(784, 1), nn.Linear(1, 10)),
            "gets nearly all",
        ),
        (by_heart, lambda: connected().append(nn.Softmax(dim=1)), "as with a Softmax at the end"),
    ],
    ids=["huge weights", "no weights", "one number between", "softmax"],
)
def test_what_stands_in_the_way_is_remarked(look, model, words):
    torch.manual_seed(0)
    said = look(model(), IMAGE)
    assert isinstance(said, Remark)
    assert words in said


def test_a_remark_is_a_note_and_costs_nothing(tmp_path):
    folder = solved(tmp_path / "hw5")
    replace(folder / "models.py", "nn.Linear(200, 10)", "nn.Linear(200, 10), nn.Softmax(dim=1)")
    ended = run(folder, "check.py", "2b")
    assert "2b  note  " in ended.output
    assert ended.status == 0
