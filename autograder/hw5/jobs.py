"""What takes long, done in the background: which part needs it, how long it may take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from autograder.hw5.assignment import Assignment
from autograder.hw5.examination import Examination
from autograder.rubric.evidence import Kept
from autograder.training.machine import cores


class Job(NamedTuple):
    """A part's work in the background: the lines that need it, its name, where its result is kept,
    the most seconds.
    """

    part: str
    lines: tuple[str, ...]
    name: str
    kept: Callable[[Examination], Kept[Any]]
    seconds: Callable[[Assignment], float]


JOBS = (  # the longest first
    Job(
        part="2c",
        lines=("2c.4",),
        name="CNN",
        kept=lambda e: e.cnn_training,
        seconds=lambda a: a.cnn.training.cpu_seconds,
    ),
    Job(
        part="3c",
        lines=("3c.1",),
        name="Vision Transformer",
        kept=lambda e: e.transformer_training,
        seconds=lambda a: a.seconds.brief_training,
    ),
    Job(
        part="2b",
        lines=("2b.3",),
        name="fully connected network",
        kept=lambda e: e.fully_connected_training,
        seconds=lambda a: a.fully_connected.training.cpu_seconds,
    ),
    Job(
        part="3c",
        lines=("3c.2", "3c.4"),
        name="submitted weights",
        kept=lambda e: e.transformer_weights,
        seconds=lambda a: a.seconds.predictions,
    ),
)


def needed(only: frozenset[str]) -> Iterator[Job]:
    """The jobs that the parts and lines to be graded need; all of them where none are named."""
    return (job for job in JOBS if not only or only & {job.part, *job.lines})


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
        f"Plan: {count} core{'s' * (count > 1)}; in the background: {listed or 'nothing'}; "
        f"meanwhile the lines that need none of this. Time limit: {assignment.seconds.total:g} s."
    )
