"""One grading of a class, as a worker does it: from a few paths to a file in the class's folder.

It is claimed by a lock, so that two workers never do the same, and what is there already is left.

    the grader ends, whatever the score   results/ID.json, also where it tells of a fault of its own
    it is stopped from here               nothing: it is done again
    it leaves no results, or none that
      are complete; its time is up        trouble/ID.json with a sentence
    the disk is full                      as above where there is room for it, and the regrade stops
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from autograder.confined.surroundings import kept
from autograder.homework import GRADED_PARTS
from autograder.staff.classroom import merging
from autograder.staff.classroom.records import (
    BEFORE,
    RESULTS,
    TROUBLE,
    read_json,
    write_json,
)
from autograder.staff.preloaded import NOT_STARTED, Gone, Preloaded

ROOT = Path(__file__).resolve().parents[3]
KEEPER = Path(__file__).with_name("keeper.py")
RUNNING = "running"
GRADER = str(ROOT / "run_autograder")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
STOPPED = "nobody waits for it"  # as the keeper says it
LOOK_SECONDS = 0.2
MAX_SAID = 300  # characters

_guard = threading.Lock()
_stops: set[Callable[[], None]] = set()  # each ends a grading that is under way here
_stopping = threading.Event()
_from_which: list[Preloaded] = []  # one at most


@dataclass(frozen=True)
class Grading:
    """What a worker is told: paths, a seed, and what each part is to be graded with.

    folder:  of the class
    wanted:  part -> what it is graded with: digests, seed, torch
    seconds: after which the grader is stopped
    room:    where the results go: results, or again
    command: the grader; other than usual in tests alone
    """

    id: str
    folder: str
    source: str
    wanted: Mapping[str, Mapping[str, Any]]
    seed: int
    options: tuple[str, ...]
    seconds: float
    room: str = RESULTS
    command: tuple[str, ...] = (GRADER,)

    def written(self) -> dict[str, Any]:
        """As it travels."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How a grading went.

    graded:  whether the grader ran; not where the results were there already
    trouble: why there are no results, in one sentence
    stop:    why no other grading can go better, in one sentence
    """

    id: str
    graded: bool = False
    trouble: str = ""
    stop: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0


def run(told: dict[str, Any]) -> dict[str, Any]:
    """Grade as told, unless that has been done; how it went. Never raises for a submission."""
    grading = Grading(**told)
    try:
        with _claimed(grading):
            return asdict(_grade(grading))
    except OSError as problem:
        return asdict(_no_room(grading, problem.errno, problem.strerror or str(problem)))


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
        return _no_room(grading, report.get("errno"), report["failed"])
    figures = {"seconds": report["seconds"], "peak_mib": report["peak_mib"]}
    if report["ended"] == STOPPED:
        return Outcome(grading.id, trouble="Grading was stopped.", **figures)
    trouble = _trouble(grading, report, new)
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
    command = [*grading.command, grading.source, "--seed", str(grading.seed), *only]
    asked = {
        "command": [*command, *grading.options],
        "seconds": grading.seconds,
        "into": str(fresh),
    }
    said = _forked(asked) if grading.command == (GRADER,) else None
    if said is None:
        said = _started(asked)
    try:
        report: dict[str, Any] = json.loads(said)
    except ValueError:
        return {"ended": "killed", "status": -9, "seconds": 0.0, "peak_mib": 0.0, "printed": ""}
    return report


def _forked(asked: Mapping[str, Any]) -> bytes | None:
    """What a keeper says whose grader is forked from a process with torch; None without one."""
    asked = {
        **asked,
        "command": ["grade", *asked["command"][1:]],
        "keeper": str(KEEPER),
        "environment": kept(os.environ),
    }
    preloaded = None
    try:
        preloaded = _preloaded()
        life = preloaded.ask(asked)
    except (Gone, OSError):
        _forget(preloaded)
        return None
    with life:
        said = _said(life.makefile("rb"), lambda: life.shutdown(socket.SHUT_WR))
    return None if said == NOT_STARTED else said


def _started(asked: Mapping[str, Any]) -> bytes:
    """What a keeper says that runs as a program, and starts the grader as one."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(KEEPER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        keeper.stdin.write(json.dumps(asked).encode() + b"\n")
        keeper.stdin.flush()
        return _said(keeper.stdout, keeper.stdin.close)


def _said(stream: IO[bytes], stop: Callable[[], None]) -> bytes:
    """Everything that a keeper says; `stop` may be called meanwhile."""
    with _guard:
        _stops.add(stop)
        stopping = _stopping.is_set()
    if stopping:
        with contextlib.suppress(OSError):
            stop()
    try:
        return stream.read()
    except OSError:  # it was killed
        return b""
    finally:
        with _guard:
            _stops.discard(stop)


def _preloaded() -> Preloaded:
    """The process that graders are forked from: one for all gradings of this process."""
    with _guard:
        if not _from_which:
            _from_which.append(Preloaded([sys.executable, "-I"], os.environ))
            atexit.register(_forget, _from_which[0])
        return _from_which[0]


def _forget(preloaded: Preloaded | None) -> None:
    """End it; the next grading starts another."""
    with _guard:
        if preloaded not in _from_which:
            return
        _from_which.remove(preloaded)
    preloaded.close()


def begin() -> None:
    """Let gradings of this process start, after those before were stopped."""
    _stopping.clear()


def stop_all() -> None:
    """Let the gradings of this process end early, those that start later too; none counts."""
    with _guard:
        _stopping.set()
        stops, preloaded = list(_stops), _from_which[:1]
    for stop in stops:
        with contextlib.suppress(OSError):
            stop()
    for one in preloaded:
        _forget(one)


def _trouble(grading: Grading, report: dict[str, Any], new: dict[str, Any] | None) -> str:
    """Why results can't count, in one sentence; empty where they do."""
    if report["ended"] == "out of time":
        return f"Grading did not end within {grading.seconds:,.0f} seconds."
    if report["ended"] == "killed":
        return "What kept the grading was killed, as where memory runs out."
    said = report["printed"].strip().splitlines()
    last = (said[-1] if said else "nothing was said")[:MAX_SAID]
    if report["status"] < 0:
        return f"The grader was killed by signal {-report['status']}."
    if new is None:
        return f"The grader left no results: {last}"
    if not new.get("tests"):
        faults = (new.get("extra_data") or {}).get("faults") or {}
        trace = str(next(iter(faults.values()), last)).strip().splitlines()
        return f"The grader failed: {(trace[-1] if trace else last)[:MAX_SAID]}"
    if not (new.get("extra_data") or {}).get("complete"):
        return f"The grader was stopped before it had finished: {last}"
    return ""


def _no_room(grading: Grading, number: int | None, why: str) -> Outcome:
    """A fault of the machine: of this submission alone, or one that every other would meet."""
    said = f"{why} (in {grading.folder})"
    with contextlib.suppress(OSError):
        if grading.room == RESULTS:
            trouble = {"trouble": f"It could not be graded: {said}."}
            write_json(Path(grading.folder) / TROUBLE / f"{grading.id}.json", trouble)
    return Outcome(
        grading.id,
        trouble=f"It could not be graded: {said}.",
        stop=f"{why}: make room for {grading.folder}." if number in FULL else "",
    )


def give_up(grading: Grading, why: str) -> Outcome:
    """A submission that no worker can grade: listed with the reason."""
    with contextlib.suppress(OSError):
        if grading.room == RESULTS:
            write_json(Path(grading.folder) / TROUBLE / f"{grading.id}.json", {"trouble": why})
    return Outcome(grading.id, graded=True, trouble=why)


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
