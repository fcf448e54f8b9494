"""Question 2a: what the data set consists of. The key is read off the data itself."""

import torch
from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.mistakes import data as known
from autograder.rubric.feedback import Named, reject
from autograder.rubric.mistake import named

PIXEL_VALUES = ("intensity", "color", "label", "probability")
HINT = Named(next_step=known.LOOK_HINT)


@number("2a.1")
@weight(0.5)
def test_image_size(exam):
    """The data: height and width of an image."""
    got = tuple(exam.answers.whole_number("q2a", name) for name in ("image_height", "image_width"))
    if got != tuple(exam.data.test.images.shape[1:]):
        raise reject(
            "This is not the size of an image.",
            got=f"{got[0]} x {got[1]}",
            **(named(known.of_image_size(exam.data, got)) or HINT),
        )


@number("2a.2")
@weight(0.5)
def test_pixel_value(exam):
    """The data: what one pixel's value is."""
    got = exam.answers.word("q2a", "pixel_value", PIXEL_VALUES)
    images = exam.data.test.images
    one_byte_each = images.dtype == torch.uint8 and images.dim() == 3
    expected = "intensity" if one_byte_each else "color"
    if got != expected:
        raise reject(
            "This is not what a pixel's value is.",
            got=got,
            **named(known.PIXELS.get(got)),
        )


@number("2a.3")
@weight(0.5)
def test_training_images(exam):
    """The data: number of training images."""
    got = exam.answers.whole_number("q2a", "training_images")
    train, validation = len(exam.data.train), len(exam.data.validation)
    if got not in (train + validation, train):
        raise reject(
            "This is not the number of training images.",
            got=f"{got:,}",
            **(named(known.of_image_count(exam.data, got, training=True)) or HINT),
        )


@number("2a.4")
@weight(0.5)
def test_test_images(exam):
    """The data: number of test images."""
    got = exam.answers.whole_number("q2a", "test_images")
    if got != len(exam.data.test):
        raise reject(
            "This is not the number of test images.",
            got=f"{got:,}",
            **(named(known.of_image_count(exam.data, got, training=False)) or HINT),
        )
