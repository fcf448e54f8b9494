"""The outermost boundary: whatever goes wrong in the grader, the platform finds valid results."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autograder import cli, grade
from autograder.rubric.gradescope import Results, TestResult

from .conftest import REFERENCE

LINES = [
    TestResult(name="One", number="1a.1", score=2, max_score=2, status="passed", output="Correct."),
    TestResult(name="Two", number="1a.2", score=0, max_score=1, status="failed", output="No."),
]
GRADED = Results(tests=LINES, output="Welcome.", extra_data={"faults": {"1a.2": "earlier"}})


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., tuple[int, str, dict[str, Any]]]:
    """Grades with a grader that does something to the results' file and then breaks."""

    def graded(work: Callable[[Path], object]) -> tuple[int, str, dict[str, Any]]:
        def broken(source: Path, results: Path, options: Any, **given: Any) -> None:
            work(results)
            raise RuntimeError("the dog ate it")

        monkeypatch.setattr(grade, "grade", broken)
        file = tmp_path / "results.json"
        ended = CliRunner().invoke(cli.app, ["grade", str(REFERENCE), "--results", str(file)])
        return ended.exit_code, ended.stderr, json.loads(file.read_text())

    return graded


def test_a_fault_before_the_first_line_is_told_as_ours(run):
    status, said, results = run(lambda file: None)
    assert status == 3
    assert "the dog ate it" in said
    assert results["score"] == 0
    assert results["tests"] == []
    assert "could not be graded because of a grader error, not your code" in results["output"]
    assert "the dog ate it" in results["extra_data"]["faults"]["grader"]
    assert "Traceback" not in results["output"]


def test_a_fault_after_some_lines_keeps_what_was_graded(run):
    status, said, results = run(GRADED.write)
    assert status == 3
    assert "the dog ate it" in said
    assert results["score"] == 2
    assert [line["number"] for line in results["tests"]] == ["1a.1", "1a.2"]
    assert results["output"] == f"{cli.CUT_SHORT}\nWelcome."
    assert results["extra_data"]["faults"].keys() == {"1a.2", "grader"}


def old(file: Path) -> None:
    GRADED.write(file)
    earlier = time.time() - 60
    os.utime(file, (earlier, earlier))


@pytest.mark.parametrize(
    "left",
    [
        old,
        Results(tests=[], output="Nothing yet.").write,
        lambda file: file.write_text("{"),
        lambda file: file.write_text("[1]"),
        lambda file: file.write_bytes(b"\xff"),
        lambda file: file.write_text('{"tests": [{"score": 9, "max_score": 1}]}'),
    ],
    ids=["of an earlier run", "without lines", "half a file", "a list", "bytes", "odd points"],
)
def test_what_was_not_graded_in_this_run_is_not_handed_in(left, run):
    status, _, results = run(left)
    assert status == 3
    assert results["tests"] == []
    assert "could not be graded" in results["output"]


@pytest.mark.parametrize("full_from", [1, 2, 3])
def test_a_full_disk_keeps_the_last_results_and_says_so(full_from, tmp_path, monkeypatch):
    """From the first write on, from the one at the end, and from the one about the fault."""
    file, written = tmp_path / "results.json", []
    write = Results.write

    def full(results: Results, file: Path) -> None:
        written.append(results)
        if len(written) >= full_from:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(results, file)

    def graded(source: Path, results: Path, options: Any, **given: Any) -> None:
        GRADED.write(results)
        GRADED.write(results)
        raise RuntimeError("the dog ate it")

    monkeypatch.setattr(Results, "write", full)
    monkeypatch.setattr(grade, "grade", graded)
    ended = CliRunner().invoke(cli.app, ["grade", str(REFERENCE), "--results", str(file)])
    assert ended.exit_code == 3
    assert f"can't be written to {file}: No space left on device." in ended.stderr
    if full_from == 1:
        assert not file.exists()
    else:
        assert Results.read(file) == GRADED


def test_results_are_read_as_they_were_written(tmp_path):
    GRADED.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == GRADED
