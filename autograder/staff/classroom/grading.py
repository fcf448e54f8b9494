"""One grading of a class, as a worker does it: from a few paths to a file in the class's folder.

It is claimed by a lock, so that two workers never do the same, and what is there already is left.

    the grader ends, whatever the score   results/ID.json, also where it tells of a fault of its own
    it is stopped from here               nothing: it is done again
    it leaves no results, or none that
      are complete; its time is up        trouble/ID.json with a sentence
    the disk is full                      as above where there is room for it, and the regrade stops
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.homework import GRADED_PARTS
from autograder.staff.classroom import merging
from autograder.staff.classroom.records import (
    BEFORE,
    RESULTS,
    TROUBLE,
    read_json,
    write_json,
)
from autograder.staff.executor import keeping
from autograder.staff.executor.task import Outcome, no_room

RUNNING = "running"
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Grading:
    """What a worker is told: paths, a seed, and what each part is to be graded with.

    folder:  of the class
    wanted:  part -> what it is graded with: digests, seed, torch
    seconds: after which the grader is stopped
    room:    where the results go: results, or again
    program: which runs instead of the grader; in tests alone
    """

    id: str
    folder: str
    source: str
    wanted: Mapping[str, Mapping[str, Any]]
    seed: int
    options: tuple[str, ...]
    seconds: float
    room: str = RESULTS
    program: tuple[str, ...] = ()

    def run(self) -> Outcome:
        """Grade, unless that has been done; how it went. Never raises for a submission."""
        try:
            with _claimed(self):
                return _grade(self)
        except OSError as problem:
            return _no_room(self, keeping.failed(problem))

    def give_up(self, why: str) -> Outcome:
        """A submission that no worker can grade: listed with the reason."""
        self.list_trouble(why)
        return Outcome(self.id, graded=True, trouble=why)

    def list_trouble(self, why: str) -> None:
        """Write down why there are no results, if that can be written."""
        with contextlib.suppress(OSError):
            if self.room == RESULTS:
                file = Path(self.folder) / TROUBLE / f"{self.id}.json"
                write_json(file, {"trouble": why})


def _grade(grading: Grading) -> Outcome:
    folder = Path(grading.folder)
    file = folder / grading.room / f"{grading.id}.json"
    old = read_json(file)
    parts = merging.missing(old, grading.wanted)
    if not parts:
        return Outcome(grading.id)
    fresh = folder / RUNNING / f"{grading.id}-{grading.room}.json"
    fresh.unlink(missing_ok=True)
    report = _kept(grading, parts, fresh)
    new = read_json(fresh)
    fresh.unlink(missing_ok=True)
    if "failed" in report:
        return _no_room(grading, report)
    figures = {"seconds": report["seconds"], "peak_mib": report["peak_mib"]}
    trouble = _trouble(grading, report, new)
    if report["ended"] == keeping.STOPPED:
        return Outcome(grading.id, trouble=trouble, **figures)
    if trouble or new is None:
        told = folder / TROUBLE / f"{grading.id}.json"
        if grading.room == RESULTS:
            write_json(told, {"trouble": trouble, "printed": report["printed"], **figures})
        return Outcome(grading.id, graded=True, trouble=trouble, **figures)
    whole = merging.noted(merging.merged(old, new, parts), old, grading.wanted, parts, figures)
    if grading.room == RESULTS and old is not None:
        before = folder / BEFORE / f"{grading.id}.json"
        write_json(before, _earlier(old, read_json(before)))
    write_json(file, whole)
    if grading.room == RESULTS:
        (folder / TROUBLE / f"{grading.id}.json").unlink(missing_ok=True)
    return Outcome(grading.id, graded=True, **figures)


def _earlier(old: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """What counted before this regrade: the results that it replaces, and what they left out."""
    return merging.merged(before, old, merging.parts_of(old))


def _kept(grading: Grading, parts: set[str], fresh: Path) -> dict[str, Any]:
    """Let a keeper grade; its report."""
    only = ["--only", ",".join(sorted(parts))] if parts != set(GRADED_PARTS) else []
    command = [grading.source, "--seed", str(grading.seed), *only, *grading.options]
    return keeping.keep(["grade", *command], grading.seconds, fresh, grading.program)


def _trouble(grading: Grading, report: dict[str, Any], new: dict[str, Any] | None) -> str:
    """Why results can't count, in one sentence; empty where they do."""
    trouble = keeping.trouble(report, grading.seconds, new is not None)
    return trouble or keeping.trouble_in(new or {}, keeping.last_said(report))


def _no_room(grading: Grading, report: Mapping[str, Any]) -> Outcome:
    outcome = no_room(grading.id, grading.folder, report)
    grading.list_trouble(outcome.trouble)
    return outcome


@contextlib.contextmanager
def _claimed(grading: Grading) -> Iterator[None]:
    """Be the only one to grade a submission; who came second waits, and finds it done."""
    folder = Path(grading.folder) / RUNNING
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + grading.seconds + 60
    descriptor = os.open(
        folder / f"{grading.id}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
    )
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)
