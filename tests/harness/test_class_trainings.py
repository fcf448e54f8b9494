"""Trainings that a class shares: equal ones are done once, and old ones decide other bars."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from autograder.training import store
from autograder.training.carry_over import CarryOver
from autograder.training.job import Ending, TrainingJob, TrainingResult, Trial
from autograder.training.layer_list import Layer, LayerList
from autograder.training.store import TrainingStore, replayed, tried
from provided.training import Epoch, Training

EPOCHS = 3
# What each seed's training would come to: the accuracy after each epoch, None for a NaN loss.
COURSES: dict[int, list[float | None]] = {
    0: [0.90, 0.94, 0.95],
    1: [0.91, 0.96, 0.93],
    2: [0.80, None],
    3: [None],
}


def job(**changes: Any) -> TrainingJob:
    layer = Layer("Linear", "0", True, {"in_features": 784, "out_features": 10, "bias": True}, None)
    rest = {
        "data": "data",
        "accuracy": 0.95,
        "retry_margin": 0.02,
        "seeds": [0, 1],
        "training_images": 48_000,
    }
    settings = Training(learning_rate=1e-3, epochs=EPOCHS)
    return TrainingJob.of(LayerList((layer,)), settings, **{**rest, **changes})


def trained(one: TrainingJob) -> TrainingResult:
    """What training would come to: the rules of `trainer.events`, written otherwise."""
    trials, ended, best = [], Ending.MISSED, 0.0
    for seed in one.seeds:
        accuracies, ended = [], Ending.MISSED
        for accuracy in COURSES[seed]:
            if accuracy is None:
                ended = Ending.DIVERGED
                break
            accuracies.append(accuracy)
            if accuracy >= one.accuracy:
                ended = Ending.REACHED
                break
        if accuracies:
            epochs = [Epoch(n, 0.1, 0.1, 0.9, 0.9) for n in range(1, len(accuracies) + 1)]
            trials.append(Trial(seed, epochs, accuracies))
        best = max([best, *accuracies])
        next_bar = min((bar for bar in (one.accuracy, *one.bars) if bar > best), default=1.0)
        if ended is Ending.REACHED or best < next_bar - one.retry_margin:
            break
    return TrainingResult(trials, ended)


JOBS = [
    job(accuracy=bar, bars=bars, retry_margin=margin, seeds=seeds)
    for bar in (0.89, 0.905, 0.94, 0.95, 0.955, 0.97, 0.99)
    for margin in (0.0, 0.02, 1.0)
    for bars in ([], [0.81])
    for seeds in ([0], [0, 1], [1, 0], [0, 2], [2, 1], [3, 0], [2], [3])
]


def test_what_old_trainings_decide_is_what_training_would_come_to():
    """Every job answered from every other: either rightly, or not at all."""
    answered = 0
    for old in JOBS:
        known = list(tried(old, trained(old)))
        assert replayed(known, old) in (trained(old), None)
        for new in JOBS:
            found = replayed(known, new)
            assert found in (None, trained(new)), (old, new)
            answered += found is not None
    assert answered > len(JOBS) ** 2 / 20


def test_a_training_that_is_known_to_its_end_decides_every_bar():
    known = list(
        tried(job(accuracy=0.99, retry_margin=1.0), trained(job(accuracy=0.99, retry_margin=1.0)))
    )
    for bar in (0.5, 0.94, 0.955, 0.97, 1.0):
        assert replayed(known, job(accuracy=bar)) == trained(job(accuracy=bar))


def test_a_training_that_a_lower_bar_stopped_decides_no_higher_one():
    known = list(tried(job(accuracy=0.93), trained(job(accuracy=0.93))))
    assert replayed(known, job(accuracy=0.95)) is None
    assert replayed(known, job(accuracy=0.90)) == trained(job(accuracy=0.90))


def test_equal_trainings_of_two_submissions_are_done_once(tmp_path):
    first, second = (TrainingStore(tmp_path, CarryOver()) for _ in range(2))
    assert first.find("fc", job()) is None
    first.keep("fc", job(), trained(job()))
    assert second.find("fc", job()) == trained(job())


@pytest.mark.parametrize(
    "other",
    [job(training_images=320), job().model_copy(update={"settings": asdict(Training(2e-3))})],
    ids=["images", "settings"],
)
def test_another_training_is_another(other, tmp_path):
    first, second = (TrainingStore(tmp_path, CarryOver()) for _ in range(2))
    first.find("fc", job())
    first.keep("fc", job(), trained(job()))
    assert second.find("fc", other) is None
    assert second.find("cnn", job()) is None


@pytest.mark.parametrize("ended", [Ending.OUT_OF_TIME, Ending.OUT_OF_MEMORY])
def test_what_the_machine_ended_is_not_shared_and_holds_nobody_up(ended, tmp_path):
    first, second = (TrainingStore(tmp_path, CarryOver()) for _ in range(2))
    first.find("fc", job())
    first.keep("fc", job(), TrainingResult(trained(job()).trials, ended))
    assert second.find("fc", job()) is None


def test_who_waits_for_a_training_in_vain_trains_on_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "WAIT_SECONDS", 0.3)
    first, second = (TrainingStore(tmp_path, CarryOver()) for _ in range(2))
    assert first.find("fc", job()) is None
    assert second.find("fc", job()) is None
    second.keep("fc", job(), trained(job()))
    assert TrainingStore(tmp_path, CarryOver()).find("fc", job()) == trained(job())


def test_the_platforms_signed_result_is_taken_for_all(tmp_path):
    signed = CarryOver(None, b"k" * 32)
    signed.keep("fc", job(), trained(job()))
    earlier = CarryOver(signed.entries, b"k" * 32)
    forged = CarryOver(signed.entries, b"x" * 32)
    assert TrainingStore(tmp_path / "b", forged).find("fc", job()) is None
    found = TrainingStore(tmp_path / "a", earlier).find("fc", job())
    assert found == trained(job())
    assert TrainingStore(tmp_path / "a", CarryOver()).find("fc", job()) == trained(job())


@pytest.mark.parametrize("content", ["", "[", "{}", '[{"seed": 0}]', "[1]"])
def test_a_damaged_file_is_no_training(content, tmp_path):
    first = TrainingStore(tmp_path, CarryOver())
    first.find("fc", job())
    first.keep("fc", job(), trained(job()))
    (file,) = tmp_path.glob("*.json")
    file.write_text(content)
    assert TrainingStore(tmp_path, CarryOver()).find("fc", job()) is None


def test_a_training_that_failed_is_left_for_others_to_try(tmp_path):
    first, second = TrainingStore(tmp_path, CarryOver()), TrainingStore(tmp_path, CarryOver())
    assert first.find("fc", job()) is None
    first.release()
    assert second.find("fc", job()) is None
    second.release()
