"""Tables for spreadsheets, in which no cell can be run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from autograder.sandbox.text import one_line
from autograder.staff.classroom.records import write_text

RUN = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a cell begins that a spreadsheet would run
MOST = 1_000  # characters of a cell


def cell(value: object) -> str:
    """A value as it may stand in a table: a text that would be run has an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return f"'{one_line(text, MOST)}" if _is_run(text) else one_line(text, MOST)


def _is_run(text: str) -> bool:
    return text.lstrip(" ").startswith(RUN) or one_line(text, MOST).startswith(RUN)


def write_table(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Replace a CSV file in one step."""
    write_text(file, (_line(row) for row in (header, *rows)))


def _line(row: Sequence[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([cell(value) for value in row])
    return stream.getvalue()
