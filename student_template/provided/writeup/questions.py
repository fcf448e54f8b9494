"""The sections of a write-up: what each asks for, and what is put in beside your words.

Titles and hints quote sizes and goals from homework.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provided.homework import (
    CNN,
    FULLY_CONNECTED,
    HEAD,
    LAYER,
    PARTS,
    TRANSFORMER,
    values,
)

COLLABORATORS = "collaborators"
HONOUR = "honour"
SIGNED = "Signed:"


@dataclass(frozen=True)
class Heading:
    """A heading that a section begins with, and a hint on what belongs under it."""

    title: str
    hint: str


@dataclass(frozen=True)
class Code:
    """What the appendix shows of a question: a file, and the names that it has to define."""

    file: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A question's pages.

    asks      in our words, shown to you alone, at the top of your file
    headings  what your file begins with; the question itself where there is only one thing to say
    required  whether a section without words counts as unfinished
    answers   its section in answers.yaml, with the names of its values
    kind      the model whose run, figures and experiments are put in
    code      what its appendix shows
    """

    part: str
    title: str
    asks: str
    headings: tuple[Heading, ...] = ()
    required: bool = True
    answers: tuple[str, tuple[str, ...]] | None = None
    kind: str | None = None
    code: Code | None = None

    @property
    def heading(self) -> str:
        """As it stands above its page."""
        return f"Question {self.part}: {self.title}"


def questions() -> list[Question]:
    """One for each part of the homework, in its order."""
    known = {question.part: question for question in _known(values())}
    return [
        known.get(part) or Question(part, "answer", "What did you find, and how?") for part in PARTS
    ]


def honour_statement() -> str:
    """The words that are signed, as staff set them."""
    return " ".join(str(values()["writeup"]["honour_statement"]).split())


def _known(task: dict[str, Any]) -> Iterator[Question]:
    sizes = ("parameters", "output_shape")
    line, image, pooling = task["conv1d"], task["conv2d"], task["pooling"]
    yield Question(
        "1a",
        "a convolution along a sequence",
        f"A sequence of {line['length']} numbers meets {line['filters']} filters of size "
        f"{line['kernel']}, stride {line['stride']}, no padding. How do you get the number of "
        "parameters and the shape of the output?",
        answers=("q1a", sizes),
    )
    yield Question(
        "1b",
        "a convolution over an image",
        f"An image of {image['height']} x {image['width']} x {image['input_channels']} meets "
        f"{image['filters']} filters of size {image['kernel']} x {image['kernel']} x "
        f"{image['input_channels']}, stride {image['stride']}, no padding. How do you get the "
        "number of parameters and the shape of the output?",
        answers=("q1b", sizes),
    )
    yield Question(
        "1c",
        "average and maximum pooling",
        f"Both matrices are pooled with a window of {pooling['window']} x {pooling['window']} and "
        f"stride {pooling['stride']}. Show for one of the numbers how you got it.",
        answers=("q1c", ("first_average", "first_maximum", "second_average", "second_maximum")),
    )
    yield Question(
        "1d",
        "what pooling is good for",
        "What do filters look for in a picture, and why does pooling help? The words of "
        "answers.yaml, q1d, are put in; write here only what you want to add.",
        answers=("q1d", ()),
    )
    yield Question(
        "2a",
        "the data",
        "The values of answers.yaml are put in. If you looked at the data in your own way, show it "
        "here.",
        required=False,
        answers=(
            "q2a",
            ("image_height", "image_width", "pixel_value", "training_images", "test_images"),
        ),
    )
    yield Question(
        "2b",
        "a fully connected network",
        f"Which network reaches {task['fully_connected']['training']['accuracy']:.1%} of the test "
        "images, and how did you find it?",
        (
            Heading("The network", "Its layers and sizes, and why you chose them."),
            Heading("What I tried", "What you changed from run to run, and what it did."),
        ),
        kind=FULLY_CONNECTED.kind,
        code=Code(FULLY_CONNECTED.file, (FULLY_CONNECTED.builder, FULLY_CONNECTED.settings)),
    )
    yield Question(
        "2c",
        "a convolutional network",
        f"Which network of fewer than {task['cnn']['max_parameters']:,} parameters reaches "
        f"{task['cnn']['training']['accuracy']:.1%} of the test images, and how did you find it?",
        (
            Heading("The network", "Its layers and sizes, and why you chose them."),
            Heading("What I tried", "What you changed from run to run, and what it did."),
            Heading(
                "Discussion",
                "How it compares with the fully connected network, what limits it, and why.",
            ),
        ),
        kind=CNN.kind,
        code=Code(CNN.file, (CNN.builder, CNN.settings)),
    )
    yield Question(
        "3a",
        "one attention head",
        "The code is put in. Write here what a reader should know about it, if anything.",
        required=False,
        code=Code(HEAD.file, HEAD.names),
    )
    yield Question(
        "3b",
        "an encoder layer",
        "The code is put in. Write here what a reader should know about it, if anything.",
        required=False,
        code=Code(LAYER.file, LAYER.names),
    )
    yield Question(
        "3c",
        "the Vision Transformer",
        "How does the training go, and where do the heads of the last layer look?",
        (
            Heading("The training", "How the losses move, and how it compares with question 2c."),
            Heading("The attention maps", "Where the heads look, and how they differ."),
        ),
        kind=TRANSFORMER,
    )
