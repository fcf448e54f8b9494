"""Question 3a: one attention head, compared with the reference by numbers."""

import torch
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.verdicts import head as verdicts
from autograder.hw5.verdicts.numbers import idle_note
from autograder.rubric.feedback import Feedback


@number("3a.1")
@weight(1)
def test_shapes(exam, line):
    """Attention head: shapes, for a whole batch."""
    probe = exam.head.get()
    verdicts.check_head_shape(probe)
    verdicts.check_head_order(probe)
    if probe.base.attention is None:
        line.say("Correct. (It returns no attention weights: only line 3a.3 needs them.)")


@number("3a.2")
@weight(1)
def test_rules(exam, submission, line):
    """Attention head: no biases, only {head.listed} from torch.nn."""
    verdicts.check_head_source(submission.code)
    probe = exam.head.get()
    verdicts.check_head_calls(probe)
    verdicts.check_head_parts(probe.parts)
    verdicts.check_head_biases(probe)
    line.say(Feedback("Correct.").noting(idle_note(probe.idle)))


@number("3a.3")
@weight(1)
def test_probabilities(exam, assignment):
    """Attention head: each row of attention weights is a probability distribution."""
    probe = exam.head.get()
    verdicts.check_head_returns_weights(probe)
    verdicts.check_head_rows(probe, assignment.pictures)


@number("3a.4")
@weight(3)
def test_equals_reference(exam, assignment):
    """Attention head: computes scaled dot-product attention."""
    verdicts.check_head_values(exam.head.get(), assignment.pictures)


@number("3a.5")
@weight(1)
def test_gradients(exam):
    """Attention head: gradients flow as they should."""
    verdicts.check_head_gradients(exam.head.get())


@number("3a.6")
@weight(1)
def test_other_inputs(exam, line):
    """Attention head: other sizes, large scores, float64."""
    probe = exam.head.get()
    for case in (*probe.others, probe.large):
        what = "large scores" if case is probe.large else "other sizes"
        verdicts.check_head_case(probe, case, what)
    verdicts.check_float64(probe)
    sizes = ", ".join(str(tuple(case.x.shape)) for case in probe.others)
    line.say(Feedback(f"Correct for inputs of shapes {sizes} and for {torch.float64}."))
