"""What you tried: a line for every run in artifacts/experiments.csv, and a table of them.

The file is yours too. What a person or a spreadsheet does to it, and what becomes of that:

    semicolons or tabs, decimal commas     read, and written with commas from then on
    UTF-16, or Windows' own encoding       read, and written in UTF-8 from then on
    columns and rows of your own           kept
    a row that can't be shown              kept, left out of the table, named with its line
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provided.decoding import NoText, plain_text
from provided.homework import values
from provided.run_notes import whole

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
NEEDED = ("model", "epochs", "learning_rate", "validation_accuracy", "test_accuracy")
WHOLE = ("run", "epochs", "images", "parameters")  # columns of whole numbers
NUMBERS = (  # columns of any numbers
    "learning_rate",
    "weight_decay",
    "train_loss",
    "validation_loss",
    "validation_accuracy",
    "test_accuracy",
    "best_test_accuracy",
)
DELIMITERS = ",;\t"
DECIMAL_COMMA = re.compile(r"-?\d+,\d+(e-?\d+)?", re.IGNORECASE)
MAX_DIGITS = 18
MAX_SHOWN = 30  # characters of a value in a sentence
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


@dataclass(frozen=True)
class Line:
    """A row of the file: its texts by column, what stands behind the last one, its line."""

    row: dict[str, str]
    beyond: tuple[str, ...] = ()
    number: int = 0

    @property
    def run(self) -> int:
        """The run's number; 0 where there is none."""
        text = self.row.get("run", "")
        return int(text) if is_whole(text) else 0

    def problem(self) -> str:
        """Why it can't be shown in the table; empty where it can."""
        for name in EXPERIMENT_COLUMNS:
            text = self.row.get(name, "")
            if "\n" in text or "\r" in text:
                return "a quotation mark is opened, and closed in a later line"
            if not text and name in NEEDED:
                return f"{name} is missing"
            if text and name in WHOLE and not is_whole(text):
                return f"{name} is {text[:MAX_SHOWN]!r}, not a whole number"
            if text and name in NUMBERS and not is_number(text):
                return f"{name} is {text[:MAX_SHOWN]!r}, not a number"
        return "it has more values than there are columns" if self.beyond else ""


def update_experiments(folder: Path, rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Bring experiments.csv up to date with the rows of all runs that are kept.

    A run has one row, also where it was resumed. Rows of runs that are gone stay. Returns the rows
    that can be shown. Raises OSError.
    """
    merged = read_lines(folder)
    for row in rows:
        same = [old for old in merged if old.row.get("run") == row["run"]]
        # An earlier train.py wrote rows without a number.
        same += [old for old in merged if not old.row.get("run") and _is_same(old.row, row)]
        known = same[0].row if same else {}
        now = {**known, **{name: row.get(name) or known.get(name, "") for name in row}}
        gone = [one for one in same[:1] if one.row.get("run") != row["run"]]
        merged = [old for old in merged if old not in gone and old.row.get("run") != row["run"]]
        merged.append(Line(now, same[0].beyond if same else ()))
    merged.sort(key=lambda line: (line.run, line.row.get("finished", "")))
    columns = list(EXPERIMENT_COLUMNS)
    columns += dict.fromkeys(name for line in merged for name in line.row if name not in columns)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        whole(folder / EXPERIMENTS) as file,
        file.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for line in merged:
            writer.writerow([*(line.row.get(name, "") for name in columns), *line.beyond])
    return read_experiments(folder)


def _is_same(old: Mapping[str, str], row: Mapping[str, str]) -> bool:
    return all(old.get(name, "") == row[name] for name in SAME_RUN)


def read_experiments(folder: Path) -> list[dict[str, str]]:
    """All runs so far that can be shown, oldest first, with every column. Raises OSError."""
    return [
        {**dict.fromkeys(EXPERIMENT_COLUMNS, ""), **line.row}
        for line in read_lines(folder)
        if not line.problem()
    ]


def left_out(folder: Path) -> list[str]:
    """A sentence for each row that can't be shown. Raises OSError."""
    return [
        f"{EXPERIMENTS}, line {line.number}, is left out: {problem}."
        for line in read_lines(folder)
        if (problem := line.problem())
    ]


def read_lines(folder: Path) -> list[Line]:
    """Every row of the file, whatever it holds; none where there is no file. Raises OSError."""
    file = folder / EXPERIMENTS
    if not file.exists():
        return []
    text = _text_of(file.read_bytes())
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    lines: list[Line] = []
    columns: list[str] = []
    begins = 1
    try:
        for cells in reader:
            if not columns and "model" in cells:
                columns = cells
            elif any(cells):
                columns = columns or list(EXPERIMENT_COLUMNS)  # somebody took the names out
                lines.append(_line(columns, cells, begins, delimiter))
            begins = reader.line_num + 1
    except csv.Error as problem:
        raise OSError(f"{EXPERIMENTS}, line {begins}, can't be read: {problem}.") from problem
    return lines


def _line(columns: Sequence[str], cells: Sequence[str], number: int, delimiter: str) -> Line:
    if delimiter != ",":  # then a comma may stand in numbers, where the world has a point
        cells = [one.replace(",", ".") if DECIMAL_COMMA.fullmatch(one) else one for one in cells]
    row = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
    return Line(row, tuple(one for one in cells[len(columns) :] if one), number)


def _text_of(content: bytes) -> str:
    """What a spreadsheet saved; Windows' own encoding tells itself apart from no other."""
    try:
        return plain_text(content, EXPERIMENTS)
    except NoText:
        text = content.decode("cp1252", errors="replace")
        if "\0" in text:
            raise OSError(f"{EXPERIMENTS} is not a table, as it has zero bytes.") from None
        return text.replace("\r\n", "\n").replace("\r", "\n")


def is_whole(text: str) -> bool:
    """Whether a text says a whole number."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def is_number(text: str) -> bool:
    """Whether a text says a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


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
        row.get("batch_size") or str(values()["training"]["batch_size"]),
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
