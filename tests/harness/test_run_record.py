"""A run.yaml beside the grader's own result: shown where it says something, and never judged."""

from __future__ import annotations

import time

import pytest

from autograder.hw5 import assignment as assignments
from autograder.hw5.described import Model
from autograder.hw5.verdicts import networks as verdicts
from autograder.hw5.verdicts.run_record import beside_ours, of_weights, read_record
from autograder.rubric.feedback import Rejected
from autograder.training.job import Ending, TrainingResult, Trial
from autograder.training.layer_list import LayerList
from provided.homework import MAX_RUN_BYTES
from provided.training import Epoch, Training

from .test_feedback import linear

MODEL = Model(LayerList((linear(0, 784, 10),)), Training(learning_rate=1e-3), "")  # 7,850 numbers
BOMB = b"a: &a [1, 1]\nb: &b [*a, *a]\ntest_accuracy: 0.9\n"

# content, and what must be said beside 97.60%
SHOWN = {
    "of this train.py": (b"test_accuracy: 0.979\n", "Your run.yaml says 97.90%; here: 97.60%."),
    "with its best epoch": (
        b"best_test_accuracy: 0.979\nbest_test_epoch: 8\ntest_accuracy: 0.97\n",
        "says 97.90% after epoch 8; here: 97.60%. Such a difference is usual",
    ),
    "a trial": (b"test_accuracy: 0.9\ntrial: true\n", "90.00%, from a trial; here"),
    "the same": (b"test_accuracy: 0.976\n", "Your run.yaml says 97.60%; here: 97.60%."),
    "another network": (
        b"test_accuracy: 0.99\nparameters: 12345\n",
        "had 12,345 parameters, the network that you submitted has 7,850",
    ),
    "from Windows": (b"\xef\xbb\xbftest_accuracy: 0.979\r\n", "says 97.90%"),
}
UNREADABLE = {
    "aliases": BOMB,
    "no YAML": b"a: [1\n",
    "no text": b"\xff\xfe\x00",
    "a list": b"- 1\n",
    "a tag": b"test_accuracy: !!python/object/apply:os.getcwd []\n",
    "too deep": b"[" * 50_000,
    "too long": b"#" * (MAX_RUN_BYTES + 1),
    "digits without end": b"test_accuracy: " + b"9" * 50_000 + b"\n",
}
SILENT = {
    "nothing": b"{}",
    "a word": b"test_accuracy: <b>best</b>\n",
    "more than all": b"test_accuracy: 1.5\n",
    "less than none": b"test_accuracy: -1\n",
    "no number": b"test_accuracy: .nan\n",
    "infinite": b"test_accuracy: .inf\n",
    "a truth": b"test_accuracy: true\n",
    "a list": b"test_accuracy: [0.9]\n",
}


@pytest.mark.parametrize(("content", "said"), SHOWN.values(), ids=SHOWN.keys())
def test_a_students_figures_stand_beside_the_graders(content, said):
    (note,) = beside_ours(content, 0.976, 7850)
    assert said in note


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cant_be_read_is_said_and_costs_nothing(content):
    started = time.process_time()
    assert beside_ours(content, 0.976) == ("Your run.yaml can't be read; this costs nothing.",)
    assert time.process_time() - started < 20


@pytest.mark.parametrize("content", SILENT.values(), ids=SILENT.keys())
def test_what_is_no_accuracy_is_not_shown(content):
    assert beside_ours(content, 0.976) == ()
    assert beside_ours(None, 0.976) == ()


def test_other_figures_are_taken_only_where_they_make_sense():
    record = read_record(
        b"test_accuracy: 0.9\nbest_test_accuracy: 0.95\nbest_test_epoch: 8.5\n"
        b"parameters: -3\ntrial: 'yes'\n"
    )
    assert record is not None
    assert (record.accuracy, record.epoch, record.parameters, record.trial) == (
        0.95,
        None,
        None,
        False,
    )


def test_a_training_that_ended_early_explains_a_lower_accuracy():
    (note,) = beside_ours(b"test_accuracy: 0.982\n", 0.976, stopped=True)
    assert note.endswith("The grader stops at the first epoch that meets the threshold.")


@pytest.mark.parametrize("record", [None, b"test_accuracy: 0.999\n", BOMB], ids=repr)
@pytest.mark.parametrize(("accuracy", "points"), [(0.98, None), (0.96, 2)])
def test_points_never_depend_on_it(record, accuracy, points):
    trial = Trial(0, [Epoch(1, 0.5, 0.25, 0.9, 0.9)], [accuracy])
    rules = assignments.load().model_copy(update={"pictures": False})
    result = TrainingResult([trial], Ending.MISSED)
    arguments = (result, rules.fully_connected.training, "It", rules, MODEL, record)
    if points is None:
        notes = verdicts.judge_training(*arguments).notes
    else:
        with pytest.raises(Rejected) as rejected:
            verdicts.judge_training(*arguments)
        assert rejected.value.points == points
        notes = rejected.value.feedback.notes
    assert len(notes) == (record is not None)


def test_weights_are_those_of_the_last_epoch_whatever_the_best_one_was():
    content = b"best_test_accuracy: 0.985\nbest_test_epoch: 8\ntest_accuracy: 0.9836\n"
    said = "Your run.yaml says 98.36% after the last epoch; here: 98.36%."
    assert of_weights(content, 0.9836) == (said,)
    assert of_weights(b"best_test_accuracy: 0.985\n", 0.9836) == ()
    assert of_weights(BOMB, 0.9836) == ("Your run.yaml can't be read; this costs nothing.",)
    assert of_weights(None, 0.9836) == ()
