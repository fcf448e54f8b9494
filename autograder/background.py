"""Trainings in the background, and the time limit of a whole run."""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from autograder.examination import Examination, Kept
from autograder.feedback import Feedback
from autograder.plugin import GradingPlugin

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2
CPU_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")  # cgroup v1
CPU_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


@contextlib.contextmanager
def start_trainings(examination: Examination, only: frozenset[str]) -> Iterator[None]:
    """Start what takes long, the longest first, one for each core; ended with the block."""
    jobs: list[tuple[str, Kept[Any]]] = [
        ("2c", examination.cnn_training),
        ("3c", examination.transformer_training),
        ("2b", examination.fully_connected_training),
        ("3c", examination.transformer_weights),
    ]
    pool = ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="training")
    try:
        for part, job in jobs:
            if not only or part in only:
                job.start(pool)
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        examination.stop()


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


def cores() -> int:
    """Processors that this process may really use: its affinity, and its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.ceil(min(allowed or 1, quota())))


def quota() -> float:
    """Processors' worth of time that the container may use; infinite where nothing limits it."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = CPU_MAX.read_text().split()
        return math.inf if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError):
        limit, period = CPU_QUOTA.read_text(), CPU_PERIOD.read_text()
        return int(limit) / int(period) if int(limit) > 0 else math.inf
    return math.inf
