"""Question 2b: a fully connected network, rebuilt from its layers and trained here."""

import pytest
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder import verdicts
from autograder.feedback import reject


@number("2b.1")
@weight(1)
def test_allowed_layers(exam, assignment, line):
    """Fully connected: only Linear, ReLU, Softmax and Dropout."""
    model = exam.fully_connected.get()
    verdicts.check_layers(model.layers, assignment.fully_connected.allowed_layers)
    line.say(f"Right: {', '.join(layer.kind for layer in model.layers.layers)}.")


@number("2b.2")
@weight(1)
def test_hidden_units(exam, assignment, line):
    """Fully connected: at most 200 hidden units in all hidden layers together."""
    layers = exam.fully_connected.get().layers
    verdicts.check_has_weights(layers)
    units, most = layers.hidden_units(), assignment.fully_connected.max_hidden_units
    counted = f"{' + '.join(str(count) for count in units) or '0'} = {sum(units)}"
    if sum(units) > most:
        raise reject(
            f"{sum(units) - most} hidden units too many.",
            got=counted,
            expected=f"at most {most}",
            next_step="Every Linear layer but the last counts with its outputs.",
        )
    line.say(f"Right: {counted} hidden units of at most {most}.")


@pytest.mark.slow
@number("2b.3")
@weight(4)
def test_accuracy(exam, assignment, line):
    """Fully connected: test accuracy of at least 97.5 %."""
    result = exam.fully_connected_training.get()
    rules = assignment.fully_connected.training
    notes = exam.fully_connected.get().notes
    line.say(verdicts.judge_training(result, rules, "Fully connected network", assignment, notes))


@number("2b.4")
@weight(1)
def test_loss_history(submission, line):
    """Fully connected: loss history of both sets in the artifacts."""
    line.say(verdicts.check_history(submission.artifacts.get("fc/history.csv"), "fc"))
