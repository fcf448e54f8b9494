"""Question 2c: a convolutional network, rebuilt from its layers and trained here."""

import pytest
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder import verdicts
from autograder.feedback import reject
from autograder.layers import ModelProblem


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
    missing = [kind for kind in ("Dropout", "BatchNorm2d") if not layers.of_kind(kind)]
    if missing:
        raise reject(
            f"The network has no {' and no '.join(missing)}.",
            expected="at least one of each",
            got=", ".join(layer.kind for layer in layers.layers) or "no layers",
        )


@number("2c.3")
@weight(2)
def test_parameters(exam, assignment, line):
    """CNN: fewer than 50,000 parameters."""
    layers = exam.cnn.get().layers
    verdicts.check_has_weights(layers)
    try:
        counts = [(layer, count) for layer, count in layers.parameter_counts() if count]
    except ModelProblem as problem:
        raise reject(f"The parameters can't be counted. {problem}") from None
    total, limit = sum(count for _, count in counts), assignment.cnn.max_parameters
    largest, most = max(counts, key=lambda pair: pair[1])
    if total >= limit:
        raise reject(
            f"{total - limit + 1:,} parameters too many.",
            got=f"{total:,}; {largest} alone has {most:,}",
            expected=f"fewer than {limit:,}",
            next_step="A smaller image before Flatten, or fewer channels, saves most.",
        )
    small = total < assignment.cnn.small_parameters
    praise = f" Even fewer than {assignment.cnn.small_parameters:,}: well done!" if small else ""
    line.say(f"Right: {total:,} parameters of fewer than {limit:,}.{praise}")


@pytest.mark.slow
@number("2c.4")
@weight(6)
def test_accuracy(exam, assignment, line):
    """CNN: test accuracy of at least 98.5 %."""
    result = exam.cnn_training.get()
    rules = assignment.cnn.training
    notes = exam.cnn.get().notes
    line.say(verdicts.judge_training(result, rules, "Convolutional network", assignment, notes))


@number("2c.5")
@weight(1)
def test_loss_history(submission, line):
    """CNN: loss history of both sets in the artifacts."""
    line.say(verdicts.check_history(submission.artifacts.get("cnn/history.csv"), "cnn"))
