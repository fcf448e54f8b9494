"""Question 2b: a fully connected network, rebuilt from its layers and trained here."""

import pytest
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.verdicts import loss_history
from autograder.hw5.verdicts import networks as verdicts


@number("2b.1")
@weight(1)
def test_allowed_layers(exam, assignment, line):
    """Fully connected: only the layers on the list."""
    model = exam.fully_connected.get()
    verdicts.check_layers(model.layers, assignment.fully_connected.allowed_layers)
    line.say(f"Correct: {', '.join(layer.name for layer in model.layers.layers)}.")


@number("2b.2")
@weight(1)
def test_hidden_units(exam, assignment, line):
    """Fully connected: at most {fully_connected.max_hidden_units} hidden units altogether."""
    layers = exam.fully_connected.get().layers
    line.say(verdicts.check_hidden_units(layers, assignment.fully_connected.max_hidden_units))


@pytest.mark.slow
@number("2b.3")
@weight(4)
def test_accuracy(exam, assignment, submission, line):
    """Fully connected: test accuracy of at least {fully_connected.training.accuracy:.1%}."""
    result = exam.fully_connected_training.get()
    rules = assignment.fully_connected.training
    model = exam.fully_connected.get()
    record = submission.artifacts.get("fc/run.yaml")
    line.say(
        verdicts.judge_training(result, rules, "Fully connected network", assignment, model, record)
    )


@number("2b.4")
@weight(1)
def test_loss_history(submission, line):
    """Fully connected: loss history of both sets in the artifacts."""
    line.say(loss_history.check_history(submission.artifacts.get("fc/history.csv"), "fc"))
