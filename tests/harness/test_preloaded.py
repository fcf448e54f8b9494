"""Forked graders stand for graders that are started anew: same surroundings, same endings."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, preloaded, run_grader, wait_until

MODULES = """
import sys
names = sorted(name for name in sys.modules if name != "attention")
grader = [name for name in names if name.partition(".")[0] in ("autograder", "harness", "tests")]
raise RuntimeError(f"{len(names)} modules, {hash(tuple(map(len, names)))}, {grader}")
"""


@pytest.mark.full
def test_a_worker_holds_the_same_modules_as_in_a_run_started_anew(submission, tmp_path):
    folder = submission(attention=MODULES)
    forked = run_grader(folder, tmp_path, "--only", "3a").text("3a.1")
    started_anew = run_grader(folder, tmp_path, "--only", "3a", anew=True).text("3a.1")
    assert " modules, " in forked
    assert "autograder.confined.worker" in forked
    assert forked == started_anew


def test_an_exit_status_and_what_was_printed_come_back(tmp_path):
    missing = tmp_path / "nowhere"
    status, output = preloaded(ROOT).run(["grade", str(missing)], os.environ, 60)
    assert (status, output) == (2, f"There is no submission at {missing}\n")


def test_a_grader_that_takes_too_long_is_killed_with_all_that_it_started(submission, tmp_path):
    folder = submission(attention="import time\ntime.sleep(600)\n")
    arguments = ["grade", str(folder), "--results", str(tmp_path / "r.json"), "--only", "3a"]
    preloaded(ROOT)
    wait_until(lambda: len(graders()) == 1)
    with pytest.raises(subprocess.TimeoutExpired):
        preloaded(ROOT).run(arguments, os.environ, 0.5)
    wait_until(lambda: len(graders()) == 1)


def graders() -> list[str]:
    """The processes of this test process's graders, the preloaded one among them."""
    mark = preloaded(ROOT).mark.encode()
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if mark in command.read_bytes():
                found.append(command.parent.name)
    return found
