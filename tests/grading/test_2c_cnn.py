"""Question 2c: a convolutional network, rebuilt from its layers and trained here."""

import pytest
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder import loss_history, verdicts


@number("2c.1")
@weight(1)
def test_allowed_layers(exam, assignment, line):
    """CNN: only the layers on the list."""
    model = exam.cnn.get()
    verdicts.check_layers(model.layers, assignment.cnn.allowed_layers)
    line.say(f"Right: {', '.join(layer.kind for layer in model.layers.layers)}.")


@number("2c.2")
@weight(1)
def test_dropout_and_batch_norm(exam):
    """CNN: at least one Dropout and one BatchNorm2d."""
    layers = exam.cnn.get().layers
    verdicts.check_required_layers(layers)


@number("2c.3")
@weight(2)
def test_parameters(exam, assignment, line):
    """CNN: fewer than 50,000 parameters."""
    layers = exam.cnn.get().layers
    line.say(verdicts.check_parameters(layers, assignment.cnn))


@pytest.mark.slow
@number("2c.4")
@weight(6)
def test_accuracy(exam, assignment, line):
    """CNN: test accuracy of at least 98.5 %."""
    result = exam.cnn_training.get()
    rules = assignment.cnn.training
    model = exam.cnn.get()
    line.say(verdicts.judge_training(result, rules, "Convolutional network", assignment, model))


@number("2c.5")
@weight(1)
def test_loss_history(submission, line):
    """CNN: loss history of both sets in the artifacts."""
    line.say(loss_history.check_history(submission.artifacts.get("cnn/history.csv"), "cnn"))
