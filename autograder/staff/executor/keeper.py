"""Keeps one grading: a process of its own, which starts the grader and sees to its end.

It is forked from one that has torch loaded (`staff/preloaded.py`), or runs as a program, with the
standard library alone. A stream tells it what to do, as a line of JSON; the end of the stream
tells it to stop: who asked has died. Whatever happens, the grader's process group is killed at
the end, and its temporary files are removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

LOOK_SECONDS = 0.02
GRACE_SECONDS = 10.0  # for a grader that is told to stop
TAIL = 4_000  # characters of what it printed last
SET_PARENT_DEATH_SIGNAL = 1  # prctl's number for it
KIBIBYTE = 1 if sys.platform == "linux" else 1024  # of ru_maxrss's unit

Start = Callable[[list[str], BinaryIO, Path], int]
"""Starts a command that prints to a file and has a folder for temporary ones; its process."""


def report(asked: Mapping[str, Any], *, start: Start, life: int) -> bytes:
    """Keep a grader; what came of it, as JSON.

    life: a stream whose end stops the grader
    """
    try:
        said = keep(asked["command"], asked["seconds"], asked["into"], start, life)
    except OSError as problem:
        said = {"failed": problem.strerror or str(problem), "errno": problem.errno}
    return json.dumps(said).encode()


def keep(command: list[str], seconds: float, into: str, start: Start, life: int) -> dict[str, Any]:
    """Run a grader and move its results to a file; how it ended, in which time and memory.

    command: without the option that names the results
    """
    folder = Path(tempfile.mkdtemp(prefix="autograder-kept-"))
    folder.chmod(0o755)  # the process that runs a submission is another user
    try:
        with (folder / "printed").open("w+b") as printed:
            results = folder / "results.json"
            started = time.monotonic()
            pid = start([*command, "--results", str(results)], printed, folder)
            report = _see_to(pid, started, seconds, life)
            printed.seek(0, os.SEEK_END)
            printed.seek(max(printed.tell() - TAIL, 0))
            report["printed"] = printed.read().decode(errors="replace")
        if results.is_file():
            temporary = Path(into).with_suffix(".new")
            shutil.copyfile(results, temporary)
            temporary.replace(into)
            report["results"] = True
        return report
    finally:
        _remove(folder)


def _see_to(pid: int, started: float, seconds: float, life: int) -> dict[str, Any]:
    try:
        status, used, ended = _wait(pid, started + seconds, life)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    return {
        "ended": ended,
        "status": os.waitstatus_to_exitcode(status),
        "seconds": round(time.monotonic() - started, 3),
        "peak_mib": round(used.ru_maxrss * KIBIBYTE / 1024, 1),
    }


def _wait(pid: int, deadline: float, life: int) -> tuple[int, Any, str]:
    """Wait for the grader; stop it where its time is up, or nobody waits for it any more."""
    ended = "by itself"
    kill_at = float("inf")
    while True:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            return status, used, ended
        now = time.monotonic()
        if now > kill_at:
            os.killpg(pid, signal.SIGKILL)
        if ended != "by itself":
            time.sleep(LOOK_SECONDS)
            continue
        if now > deadline:
            ended = "out of time"
        elif select.select([life], [], [], LOOK_SECONDS)[0]:
            ended = "nobody waits for it"
        if ended != "by itself":
            kill_at = now + GRACE_SECONDS
            os.kill(pid, signal.SIGTERM)


def one_core() -> socket.socket:
    """Keep to a processor of this machine that no other grading has; to all where none is left.

    The claim is a socket in Linux's abstract namespace, so that the kernel drops it with us.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform != "linux":
        return claim
    for core in cores():
        try:
            claim.bind(f"\0autograder-core-{core}")
        except OSError:
            continue
        keep_to([core])
        break
    return claim


def cores() -> list[int]:
    """The processors that this process may use; none where that can't be told."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def keep_to(chosen: Sequence[int]) -> None:
    """Use these processors alone."""
    if chosen:
        os.sched_setaffinity(0, chosen)


def die_with_keeper() -> None:
    """Let the kernel kill this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _remove(folder: Path) -> None:
    for _ in range(5):  # a process that is being killed may still write
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(LOOK_SECONDS)


def spawn(command: list[str], printed: BinaryIO, folder: Path) -> int:
    """Start the grader as a program."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
        preexec_fn=die_with_keeper,
    )
    process.returncode = 0  # it is waited for by its number
    return process.pid


def main() -> None:
    """Keep the grading that standard input tells of; the report goes to standard output."""
    for number in (signal.SIGINT, signal.SIGHUP):  # of the terminal: who asked sees to that
        signal.signal(number, signal.SIG_IGN)
    asked = b""
    while not asked.endswith(b"\n"):  # unbuffered, so that the end of the stream can be seen
        read = os.read(sys.stdin.fileno(), 1 << 16)
        if not read:
            return
        asked += read
    with contextlib.suppress(BrokenPipeError):  # nobody is left to be told
        with one_core():
            said = report(json.loads(asked), start=spawn, life=sys.stdin.fileno())
        os.write(sys.stdout.fileno(), said)


if __name__ == "__main__":
    main()
