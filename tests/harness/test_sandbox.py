"""A worker's life as the grader sees it: whatever ends it, nothing of it is left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.confined.confine import Limits
from autograder.confined.wire import Message
from autograder.homework import STUDENT_MODULES
from autograder.hw5 import assignment as assignments
from autograder.sandbox.client import Sandbox
from autograder.sandbox.errors import SandboxFault, WorkerDied
from autograder.sandbox.worker import Worker


@pytest.fixture
def sandbox(temporary, open_folder, monkeypatch) -> Iterator[Sandbox]:
    """A sandbox for an empty submission, with a temporary folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (open_folder / "submission").mkdir()
    sandbox = Sandbox(
        open_folder / "submission",
        STUDENT_MODULES,
        Limits(**assignments.load().worker.model_dump()),
        {},
    )
    yield sandbox
    sandbox.close()


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_worker_is_gone_after_its_block(sandbox, temporary):
    with sandbox.worker() as worker:
        assert is_running(worker.pid)
        assert list(temporary.iterdir()) == [worker.scratch]
    assert not is_running(worker.pid)
    assert list(temporary.iterdir()) == []
    assert len(sandbox.endings) == 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, pytest.exit.Exception])
def test_a_run_that_is_told_to_stop_while_a_worker_starts_leaves_none(
    sandbox, temporary, interruption, monkeypatch
):
    started = []

    def interrupted(worker: Worker) -> list[str]:
        started.append(worker.pid)
        raise interruption("stop")

    monkeypatch.setattr(Worker, "wait_until_ready", interrupted)
    with pytest.raises(interruption), sandbox.worker():
        pass
    assert len(started) == 1
    assert not is_running(started[0])
    assert list(temporary.iterdir()) == []


def test_a_worker_that_cant_be_confined_is_a_fault_and_leaves_nothing(
    sandbox, temporary, monkeypatch
):
    def unready(worker: Worker, seconds: float, doing: str) -> Message:
        return Message({"error": "no Landlock"})

    monkeypatch.setattr(Worker, "_read", unready)
    with pytest.raises(SandboxFault, match="no Landlock"), sandbox.worker():
        pass
    assert len(sandbox.endings) == 1
    assert list(temporary.iterdir()) == []


def test_a_worker_that_died_while_starting_is_told_of_and_leaves_nothing(
    sandbox, temporary, monkeypatch
):
    def died(worker: Worker) -> list[str]:
        raise worker._died("starting")

    monkeypatch.setattr(Worker, "wait_until_ready", died)
    with pytest.raises(WorkerDied), sandbox.worker():
        pass
    assert len(sandbox.endings) == 1
    assert list(temporary.iterdir()) == []
