"""The loss history that a submission brings along: what train.py wrote, checked as a table."""

from __future__ import annotations

import csv
import io
import math
from itertools import islice, zip_longest

from autograder.hw5.mistakes import networks as known
from autograder.rubric.feedback import Feedback, counted, joined, reject
from autograder.rubric.mistake import hinted
from autograder.sandbox.text import one_line
from provided.training import EPOCHS

HISTORY_COLUMNS = ("epoch", "train_loss", "validation_loss")
MAX_HISTORY_ROWS = 1_000
MAX_SHOWN = 60  # characters of a number that is none
MAX_HISTORY_COLUMNS = 50
MAX_WRITTEN_OUT = 1e6  # larger losses are shown as 1.23e+45


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
        rows = _rows(content.decode("utf-8-sig"))
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
                    got=one_line(row[column], MAX_SHOWN) or "nothing",
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
        _shown(last[loss])
        if len(rows) == 1
        else f"from {_shown(first[loss])} to {_shown(last[loss])}"
        for loss in ("train_loss", "validation_loss")
    )
    return Feedback(
        f"Correct: {counted(len(rows), 'epoch')}{shorter}; training loss {training}, "
        f"validation loss {validation}."
    )


def _rows(text: str) -> list[dict[str, str]]:
    """The rows below the first, by column; what goes beyond the limits isn't looked at.

    Empty rows are none. A row that is cut off has empty texts in its place.
    """
    table = (row[:MAX_HISTORY_COLUMNS] for row in csv.reader(io.StringIO(text)) if row)
    columns = next(table, [])
    return [
        dict(zip_longest(columns, row[: len(columns)], fillvalue=""))
        for row in islice(table, MAX_HISTORY_ROWS)
    ]


def _shown(loss: str) -> str:
    value = float(loss)
    return f"{value:.3f}" if abs(value) < MAX_WRITTEN_OUT else f"{value:.3g}"


def _is_loss(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False
