"""Weights judged by the submission's own code: what stored answers come to."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from autograder.hw5 import assignment as assignments
from autograder.hw5 import mnist, transformer
from autograder.hw5.probes import vit
from autograder.hw5.probes.asker import Heads
from autograder.hw5.verdicts import vit as verdicts
from autograder.rubric.feedback import Rejected
from provided.mnist import CLASSES, Mnist

ASSIGNMENT = assignments.load()
COUNT = 2_000  # test images; all 10,000 would only take longer


@pytest.fixture(scope="module")
def data() -> Mnist:
    whole = mnist.load()
    return Mnist(whole.train, whole.validation.first(10), whole.test.first(COUNT))


WEIGHT = torch.arange(100.0)
LEARNED = {"weight": WEIGHT, "bias": torch.zeros(3)}
Predict = Callable[[Tensor], Tensor]


class Answering:
    """A sandbox whose worker predicts with a function of the images (N, 28, 28).

    from_weights: guesses 1 instead where the weights are other than those that were submitted
    """

    def __init__(self, predict: Predict, from_weights: bool) -> None:
        self.predict = predict
        self.from_weights = from_weights
        self.learned = True

    @contextlib.contextmanager
    def worker(self, *files: str) -> Iterator[Answering]:
        yield self

    def ask(self, question: str, schema: Any, **rest: Any) -> tuple[Any, dict[str, Tensor]]:
        if question == "load_transformer":
            self.learned = torch.equal(rest["tensors"]["weight"], WEIGHT)
        if question == "predict":
            images = rest["tensors"]["images"]
            knows = self.learned or not self.from_weights
            digits = self.predict(images) if knows else torch.ones(len(images)).long()
            return None, {"logits": torch.nn.functional.one_hot(digits, CLASSES).float()}
        return None, {"attention": torch.full((1, 8, 17, 17), 1 / 17)}


def judged(predict: Predict, data: Mnist, from_weights: bool = True) -> vit.Judgement:
    """What weights come to whose layer nothing explains."""
    sandbox: Any = Answering(predict, from_weights)
    case = transformer.Case(
        sandbox, ASSIGNMENT, data, layer=None, head=None, heads=Heads.STUDENT,
        say=lambda topic, text: None, stopped=lambda: False,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    judgement = transformer._judge(case, dict(LEARNED), Heads.STUDENT, generator)
    assert isinstance(judgement, vit.Judgement)
    assert judgement.by is vit.JudgedBy.SUBMISSION
    assert "no known computation explains the encoder layer" in judgement.for_a_person
    return judgement


def stored_answers(data: Mnist) -> Callable[[Tensor], Tensor]:
    """Looks every test image up by its exact pixels; guesses where it is not there."""
    pairs = zip(data.test.images, data.test.labels, strict=True)
    table = {image.numpy().tobytes(): int(label) for image, label in pairs}
    return lambda images: torch.tensor([table.get(i.numpy().tobytes(), 1) for i in images])


def test_stored_answers_fall_apart_under_noise(data):
    judgement = judged(stored_answers(data), data)
    assert judgement.accuracy == 1.0
    assert judgement.doubts is not None
    assert judgement.doubts.noisy < 0.2
    with pytest.raises(Rejected) as rejected:
        verdicts.judge_weights(judgement, ASSIGNMENT)
    assert rejected.value.points == 0


def test_answers_in_the_known_order_of_the_test_set_are_worth_nothing(data):
    known = itertools.cycle(data.test.labels.long().tolist())
    judgement = judged(lambda images: torch.tensor([next(known) for _ in images]), data)
    assert judgement.accuracy < 0.2


def nearest_mean(data: Mnist) -> Predict:
    """A classifier that is none of a Transformer's: the digit whose mean image is nearest."""
    train = data.train.first(10_000)
    means = torch.stack(
        [train.images[train.labels == digit].float().mean(dim=0) for digit in range(CLASSES)]
    ).flatten(1)
    return lambda images: torch.cdist(images.flatten(1).float(), means).argmin(dim=1)


def test_a_classifier_that_is_stored_in_the_code_knows_digits_without_its_weights(data):
    judgement = judged(nearest_mean(data), data, from_weights=False)
    assert judgement.doubts is not None
    assert judgement.doubts.noisy > judgement.doubts.plain - 0.03
    assert judgement.doubts.scrambled > 0.7
    trained = replace(judgement, accuracy=0.99)
    with pytest.raises(Rejected, match="don't come from the model's weights"):
        verdicts.judge_weights(trained, ASSIGNMENT)


def test_a_classifier_does_not_mind_the_noise(data):
    judgement = judged(nearest_mean(data), data)
    assert judgement.accuracy > 0.7
    assert judgement.doubts is not None
    assert judgement.doubts.noisy > judgement.doubts.plain - 0.03
    assert judgement.doubts.scrambled < 0.2
    with pytest.raises(Rejected, match="below"):
        verdicts.judge_weights(judgement, ASSIGNMENT)


def test_the_noise_is_faint_and_everywhere(data):
    images = data.test.images
    noisy = vit.perturbed(images, ASSIGNMENT, torch.Generator().manual_seed(1))
    difference = (noisy.int() - images.int()).abs()
    assert noisy.dtype == torch.uint8
    assert int(difference.max()) == ASSIGNMENT.transformer.perturbation
    assert bool((difference.flatten(1).max(dim=1).values > 0).all())
