"""Training(...) means what torch means, and what is wrong with one is said in one sentence."""

from __future__ import annotations

import math
import types
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autograder.confined.answerer import Answerer
from autograder.confined.describing_training import begins_as_usual, describe_settings
from autograder.hw5 import assignment as assignments
from autograder.hw5.described import read_settings
from autograder.sandbox.replies import ModelReply
from autograder.training.layer_list import LayerList
from autograder.training.trainer import rebuild
from provided.homework import CNN, FULLY_CONNECTED, Network
from provided.settings import (
    INITS,
    OPTIMIZERS,
    Training,
    in_epochs,
    in_words,
    initialise,
    layer_names,
)
from provided.settings_rules import as_graded, bounds_of, problem_of
from provided.training import learn_batch, make_optimizer, set_learning_rate

from .test_layers import described
from .test_training import FLATTEN, HIDDEN, LAST, RELU, job, run

ASSIGNMENT = assignments.load()
NAME = FULLY_CONNECTED.settings


def network() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(flatten=nn.Flatten(), hidden=nn.Linear(784, 20), logits=nn.Linear(20, 10))
    )


def as_the_grader_reads(
    settings: Training,
    of: Network = FULLY_CONNECTED,
    assignment: assignments.Assignment = ASSIGNMENT,
) -> Any:
    """What comes of settings on their way through a worker's reply."""
    module = types.SimpleNamespace(**{of.settings: settings})
    reply = ModelReply.model_validate(
        {
            "layers": [],
            "own_weights": [],
            "settings": describe_settings(module, of.settings, "models.py"),
            "settings_problem": None,
        }
    )
    return read_settings(described(network()), reply, of, assignment)


RIGHT = {
    "the least": Training(1e-3),
    "by position": Training(1e-3, 64, 5, "one_cycle", 1e-4, {0: 0.1}),
    "SGD in capitals": Training(0.1, optimizer="SGD", momentum=0.9, nesterov=True),
    "torch's class": Training(0.1, optimizer=torch.optim.RMSprop, alpha=0.9),
    "a list of rates": Training(schedule=[0.1, 0.05, 0.01], epochs=3, optimizer="sgd"),
    "a tensor of rates": Training(schedule=torch.linspace(0.1, 0.01, 3), epochs=3),
    "numbers of numpy's and torch's": Training(np.float32(1e-3), eps=torch.tensor(1e-6)),
    "a rate of zero at the end": Training(schedule=[0.1, 0], epochs=2),
    "betas as a list": Training(1e-3, betas=[0.8, 0.9], eps=1e-6),
    "a decay by name": Training(1e-3, layer_weight_decay={"hidden": 1e-4, 2: 0.0}),
    "the most": Training(1e-3, batch_size=4096, epochs=100),
    "no momentum for Adam": Training(1e-3, momentum=0.0, nesterov=False),
    "first weights": Training(1e-3, init="orthogonal"),
}
WRONG = {
    "no rate": (Training(), " has no learning_rate."),
    "torch's word": (Training(lr=1e-3), " has no setting lr; did you mean learning_rate?"),
    "a slip": (Training(1e-3, epoch=4), " has no setting epoch; did you mean epochs?"),
    "a word of its own": (Training(1e-3, gradient_clip=1), " has no setting gradient_clip."),
    "a rate in words": (Training("fast"), ".learning_rate = 'fast' is not a number from 1e-08 to"),
    "no number": (Training(math.nan), ".learning_rate = "),
    "a truth value": (Training(True), ".learning_rate = True is not a number"),
    "another optimizer": (Training(1e-3, optimizer="lion"), ".optimizer = 'lion' is not one of"),
    "a slip in it": (Training(1e-3, optimizer="adm"), "(did you mean adam?)"),
    "no momentum": (
        Training(0.1, optimizer="sgd", nesterov=True),
        ".nesterov needs a momentum above 0.",
    ),
    "of another optimizer": (
        Training(1e-3, momentum=0.9),
        ".momentum is set, but adam takes no momentum.",
    ),
    "one beta": (Training(1e-3, betas=(0.9,)), ".betas = "),
    "a beta of one": (Training(1e-3, betas=(0.9, 1.0)), ".betas = "),
    "half an epoch": (Training(1e-3, epochs=2.5), ".epochs = 2.5 is not a whole number"),
    "a thousand epochs": (Training(1e-3, epochs=1000), ".epochs = 1000 is not a whole number from"),
    "no images": (Training(1e-3, batch_size=0), ".batch_size = 0 is not a whole number from 1 to"),
    "a cosine": (Training(1e-3, schedule="cosine"), ".schedule = 'cosine' is not one of constant"),
    "rates missing": (Training(schedule=[0.1, 0.2]), ".schedule has 2 rates for 10 epochs."),
    "a rate below zero": (Training(schedule=[0.1, -1], epochs=2), ".schedule has the rate -1.0"),
    "Keras's name": (Training(1e-3, init="he_normal"), "(did you mean kaiming_normal?)"),
    "a layer too far": (
        Training(1e-3, layer_weight_decay={3: 0.1}),
        ".layer_weight_decay names layer 3, which doesn't exist.",
    ),
    "no such name": (
        Training(1e-3, layer_weight_decay={"output": 0.1}),
        ".layer_weight_decay names layer 'output', which doesn't exist.",
    ),
    "a decay in words": (
        Training(1e-3, layer_weight_decay={"hidden": "some"}),
        ".layer_weight_decay['hidden'] = 'some' is not a number from 0 to 10.",
    ),
}


def problem(settings: Training) -> str | None:
    return problem_of(settings, NAME, bounds_of(FULLY_CONNECTED.kind), layer_names(network()))


@pytest.mark.parametrize("settings", RIGHT.values(), ids=RIGHT)
def test_right_settings_are_taken_by_student_and_grader_alike(settings):
    assert problem(settings) is None
    read = as_the_grader_reads(settings)
    assert read.settings_problem == ""
    assert in_words(read.settings) == in_words(settings)


@pytest.mark.parametrize(("settings", "said"), WRONG.values(), ids=WRONG)
def test_wrong_settings_are_told_by_both_in_the_same_sentence(settings, said):
    found = problem(settings)
    assert found is not None
    assert found.startswith(NAME)
    assert said in found
    if settings.learning_rate == settings.learning_rate:  # NaN has no form of its own in JSON
        assert as_the_grader_reads(settings).settings_problem == found


def test_the_grader_takes_the_bounds_of_its_own_assignment():
    fully_connected = ASSIGNMENT.fully_connected.model_copy(update={"max_epochs": 3})
    other = ASSIGNMENT.model_copy(update={"fully_connected": fully_connected})
    settings = Training(1e-3, epochs=4)
    assert as_the_grader_reads(settings).settings_problem == ""
    said = as_the_grader_reads(settings, assignment=other).settings_problem
    assert said == f"{NAME}.epochs = 4 is not a whole number from 1 to 3."
    training = ASSIGNMENT.training.model_copy(update={"batch_size": 7})
    other = ASSIGNMENT.model_copy(update={"training": training})
    fixed = as_the_grader_reads(settings, CNN, assignment=other)
    assert fixed.notes == ("The homework fixes batches of 7 here.",)


def test_what_the_homework_fixes_is_corrected_in_2c_alone_and_said():
    settings = Training(0.1, 128, 20, optimizer="sgd", momentum=0.9, init="xavier_normal")
    own = as_the_grader_reads(settings)
    assert own.settings == Training(**{**vars(settings), "layer_weight_decay": {}})
    assert own.notes == ()
    fixed = as_the_grader_reads(settings, CNN)
    assert fixed.settings == Training(0.1, init="xavier_normal")
    said = " ".join(fixed.notes)
    assert "fixes Adam" in said
    assert "batches of 32" in said
    assert "10 epochs" in said


def test_other_settings_of_adam_are_kept_in_2c():
    settings = Training(1e-3, betas=(0.8, 0.99), schedule=[1e-3, 1e-4], epochs=2)
    assert as_graded(settings, bounds_of(CNN.kind)) == (settings, [])


def test_a_slip_in_the_settings_of_one_network_leaves_the_other_alone(monkeypatch):
    source = (
        "from torch import nn\n"
        "from provided.training import Training\n"
        "def build_fully_connected(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
        "build_cnn = build_fully_connected\n"
        "FULLY_CONNECTED_TRAINING = Training(lr=1e-3, momentun=0.9)\n"
        "CNN_TRAINING = Training(learning_rate=1e-3)\n"
    )
    module = types.ModuleType("models")
    exec(source, module.__dict__)
    monkeypatch.setattr("autograder.confined.answerer.import_student", lambda name: module)
    said = {}
    for of in (FULLY_CONNECTED, CNN):
        found = Answerer({}, lambda told: None).describe_model({}, of.file, of.builder, of.settings)
        reply = ModelReply.model_validate(found.content)
        layers = LayerList.from_replies(reply.layers)
        said[of.kind] = read_settings(layers, reply, of, ASSIGNMENT).settings_problem
    assert said == {
        "fc": "FULLY_CONNECTED_TRAINING has no setting lr; did you mean learning_rate?",
        "cnn": "",
    }


@pytest.mark.parametrize(
    ("settings", "torchs"),
    [
        (Training(0.1, optimizer="sgd"), lambda p: torch.optim.SGD(p, 0.1)),
        (
            Training(0.1, optimizer="sgd", momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=0.01),
        ),
        (Training(0.01), lambda p: torch.optim.Adam(p, 0.01)),
        (
            Training(0.01, optimizer="adamw", weight_decay=0.1, betas=(0.8, 0.9)),
            lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.9), weight_decay=0.1),
        ),
        (
            Training(0.01, optimizer="rmsprop", momentum=0.5, alpha=0.9, eps=1e-4),
            lambda p: torch.optim.RMSprop(p, 0.01, 0.9, 1e-4, momentum=0.5),
        ),
        (Training(0.1, optimizer="adagrad"), lambda p: torch.optim.Adagrad(p, 0.1)),
        (Training(0.01, optimizer="nadam"), lambda p: torch.optim.NAdam(p, 0.01)),
        (Training(0.01, optimizer="radam"), lambda p: torch.optim.RAdam(p, 0.01)),
        (Training(0.01, optimizer="adamax"), lambda p: torch.optim.Adamax(p, 0.01)),
    ],
    ids=lambda value: value.optimizer if isinstance(value, Training) else "",
)
def test_an_optimizer_takes_the_steps_that_torchs_own_takes(settings, torchs):
    found = []
    for make in (lambda model: make_optimizer(model, settings), lambda m: torchs(m.parameters())):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
        optimizer = make(model)
        for _ in range(20):
            learn_batch(model, optimizer, torch.randn(8, 1, 2, 2), torch.arange(8))
        found.append(model[1].weight.detach().clone())
    assert torch.allclose(*found, rtol=1e-5, atol=1e-7)


def test_every_optimizer_is_compared_with_torchs_own():
    (mark,) = test_an_optimizer_takes_the_steps_that_torchs_own_takes.pytestmark
    assert {settings.optimizer for settings, _ in mark.args[1]} == set(OPTIMIZERS)


def test_each_epoch_has_its_own_rate_from_its_first_step_to_its_last():
    settings = Training(schedule=[0.3, 0.2, 0.1], epochs=3, optimizer="sgd")
    optimizer = make_optimizer(network(), settings)
    steps = 7
    rates = []
    for step in range(3 * steps):
        set_learning_rate(optimizer, settings, step / (3 * steps))
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.3] * steps + [0.2] * steps + [0.1] * steps


def test_fewer_epochs_keep_the_range_of_the_rates_or_cut_it_off():
    settings = Training(schedule=[0.6, 0.5, 0.4, 0.3, 0.2, 0.1], epochs=6)
    assert in_epochs(settings, 3).schedule == (0.6, 0.4, 0.2)
    assert in_epochs(settings, 3, compressed=False).schedule == (0.6, 0.5, 0.4)
    assert in_epochs(Training(1e-3), 3) == Training(1e-3, epochs=3)


@pytest.mark.parametrize("init", INITS)
def test_first_weights_are_drawn_as_named_by_student_and_grader_alike(init):
    found = []
    for model in (network(), rebuild(described(network()))):
        torch.manual_seed(1)
        initialise(model, Training(1e-3, init=init))
        linear = [layer for layer in model if isinstance(layer, nn.Linear)]
        assert not any(layer.bias.any() for layer in linear)
        assert not begins_as_usual(linear[0])
        found.append(linear[0].weight)
    assert torch.equal(*found)
    events = [
        run(job(FLATTEN, HIDDEN, RELU, LAST, settings=Training(1e-3, epochs=1, init=one)))
        for one in (None, init)
    ]
    assert events[0] != events[1]


def test_first_weights_that_torch_draws_are_never_called_ones_own():
    for seed in range(200):
        torch.manual_seed(seed)
        for layer in (
            nn.Linear(784, 10),
            nn.Linear(3, 2),
            nn.Conv2d(1, 6, 3),
            nn.ReLU(),
            nn.Conv2d(8, 4, 3, groups=2),
            nn.Linear(50, 10, bias=False),
        ):
            assert begins_as_usual(layer)


@pytest.mark.parametrize(
    "change",
    [
        nn.init.xavier_uniform_,
        nn.init.kaiming_normal_,
        nn.init.zeros_,
        lambda weight: nn.init.normal_(weight, std=0.01),
        lambda weight: nn.init.constant_(weight, 0.01),
    ],
)
def test_first_weights_of_ones_own_are_noticed_and_said(change):
    layer = nn.Linear(784, 50)
    with torch.no_grad():
        change(layer.weight)
    assert not begins_as_usual(layer)
    reply = ModelReply.model_validate(
        {
            "layers": [],
            "own_weights": ["1"],
            "settings": describe_settings(
                types.SimpleNamespace(X=Training(1e-3)), "X", "models.py"
            ),
            "settings_problem": None,
        }
    )
    (said,) = read_settings(described(network()), reply, FULLY_CONNECTED, ASSIGNMENT).notes
    assert said.startswith("Your code sets the first weights of layer 1 itself.")
    assert "kaiming_normal" in said


def test_biases_of_zero_are_noticed_too():
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.bias)
    assert not begins_as_usual(layer)
