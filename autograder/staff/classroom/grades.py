"""The class's scores as tables: grades.csv as Gradescope lays them out, one more for Canvas.

A spreadsheet runs a cell that begins with one of a few characters. Such cells begin with an
apostrophe here, as spreadsheets themselves mark text; all else is as students wrote it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from autograder.hw5 import assignment as assignments
from autograder.staff.classroom.cells import neutral
from autograder.staff.classroom.reading import Line, Reading, read
from autograder.staff.classroom.records import Entry, Student, write_text

GRADESCOPE_FILE = "grades.csv"
CANVAS_FILE = "grades-canvas.csv"
GRADED, MISSING = "Graded", "Ungraded"
POINTS_POSSIBLE = "    Points Possible"  # Canvas knows the row by these blanks

Cell = str | float


def write_grades(entries: Sequence[Entry], into: Path) -> None:
    """Write both files into a folder, each in one step; a row for each student. Raises OSError."""
    readings = [read(entry.results) for entry in entries]
    for name, rows in (
        (GRADESCOPE_FILE, for_gradescope(entries, readings)),
        (CANVAS_FILE, for_canvas(entries, readings, assignments.load().title)),
    ):
        write_text(into / name, [table(rows)])


def table(rows: Iterable[Sequence[Cell]]) -> str:
    """Rows as CSV; texts are neutralised, numbers as they are."""
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([neutral(cell) if isinstance(cell, str) else f"{cell:g}" for cell in row])
    return text.getvalue()


def for_gradescope(entries: Sequence[Entry], readings: Sequence[Reading]) -> list[list[Cell]]:
    """As Gradescope's own "Download Grades": what it doesn't tell us stays empty."""
    lines: dict[str, Line] = {}
    for reading in readings:
        for number, line in reading.lines.items():
            lines.setdefault(number, line)
    columns = sorted(lines)
    heads: list[Cell] = [
        *("First Name", "Last Name", "SID", "Email", "Sections", "Total Score", "Max Points"),
        *("Status", "Submission ID", "Submission Time", "Lateness (H:M:S)"),
        *(f"{number}: {lines[number].title} ({lines[number].points:g} pts)" for number in columns),
    ]
    rows = [heads]
    for entry, reading in zip(entries, readings, strict=True):
        scores: list[Cell] = [
            reading.lines[number].score if number in reading.lines else "" for number in columns
        ]
        for student in entry.students or (Student(),):
            first, last = split_name(student.name)
            rows.append(
                [
                    *(first, last, student.sid, student.email, "", _total(reading)),
                    *(reading.points or "", MISSING if reading.score is None else GRADED),
                    *(entry.id, entry.created_at, ""),
                    *scores,
                ]
            )
    return rows


def for_canvas(
    entries: Sequence[Entry], readings: Sequence[Reading], title: str
) -> list[list[Cell]]:
    """As Canvas imports them: it finds students by the ids of the school's own system."""
    points = max((reading.points for reading in readings), default=0.0)
    rows: list[list[Cell]] = [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title],
        [POINTS_POSSIBLE, "", "", "", "", points],
    ]
    for entry, reading in zip(entries, readings, strict=True):
        for student in entry.students or (Student(name=entry.id),):
            first, last = split_name(student.name)
            name = f"{last}, {first}" if first and last else first or last
            rows.append([name, "", student.sid, student.email, "", _total(reading)])
    return rows


def split_name(name: str) -> tuple[str, str]:
    """First and last name: the last word is the last name, as far as anyone can tell."""
    first, _, last = name.strip().rpartition(" ")
    return (first, last) if first else (last, "")


def _total(reading: Reading) -> Cell:
    return "" if reading.score is None else round(reading.score, 4)
