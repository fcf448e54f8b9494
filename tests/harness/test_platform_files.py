"""What the platform lays down is closed to workers by its rights, and nothing else is touched."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autograder import cli, grade
from autograder.rubric.gradescope import Results
from autograder.sandbox import platform_files

from .conftest import REFERENCE

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers are other users")


@pytest.fixture
def platform(tmp_path, monkeypatch) -> Path:
    """A folder as the platform has it, which the command line takes for the platform's."""
    folder = tmp_path / "autograder"
    for name in ("submission", "results", "source/autograder", "source/.venv/bin"):
        (folder / name).mkdir(parents=True)
    for name in ("submission_metadata.json", "run_autograder", "harness.py", "source/setup.sh"):
        (folder / name).write_text("{}")
    (folder / "source-of-others").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    for path in (folder, tmp_path / "elsewhere", *folder.rglob("*")):
        path.chmod(0o755)
    monkeypatch.setattr(cli, "ON_GRADESCOPE", folder / "submission")
    monkeypatch.setattr(cli, "GRADESCOPE_RESULTS", folder / "results/results.json")
    monkeypatch.setattr(cli, "GRADESCOPE_METADATA", folder / "submission_metadata.json")
    monkeypatch.setattr(cli, "ROOT", folder / "source")
    return folder


@pytest.fixture
def asked(monkeypatch) -> list[dict[str, Any]]:
    """What the command line asks of a run that isn't made."""
    asked: list[dict[str, Any]] = []

    def noted(
        source: Path, results: Path, options: grade.Options, **given: Any
    ) -> tuple[Results, bool]:
        asked.append({"source": source, **vars(options), **given})
        return Results(tests=[], extra_data={"faults": {}, "flags": []}), True

    monkeypatch.setattr(grade, "grade", noted)
    return asked


def graded(*arguments: object) -> None:
    ended = CliRunner().invoke(cli.app, ["grade", *map(str, arguments)])
    assert ended.exit_code == 0, ended.output


def open_to_others(folder: Path) -> set[str]:
    """What of a folder's entries other users have any right on, not following links."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & platform_files.OTHERS
        if all(
            p.stat().st_mode & 0o001 for p in path.parents if p != folder and folder in p.parents
        )
    }


@AS_ROOT
def test_on_the_platform_all_but_the_grader_is_closed(platform, asked):
    graded()
    assert open_to_others(platform) == {
        "source",
        "source/setup.sh",
        "source/autograder",
        "source/.venv",
        "source/.venv/bin",
    }
    assert (platform.parent / "elsewhere").stat().st_mode & 0o777 == 0o755
    assert (platform / "run_autograder").stat().st_mode & 0o777 == 0o700
    assert asked[0]["secrets"] == {
        "the platform's metadata": platform / "submission_metadata.json",
    }


@AS_ROOT
def test_a_local_run_closes_the_metadata_that_it_is_given_and_nothing_else(platform, asked):
    before = open_to_others(platform)
    graded(REFERENCE, "--metadata", platform / "submission_metadata.json")
    assert before - open_to_others(platform) == {"submission_metadata.json"}


def test_a_local_run_neither_reads_nor_changes_the_platforms_files(platform, asked):
    text = json.dumps({"id": 17, "previous_submissions": [{"score": "1.0"}]})
    (platform / "submission_metadata.json").write_text(text)
    before = open_to_others(platform)
    graded(REFERENCE)
    assert open_to_others(platform) == before
    assert asked[0]["secrets"] == {}
    assert asked[0]["metadata"] is None
    graded(REFERENCE, "--metadata", platform / "submission_metadata.json")
    assert asked[1]["metadata"].id == 17


def test_metadata_that_isnt_there_is_no_secret(platform, asked):
    (platform / "submission_metadata.json").unlink()
    graded()
    assert asked[0]["secrets"] == {}
    assert asked[0]["metadata"].id is None


@AS_ROOT
def test_a_file_that_cant_be_closed_stops_no_run(platform, asked, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "chmod", refused)
    graded()
    assert asked[0]["secrets"].keys() == {"the platform's metadata"}
