"""history.csv: how a training went, epoch by epoch."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training set ended with. Losses are mean cross entropies.

    The training figures are averages over the epoch's batches, as the model learned; the
    validation figures are taken after it, with dropout off.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    train_accuracy: float
    validation_accuracy: float


def write_history(file: Path, epochs: Sequence[Epoch]) -> None:
    """A row per epoch. Raises OSError."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(
            stream, [field.name for field in fields(Epoch)], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in epochs)


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows by column, as texts. Raises OSError, UnicodeDecodeError or csv.Error."""
    return list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))


def read_history(file: Path) -> list[Epoch]:
    """The epochs. Raises what `read_rows` does, KeyError, TypeError or ValueError."""
    names = [field.name for field in fields(Epoch)][1:]
    return [
        Epoch(int(row["epoch"]), **{name: float(row[name]) for name in names})
        for row in read_rows(file)
    ]
