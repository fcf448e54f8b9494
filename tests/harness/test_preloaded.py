"""Forked graders stand for graders that are started anew: same surroundings, same endings."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from autograder.confined.surroundings import kept
from autograder.staff.executor import keeping
from autograder.staff.executor.keeping import KEEPER
from autograder.staff.preloaded import Gone, Preloaded

from .conftest import ROOT, preloaded, read_on, run_grader, wait_until

MODULES = """
import sys
names = sorted(name for name in sys.modules if name != "attention")
of_ours = [name.split(".") for name in names]
grader = [name[-1] for name in of_ours if name[0] in ("autograder", "harness", "tests")]
raise RuntimeError(f"{len(names)} modules, {hash(tuple(map(len, names)))}, {grader}")
"""


@pytest.mark.full
def test_a_worker_holds_the_same_modules_as_in_a_run_started_anew(submission, tmp_path):
    folder = submission(attention=MODULES)
    forked = run_grader(folder, tmp_path, "--only", "3a").text("3a.1")
    started_anew = run_grader(folder, tmp_path, "--only", "3a", anew=True).text("3a.1")
    assert " modules, " in forked
    assert "'worker', 'zygote', " in forked
    assert "'questions']" in forked  # the text is whole
    assert forked == started_anew


@pytest.mark.full
def test_a_worker_of_a_kept_run_holds_the_same_modules_too(submission, tmp_path):
    folder = submission(attention=MODULES)
    preloaded(ROOT)
    told = [kept_run(folder, tmp_path) for _ in range(2)]  # the first, and one after it
    assert " modules, " in told[0]
    started_anew = run_grader(folder, tmp_path, "--only", "3a", anew=True).text("3a.1")
    assert told == [started_anew, started_anew]


def test_a_kept_run_ends_with_whoever_waits_for_it(submission, tmp_path, own_preloaded):
    folder = submission(attention="import time\ntime.sleep(600)\n")
    wait_until(lambda: len(graders(own_preloaded)) == 1)
    request = kept_request(folder, tmp_path / "stopped.json")
    with own_preloaded.ask(request) as life:
        # the stocked one, the keeper, the run, its zygotes
        wait_until(lambda: len(graders(own_preloaded)) > 4)
        life.shutdown(socket.SHUT_WR)
        report = json.loads(life.makefile("rb").read())
    assert report["ended"] == "nobody waits for it"
    wait_until(lambda: len(graders(own_preloaded)) == 2)


def test_kept_runs_go_on_where_the_process_that_forked_them_is_let_go(submission, tmp_path):
    made = Preloaded([str(ROOT / ".venv/bin/python"), "-I"], os.environ)
    with made.ask(kept_request(submission(), tmp_path / "kept.json")) as life:
        made.close()
        report = json.loads(life.makefile("rb").read())
    assert (report["ended"], report["status"]) == ("by itself", 0)
    results = json.loads((tmp_path / "kept.json").read_text())
    assert results["extra_data"]["faults"] == {}
    assert all(test["score"] == test["max_score"] for test in results["tests"])
    with pytest.raises(Gone):
        made.ask(kept_request(submission(), tmp_path / "another.json"))


def test_what_starts_while_all_is_stopped_ends_at_once(submission, tmp_path):
    request = kept_request(submission(), tmp_path / "kept.json")
    keeping.begin()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(keeping._forked, {name: request[name] for name in ASKED})
        wait_until(lambda: bool(keeping._from_which))
        keeping.stop_all()  # while torch is imported
        said = asked.result(timeout=60)
    keeping.begin()
    assert said is None or json.loads(said)["ended"] == "nobody waits for it"
    assert not (tmp_path / "kept.json").exists()


ASKED = ("command", "seconds", "into")


def kept_request(folder: Path, into: Path) -> dict[str, Any]:
    """What a class's grading asks of the preloaded process."""
    return {
        "command": ["grade", str(folder), "--only", "3a", "--seed", "1"],
        "seconds": 120.0,
        "into": str(into),
        "keeper": str(KEEPER),
        "environment": kept(os.environ),
    }


def kept_run(folder: Path, tmp_path: Path) -> str:
    """What a student reads on 3a.1, graded as the submissions of a class are."""
    with preloaded(ROOT).ask(kept_request(folder, tmp_path / "kept.json")) as life:
        report = json.loads(life.makefile("rb").read())
    assert (report["ended"], report["status"]) == ("by itself", 0)
    return read_on(json.loads((tmp_path / "kept.json").read_text()), "3a.1")


def test_an_exit_status_and_what_was_printed_come_back(tmp_path):
    missing = tmp_path / "nowhere"
    status, output = preloaded(ROOT).run(["grade", str(missing)], os.environ, 60)
    assert (status, output) == (2, f"There is no submission at {missing}\n")


def test_a_grader_that_takes_too_long_is_killed_with_all_that_it_started(
    submission, tmp_path, own_preloaded
):
    folder = submission(attention="import time\ntime.sleep(600)\n")
    arguments = ["grade", str(folder), "--results", str(tmp_path / "r.json"), "--only", "3a"]
    with pytest.raises(subprocess.TimeoutExpired):
        own_preloaded.run(arguments, os.environ, 0.5)
    wait_until(lambda: len(graders(own_preloaded)) == 1)


@pytest.fixture
def own_preloaded() -> Iterator[Preloaded]:
    """A preloaded process that no other test has had a run of."""
    made = Preloaded([str(ROOT / ".venv/bin/python"), "-I"], os.environ)
    yield made
    made.close()


def graders(made: Preloaded) -> list[str]:
    """A preloaded process and what it has forked that still runs."""
    mark = made.mark.encode()
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if mark in command.read_bytes():
                found.append(command.parent.name)
    return found
