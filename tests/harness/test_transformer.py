"""Judging submitted weights: what a table of stored answers comes to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from autograder.hw5 import assignment as assignments
from autograder.hw5 import mnist
from autograder.hw5.probes import vit as transformer
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


class Answering:
    """A sandbox whose worker predicts with a function of the images (N, 28, 28)."""

    def __init__(self, predict: Callable[[Tensor], Tensor]) -> None:
        self.predict = predict
        self.sent: list[Tensor] = []

    @contextlib.contextmanager
    def worker(self, *files: str) -> Iterator[Answering]:
        yield self

    def ask(self, question: str, schema: Any, **rest: Any) -> tuple[Any, dict[str, Tensor]]:
        if question == "predict":
            self.sent.append(rest["tensors"]["images"])
            digits = self.predict(rest["tensors"]["images"])
            return None, {"logits": torch.nn.functional.one_hot(digits, CLASSES).float()}
        return None, {"attention": torch.full((1, 8, 17, 17), 1 / 17)}


def judged(predict: Callable[[Tensor], Tensor], data: Mnist) -> transformer.Judgement:
    sandbox: Any = Answering(predict)
    generator = torch.Generator().manual_seed(3)
    return transformer._judge(
        sandbox, ASSIGNMENT, data, {}, Heads.STUDENT, generator, lambda topic, text: None
    )


def stored_answers(data: Mnist) -> Callable[[Tensor], Tensor]:
    """Looks every test image up by its exact pixels; guesses where it is not there."""
    pairs = zip(data.test.images, data.test.labels, strict=True)
    table = {image.numpy().tobytes(): int(label) for image, label in pairs}
    return lambda images: torch.tensor([table.get(i.numpy().tobytes(), 1) for i in images])


def test_stored_answers_fall_apart_under_noise(data):
    judgement = judged(stored_answers(data), data)
    assert judgement.accuracy == 1.0
    assert judgement.perturbed_accuracy < 0.2
    with pytest.raises(Rejected) as rejected:
        verdicts.judge_weights(judgement, ASSIGNMENT)
    assert rejected.value.points == 0


def test_answers_in_the_known_order_of_the_test_set_are_worth_nothing(data):
    known = iter(data.test.labels.long().tolist() * 9)
    judgement = judged(lambda images: torch.tensor([next(known) for _ in images]), data)
    assert judgement.accuracy < 0.2


def test_a_classifier_does_not_mind_the_noise(data):
    train = data.train.first(10_000)
    means = torch.stack(
        [train.images[train.labels == digit].float().mean(dim=0) for digit in range(CLASSES)]
    ).flatten(1)

    def nearest(images: Tensor) -> Tensor:
        return torch.cdist(images.flatten(1).float(), means).argmin(dim=1)

    judgement = judged(nearest, data)
    assert judgement.accuracy > 0.7
    assert judgement.perturbed_accuracy > judgement.plain_accuracy - 0.03
    with pytest.raises(Rejected, match="below"):
        verdicts.judge_weights(judgement, ASSIGNMENT)


def test_the_noise_is_faint_and_everywhere(data):
    images = data.test.images
    noisy = transformer.perturbed(images, ASSIGNMENT, torch.Generator().manual_seed(1))
    difference = (noisy.int() - images.int()).abs()
    assert noisy.dtype == torch.uint8
    assert int(difference.max()) == ASSIGNMENT.transformer.perturbation
    assert bool((difference.flatten(1).max(dim=1).values > 0).all())
