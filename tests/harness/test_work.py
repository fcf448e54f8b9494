"""How long a training takes is counted, not timed, so the same model is always trained alike."""

from __future__ import annotations

import time

import pytest

from autograder.hw5 import mnist
from autograder.hw5.examination import Untrainable
from autograder.hw5.figures import _cut_off
from autograder.rubric.evidence import Kept
from autograder.staff.solutions import load_solutions
from autograder.training.job import Ending, TrainingJob, TrainingResult, Trial
from autograder.training.trainer import Trainers, events
from autograder.training.work import epoch_seconds, fitted
from provided.training import Epoch, Training

from .local_grading import examine
from .test_training import FLATTEN, HIDDEN, LAST, LINEAR, RELU, data, job, layers

EVALUATED = 22_000  # validation and test images
CONV = {
    "in_channels": 1,
    "out_channels": 64,
    "kernel_size": 5,
    "stride": 1,
    "padding": 2,
    "dilation": 1,
    "groups": 1,
    "bias": True,
    "padding_mode": "zeros",
}
WIDE = (
    ("Conv2d", CONV),
    RELU,
    ("Conv2d", {**CONV, "in_channels": 64, "kernel_size": 3, "padding": 1}),
    RELU,
    (
        "MaxPool2d",
        {"kernel_size": 14, "stride": 14, "padding": 0, "dilation": 1, "ceil_mode": False},
    ),
    FLATTEN,
    ("Linear", {"in_features": 256, "out_features": 10, "bias": True}),
)


def counted(given: TrainingJob) -> float:
    return epoch_seconds(given.layer_list().work(), given.training_images, EVALUATED)


def test_work_is_counted_by_hand():
    work = layers(FLATTEN, HIDDEN, RELU, LAST).work()
    assert work.layers == 4
    assert work.multiplications == 784 * 20 + 20 * 10
    assert work.activations == 784 + 20 + 20 + 10


def test_a_training_that_fits_into_its_time_is_left_alone():
    given = job(cpu_seconds=600.0, shorten=True)
    assert fitted(given, EVALUATED) == (given, "")


def test_a_training_without_a_limit_or_with_the_other_policy_is_left_alone():
    for given in (job(shorten=True), job(cpu_seconds=0.001, shorten=False)):
        assert fitted(given, EVALUATED) == (given, "")


@pytest.mark.parametrize(
    ("share", "epochs", "images"), [(3.5, 3, 48_000), (1.0, 1, 48_000), (0.5, 1, None)]
)
def test_a_training_is_shortened_to_epochs_or_images_that_fit(share, epochs, images):
    given = job(*WIDE, training_images=48_000)
    allowed = share * counted(given)
    short, why = fitted(
        given.model_copy(update={"cpu_seconds": allowed, "shorten": True}), EVALUATED
    )
    assert short.training().epochs == epochs
    assert images is None or short.training_images == images
    assert counted(short) * epochs <= allowed
    assert counted(short) * (epochs + 1) > allowed or short.training_images > 20_000
    assert "of 10 epochs" in why or "of 48,000 images" in why


def test_a_shortened_training_says_so_and_ends_by_itself():
    allowed = 2.5 * epoch_seconds(job().layer_list().work(), 320, 400)
    given = job(cpu_seconds=allowed, shorten=True, accuracy=1.01)
    first, *epochs, last = events(given, data())
    assert "2 of 10 epochs" in first["shortened"]
    assert len(epochs) == 2
    assert last == {"ended": "missed"}


def test_the_clock_decides_nothing(monkeypatch):
    given = job(*WIDE, training_images=48_000)
    allowed = 3.5 * counted(given)
    hurried = given.model_copy(update={"cpu_seconds": allowed, "shorten": True})
    before = fitted(hurried, EVALUATED)
    for clock in ("monotonic", "process_time", "perf_counter", "thread_time", "time"):
        monkeypatch.setattr(time, clock, lambda: 1e9)
    assert fitted(hurried, EVALUATED) == before


def test_the_reference_fits_with_room_on_one_core_too():
    (reference,) = load_solutions(["reference"])
    with examine(reference) as exam:
        one_core = exam.assignment.on(1)
        for model, rules in (
            (exam.fully_connected.get(), one_core.fully_connected.training),
            (exam.cnn.get(), one_core.cnn.training),
        ):
            given = TrainingJob.of(
                model.layers,
                model.settings,
                data="",
                accuracy=1,
                retry_margin=0,
                seeds=[0],
                training_images=48_000,
                cpu_seconds=rules.cpu_seconds,
                shorten=True,
            )
            assert fitted(given, EVALUATED) == (given, "")


def test_a_training_that_uses_up_its_processor_time_is_ended_and_says_so():
    """With nothing shortened: as where a processor is far slower than was counted."""
    trainers = Trainers()
    settings = Training(learning_rate=1e-5)
    given = job(
        *WIDE,
        settings=settings,
        data=str(mnist.DATA),
        accuracy=1.01,
        cpu_seconds=0.5,
        training_images=48_000,
    )
    try:
        result = trainers.train(given, 300.0, lambda event: None)
    finally:
        trainers.stop()
    assert result.ended is Ending.OUT_OF_TIME
    assert result.process["cpu_seconds"] < 30


def test_a_linear_model_is_counted_as_less_work_than_a_wide_one():
    assert counted(job(FLATTEN, LINEAR)) < counted(job(FLATTEN, HIDDEN, RELU, LAST))
    assert counted(job(FLATTEN, HIDDEN, RELU, LAST)) < counted(job(*WIDE))


@pytest.mark.parametrize("ended", list(Ending))
def test_a_person_is_told_of_a_training_whose_time_was_up(ended):
    trial = Trial(0, [Epoch(1, 0.3, 0.3, 0.9, 0.9)], [0.9])
    training: Kept[TrainingResult | Untrainable] = Kept(lambda: TrainingResult([trial], ended))
    assert _cut_off(training) == ""  # not there yet
    training.get()
    told = _cut_off(training)
    assert ("after 1 epoch:" in told) is (ended is Ending.OUT_OF_TIME)
