"""The outermost boundary: whatever goes wrong in the grader, the platform finds valid results."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autograder import cli, grade
from autograder.homework import GRADED_PARTS
from autograder.hw5 import assignment as assignments
from autograder.hw5 import jobs
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


@pytest.fixture
def asked(monkeypatch) -> list[dict[str, Any]]:
    """What the command line asks of runs that aren't made."""
    asked: list[dict[str, Any]] = []

    def noted(
        source: Path, results: Path, options: grade.Options, **given: Any
    ) -> tuple[Results, bool]:
        asked.append({"results": results, "only": options.only})
        GRADED.write(results)
        given["console"].print("a table")
        return Results(tests=LINES, extra_data={"faults": {}, "flags": []}), True

    monkeypatch.setattr(grade, "grade", noted)
    return asked


def graded(*arguments: object):
    return CliRunner().invoke(cli.app, ["grade", *map(str, arguments)])


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        ("3", {"3a", "3b", "3c"}),
        ("3a.4", {"3a.4"}),
        (" 1a , 2b.1,", {"1a", "2b.1"}),
        ("1,2,3", set(GRADED_PARTS)),
        ("", set()),
    ],
)
def test_only_takes_questions_parts_and_lines(only, chosen, asked, tmp_path):
    ended = graded(REFERENCE, "--results", tmp_path / "r.json", "--only", only)
    assert ended.exit_code == 0, ended.output
    assert asked[0]["only"] == chosen


@pytest.mark.parametrize("only", ["4", "3d", "3a.9", "1d", "3a.", "a"])
def test_only_refuses_what_there_isnt(only, asked, tmp_path):
    ended = graded(REFERENCE, "--results", tmp_path / "r.json", "--only", f"1a,{only}")
    assert ended.exit_code == 2
    assert f"got {only}" in ended.stderr
    assert asked == []


def test_a_line_starts_the_trainings_that_it_needs_and_no_other():
    names = {
        only: [job.name for job in jobs.needed(frozenset({only}))]
        for only in ("2b.1", "2b.3", "2c.4", "3c.4", "3a.4", "2c")
    }
    assert names == {
        "2b.1": [],
        "2b.3": ["fully connected network"],
        "2c.4": ["CNN"],
        "3c.4": ["submitted weights"],
        "3a.4": [],
        "2c": ["CNN"],
    }
    assert len(list(jobs.needed(frozenset()))) == len(jobs.JOBS)
    assert "CNN" not in jobs.plan(assignments.load(), frozenset({"2c.1"}))


@pytest.mark.parametrize(
    ("named", "file"),
    [("old", "old/results.json"), ("new/", "new/results.json"), ("a.json", "a.json")],
)
def test_results_may_be_a_file_or_a_folder(named, file, asked, tmp_path):
    (tmp_path / "old").mkdir()
    ended = graded(REFERENCE, "--results", f"{tmp_path}/{named}")
    assert ended.exit_code == 0, ended.output
    assert asked[0]["results"] == tmp_path / file
    assert Results.read(tmp_path / file) == GRADED


def test_json_is_all_that_stands_on_stdout(asked, tmp_path):
    ended = graded(REFERENCE, "--results", tmp_path / "r.json", "--json")
    assert json.loads(ended.stdout) == json.loads((tmp_path / "r.json").read_text())
    assert "a table" in ended.stderr
    without = graded(REFERENCE, "--results", tmp_path / "r.json")
    assert "a table" in without.stdout
    assert not without.stdout.startswith("{")


def test_json_is_printed_after_a_fault_too(monkeypatch, tmp_path):
    def broken(*arguments: Any, **given: Any) -> None:
        raise RuntimeError("the dog ate it")

    monkeypatch.setattr(grade, "grade", broken)
    ended = graded(REFERENCE, "--results", tmp_path / "r.json", "--json")
    assert ended.exit_code == 3
    assert "not your code" in json.loads(ended.stdout)["output"]


@pytest.mark.parametrize("arguments", [["--version"], ["grade", "--version"]])
def test_the_version_names_the_release_its_code_and_torch(arguments):
    ended = CliRunner().invoke(cli.app, arguments)
    assert ended.exit_code == 0
    assert ended.stdout.startswith("autograder 1.0.0 (code ")
    assert "torch 2.13.0" in ended.stdout


@pytest.mark.parametrize("arguments", [["-h"], ["grade", "-h"], ["grade", "--help"]])
def test_help_has_a_short_name(arguments):
    ended = CliRunner().invoke(cli.app, arguments)
    assert ended.exit_code == 0
    assert "Usage" in ended.stdout


def test_options_that_weaken_safety_stand_in_a_panel_of_their_own():
    text = CliRunner().invoke(cli.app, ["grade", "-h"], env={"COLUMNS": "120"}).stdout
    usual, weakening = text.split(cli.WEAKENING)
    for option in ("--without", "--unsafe-local"):
        assert option in weakening
        assert option not in usual
    assert "--only" in usual


@pytest.fixture
def export(tmp_path) -> Path:
    """A class as the platform exports it."""
    folder = tmp_path / "All of them" / "assignment_77_export"
    for number in (101, 102):
        (folder / f"submission_{number}").mkdir(parents=True)
        (folder / f"submission_{number}" / "attention.py").touch()
    (folder / "submission_metadata.yml").write_text("submission_101: {}\n")
    return folder


@pytest.mark.parametrize("where", ["inside", "around"])
def test_an_export_is_refused_with_a_command_that_grades_each(where, export, asked, tmp_path):
    ended = graded(export if where == "inside" else export.parent)
    assert ended.exit_code == 2
    assert asked == []
    assert "an export of 2 submissions" in ended.stderr
    command = ended.stderr.splitlines()[1]
    stub = tmp_path / "run_autograder"
    stub.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    stub.chmod(0o755)
    said = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.split("|")[:-1] == [
        argument
        for name in ("submission_101", "submission_102")
        for argument in (f"{export}/{name}/", "--results", f"results/{name}/")
    ]


def test_one_submission_of_an_export_is_graded(export, asked, tmp_path):
    for source in (export / "submission_101", REFERENCE):
        ended = graded(source, "--results", tmp_path / "r.json")
        assert ended.exit_code == 0, ended.output
    lone = tmp_path / "mine"
    (lone / "submission_1").mkdir(parents=True)  # a folder of that name is no export yet
    assert graded(lone, "--results", tmp_path / "r.json").exit_code == 0
