"""Question 3a: one attention head, compared with the reference by numbers."""

import torch
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder import attention_verdicts as verdicts
from autograder import rules
from autograder.comparison import well_formed
from autograder.feedback import Feedback, reject


@number("3a.1")
@weight(1)
def test_shapes(exam, line):
    """Attention head: shapes, for a whole batch."""
    base = exam.head.get().base
    problem = well_formed(base.out, base.out_shape)
    if problem is not None:
        raise reject(
            "The output has not the right form.",
            got=f"for x of shape {tuple(base.x.shape)} the output {problem.text}",
            expected=f"(B, T, inner_dim) = {base.out_shape}",
        )
    if not base.in_order:
        raise reject(
            "The two results are in the wrong order.",
            got="attention weights first",
            expected="return out, attention",
        )
    if base.attention is None:
        line.say("Right. (It returns no attention weights: only line 3a.3 needs them.)")


@number("3a.2")
@weight(1)
def test_rules(exam, submission):
    """Attention head: no biases, only Linear, Softmax and Dropout from torch.nn."""
    if "attention.py" not in submission.code:
        raise reject("attention.py was not submitted.")
    parts = exam.head.get().parts
    violations = rules.head_violations(submission.code["attention.py"])
    if violations:
        raise reject(
            "attention.py uses what this question doesn't allow.",
            got="; ".join(rules.lines_of(violations)),
            expected="only nn.Linear, nn.Softmax and nn.Dropout, and plain tensor operations",
        )
    verdicts.check_head_parts(parts)


@number("3a.3")
@weight(1)
def test_probabilities(exam):
    """Attention head: each row of attention weights is a probability distribution."""
    base = exam.head.get().base
    if base.attention is None:
        raise reject("The head returns no attention weights.", expected="return out, attention")
    problem = well_formed(base.attention, base.map_shape)
    if problem is not None:
        raise reject(
            "The attention weights have not the right form.",
            got=f"a tensor that {problem.text}",
            expected=f"(B, T, T) = {base.map_shape}",
        )
    verdicts.check_rows(base.attention, "the attention weights")


@number("3a.4")
@weight(3)
def test_equals_reference(exam):
    """Attention head: computes scaled dot-product attention."""
    verdicts.check_head_values(exam.head.get())


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
    line.say(Feedback(f"Right, for inputs of shapes {sizes} and {torch.float64}."))
