"""What you tried: a line for every run in artifacts/experiments.csv, and a table of them."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from provided.settings import BATCH_SIZE

EXPERIMENTS = "experiments.csv"
EXPERIMENT_COLUMNS = (
    "run",
    "finished",
    "model",
    "trial",
    "seed",
    "epochs",
    "images",
    "optimizer",
    "batch_size",
    "learning_rate",
    "schedule",
    "weight_decay",
    "layer_weight_decay",
    "parameters",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "test_accuracy",
    "best_test_accuracy",
    "best_test_epoch",
    "seconds",
    "device",
    "architecture",
)
AS_NOTED = (  # columns that run.yaml has under the same name
    "run",
    "finished",
    "model",
    "seed",
    "images",
    "optimizer",
    "batch_size",
    "weight_decay",
    "parameters",
    "validation_accuracy",
    "test_accuracy",
    "best_test_accuracy",
    "best_test_epoch",
    "seconds",
    "device",
)
SAME_RUN = ("model", "seed", "epochs", "parameters", "test_accuracy")  # in rows without a number
HEADER = {  # in the table -> set to the left; numbers are set to the right
    "run": False,
    "model": True,
    "trial": True,
    "seed": False,
    "epochs": False,
    "images": False,
    "optimizer": True,
    "batch": False,
    "rate": False,
    "schedule": True,
    "decay": False,
    "layers' decay": True,
    "parameters": False,
    "validation": False,
    "test": False,
    "best test": False,
    "architecture": True,
}


def row_of(notes: Mapping[str, Any], train_loss: float, validation_loss: float) -> dict[str, str]:
    """The row of a run with these notes, its losses those of the last epoch."""
    schedule = notes.get("schedule", "constant")
    by_epoch = not isinstance(schedule, str)
    row = {name: notes[name] for name in AS_NOTED if name in notes} | {
        "trial": "true" if notes["trial"] else "false",
        "epochs": notes["epochs_done"],
        "learning_rate": max(schedule) if by_epoch else notes.get("learning_rate", ""),
        "schedule": "per epoch" if by_epoch else schedule,
        "layer_weight_decay": decays_in_short(notes.get("layer_weight_decay") or {}),
        "train_loss": round(train_loss, 5),
        "validation_loss": round(validation_loss, 5),
        "architecture": notes.get("layers", ""),
    }
    return {name: str(row.get(name, "")) for name in EXPERIMENT_COLUMNS}


def decays_in_short(by_layer: Mapping[Any, float]) -> str:
    """Layers with a weight decay of their own: "classify 0.001, 3 0.01"."""
    return ", ".join(f"{layer} {decay:g}" for layer, decay in by_layer.items())


def update_experiments(folder: Path, rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Bring experiments.csv up to date with the rows of all runs that are kept; returns it.

    A run has one row, also where it was resumed. Rows of runs that are gone stay.
    """
    merged = read_experiments(folder)
    for row in rows:
        same = [old for old in merged if old.get("run") == row["run"]]
        # An earlier train.py wrote rows without a number.
        same += [old for old in merged if not old.get("run") and _is_same(old, row)]
        known = same[0] if same else {}
        row = {name: row.get(name) or known.get(name, "") for name in EXPERIMENT_COLUMNS}
        merged = [old for old in merged if old is not known and old.get("run") != row["run"]]
        merged.append(row)
    merged.sort(key=lambda row: (row.get("finished", ""), int(row.get("run") or 0)))
    merged.sort(key=lambda row: int(row.get("run") or 0))
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{EXPERIMENTS}.{os.getpid()}.new"
    with new.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(
            stream, EXPERIMENT_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(merged)
    new.replace(folder / EXPERIMENTS)
    return read_experiments(folder)


def _is_same(old: Mapping[str, str], row: Mapping[str, str]) -> bool:
    return all(old.get(name, "") == row[name] for name in SAME_RUN)


def read_experiments(folder: Path) -> list[dict[str, str]]:
    """All runs so far, oldest first."""
    file = folder / EXPERIMENTS
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Every run as a line of text; a trial is one with fewer images or epochs than a full run."""
    lines = [tuple(HEADER), *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for left, cell, width in zip(HEADER.values(), line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _cells(row: Mapping[str, str]) -> tuple[str, ...]:
    return (
        row.get("run") or "-",  # as in rows of an earlier train.py, like the gaps below
        row["model"],
        "trial" if row.get("trial") == "true" else "",
        row["seed"],
        row["epochs"],
        f"{int(row['images']):,}" if row["images"] else "",
        row.get("optimizer") or "adam",
        row.get("batch_size") or str(BATCH_SIZE),
        row["learning_rate"],
        row["schedule"].replace("_", " "),
        f"{float(row['weight_decay'] or 0):g}",
        row.get("layer_weight_decay") or "",
        f"{int(row['parameters']):,}" if row["parameters"] else "",
        _percent(row["validation_accuracy"]),
        _percent(row["test_accuracy"]),
        _percent(row.get("best_test_accuracy")),
        row["architecture"],
    )


def _percent(share: str | None) -> str:
    return f"{float(share):.2%}" if share else ""


def architecture_name(architecture: str, longest: int) -> str:
    """A name of so many letters for an architecture: "784-200-10", "conv 12-24-22, 198-10"."""
    filters = re.findall(r"Conv2d\(\d+, (\d+)", architecture)
    linear = re.findall(r"Linear\((\d+), (\d+)\)", architecture)
    units = [linear[0][0], *(after for _, after in linear)] if linear else []
    parts = [f"conv {'-'.join(filters)}"] if filters else []
    parts += ["-".join(units)] if units else []
    name = ", ".join(parts) or architecture
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


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
