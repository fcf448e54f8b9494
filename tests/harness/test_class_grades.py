"""Tables of grades: nothing in them runs, and nothing of a name is lost."""

from __future__ import annotations

import csv

import pytest

from autograder.staff.classroom.cells import neutral
from autograder.staff.classroom.grades import split_name, write_grades
from autograder.staff.classroom.records import Entry, Student

from .made_class import HOSTILE, results

RUN = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\u202e=1",
    "\ufeff-1",
    "＝1",
    "\0@x",
]


def rows_of(file) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


@pytest.mark.parametrize("text", RUN)
def test_a_text_that_a_spreadsheet_would_run_is_marked(text):
    assert neutral(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "Ada", "1-2", "a=b", "0012", "x@y.example", "محمد"])
def test_any_other_text_stays_as_it_is(text):
    assert neutral(text) == text


@pytest.fixture
def tables(tmp_path):
    def write(entries):
        write_grades(entries, tmp_path)
        return rows_of(tmp_path / "grades.csv"), rows_of(tmp_path / "grades-canvas.csv")

    return write


def test_every_name_survives_in_a_cell_of_its_own(tables):
    entries = [
        Entry(
            str(place), students=(Student(name, f"00{place}", f"{place}@x"),), results=results({})
        )
        for place, name in enumerate(HOSTILE)
    ]
    gradescope, canvas = tables(entries)
    for name, row, other in zip(HOSTILE, gradescope[1:], canvas[2:], strict=True):
        assert len(row) == len(gradescope[0])
        assert len(other) == 6
        first, last = split_name(name)
        assert row[:2] == [neutral(first), neutral(last)]
        assert all(cell[:1] not in tuple("=+-@\t\r\n") for cell in (*row, *other) if cell)
    assert [row[2] for row in gradescope[1:3]] == ["000", "001"]


def test_a_group_has_a_row_for_each_student_and_who_isnt_graded_has_no_score(tables):
    pair = (Student("Ada Lee Byron", "1", "a@x"), Student("Bo", "2", "b@x"))
    gradescope, canvas = tables(
        [
            Entry("7", students=pair, results=results({"3a.4": 0.5}), created_at="2026-11-01"),
            Entry("8", students=(Student("Cy", "3"),), trouble="It is no zip file."),
            Entry("9", results=results({})),
        ]
    )
    heads = gradescope[0]
    start = ["First Name", "Last Name", "SID", "Email", "Sections", "Total Score", "Max Points"]
    assert heads[:7] == start
    assert heads[7:11] == ["Status", "Submission ID", "Submission Time", "Lateness (H:M:S)"]
    place = next(n for n, head in enumerate(heads) if head.startswith("3a.4: "))
    assert heads[place].endswith(" (3 pts)")
    ada, bo, cy, unknown = gradescope[1:]
    start = ["Ada Lee", "Byron", "1", "a@x", "", "45.5", "48", "Graded", "7", "2026-11-01", ""]
    assert ada[:11] == start
    assert (bo[0], bo[1], bo[5], bo[place]) == ("Bo", "", "45.5", "0.5")
    assert (cy[5], cy[7], cy[place]) == ("", "Ungraded", "")
    assert unknown[:6] == ["", "", "", "", "", "48"]
    assert canvas[1] == ["    Points Possible", "", "", "", "", "48"]
    assert canvas[2] == ["Byron, Ada Lee", "", "1", "a@x", "", "45.5"]
    assert canvas[4][5] == ""
    assert canvas[5][0] == "9"


def test_a_class_of_nobody_has_tables_with_heads_alone(tables):
    gradescope, canvas = tables([])
    assert len(gradescope) == 1
    assert len(canvas) == 2
