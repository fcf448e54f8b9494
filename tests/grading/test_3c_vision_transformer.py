"""Question 3c: the Vision Transformer as it learns, and with submitted weights."""

import pytest
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.probes.vit import Judgement
from autograder.hw5.verdicts import loss_history
from autograder.hw5.verdicts import vit as verdicts
from autograder.sandbox.errors import WorkerError


@pytest.mark.slow
@number("3c.1")
@weight(3)
def test_learns(exam, assignment, line):
    """Vision Transformer: learns, by its training steps."""
    run = exam.transformer_training.get()
    line.say(verdicts.judge_learning(run, assignment).noting(exam.head_note()))


@pytest.mark.slow
@number("3c.2")
@weight(2)
def test_accuracy(exam, assignment, submission, line):
    """Vision Transformer: submitted weights reach {transformer.accuracy:.1%} on the test images."""
    judgement = exam.transformer_weights.get()
    record = submission.artifacts.get("vit/run.yaml")
    line.say(verdicts.judge_weights(judgement, assignment, record).noting(exam.head_note()))


@number("3c.3")
@weight(1)
def test_loss_history(submission, line):
    """Vision Transformer: loss history of both sets in the artifacts."""
    line.say(loss_history.check_history(submission.artifacts.get("vit/history.csv"), "vit"))


@pytest.mark.slow
@number("3c.4")
@weight(2)
def test_attention_maps(exam, assignment, line):
    """Vision Transformer: the last layer's attention maps, one for each head."""
    try:
        judged = exam.transformer_weights.get()
    except WorkerError:
        judged = None
    if not isinstance(judged, Judgement):  # no weights to judge: maps of the brief training
        judged = exam.transformer_training.get()
    line.say(verdicts.check_attention_maps(judged, assignment).noting(exam.head_note()))
