"""Trainings in the background, and the time limit of a whole run."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from autograder.assignment import Assignment
from autograder.examination import Examination, Kept
from autograder.feedback import Feedback
from autograder.machine import cores
from autograder.plugin import GradingPlugin

# Part, name, where it stands in the examination, and the most seconds; the longest first.
JOBS: tuple[tuple[str, str, str, Callable[[Assignment], float]], ...] = (
    ("2c", "CNN", "cnn_training", lambda a: a.cnn.training.seconds),
    ("3c", "Vision Transformer", "transformer_training", lambda a: a.seconds.brief_training),
    ("2b", "fully connected network", "fully_connected_training",
     lambda a: a.fully_connected.training.seconds),
    ("3c", "submitted weights", "transformer_weights", lambda a: a.seconds.predictions),
)  # fmt: skip


@contextlib.contextmanager
def start_trainings(examination: Examination, only: frozenset[str]) -> Iterator[None]:
    """Start what takes long, the longest first, one for each core; ended with the block."""
    pool = ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="training")
    try:
        for part, _, name, _ in JOBS:
            if not only or part in only:
                job: Kept[Any] = getattr(examination, name)
                job.start(pool)
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        examination.stop()


def plan(assignment: Assignment, only: frozenset[str] = frozenset()) -> str:
    """What will be done in which time, for staff."""
    listed = ", ".join(
        f"{title} (at most {seconds(assignment):g} s)"
        for part, title, _, seconds in JOBS
        if not only or part in only
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
