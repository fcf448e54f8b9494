"""`autograder explain`: the evidence behind a line, and chance's share in an accuracy."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from autograder.hw5 import assignment as assignments
from autograder.hw5.examination import Model
from autograder.hw5.network_figures import layers_in_short, network_figures
from autograder.rubric.plugin import RubricLine
from autograder.sandbox.errors import StudentCodeRaised
from autograder.staff import commands
from autograder.staff.explanation import (
    Explanation,
    NetworkEvidence,
    SeedRuns,
    message_of,
    train_with_seeds,
)
from autograder.staff.explanation_report import for_the_student, histogram, quartiles, report
from autograder.staff.solutions import SOLUTIONS, load_solutions
from autograder.training.job import Ending, TrainingResult, Trial
from autograder.training.layer_list import Layer, LayerList
from autograder.training.trainer import Trainers
from provided.training import Training

from .conftest import ROOT, preloaded

RULES = assignments.load().fully_connected.training
NETWORK = LayerList(
    (
        Layer("Flatten", "0", True, {"start_dim": 1, "end_dim": -1}, None),
        Layer("Linear", "1", True, {"in_features": 784, "out_features": 10, "bias": True}, None),
    )
)
MODEL = Model(NETWORK, Training(learning_rate=1e-3), "")


def evidence(*best: float, own: tuple[float, ...] = (0.974,)) -> NetworkEvidence:
    trials = [Trial(seed, [], [0.9, value, 0.8]) for seed, value in enumerate(best)]
    ended = Ending.REACHED if max(own) >= RULES.accuracy else Ending.MISSED
    result = TrainingResult([Trial(n, [], [value]) for n, value in enumerate(own)], ended)
    return NetworkEvidence(RULES, network_figures(MODEL), result, SeedRuns(trials))


def explained(network: NetworkEvidence | None, **others) -> str:
    line = RubricLine("2b.3", "Fully connected: test accuracy", 4, earned=3)
    line.say("Test accuracy 97.40%.")
    found = Explanation(line, [], [], {}, "", [{"exit": 0, "signal": None}], 7, network)
    return "\n".join(report(replace(found, **others)))


def test_the_distribution_stands_beside_the_threshold():
    text = explained(evidence(0.9735, 0.9741, 0.9749, 0.9752, 0.9763))
    assert "lowest 97.35%, quartiles 97.41%, 97.49%, 97.52%, highest 97.63%" in text
    assert "2 of 5 (40%, 95% interval 5% to 85%) reach 97.5% (full points)" in text
    assert "5 of 5 (100%, 95% interval 48% to 100%) reach 90.0% (1 point)" in text
    assert "with 5 seeds, 0 to 4" in text


def test_all_that_decides_on_an_accuracy_is_shown():
    text = explained(evidence(0.97, 0.98, own=(0.974, 0.9745)))
    for shown in (
        "Linear(784, 10)",
        "7,850 parameters",
        "learning_rate = 0.001",
        "seed 1: 1 epoch, best 97.45% after epoch 1",
        "ended: missed; not shortened",
        "torch ",
        "sources ",
    ):
        assert shown in text, shown


def test_the_histogram_counts_each_training_once_and_the_threshold_lies_between_two_rows():
    values = [0.9735, 0.9741, 0.9749, 0.9750, 0.9763]
    rows = histogram(values, 0.975)
    assert sum(int(row.split()[-1]) for row in rows if "threshold" not in row) == len(values)
    mark = next(place for place, row in enumerate(rows) if "threshold 97.5%" in row)
    assert sum(row.count("█") for row in rows[mark:]) == 2
    assert "97.50%" in rows[mark + 1]


@pytest.mark.parametrize("values", [[0.9], [0.1, 0.99], [0.98, 0.981], [0.975] * 3])
def test_a_histogram_is_short_wherever_the_accuracies_lie(values):
    rows = histogram(values, 0.975)
    assert len(rows) <= 15
    assert sum(row.count("█") for row in rows) == len(values)
    assert sum("threshold" in row for row in rows) == 1


def test_quartiles_of_a_single_training_are_its_accuracy():
    assert quartiles([0.9]) == (0.9,) * 5
    assert quartiles([0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5))


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ((0.97, 0.971), "measured on other images"),
        ((0.97, 0.976), "close to the threshold"),
        ((0.976, 0.977), "reaches 97.5% reliably"),
    ],
    ids=["never", "sometimes", "always"],
)
def test_what_the_student_may_be_told_follows_from_the_share(best, said):
    text = for_the_student(evidence(*best))
    assert said in text
    assert "2 times" in text
    assert "the best got 97.40%" in text
    assert "seed" not in text


def test_an_error_of_a_worker_is_shown_whole():
    error = StudentCodeRaised("KeyError", "x" * 5000, "models.py", 4)
    text = explained(None, errors=[error])
    assert "x" * 5000 in text
    assert "models.py" in message_of(error)
    assert "\nworker: KeyError" not in text


def test_layers_are_written_as_one_would_write_them():
    pool = {
        "kernel_size": [2, 2],
        "stride": [2, 2],
        "padding": 0,
        "dilation": 1,
        "ceil_mode": False,
    }
    layers = LayerList(
        (
            *NETWORK.layers,
            Layer("MaxPool2d", "2", True, pool, None),
            Layer("Dropout", "3", True, {"p": 0.5}, None),
            Layer("Dropout", "4", True, {"p": 0.2}, 3),
            Layer("Own\x1bLayer", "5", False, {"size": 3}, None),
        )
    )
    short = layers_in_short(layers)
    assert short[:3] == ["Flatten()", "Linear(784, 10)", "MaxPool2d(2, stride=2)"]
    assert short[3:5] == ["Dropout()", "Dropout(p=0.2) (the same as layer 3)"]
    assert "\x1b" not in short[5]


def test_settings_are_shown_by_name_whatever_they_are():
    settings = Training(learning_rate=0.1, layer_weight_decay={1: 0.5})
    shown = network_figures(Model(NETWORK, settings, ""))["settings"]
    assert shown["learning_rate"] == 0.1
    assert shown["layer_weight_decay"] == "{1: 0.5}"
    assert shown.keys() == {one.name for one in fields(settings)}


def test_each_seed_is_trained_to_its_last_epoch_at_the_same_time_as_others():
    trainers, told = Trainers(), []
    model = replace(MODEL, settings=Training(learning_rate=1e-3, epochs=2))
    rules = RULES.model_copy(update={"training_images": 320, "accuracy": 0.1})
    try:
        runs = train_with_seeds(
            trainers, model, rules, range(3, 6), lambda trial, done: told.append((trial.seed, done))
        )
    finally:
        trainers.stop()
    assert [trial.seed for trial in runs.trials] == [3, 4, 5]
    assert all(len(trial.test_accuracy) == 2 for trial in runs.trials)
    assert len({tuple(trial.test_accuracy) for trial in runs.trials}) == 3
    assert [done for _, done in told] == [1, 2, 3]
    assert sorted(seed for seed, _ in told) == [3, 4, 5]


def test_a_line_is_graded_alone_with_what_staff_may_see(tmp_path):
    (mistake,) = load_solutions(["no-scale"])
    arguments = ["explain", str(mistake.assemble(tmp_path)), "--line", "3a.4"]
    status, said = preloaded(ROOT).run(arguments, os.environ, 120)
    assert status == 0, said
    assert "0 of 3 points" in said
    assert "diagnosis: no-scale" in said
    assert "Expected: " in said
    assert "worker: " in said
    assert "grader fault" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (SOLUTIONS / "reference", "--line", "3a.44"),
            "There is no line 3a.44: did you mean 3a.4?",
        ),
        ((Path("nowhere"),), "There is no submission at nowhere"),
    ],
    ids=["line", "submission"],
)
def test_what_isnt_there_is_wrong_usage(arguments, said):
    app = typer.Typer()
    commands.register(app)
    ended = CliRunner().invoke(app, ["explain", *map(str, arguments)])
    assert (ended.exit_code, ended.stderr.strip()) == (2, said)
