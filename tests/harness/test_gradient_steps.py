"""The trainer's quick steps against the plain loop: the same numbers, to the last bit."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from autograder.hw5 import mnist
from autograder.training import gradient_steps
from autograder.training.gradient_steps import Autograd, Backpropagation, same_gradients, train
from provided.mnist import Mnist
from provided.settings import OPTIMIZERS
from provided.training import Training, make_optimizer, run_epochs

IMAGES = 32 * 30 + 7  # the last batch is smaller
SETTINGS = Training(3e-3, epochs=2)


@cache
def data() -> Mnist:
    whole = mnist.load()
    return Mnist(whole.train.first(IMAGES), whole.validation.first(100), whole.test)


def network(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *layers)


SHARED = nn.Linear(40, 40)
BY_HAND = {
    "one layer": [nn.Linear(784, 10)],
    "no bias": [nn.Linear(784, 10, bias=False)],
    "hidden": [nn.Linear(784, 40), nn.ReLU(), nn.Linear(40, 10)],
    "deep": [
        nn.Linear(784, 40),
        nn.ReLU(),
        nn.Linear(40, 30, bias=False),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(30, 10),
    ],
    "two dropouts": [
        nn.Linear(784, 40),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(40, 40),
        nn.Dropout(0.5),
        nn.Linear(40, 10),
    ],
    "starts with dropout": [nn.Dropout(0.2), nn.ReLU(), nn.Linear(784, 10)],
    "ends with relu": [nn.Linear(784, 10), nn.ReLU()],
    "relu twice": [nn.Linear(784, 40), *[nn.ReLU()] * 2, nn.Linear(40, 10)],
}
BY_AUTOGRAD = {
    "batch normalisation": [nn.Linear(784, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 10)],
    "tanh": [nn.Linear(784, 40), nn.Tanh(), nn.Linear(40, 10)],
    "no dropout": [nn.Dropout(0.0), nn.Linear(784, 40), nn.Dropout(0.5), nn.Linear(40, 10)],
    "nothing but dropout": [nn.Linear(784, 40), nn.Dropout(1.0), nn.Linear(40, 10)],
    "a layer twice": [nn.Linear(784, 40), SHARED, nn.ReLU(), SHARED, nn.Linear(40, 10)],
    "no parameters": [nn.ReLU()],
}


def convolutional() -> nn.Sequential:
    """With a kernel of several channels, whose gradient may come in another layout."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 4, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(200, 10),
    )


def both_ways(model: nn.Sequential, settings: Training) -> tuple[list, list]:
    """Epochs, parameters and the next random number, after the plain loop and the quick one."""
    found = []
    for loop in (run_epochs, train):
        torch.manual_seed(7)
        own = copy.deepcopy(model)
        epochs = list(loop(own, data().train, data().validation, settings, seed=3))
        values = [value.tolist() for value in own.state_dict().values()]
        found.append([epochs, values, torch.rand(()).item()])
    return found[0], found[1]


@pytest.mark.parametrize(
    "layers",
    [*BY_HAND.values(), *list(BY_AUTOGRAD.values())[:-1]],
    ids=[*BY_HAND, *list(BY_AUTOGRAD)[:-1]],
)
def test_every_number_is_that_of_the_plain_loop(layers):
    plain, quick = both_ways(network(*layers), SETTINGS)
    assert quick == plain


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_so_it_is_for_convolutions_in_either_layout(memory_format):
    plain, quick = both_ways(convolutional().to(memory_format=memory_format), SETTINGS)
    assert quick == plain


@pytest.mark.parametrize(
    "settings",
    [
        Training(3e-3, epochs=2, schedule="one_cycle"),
        Training(3e-3, epochs=2, weight_decay=1e-2),
        Training(3e-3, epochs=2, weight_decay=1e-2, layer_weight_decay={1: 0.0, 3: 0.5}),
        Training(1e38, epochs=2),
        Training(schedule=[3e-3, 1e-3], epochs=2),
        *(Training(1e-2, 7, 2, optimizer=optimizer) for optimizer in OPTIMIZERS),
        Training(1e-2, epochs=2, optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.1),
    ],
    ids=["one cycle", "decay", "decay by layer", "diverging", "rates", *OPTIMIZERS, "nesterov"],
)
def test_so_it_is_for_every_setting(settings):
    plain, quick = both_ways(network(*BY_HAND["hidden"]), settings)
    assert repr(quick) == repr(plain)  # a NaN is not equal to itself
    assert quick != both_ways(network(*BY_HAND["hidden"]), SETTINGS)[1]


def test_so_it_is_after_a_whole_epoch_of_real_training():
    whole = mnist.load()
    torch.manual_seed(0)
    model = network(nn.Linear(784, 200), nn.ReLU(), nn.Dropout(0.3), nn.Linear(200, 10))
    found = []
    for loop in (run_epochs, train):
        torch.manual_seed(0)
        epochs = loop(copy.deepcopy(model), whole.train, whole.validation, Training(1e-3))
        found.append(next(iter(epochs)))
    plain, quick = found
    assert quick == plain
    assert plain.validation_accuracy > 0.9


def batch() -> tuple[Tensor, Tensor]:
    return data().train.batch(slice(32))


@pytest.mark.parametrize("layers", BY_HAND.values(), ids=BY_HAND)
def test_fully_connected_layers_need_no_autograd(layers):
    model = network(*layers)
    assert same_gradients(model, Backpropagation.of(model), Autograd(model), *batch())


@pytest.mark.parametrize("layers", BY_AUTOGRAD.values(), ids=BY_AUTOGRAD)
def test_all_others_do(layers):
    assert Backpropagation.of(network(*layers)) is None


def test_so_do_images_that_are_not_flattened_first():
    assert Backpropagation.of(convolutional()) is None
    assert Backpropagation.of(nn.Sequential(nn.Linear(28, 10))) is None
    assert Backpropagation.of(nn.Sequential(nn.Flatten(2), nn.Linear(784, 10))) is None


def test_the_trial_changes_nothing():
    model = network(*BY_HAND["two dropouts"])
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(0)
    gradient_steps.learner(model, make_optimizer(model, SETTINGS), *batch())
    after = torch.rand(())
    torch.manual_seed(0)
    assert torch.rand(()) == after
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


WRONG = {
    "slope of ReLU": ("ReLU.backward", lambda self, slope: slope),
    "slope of Dropout": ("Dropout.backward", lambda self, slope: slope),
    "Dropout not divided": (
        "Dropout.forward",
        lambda self, x: x * vars(self).setdefault("_factors", torch.empty_like(x).bernoulli_(0.7)),
    ),
    "slope off by a bit": (
        "Linear.backward",
        lambda self, slope: (self.leave_gradients(slope), slope @ self.weight * (1 + 1e-7))[1],
    ),
    "sum of the losses": (
        "cross_entropy_slope",
        lambda logits, labels: logits.softmax(1) - torch.eye(10)[labels],
    ),
}


@pytest.mark.parametrize(("place", "wrong"), WRONG.values(), ids=WRONG)
def test_a_wrong_chain_rule_is_found_and_not_used(place, wrong, monkeypatch):
    model = network(nn.Linear(784, 40), nn.ReLU(), nn.Dropout(0.3), nn.Linear(40, 10))
    monkeypatch.setattr(f"autograder.training.gradient_steps.{place}", wrong)
    assert not same_gradients(model, Backpropagation.of(model), Autograd(model), *batch())
    plain, quick = both_ways(model, SETTINGS)
    assert quick == plain
