"""A worker's side of a task: one run of the grader, kept by a process that sees to its end.

Runs are forked from a process that has torch and the grader loaded, one for all runs of this
process (`staff/preloaded.py`). Where that can't be had, a run is started as a program.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from autograder.confined.surroundings import kept
from autograder.staff.preloaded import NOT_STARTED, Gone, Preloaded

KEEPER = Path(__file__).with_name("keeper.py")
GRADER = (sys.executable, "-I", "-m", "autograder.launch")
OF_THE_FOLDER = {  # faults that every task would meet, and what to do
    errno.ENOSPC: "make room for {}",
    errno.EDQUOT: "make room for {}",
    errno.EROFS: "make {} writable",
}
STOPPED = "nobody waits for it"  # as the keeper says it
MAX_SAID = 300  # characters
PATHS: list[Path] = []  # where graders look too, for code that isn't the installed one

_guard = threading.Lock()
_stops: set[Callable[[], None]] = set()  # each ends a run that is under way here
_stopping = threading.Event()
_from_which: list[Preloaded] = []  # one at most


def keep(
    command: Sequence[str], seconds: float, into: Path, program: Sequence[str] = ()
) -> dict[str, Any]:
    """Let a keeper run the grader and move what it wrote to a file; the keeper's report.

    command: of the grader, without the option that names the results
    program: which runs it instead of the grader; in tests alone

    The report has `ended`, `status`, `seconds`, `peak_mib` and `printed`; or, of a fault of the
    machine, `failed` and `errno`.
    """
    asked = {"command": list(command), "seconds": seconds, "into": str(into)}
    said = None if program else _forked(asked)
    if said is None:
        said = _started({**asked, "command": [*(program or GRADER), *command]})
    try:
        report: dict[str, Any] = json.loads(said)
    except ValueError:
        return {"ended": "killed", "status": -9, "seconds": 0.0, "peak_mib": 0.0, "printed": ""}
    return report


def failed(problem: OSError) -> dict[str, Any]:
    """The report of a run that a fault of the machine kept from starting."""
    return {"failed": problem.strerror or str(problem), "errno": problem.errno}


def trouble(report: Mapping[str, Any], seconds: float, left: bool) -> str:
    """Why a run can't count, in one sentence; empty where it may.

    seconds: that it might take
    left:    whether it left a file that can be read
    """
    if report["ended"] == STOPPED:
        return "Grading was stopped."
    if report["ended"] == "out of time":
        return f"Grading did not end within {seconds:,.0f} seconds."
    if report["ended"] == "killed":
        return "What kept the grading was killed, as where memory runs out."
    if report["status"] < 0:
        return f"The grader was killed by signal {-report['status']}."
    return "" if left else f"The grader left no results: {last_said(report)}"


def trouble_in(results: Mapping[str, Any], said: str) -> str:
    """Why results that a grading left can't count, in one sentence; empty where they do.

    said: what the grader printed last
    """
    extra = results.get("extra_data") or {}
    if not results.get("tests"):
        trace = str(next(iter((extra.get("faults") or {}).values()), said)).strip().splitlines()
        return f"The grader failed: {(trace[-1] if trace else said)[:MAX_SAID]}"
    if not extra.get("complete"):
        return f"The grader was stopped before it had finished: {said}"
    return ""


def last_said(report: Mapping[str, Any]) -> str:
    """The last line that a run printed."""
    said = report["printed"].strip().splitlines()
    return str(said[-1] if said else "nothing was said")[:MAX_SAID]


def begin() -> None:
    """Let runs of this process start, after those before were stopped."""
    _stopping.clear()


def stop_all() -> None:
    """Let the runs of this process end early, those that start later too; none counts."""
    with _guard:
        _stopping.set()
        stops, preloaded = list(_stops), _from_which[:1]
    for stop in stops:
        with contextlib.suppress(OSError):
            stop()
    for one in preloaded:
        _forget(one)


def _forked(asked: Mapping[str, Any]) -> bytes | None:
    """What a keeper says whose grader is forked from a process with torch; None without one."""
    asked = {**asked, "keeper": str(KEEPER), "environment": kept(os.environ)}
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
    """The process that graders are forked from: one for all runs of this process."""
    with _guard:
        if not _from_which:
            _from_which.append(_new_preloaded())
            atexit.register(_forget, _from_which[0])
        return _from_which[0]


def _new_preloaded() -> Preloaded:
    return Preloaded([sys.executable, "-I"], os.environ, paths=tuple(PATHS))


def _forget(preloaded: Preloaded | None) -> None:
    """End it; the next run starts another."""
    with _guard:
        if preloaded not in _from_which:
            return
        _from_which.remove(preloaded)
    preloaded.close()
