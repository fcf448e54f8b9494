"""What one training may use, and what becomes of a model that asks for more, or that fails."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.hw5 import mnist
from autograder.sandbox.errors import IndigestibleReply
from autograder.training import trainer as training
from autograder.training.job import Ending
from autograder.training.trainer import EVALUATION_BATCHES, Trainers, evaluation_batch, guarded
from provided.training import Training

from .test_training import job, layers

POOL = {
    "kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False,
}  # fmt: skip
FLATTEN = ("Flatten", {"start_dim": 1, "end_dim": -1})


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> tuple:
    arguments = {
        "in_channels": inputs, "out_channels": outputs, "kernel_size": kernel, "stride": stride,
        "padding": padding, "dilation": 1, "groups": 1, "bias": True, "padding_mode": "zeros",
    }  # fmt: skip
    return "Conv2d", arguments


def linear(inputs: int) -> tuple:
    return "Linear", {"in_features": inputs, "out_features": 10, "bias": True}


def of_width(channels: int, padding: int = 0) -> list[tuple]:
    """A network of few parameters whose first layer puts out a lot."""
    return [
        convolution(1, channels, 1, padding=padding),
        ("AdaptiveAvgPool2d", {"output_size": 1}),
        FLATTEN,
        linear(channels),
    ]


BATCH_NORM = ("BatchNorm2d", {
    "num_features": 16, "eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": False,
})  # fmt: skip
ONE_BY_ONE = (
    convolution(1, 8, 7, stride=7), ("MaxPool2d", POOL), convolution(8, 16, 2), BATCH_NORM,
    ("ReLU", {}), FLATTEN, linear(16),
)  # fmt: skip


def test_a_usual_network_is_judged_with_the_usual_batch():
    assert evaluation_batch(layers(*of_width(32))) == EVALUATION_BATCHES[0] == 500


@pytest.mark.parametrize(("channels", "padding"), [(200, 0), (1000, 0), (50, 60)])
def test_the_batch_follows_what_the_layers_put_out(channels, padding):
    wide = layers(*of_width(channels, padding))
    size = evaluation_batch(wide)
    assert size < 500
    assert size * wide.work().at_once <= training.EVALUATION_NUMBERS or size == 40


def test_no_batch_leaves_an_image_alone():
    """Alone in its batch, an image has no statistics: torch refuses it."""
    sets = mnist.load()
    for count in (len(sets.validation), len(sets.test)):
        assert all(count % size != 1 for size in EVALUATION_BATCHES)


def trained(trainers: Trainers, *kinds: tuple):
    settings = Training(learning_rate=1e-3, epochs=1)
    given = job(*kinds, settings=settings, accuracy=1.0, seeds=[0], cpu_seconds=60.0, shorten=True)
    return trainers.train(given, 60.0, lambda event: None)


@pytest.fixture(scope="module")
def trainers():
    made = Trainers()
    yield made
    made.stop()


def test_batch_statistics_over_single_pixels_are_trained(trainers):
    result = trained(trainers, *ONE_BY_ONE)
    assert result.ended is Ending.MISSED
    assert result.best.best > 0


def test_a_training_process_is_what_the_kernel_ends_first(trainers):
    seen = []

    def look(event: dict) -> None:
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):  # another process may end while it is looked at
                if f"PPid:\t{trainers._zygote._pid}\n" in status.read_text():
                    seen.append(int((status.parent / "oom_score_adj").read_text()))

    given = job(settings=Training(1e-3, epochs=1), accuracy=1.0, seeds=[0])
    trainers.train(given, 60.0, look)
    assert set(seen) == {1000}


def events_until(problem: Exception):
    yield {"seed": 0}
    raise problem


@pytest.mark.parametrize(
    "problem",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")],
)
def test_a_model_that_needs_too_much_memory_ends_its_training(problem):
    assert list(guarded(events_until(problem))) == [{"seed": 0}, {"ended": "out of memory"}]


def test_a_layer_that_raises_is_told_as_what_it_is():
    *_, last = guarded(events_until(ValueError("an odd layer")))
    assert "an odd layer" in last["failed"]


def test_a_fault_of_the_machine_stays_one():
    with pytest.raises(OSError, match="disk"):
        list(guarded(events_until(OSError("disk"))))


def test_a_model_that_fails_in_training_is_not_a_fault_of_the_grader(trainers, monkeypatch):
    def failed(events_read, on_event):
        events_read.close()
        return {}, "", "", "Traceback …"

    monkeypatch.setattr(training, "_follow", failed)
    with pytest.raises(IndigestibleReply) as caught:
        trained(trainers, FLATTEN, linear(784))
    assert caught.value.trace == "Traceback …"


def test_a_process_can_have_no_more_memory_than_it_may():
    program = (
        "import torch; from autograder.training.trainer import NO_MEMORY, limit_memory\n"
        "limit_memory(64)\n"
        "torch.ones(1 << 20)\n"
        "try: torch.ones(1 << 26)\n"
        "except RuntimeError as problem: print(NO_MEMORY in str(problem))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True\n"
