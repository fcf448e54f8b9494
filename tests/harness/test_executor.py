"""Many gradings through one door: on this machine, on a cluster, interrupted, poisoned."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from autograder.homework import SUITES
from autograder.staff import commands, validation
from autograder.staff.executor import keeping
from autograder.staff.executor.task import Outcome, Run, no_room
from autograder.staff.executor.this_machine import this_machine
from autograder.staff.solutions import SOLUTIONS, Expected, Kind, Solution

from .conftest import ROOT, wait_until

NO_SCALE = SOLUTIONS / "mistakes" / "no-scale"
AUTOGRADER = str(ROOT / ".venv/bin/autograder")

POISONED = """
import os, pathlib, signal, sys, time
if "POISON" in pathlib.Path(sys.argv[2], "attention.py").read_text():
    os.kill({victim}, signal.SIGKILL)
    time.sleep(600)
os.execv(sys.executable, [sys.executable, "-I", "-m", "autograder.launch", *sys.argv[1:]])
"""
VICTIMS = {"os.getpid()": "killed by signal 9", "os.getppid()": "What kept the grading was killed"}


def invoke(*arguments: str):
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.full
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_solution_that_kills_its_grader_costs_itself_alone(victim, tmp_path, monkeypatch):
    program = tmp_path / "grader.py"
    program.write_text(POISONED.format(victim=victim))
    poison = tmp_path / "poison"
    shutil.copytree(NO_SCALE, poison)
    (poison / "attention.py").write_text((NO_SCALE / "attention.py").read_text() + "# POISON\n")
    expected = Expected(fails=["3a.4"], diagnosis="no-scale")
    chosen = [
        Solution(Kind.MISTAKES, folder.name, folder, ("attention.py",), expected)
        for folder in (poison, NO_SCALE)
    ]
    monkeypatch.setattr(commands, "load_solutions", lambda only: chosen)
    program_of = (sys.executable, "-I", str(program))
    gradings = functools.partial(validation.Gradings, program=program_of)
    monkeypatch.setattr(commands, "Gradings", gradings)
    junit = tmp_path / "junit.xml"
    ended = invoke("validate", "--no-training", "--only", "any", "--junit", str(junit))
    assert ended.exit_code == 1, ended.output
    assert VICTIMS[victim] in " ".join(ended.output.split())
    assert "mistakes 1/2" in ended.output
    assert 'tests="2" failures="1"' in junit.read_text()


@pytest.mark.parametrize("command", [["validate"], ["calibrate", "reference", "--into"]])
def test_an_address_on_which_somebody_may_listen_is_refused(command, tmp_path):
    pytest.importorskip("distributed")
    where = [str(tmp_path)] if command[-1] == "--into" else []
    ended = invoke(*command, *where, "--scheduler", "tcp://192.0.2.1:8786")
    assert ended.exit_code == 2
    assert "not encrypted" in ended.output
    assert list(tmp_path.iterdir()) == []


def marked(mark: str) -> list[str]:
    """What runs with a word in its command line: a preloaded process and all its forks."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if mark.encode() in command.read_bytes():
                found.append(command.parent.name)
    return found


def mark_below(parent: int) -> str:
    """The mark of the preloaded process that a process has started; empty before that."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                command = status.with_name("cmdline").read_text()
                if found := re.search(r"preloaded-[0-9a-f-]+", command):
                    return found.group()
    return ""


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_a_validation_ends_what_it_started(number, temporary):
    process = subprocess.Popen(
        [AUTOGRADER, "validate", "--no-training", "--only", "mistakes"],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: bool(mark_below(process.pid)), 120)
    mark = mark_below(process.pid)
    wait_until(lambda: len(marked(mark)) > 4, 120)  # a run is under way
    process.send_signal(number)
    assert process.wait(timeout=120) != 0
    wait_until(lambda: not marked(mark), 120)
    if number == signal.SIGINT:
        assert list(temporary.glob("autograder-*")) == []


@dataclass(frozen=True)
class Told:
    """A task that comes to what it is told, or raises it."""

    id: str
    outcome: Outcome | None = None

    def run(self) -> Outcome:
        if self.outcome is None:
            raise KeyError(self.id)
        return self.outcome

    def give_up(self, why: str) -> Outcome:
        return Outcome(self.id, trouble=why)


def test_a_task_that_fails_is_given_up_and_the_others_go_on():
    with this_machine(1) as executor:
        first, second = executor.run([Told("a"), Told("b", Outcome("b"))])
    assert "KeyError" in first.trouble
    assert second == Outcome("b")


def test_tasks_are_asked_for_one_by_one_and_none_after_one_that_stops_all():
    asked = []

    def tasks() -> Iterator[Told]:
        for name in "abcd":
            asked.append(name)
            yield Told(name, Outcome(name, stop="the disk is full" * (name == "b")))

    with this_machine(1) as executor:
        outcomes = list(executor.run(tasks()))
    assert [one.id for one in outcomes] == asked == ["a", "b"]


class FullDisk:
    """An executor on a full disk."""

    def run(self, tasks: Iterable[Run]) -> Iterator[Outcome]:
        yield Outcome(next(iter(tasks)).id, stop="No space left: make room.")


def test_a_full_disk_ends_a_validation_with_a_sentence(monkeypatch):
    @contextlib.contextmanager
    def opened(*_: object) -> Iterator[FullDisk]:
        yield FullDisk()

    monkeypatch.setattr(commands, "opened", opened)
    ended = invoke("validate", "--no-training", "--only", "no-scale")
    assert ended.exit_code == 2
    assert "Stopped. No space left: make room." in ended.output


def test_a_run_that_may_not_write_says_so(tmp_path):
    there = tmp_path / "run.json"
    there.mkdir()  # what can't be replaced
    said = Run("run", str(tmp_path), ("grade",), 5.0, (sys.executable, "-c", "0")).run()
    assert said.trouble.startswith("It could not be graded: ")
    assert said.stop == ""


@pytest.mark.parametrize(
    ("fault", "what_to_do"),
    [
        (errno.ENOSPC, "make room for /class"),
        (errno.EDQUOT, "make room for /class"),
        (errno.EROFS, "make /class writable"),
        (errno.EACCES, ""),  # of one file, perhaps: the others go on
        (errno.EMFILE, ""),
    ],
)
def test_a_fault_that_all_would_meet_stops_with_what_to_do(fault, what_to_do):
    outcome = no_room("ada", "/class", keeping.failed(OSError(fault, os.strerror(fault))))
    assert what_to_do in outcome.stop
    assert bool(outcome.stop) is bool(what_to_do)
    assert os.strerror(fault) in outcome.trouble


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({"tests": [1], "extra_data": {"complete": True}}, ""),
        ({"tests": [1], "extra_data": {"complete": False}}, "stopped before it had finished"),
        ({"tests": [], "extra_data": {"faults": {"x": "a\nKeyError: 'b'"}}}, "KeyError: 'b'"),
        ({}, "the last words"),
    ],
    ids=["complete", "not complete", "a fault", "nothing"],
)
def test_results_that_cannot_count_are_told_apart(results, said):
    found = keeping.trouble_in(results, "the last words")
    assert said in found
    assert bool(found) is bool(said)


def test_lines_that_wait_for_a_training_are_those_of_the_suites():
    texts = "".join(file.read_text() for file in sorted(SUITES.glob("test_*.py")))
    slow = re.findall(r"@pytest\.mark\.slow\n(?:@.*\n)*?@number\(\"(.*?)\"\)", texts)
    assert len(slow) == texts.count("mark.slow") > 0
    assert set(slow) == validation.TRAINED


@pytest.mark.parametrize(
    "left", ["", "{", "[]", json.dumps({"tests": [], "extra_data": {}})], ids=range(4)
)
def test_results_that_cannot_be_read_are_a_fault_of_the_grader(left, tmp_path):
    file = tmp_path / "x.json"
    if left:
        file.write_text(left)
    solution = Solution(Kind.MISTAKES, "no-scale", NO_SCALE, ("attention.py",))
    outcome = validation.outcome_of(solution, Outcome("x", graded=True), file, frozenset())
    assert "grading: a fault of the grader" in outcome.differences()[0]


@pytest.mark.full
@pytest.mark.long
def test_a_cluster_comes_to_the_same_as_this_machine(dask, tmp_path):
    dask.scheduler()
    for _ in range(2):
        dask.worker("--no-nanny")
    only = ["--no-training", "--only", "no-scale,einsum,stride-1"]
    tables = []
    for name, where in (
        ("here", ["--workers", "2"]),
        ("there", ["--scheduler", dask.address, "--into", str(tmp_path)]),
    ):
        file = tmp_path / f"{name}.md"
        ended = subprocess.run(
            [AUTOGRADER, "validate", *only, *where, "--markdown", str(file)],
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        tables.append(file.read_text())
    assert "no-scale" in tables[0]
    assert tables[0] == tables[1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["here.md", "there.md"]
