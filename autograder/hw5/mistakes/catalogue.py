"""All known mistakes, by id."""

from __future__ import annotations

from autograder.hw5.mistakes import answers, head, layer, models
from autograder.rubric.mistake import Mistake

CATALOGUE: dict[str, Mistake] = {
    mistake.id: mistake
    for mistakes in (
        answers.CONVOLUTIONS,
        answers.POOLINGS,
        answers.DATA,
        models.ALL,
        head.VALUES,
        head.GRADIENTS,
        head.RETURNED,
        head.LARGE_SCORES,
        head.ERRORS,
        head.SEEN,
        layer.OUTPUT,
        layer.GRADIENTS,
        layer.ERRORS,
        layer.SEEN,
    )
    for mistake in mistakes
}
