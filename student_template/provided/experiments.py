"""What you tried: a line for every run in artifacts/experiments.csv, and a table of them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from provided.settings import BATCH_SIZE

EXPERIMENTS = "experiments.csv"
EXPERIMENT_COLUMNS = (
    "finished",
    "model",
    "seed",
    "epochs",
    "images",
    "optimizer",
    "batch_size",
    "learning_rate",
    "schedule",
    "weight_decay",
    "parameters",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "test_accuracy",
    "seconds",
    "device",
    "architecture",
)
HEADER = (
    "run",
    "model",
    "epochs",
    "optimizer",
    "batch",
    "rate",
    "schedule",
    "decay",
    "parameters",
    "validation",
    "test",
    "architecture",
)
WORDS = ("model", "optimizer", "schedule", "architecture")  # set to the left; numbers to the right


def add_experiment(folder: Path, row: Mapping[str, object]) -> None:
    """Append a run to experiments.csv, the list of what you tried."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / EXPERIMENTS
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, EXPERIMENT_COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def read_experiments(folder: Path) -> list[dict[str, str]]:
    """All runs so far, oldest first."""
    file = folder / EXPERIMENTS
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Every run as a line of text, the accuracies those after its last epoch."""
    lines = [HEADER, *(_cells(number, row) for number, row in enumerate(rows, start=1))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in WORDS else cell.rjust(width)
            for name, cell, width in zip(HEADER, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _cells(number: int, row: Mapping[str, str]) -> tuple[str, ...]:
    return (
        str(number),
        row["model"],
        row["epochs"],
        row.get("optimizer") or "adam",  # as in rows of an earlier train.py
        row.get("batch_size") or str(BATCH_SIZE),
        row["learning_rate"],
        row["schedule"].replace("_", " "),
        row["weight_decay"],
        f"{int(row['parameters']):,}",
        f"{float(row['validation_accuracy']):.2%}",
        f"{float(row['test_accuracy']):.2%}",
        row["architecture"],
    )


def in_short(model: nn.Module) -> str:
    """The architecture in a line: 'Flatten, Linear(784, 50), ReLU, Linear(50, 10)'."""
    if not isinstance(model, nn.Sequential):
        return type(model).__name__
    return ", ".join(layer_in_short(layer) for layer in model)


def layer_in_short(layer: nn.Module) -> str:
    """One layer with the sizes that matter."""
    name = type(layer).__name__
    if isinstance(layer, nn.Sequential):
        return in_short(layer)
    if isinstance(layer, nn.Linear):
        return f"{name}({layer.in_features}, {layer.out_features})"
    if isinstance(layer, nn.Conv2d):
        sizes = [layer.in_channels, layer.out_channels, one_number(layer.kernel_size)]
        stride, padding = one_number(layer.stride), one_number(layer.padding)
        sizes += [f"stride={stride}"] if stride != 1 else []
        sizes += [f"padding={padding}"] if padding != 0 else []
        return f"{name}({', '.join(str(size) for size in sizes)})"
    if isinstance(layer, nn.MaxPool2d):
        return f"{name}({one_number(layer.kernel_size)})"
    if isinstance(layer, nn.BatchNorm2d):
        return f"{name}({layer.num_features})"
    if isinstance(layer, nn.Dropout):
        return f"{name}({layer.p:g})"
    return name


def one_number(size: object) -> object:
    """3 for (3, 3); anything else as it is."""
    if isinstance(size, tuple) and len(set(size)) == 1:
        return size[0]
    return size
