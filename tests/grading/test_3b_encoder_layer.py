"""Question 3b: a pre-norm encoder layer, on the grader's own attention heads."""

from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.verdicts import layer as verdicts
from autograder.hw5.verdicts import layer_dropout
from autograder.hw5.verdicts.numbers import idle_note
from autograder.rubric.feedback import Feedback


@number("3b.1")
@weight(1)
def test_shapes_and_residuals(exam, line):
    """Encoder layer: shapes, and two residual connections."""
    probe = exam.layer.get()
    verdicts.check_layer_shape(probe)
    verdicts.check_layer_order(probe)
    verdicts.check_residuals(probe)
    line.say(Feedback("Correct.").noting(exam.head_note()))


@number("3b.2")
@weight(2)
def test_equals_reference(exam, assignment, line):
    """Encoder layer: computes a pre-norm encoder layer."""
    verdicts.check_layer_values(exam.layer.get(), assignment.pictures)
    line.say(Feedback("Correct.").noting(exam.head_note()))


@number("3b.3")
@weight(1)
def test_gradients(exam, line):
    """Encoder layer: gradients flow as they should."""
    verdicts.check_layer_gradients(exam.layer.get())
    line.say(Feedback("Correct.").noting(exam.head_note()))


@number("3b.4")
@weight(1)
def test_structure(exam, submission, line):
    """Encoder layer: W_O without bias, MLP of Linear, ReLU, Linear."""
    verdicts.check_layer_source(submission.code)
    probe = exam.layer.get()
    verdicts.check_layer_structure(probe)
    line.say(Feedback("Correct.").noting(idle_note(probe.idle)))


@number("3b.5")
@weight(1)
def test_dropout(exam, line):
    """Encoder layer: dropout after the attention, inside the MLP and after it."""
    layer_dropout.check_layer_dropout(exam.layer.get())
    line.say(Feedback("Correct.").noting(exam.head_note()))
