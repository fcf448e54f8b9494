"""The loss history that a submission brings along: what train.py wrote, checked as a table."""

from __future__ import annotations

import csv
import io
import math

from autograder.hw5.mistakes import networks as known
from autograder.rubric.feedback import Feedback, counted, joined, reject
from autograder.rubric.mistake import hinted
from provided.training import EPOCHS

HISTORY_COLUMNS = ("epoch", "train_loss", "validation_loss")
MAX_HISTORY_ROWS = 1_000


def check_history(content: bytes | None, model: str) -> Feedback:
    """A readable history.csv with finite losses of both sets for each epoch."""
    name = f"artifacts/{model}/history.csv"
    if content is None:
        raise reject(
            f"{name} was not submitted.",
            next_step=f"Run python train.py {model} and submit the artifacts folder.",
            diagnosis=known.HISTORY_MISSING.id,
        )
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))[:MAX_HISTORY_ROWS]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise reject(
            f"{name} can't be read.",
            got=str(problem)[:200],
            expected="a table of comma-separated values, as train.py writes it",
            next_step=f"Run python train.py {model} and submit the file as it is.",
        ) from None
    missing = [column for column in HISTORY_COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise reject(
            f"{name} has no column {joined(missing)}." if rows else f"{name} contains no epochs.",
            expected=f"a row for each epoch, with at least the columns {joined(HISTORY_COLUMNS)}",
            **hinted(known.HISTORY_INCOMPLETE),
        )
    for number, row in enumerate(rows, start=1):
        for column in HISTORY_COLUMNS:
            if not _is_loss(row[column]):
                raise reject(
                    f"{name}: {column} in row {number} is not a finite number.",
                    got=str(row[column] or "nothing")[:60],
                    likely="the training diverged, if the value is nan or inf; otherwise the row "
                    "is incomplete",
                    next_step="Look at the loss of the rows above. If it grows, lower the learning "
                    "rate and train again.",
                    diagnosis=known.HISTORY_INCOMPLETE.id,
                )
    if [int(float(row["epoch"])) for row in rows] != list(range(1, len(rows) + 1)):
        raise reject(
            f"{name}: the epochs are not numbered 1, 2, 3 and so on.",
            likely="rows of two trainings are mixed, or some are missing",
            next_step=f"Run python train.py {model} and submit the file as it is.",
        )
    first, last = rows[0], rows[-1]
    shorter = f" (fewer than {EPOCHS} are fine)" if len(rows) < EPOCHS else ""
    training, validation = (
        f"{float(last[loss]):.3f}"
        if len(rows) == 1
        else f"from {float(first[loss]):.3f} to {float(last[loss]):.3f}"
        for loss in ("train_loss", "validation_loss")
    )
    return Feedback(
        f"Correct: {counted(len(rows), 'epoch')}{shorter}; training loss {training}, "
        f"validation loss {validation}."
    )


def _is_loss(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False
