"""Known mistakes about the data (question 2a), each computed from MNIST itself."""

from __future__ import annotations

from autograder.rubric.mistake import Mistake, first_that_gives
from provided.mnist import Mnist

LOOK_HINT = "Load the data with provided/mnist.py; print its length, an image's shape, its numbers."

SIZE_WITH_BORDER = Mistake(
    id="size-with-border",
    line="2a.1",
    explanation="this is the size with a border of 2 pixels, or the size of other images",
    hint=LOOK_HINT,
)
SIZE_FLATTENED = Mistake(
    id="size-flattened",
    line="2a.1",
    explanation="this is the size of an image that has been flattened",
    hint=LOOK_HINT,
)
PIXELS: dict[str, Mistake] = {
    "color": Mistake(
        id="pixel-color",
        line="2a.2",
        explanation="these images have no colors",
        hint="How many numbers belong to one pixel? A color needs three of them.",
    ),
    "label": Mistake(
        id="pixel-label",
        line="2a.2",
        explanation="the label says which digit it is, and is stored apart from the image",
        hint=LOOK_HINT,
    ),
    "probability": Mistake(
        id="pixel-probability",
        line="2a.2",
        explanation="pixels scaled to 0 to 1 still don't say how likely anything is",
        hint="Do the pixels of an image sum to one? Print them beside the picture.",
    ),
}
SETS_EXCHANGED = Mistake(
    id="sets-exchanged",
    line="2a.3",
    explanation="the numbers of training and test images are swapped",
    hint=LOOK_HINT,
)
ALL_COUNTED = Mistake(
    id="all-images-counted",
    line="2a.3",
    explanation="training and test images are counted together",
    hint=LOOK_HINT,
)
VALIDATION_COUNTED = Mistake(
    id="validation-counted",
    line="2a.3",
    explanation="this is the number of validation images",
    hint=LOOK_HINT,
)
OTHER_SPLIT = Mistake(
    id="other-split",
    line="2a.3",
    explanation="this is what a different split leaves, with 5,000 validation images",
    hint=LOOK_HINT,
)

ALL: tuple[Mistake, ...] = (
    SIZE_WITH_BORDER,
    SIZE_FLATTENED,
    *PIXELS.values(),
    SETS_EXCHANGED,
    ALL_COUNTED,
    VALIDATION_COUNTED,
    OTHER_SPLIT,
)


def of_image_size(data: Mnist, got: tuple[int, ...]) -> Mistake | None:
    """Which mistake leads to this height and width."""
    height, width = data.test.images.shape[1:]
    if got == (height + 4, width + 4):
        return SIZE_WITH_BORDER
    return SIZE_FLATTENED if height * width in got else None


def of_image_count(data: Mnist, got: int, training: bool) -> Mistake | None:
    """Which mistake leads to this number of training or test images."""
    train, validation, test = len(data.train), len(data.validation), len(data.test)
    candidates = [
        (SETS_EXCHANGED, test if training else train + validation),
        (SETS_EXCHANGED, test if training else train),
        (ALL_COUNTED, train + validation + test),
        (VALIDATION_COUNTED, validation),
        (OTHER_SPLIT, train + validation - 5_000),
    ]
    return first_that_gives(candidates, got, train if training else test)
