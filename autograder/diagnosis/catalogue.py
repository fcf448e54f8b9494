"""All known mistakes, by id."""

from __future__ import annotations

from autograder.diagnosis import answers, attention, encoder, models
from autograder.diagnosis.mistake import Mistake

CATALOGUE: dict[str, Mistake] = {
    mistake.id: mistake
    for mistakes in (
        answers.CONVOLUTIONS,
        answers.POOLINGS,
        answers.DATA,
        models.ALL,
        attention.VALUES,
        attention.GRADIENTS,
        attention.RETURNED,
        attention.LARGE_SCORES,
        attention.ERRORS,
        attention.SEEN,
        encoder.OUTPUT,
        encoder.GRADIENTS,
        encoder.ERRORS,
        encoder.SEEN,
    )
    for mistake in mistakes
}
