"""results.json is valid at every instant; the platform's metadata is read leniently."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from autograder import cli
from autograder.rubric.gradescope import (
    LeaderboardEntry,
    Metadata,
    Results,
    ResultsInUse,
    TestResult,
    only_writer,
)

from .conftest import REFERENCE, ROOT


def line(**changes) -> TestResult:
    content = {
        "name": "1a.1 Parameters",
        "number": "1a.1",
        "score": 0.5,
        "max_score": 1,
        "status": "failed",
        "output": "ü",
    }
    return TestResult(**{**content, **changes})


def strict(file: Path) -> dict:
    """The file's content, as the strictest reader takes it."""

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    def once(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    content = json.loads(file.read_bytes(), parse_constant=refuse, object_pairs_hook=once)
    assert isinstance(content, dict)
    return content


def nulls(content: object, place: str = "") -> list[str]:
    if isinstance(content, dict):
        return [found for key, value in content.items() for found in nulls(value, f"{place}.{key}")]
    if isinstance(content, list):
        return [found for n, value in enumerate(content) for found in nulls(value, f"{place}[{n}]")]
    return [place] if content is None else []


@pytest.mark.parametrize(
    "changes",
    [
        {"score": float("nan")},
        {"max_score": float("inf")},
        {"score": -0.5},
        {"score": 1.5},
        {"status": "skipped"},
        {"status": None},
        {"output_format": "pdf"},
        {"number": None},
        {"visibility": "secret"},
        {"output": "x" * 2_000_001},
        {"surplus": 1},
        {"score": None},
    ],
    ids=str,
)
def test_a_line_that_the_platform_would_refuse_is_refused_here(changes):
    with pytest.raises(ValidationError):
        line(**changes)


def test_the_score_is_the_sum_of_the_lines(tmp_path):
    Results(tests=[line(), line(number="1a.2", score=1)]).write(tmp_path / "r.json")
    content = strict(tmp_path / "r.json")
    assert content["score"] == 1.5
    assert [test["number"] for test in content["tests"]] == ["1a.1", "1a.2"]
    assert content["tests"][0]["output"] == "ü"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("place", ["leaderboard", "extra_data", "deep in extra_data"])
def test_what_json_has_no_word_for_never_reaches_the_file(tmp_path, place, value):
    file = tmp_path / "r.json"
    Results(tests=[line()]).write(file)
    before = file.read_bytes()
    changes = {
        "leaderboard": {"leaderboard": [LeaderboardEntry.model_construct(name="a", value=value)]},
        "extra_data": {"extra_data": {"a": value}},
        "deep in extra_data": {"extra_data": {"a": [{"b": value}]}},
    }[place]
    try:
        Results(tests=[line()], **changes).write(file)
    except ValueError:
        assert file.read_bytes() == before
    assert nulls(strict(file)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_null_is_never_written(tmp_path):
    extra = {"submission": None, "trainings": {"fc": None, "cnn": {"signal": None, "exit": 0}}}
    Results(tests=[line()], extra_data=extra).write(tmp_path / "r.json")
    content = strict(tmp_path / "r.json")
    assert nulls(content) == []
    assert content["extra_data"]["trainings"]["cnn"]["exit"] == 0


def test_the_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path):
    file = tmp_path / "deep" / "results.json"
    for score in (0.0, 0.5, 1.0):
        Results(tests=[line(score=score)]).write(file)
        assert strict(file)["score"] == score
        assert [path.name for path in file.parent.iterdir()] == ["results.json"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    file = tmp_path / "r.json"
    Results(tests=[line()]).write(file)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        Results(tests=[]).write(file)
    assert strict(file)["score"] == 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    """The limit on a file's size stands for the end of the disk: a write fails in its middle."""
    file = tmp_path / "r.json"
    Results(tests=[line()]).write(file)
    child = os.fork()
    if child == 0:
        status = 2
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
            Results(tests=[line(output="x" * 20_000, score=1)]).write(file)
        except OSError as problem:
            status = 0 if problem.errno == errno.EFBIG else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert strict(file)["score"] == 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_reader_never_sees_anything_but_whole_results(tmp_path):
    file = tmp_path / "r.json"
    Results(tests=[line()]).write(file)
    done, seen, problems = threading.Event(), [], []

    def watch():
        while not done.is_set():
            try:
                seen.append(len(json.loads(file.read_bytes())["tests"]))
            except (ValueError, KeyError, OSError) as problem:
                problems.append(problem)

    reader = threading.Thread(target=watch)
    reader.start()
    for count in range(150):
        Results(tests=[line(output="x" * 2_000) for _ in range(1 + count % 40)]).write(file)
    done.set()
    reader.join()
    assert problems == []
    assert len(seen) > 10


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe",
        b"{}",
        b'{"id": null}',
        b'{"id": [1]}',
        b'{"previous_submissions": null}',
        b'{"previous_submissions": [3, null]}',
        b'{"users": [{"email": null}], "assignment": {"total_points": "48.0"}}',
        b"[" * 100_000,
        b'{"created_at": 3}',
    ],
    ids=lambda text: "missing" if text is None else ascii(text[:40]),
)
def test_metadata_of_any_kind_is_read_without_failing(tmp_path, text):
    file = tmp_path / "metadata.json"
    if text is not None:
        file.write_bytes(text)
    metadata = Metadata.read(file)
    assert isinstance(metadata.previous_submissions, list)


def test_one_odd_field_of_the_metadata_costs_that_field_alone(tmp_path):
    file = tmp_path / "metadata.json"
    file.write_text('{"id": 17, "created_at": 3, "previous_submissions": [{"score": "1.0"}, null]}')
    metadata = Metadata.read(file)
    assert metadata.id == 17
    assert metadata.previous_submissions == [{"score": "1.0"}]


def test_metadata_is_a_folder(tmp_path):
    assert Metadata.read(tmp_path).id is None


def test_an_output_that_nobody_reads_costs_no_points(tmp_path):
    """As in `./run_autograder FOLDER | head -1`."""
    results = tmp_path / "r.json"
    grader = subprocess.Popen(
        [ROOT / "run_autograder", REFERENCE, "--results", results, "--only", "1a"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert grader.stdout is not None
    grader.stdout.close()
    grader.wait(timeout=60)
    assert strict(results)["score"] == 2


def test_a_results_file_has_one_writer_at_a_time(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    file, same = tmp_path / "folder" / "r.json", tmp_path / "link" / "r.json"
    with only_writer(file):
        with pytest.raises(ResultsInUse, match="--results"), only_writer(same):
            pass
        with only_writer(tmp_path / "folder" / "other.json"):
            pass
    with only_writer(same):
        assert list((tmp_path / "folder").iterdir()) == []


def test_a_second_run_into_the_same_file_is_refused_and_changes_nothing(tmp_path):
    file = tmp_path / "results.json"
    file.write_text("the first run's")
    command = [ROOT / "run_autograder", REFERENCE, "--results", file, "--only", "1a"]
    with only_writer(file):
        second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 2
    assert "Another run is writing" in second.stderr
    assert file.read_text() == "the first run's"


def test_a_local_run_reads_no_file_of_the_platform(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(cli.Metadata, "read", lambda file: read.append(file) or Metadata())
    monkeypatch.setattr(cli, "_grade", lambda *given: 0)
    monkeypatch.setattr(cli, "ON_GRADESCOPE", tmp_path)
    runner = CliRunner()
    results = ["--results", str(tmp_path / "results.json")]
    assert runner.invoke(cli.app, ["grade", str(REFERENCE), *results]).exit_code == 0
    assert read == []
    assert runner.invoke(cli.app, ["grade", *results]).exit_code == 0
    assert read == [cli.GRADESCOPE_METADATA]
