"""Question 2c: a convolutional network, rebuilt from its layers and trained here."""

import pytest
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.verdicts import loss_history
from autograder.hw5.verdicts import networks as verdicts


@number("2c.1")
@weight(1)
def test_allowed_layers(exam, assignment, line):
    """CNN: only the layers on the list."""
    model = exam.cnn.get()
    verdicts.check_layers(model.layers, assignment.cnn.allowed_layers)
    line.say(f"Correct: {', '.join(layer.name for layer in model.layers.layers)}.")


@number("2c.2")
@weight(1)
def test_required_layers(exam, assignment):
    """CNN: at least one {cnn.required_kinds}."""
    layers = exam.cnn.get().layers
    verdicts.check_required_layers(layers, assignment.cnn.required_layers)


@number("2c.3")
@weight(2)
def test_parameters(exam, assignment, line):
    """CNN: fewer than {cnn.max_parameters:,} parameters."""
    layers = exam.cnn.get().layers
    line.say(verdicts.check_parameters(layers, assignment.cnn))


@pytest.mark.slow
@number("2c.4")
@weight(6)
def test_accuracy(exam, assignment, submission, line):
    """CNN: test accuracy of at least {cnn.training.accuracy:.1%}."""
    result = exam.cnn_training.get()
    rules = assignment.cnn.training
    model = exam.cnn.get()
    record = submission.artifacts.get("cnn/run.yaml")
    line.say(
        verdicts.judge_training(result, rules, "Convolutional network", assignment, model, record)
    )


@number("2c.5")
@weight(1)
def test_loss_history(submission, line):
    """CNN: loss history of both sets in the artifacts."""
    line.say(loss_history.check_history(submission.artifacts.get("cnn/history.csv"), "cnn"))
