"""Time of a submission's code: what counts is what it computes, not how busy the machine is."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograder.confined.confine import Limits
from autograder.homework import STUDENT_MODULES
from autograder.hw5 import assignment as assignments
from autograder.rubric.digesting import digesting
from autograder.rubric.evidence import Kept
from autograder.rubric.feedback import of_worker_error
from autograder.sandbox.budget import Budget, Clock, processor_seconds
from autograder.sandbox.client import Sandbox
from autograder.sandbox.errors import Limit, OutOfTime, TookTooLong
from autograder.sandbox.replies import ModuleReply
from autograder.sandbox.worker import Worker

from .test_plugin import LINE, run

BUSY = "while True: pass"
ASLEEP = "import time; time.sleep(600)"


@contextmanager
def running(code: str) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def after(pid: int, enough: Callable[[float], bool]) -> float:
    """The processor time of a process once it is enough; the test's own limit ends the wait."""
    while True:
        used = processor_seconds(pid)
        assert used is not None
        if enough(used):
            return used
        time.sleep(0.05)


def look_until_over(clock: Clock) -> None:
    while True:
        clock.look()
        time.sleep(0.01)


def test_processor_time_is_counted_and_waiting_is_not():
    with running(BUSY) as busy, running(ASLEEP) as asleep:
        after(busy, lambda used: used > 0.5)
        at_start = after(asleep, lambda used: used > 0)
        time.sleep(0.5)
        used = processor_seconds(asleep)
        assert used is not None
        assert used < at_start + 0.4
    assert processor_seconds(busy) is None


def test_a_stopped_process_uses_no_processor_time():
    with running(BUSY) as pid:
        after(pid, lambda used: used > 0.1)
        os.kill(pid, signal.SIGSTOP)
        with Budget(waiting=1000.0).question(pid, 0.2) as clock:
            time.sleep(0.3)
            clock.look()  # it waited, as on a busy machine
            os.kill(pid, signal.SIGCONT)
            with pytest.raises(TookTooLong) as caught:
                look_until_over(clock)
    assert caught.value.limit == Limit(0.2, processor=True, shared=False)


@pytest.mark.parametrize(
    ("code", "budget", "limit"),
    [
        (BUSY, Budget(processor=0.2), Limit(0.2, processor=True, shared=True)),
        (ASLEEP, Budget(wall=0.2), Limit(0.2, processor=False, shared=True)),
        (ASLEEP, Budget(waiting=0.002), Limit(0.2, processor=False, shared=False)),
    ],
)
def test_each_limit_ends_a_question_and_is_named(code, budget, limit):
    with running(code) as pid, budget.question(pid, 100.0) as clock:
        with pytest.raises(TookTooLong) as caught:
            look_until_over(clock)
        assert caught.value.limit == limit
        assert (clock.wall_left() == 0) is not limit.processor


def test_questions_share_a_budget():
    budget = Budget(wall=1.0)
    with running(ASLEEP) as pid:
        with budget.question(pid, 100.0) as clock:
            time.sleep(0.6)
            clock.look()
        with budget.question(pid, 100.0) as clock:
            assert clock.wall_left() <= 0.4
            time.sleep(0.5)
            with pytest.raises(TookTooLong):
                clock.look()


def test_the_end_of_the_run_is_nobodys_fault():
    with (
        running(ASLEEP) as pid,
        Budget(left=lambda: 0.0).question(pid, 100.0) as clock,
        pytest.raises(OutOfTime),
    ):
        clock.look()
    assert not issubclass(OutOfTime, TookTooLong)
    with pytest.raises(OutOfTime), digesting("asking"):
        raise OutOfTime


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (Limit(30.0, True, False), "did not finish within 30 seconds of processor time while"),
        (Limit(60.0, False, False), "did not finish within 60 seconds while"),
        (Limit(45.0, True, True), "more than 45 seconds of processor time, which is all the time"),
        (Limit(90.0, False, True), "more than 90 seconds, which is all the time for this part"),
    ],
)
def test_a_student_is_told_which_limit_it_was(limit, said):
    assert said in of_worker_error(TookTooLong(limit)).text()


# --- a real worker ----------------------------------------------------------------------------


SLOW = """
import time
from torch import nn


class SingleHeadAttention(nn.Module):
    def __init__(self, input_dim, inner_dim, dropout=0.0):
        super().__init__()
        self.projection = nn.Linear(input_dim, inner_dim)
        before = time.process_time()
        {work}

    def forward(self, x):
        return x
"""
WAITS = SLOW.format(work="time.sleep(0.4)")
COMPUTES = SLOW.format(work="while time.process_time() - before < 0.4: pass")


@pytest.fixture
def sandbox_for(temporary, open_folder, monkeypatch) -> Iterator[Callable[[str], Sandbox]]:
    """Makes a sandbox for an attention.py, with a temporary folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    made = []

    def make(attention: str) -> Sandbox:
        folder: Path = open_folder / f"submission{len(made)}"
        folder.mkdir()
        (folder / "attention.py").write_text(attention)
        limits = Limits(**assignments.load().worker.model_dump())
        made.append(Sandbox(folder, STUDENT_MODULES, limits, {}))
        return made[-1]

    yield make
    for sandbox in made:
        sandbox.close()


def constructed(worker: Worker, seconds: float = 60.0) -> None:
    worker.ask(
        "construct",
        ModuleReply,
        seconds=seconds,
        doing="making SingleHeadAttention",
        file="attention.py",
        names=["SingleHeadAttention"],
        arguments={"input_dim": 3, "inner_dim": 2, "dropout": 0.0},
        heads="student",
    )


def test_slow_but_finite_code_uses_up_what_its_part_has(sandbox_for):
    budget = Budget(processor=2.0)
    sandbox = sandbox_for(COMPUTES)
    constructions = []

    def construct_again() -> None:
        while len(constructions) < 10:
            with sandbox.within(budget).worker() as worker:
                constructed(worker)
                constructions.append(worker)

    with pytest.raises(TookTooLong) as caught:
        construct_again()
    assert caught.value.limit == Limit(2.0, processor=True, shared=True)
    assert caught.value.doing == "making SingleHeadAttention"
    assert constructions
    with sandbox.within(Budget(processor=60.0)).worker() as worker:  # another part's is untouched
        constructed(worker)


def test_code_that_waits_uses_none_of_the_processor_time(sandbox_for):
    budget = Budget(processor=60.0, wall=60.0)
    with sandbox_for(WAITS).within(budget).worker() as worker:
        constructed(worker)
        constructed(worker)
    assert budget._used_wall >= 0.8


def test_a_run_that_is_over_ends_its_workers(sandbox_for, temporary):
    sandbox, over = sandbox_for(WAITS), threading.Event()
    budget = Budget(left=lambda: 0.0 if over.is_set() else 60.0)
    with sandbox.within(budget).worker() as worker:
        constructed(worker)
        over.set()
        with pytest.raises(OutOfTime):
            constructed(worker)
        assert not Path(f"/proc/{worker.pid}").exists()
    with pytest.raises(OutOfTime), sandbox.within(budget).worker():
        pass
    assert len(sandbox.endings) == 1


# --- evidence that waits ----------------------------------------------------------------------


def test_evidence_that_is_there_is_given_when_the_time_is_up():
    kept = Kept(lambda: 3, left=lambda: -1.0)
    assert kept.get() == 3


def test_evidence_that_is_not_there_in_time_is_not_waited_for():
    over, done = threading.Event(), threading.Event()

    def slow() -> int:
        done.wait()
        return 3

    kept = Kept(slow, left=lambda: -1.0 if over.is_set() else math.inf)
    other = threading.Thread(target=kept.get)
    other.start()
    over.set()
    while kept._future is None:
        time.sleep(0.01)
    with pytest.raises(OutOfTime):
        kept.get()
    done.set()
    other.join()
    assert kept.get() == 3


def test_a_line_that_was_not_reached_in_time_says_so_and_is_flagged(tmp_path):
    recorder = run(
        tmp_path / "suites",
        late=LINE.format(number="1a.1") + "    raise OutOfTime\n",
        good=LINE.format(number="1b.1"),
    )
    assert recorder.lines["1a.1"].result().output.startswith("Not reached: the time for the whole")
    assert recorder.lines["1b.1"].result().score == 1
    assert recorder.plugin.faults == {}
    assert [flag["line"] for flag in recorder.plugin.flags] == ["1a.1"]
