"""Question 3b: a pre-norm encoder layer, on the grader's own attention heads."""

from gradescope_utils.autograder_utils.decorators import number, weight

from autograder import attention_verdicts as verdicts
from autograder import rules
from autograder.comparison import well_formed
from autograder.feedback import reject


@number("3b.1")
@weight(1)
def test_shapes_and_residuals(exam, line):
    """Encoder layer: shapes, and two residual connections."""
    probe = exam.layer.get()
    problem = well_formed(probe.base.out, probe.base.size.out_shape)
    if problem is not None:
        raise reject(
            "The output has not the right form.",
            got=f"for x of shape {tuple(probe.base.x.shape)} the output {problem.text}",
            expected=f"(B, T, dim) = {probe.base.size.out_shape}",
        )
    verdicts.check_residuals(probe)
    line.say(verdicts.right(exam.head_note()))


@number("3b.2")
@weight(2)
def test_equals_reference(exam, line):
    """Encoder layer: computes a pre-norm encoder layer."""
    verdicts.check_layer_values(exam.layer.get(), exam.head_note())
    line.say(verdicts.right(exam.head_note()))


@number("3b.3")
@weight(1)
def test_gradients(exam, line):
    """Encoder layer: gradients flow as they should."""
    verdicts.check_layer_gradients(exam.layer.get())
    line.say(verdicts.right(exam.head_note()))


@number("3b.4")
@weight(1)
def test_structure(exam, submission):
    """Encoder layer: W_O without bias, MLP of Linear, ReLU, Linear."""
    violations = rules.layer_violations(submission.code.get("encoder.py", ""))
    if violations:
        raise reject(
            "encoder.py uses what this question doesn't allow.",
            got="; ".join(rules.lines_of(violations)),
            expected="a layer built from Attention, LayerNorm, Linear, ReLU and Dropout",
        )
    verdicts.check_layer_structure(exam.layer.get())


@number("3b.5")
@weight(1)
def test_dropout(exam, line):
    """Encoder layer: dropout after the attention, inside the MLP and after it."""
    verdicts.check_layer_dropout(exam.layer.get())
    line.say(verdicts.right(exam.head_note()))
