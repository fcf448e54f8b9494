"""Trainings in the background, and the time limit of a whole run."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, NamedTuple

import pytest

from autograder.assignment import Assignment
from autograder.examination import Examination, Kept
from autograder.feedback import Feedback
from autograder.machine import cores
from autograder.plugin import GradingPlugin


class Job(NamedTuple):
    """A part's work in the background: its name, where its result is kept, the most seconds."""

    part: str
    name: str
    kept: Callable[[Examination], Kept[Any]]
    seconds: Callable[[Assignment], float]


JOBS = (  # the longest first
    Job("2c", "CNN", lambda e: e.cnn_training, lambda a: a.cnn.training.seconds),
    Job("3c", "Vision Transformer", lambda e: e.transformer_training,
        lambda a: a.seconds.brief_training),
    Job("2b", "fully connected network", lambda e: e.fully_connected_training,
        lambda a: a.fully_connected.training.seconds),
    Job("3c", "submitted weights", lambda e: e.transformer_weights,
        lambda a: a.seconds.predictions),
)  # fmt: skip


def needed(only: frozenset[str]) -> Iterator[Job]:
    """The jobs that the parts to be graded need; all of them where none are named."""
    return (job for job in JOBS if not only or job.part in only)


@contextlib.contextmanager
def start_trainings(examination: Examination, only: frozenset[str]) -> Iterator[None]:
    """Start what takes long, the longest first, one for each core; ended with the block."""
    pool = ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="training")
    try:
        for job in needed(only):
            job.kept(examination).start(pool)
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        examination.stop()


def plan(assignment: Assignment, only: frozenset[str] = frozenset()) -> str:
    """What will be done in which time, for staff."""
    listed = ", ".join(
        f"{job.name} (at most {job.seconds(assignment):g} s)" for job in needed(only)
    )
    count = cores()
    return (
        f"Plan: on {count} core{'s' * (count > 1)}, in the background {listed or 'nothing'}; "
        f"meanwhile the lines that need none of these; all of it within "
        f"{assignment.seconds.total:g} s."
    )


def run_limited(
    run: Callable[[], None],
    plugin: GradingPlugin,
    *,
    seconds: float,
    stop_on: tuple[signal.Signals, ...],
) -> None:
    """Run the suites until they end, the time is up, or one of the signals comes.

    Lines that were not reached say so, and why. Main thread only.
    """
    reason = ""

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal reason
        reason = (
            f"the time for grading ({seconds:g} seconds) was up"
            if number == signal.SIGALRM
            else "the grader was told to stop"
        )
        signal.setitimer(signal.ITIMER_REAL, 0)
        pytest.exit(reason)

    before = {number: signal.signal(number, stop) for number in (*stop_on, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        run()
    except pytest.exit.Exception:
        pass  # the signal came before or after pytest's own loop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if reason:
        plugin.faults.pop("pytest", None)
        for line in plugin.lines.values():
            if not line.reached:
                line.feedback = Feedback(f"Not reached: {reason} before this line.")
