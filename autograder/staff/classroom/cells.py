"""Tables for spreadsheets, in which no cell can be run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from autograder.sandbox.text import one_line
from autograder.staff.classroom.records import write_text

RUN = "=+-@\uff1d\uff0b\uff0d\uff20"  # what begins a formula, in full width too
TEXT_MARK = "'"
# Signs that a spreadsheet may drop, so that what follows them comes first.
DROPPED = "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff\0"
CONTROLS = "\t\r\n"  # at the beginning, these end the cell before, or hide what comes next
MOST = 1_000  # characters of a cell


def cell(value: object) -> str:
    """A value as it may stand in a table: a text that would be run has an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    text, short = str(value), one_line(str(value), MOST)
    return neutral(short) if neutral(text) == text else TEXT_MARK + short


def neutral(text: str) -> str:
    """A text that no spreadsheet runs: with a mark in front where it might."""
    first = text.lstrip(DROPPED + " \u00a0\u3000")[:1]
    runs = text[:1] in tuple(CONTROLS) or (first and first in RUN + CONTROLS)
    return TEXT_MARK + text if runs else text


def write_table(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Replace a CSV file in one step."""
    write_text(file, (_line(row) for row in (header, *rows)))


def _line(row: Sequence[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([cell(value) for value in row])
    return stream.getvalue()
