"""Results before a look at the submission, and intake in a process that may come to harm."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import pytest

from autograder.homework import GRADED_PARTS, SUITES
from autograder.hw5 import assignment as assignments
from autograder.intake.archives import MAX_DIRECTORY_BYTES
from autograder.intake.submission import IntakeError, take
from autograder.rubric.outline import outline
from autograder.sandbox import unpacking
from autograder.sandbox.unpacking import Unpackable, take_limited

from .conftest import REFERENCE, TEMPLATE
from .test_plugin import INCOMPLETE, LINE, SUITE, run


def into(tmp_path: Path, name: str = "into") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


def test_the_outline_shows_the_lines_that_the_suites_have(tmp_path):
    recorder = run(tmp_path / "s", all=SUITE)
    lines = outline(tmp_path / "s", None)
    assert [(one.number, one.title, one.points) for one in lines] == [
        (one.number, one.title, one.points) for one in recorder.lines.values()
    ]
    assert [one.number for one in outline(tmp_path / "s", None, frozenset({"3a"}))] == [
        "3a.1",
        "3a.2",
    ]


def test_the_outline_of_the_homework_has_all_of_its_points():
    lines = outline(SUITES, assignments.load())
    assert sum(line.points for line in lines) == 48
    assert {line.part for line in lines} == set(GRADED_PARTS)
    assert not any("{" in line.title or line.reached or line.earned for line in lines)


@pytest.mark.parametrize("case", [*INCOMPLETE, "no test"])
def test_the_outline_leaves_out_what_has_no_number_or_points(tmp_path, case):
    (tmp_path / "test_a.py").write_text(LINE.format(number="1a.1"))
    (tmp_path / "test_b.py").write_text(INCOMPLETE.get(case, "def broken(:\n"))
    titles = {line.number: line.title for line in outline(tmp_path, None)}
    assert titles.pop("1a.1") == "A line"
    assert titles == ({"1a.2": "Question 1a"} if case == "no docstring" else {})


TWO = "\n\n".join(
    LINE.format(number=number).replace("(1)", f"({points})")
    for number, points in (("3a.1", 1), ("3a.2", 7))
)
UNREAD = {  # of a suite that Python can't read, and what stands for it
    "a mistake in a body": (f"{TWO}    return (\n", {"3a.1": 1, "3a.2": 7}),
    "a mistake in a decorator": (TWO.replace("@weight(1)", "@weight(1"), {"3a.1": 1, "3a.2": 7}),
    "a mistake in a number": (TWO.replace('"3a.2")', '"3a.2)'), {"3a.1": 1, "3a.2": 7}),
    "none of a test": ("\0", {"3a.1": 8}),
    "no file": (None, {"3a.1": 8}),
    "nothing wrong": (TWO, {"3a.1": 1, "3a.2": 7}),
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_suite_that_cant_be_read_keeps_its_lines_and_its_parts_points(tmp_path, case):
    text, points = UNREAD[case]
    if text is not None:
        (tmp_path / "test_3a_head.py").write_text(text)
    lines = outline(tmp_path, None, declared={"3a": 8})
    assert {line.number: line.points for line in lines} == points
    assert all(line.title in ("A line", "Question 3a") for line in lines)


@pytest.mark.parametrize("folder", [REFERENCE, TEMPLATE], ids=["reference", "template"])
def test_a_limited_intake_takes_what_an_intake_takes(tmp_path, folder):
    direct = take(folder, into(tmp_path, "direct"))
    limited = take_limited(folder, into(tmp_path))
    assert (limited.code, limited.answers, limited.artifacts) == (
        direct.code, direct.answers, direct.artifacts,
    )  # fmt: skip
    assert (limited.notes, limited.form, dict(limited.spans)) == (
        direct.notes, direct.form, dict(direct.spans),
    )  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == ["submission"]


def notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


def test_a_notebook_keeps_the_places_of_its_lines(tmp_path):
    source = into(tmp_path, "source")
    source.joinpath("hw.ipynb").write_text(
        notebook("x = 1", "class SingleHeadAttention:\n    y = 1")
    )
    direct = take(source, into(tmp_path, "direct"))
    assert take_limited(source, into(tmp_path)).spans == direct.spans != {}


def test_what_is_no_submission_is_told_as_before(tmp_path):
    (tmp_path / "file.txt").write_text("x")
    for source in (tmp_path / "file.txt", tmp_path / "nowhere"):
        with pytest.raises(IntakeError):
            take_limited(source, into(tmp_path, f"into-{source.stem}"))


def endless(*_: object) -> None:
    while True:
        pass


def greedy(*_: object) -> None:
    kept = [bytearray(1 << 20) for _ in range(4096)]
    raise AssertionError(len(kept))


def crashing(*_: object) -> None:
    import ctypes

    ctypes.string_at(0)


def failing(*_: object) -> None:
    raise LookupError("an odd name")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (endless, "more than 1 seconds"),
        (greedy, "more memory"),
        (crashing, "looking through it crashed"),
        (failing, "failed .LookupError."),
    ],
)
def test_whatever_becomes_of_the_process_the_grader_goes_on(tmp_path, monkeypatch, harm, said):
    monkeypatch.setattr(unpacking, "take", harm)
    with pytest.raises(Unpackable, match=said) as caught:
        take_limited(REFERENCE, into(tmp_path), seconds=1.0 if harm is endless else 20.0)
    assert ("an odd name" in caught.value.trace) == (harm is failing)
    assert not (tmp_path / "into" / "intake").exists()


def test_a_full_disk_is_a_fault_of_the_machine(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(unpacking, "take", full)
    with pytest.raises(unpacking.IntakeFault, match="no space left"):
        take_limited(REFERENCE, into(tmp_path))


HURTING = {
    "a line of spaces": notebook("1 +\n" + " " * 200_000 + "x"),
    "a line of words": notebook("1 +\n" + "a " * 100_000 + "?!"),
    "a line of commas": notebook("1 +\n" + "a, " * 60_000),
    "thousands of statements in a cell": notebook("\n".join(f"a{n} = {n}" for n in range(20_000))),
    "thousands of statements in a line": notebook(";".join(f"a{n}=1" for n in range(30_000))),
    "many cells that define much": notebook(*["\n".join(f"a{n}=1" for n in range(100))] * 300),
}


@pytest.mark.parametrize("content", HURTING.values(), ids=HURTING.keys())
def test_no_notebook_takes_long(tmp_path, content):
    source = into(tmp_path, "source")
    (source / "hw.ipynb").write_text(content)
    started = time.process_time()
    submission = take(source, into(tmp_path))
    assert time.process_time() - started < 5
    assert submission.code == {}


def test_a_zip_that_lists_far_too_many_files_is_not_listed(tmp_path):
    file = tmp_path / "many.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("models.py", "M = 1\n")
        for number in range(MAX_DIRECTORY_BYTES // 80):
            archive.writestr(f"{number:040}", "")
    started = time.process_time()
    submission = take(file, into(tmp_path))
    assert time.process_time() - started < 1
    assert "far too many files" in submission.notes[0]
    assert submission.code == {}
