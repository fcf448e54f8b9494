"""How long a training takes, from counted work alone: the same on a busy machine and a quiet one.

A step costs something for each layer that torch is called for, for each multiplication, and
for each number in between, forward and backward. The rates below were fitted to seven
networks, from 0.02 to 30 million multiplications an image, in one thread of a Zen 4
processor with torch 2.13.0, CPU build; each is estimated at 0.9 to 1.7 times what it took
(2.5 times and more for fully connected networks, whose steps are written out by hand).
"""

from __future__ import annotations

import math

from autograder.training.job import TrainingJob
from autograder.training.layer_list import Work
from provided.training import BATCH_SIZE

STEP_SECONDS_PER_LAYER = 0.25e-3
STEP_SECONDS_PER_MULTIPLICATION = 25e-12  # of three passes: forward, and two backward
STEP_SECONDS_PER_ACTIVATION = 3e-9
PASSES = 3
IMAGE_SECONDS_PER_MULTIPLICATION = 33e-12  # in evaluation
IMAGE_SECONDS_PER_ACTIVATION = 2.5e-9


def epoch_seconds(
    work: Work, training_images: int, evaluated_images: int, batch_size: int = BATCH_SIZE
) -> float:
    """Processor seconds of one epoch, the evaluations after it included."""
    steps = math.ceil(training_images / batch_size)
    step = (
        work.layers * STEP_SECONDS_PER_LAYER
        + PASSES * batch_size * work.multiplications * STEP_SECONDS_PER_MULTIPLICATION
        + batch_size * work.activations * STEP_SECONDS_PER_ACTIVATION
    )
    image = (
        work.multiplications * IMAGE_SECONDS_PER_MULTIPLICATION
        + work.activations * IMAGE_SECONDS_PER_ACTIVATION
    )
    return steps * step + evaluated_images * image


def fitted(job: TrainingJob, evaluated_images: int) -> tuple[TrainingJob, str]:
    """The job, shortened where its work is more than it may take, and a sentence on how.

    A schedule that ends where the time does learns more than one that is cut off. First
    there are fewer epochs; where not even one fits, fewer images. Nothing is timed: the same
    model is always trained alike.
    """
    if not job.shorten or job.cpu_seconds is None:
        return job, ""
    work, allowed, settings = job.layer_list().work(), job.cpu_seconds, job.training()
    each = epoch_seconds(work, job.training_images, evaluated_images, settings.batch_size)
    if each * settings.epochs <= allowed:
        return job, ""
    why = (
        f"One epoch of this model is counted as {each:,.0f} s of processor time and the limit is "
        f"{allowed:,.0f} s"
    )
    if each <= allowed:
        epochs = int(allowed / each)
        said = f"{why}, so it was trained for {epochs} of {settings.epochs} epochs."
        return job.in_epochs(epochs), said
    evaluation = epoch_seconds(work, 0, evaluated_images)
    share = max(allowed - evaluation, 0.0) / (each - evaluation)
    size = settings.batch_size
    images = max(int(job.training_images * share) // size, 1) * size
    said = f"{why}, so it was trained for 1 epoch on {images:,} of {job.training_images:,} images."
    return job.in_epochs(1).model_copy(update={"training_images": images}), said
