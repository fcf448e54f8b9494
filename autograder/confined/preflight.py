"""Runs confined, in a worker of its own and without student code: tries what must not work.

What is in force is what this proves, not what the calls that set it up returned. Each
attempt is harmless where it succeeds.
"""

from __future__ import annotations

import os
import resource
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from . import kernel_attempts
from .surroundings import names_in_memory, surplus

SMALL_STACK = 64 << 10  # bytes of a thread, so that memory isn't what ends them

NEVER: frozenset[str] = frozenset()  # stopped by how the grader starts, whatever walls are up

# Attempt -> the walls any of which must stop it. Without all of them it is only noted.
STOPPED_BY: dict[str, frozenset[str]] = {
    "write the results": frozenset({"user", "landlock"}),
    "change the submission": frozenset({"user", "landlock"}),
    "change a library": frozenset({"user", "landlock"}),
    "read the grader's memory": frozenset({"user", "landlock"}),
    "read the grader's environment": frozenset({"user", "landlock"}),
    "find the grader's environment in its own memory": NEVER,
    "signal the grader": frozenset({"user", "seccomp"}),
    "limit the grader": frozenset({"user", "seccomp"}),
    "change the rights of the grader's files": frozenset({"user", "seccomp"}),
    "raise its own limits": frozenset({"user"}),
    "start more threads than allowed": frozenset({"user"}),  # the limit doesn't bind root
    "start a process": frozenset({"seccomp"}),
    "run a program": frozenset({"seccomp"}),
    "open a TCP socket": frozenset({"seccomp"}),
    "open a UDP socket": frozenset({"seccomp"}),
    "write to a temporary folder": frozenset({"landlock"}),
    "use more memory than allowed": frozenset({"limits"}),
    "write a file larger than allowed": frozenset({"limits"}),
    "open more files than allowed": frozenset({"limits"}),
    **dict.fromkeys(kernel_attempts.ATTEMPTS, frozenset({"seccomp"})),
}


def reading(secret: str) -> str:
    """The attempt to read a secret, such as "the test labels"."""
    return f"read {secret}"


def stopped_by(attempt: str) -> frozenset[str]:
    """The walls any of which must stop an attempt; what isn't listed reads a secret."""
    return STOPPED_BY.get(attempt, frozenset({"user", "landlock"}))


def must_fail(attempt: str, walls: Collection[str]) -> bool:
    """Whether an attempt must fail where these walls are in force."""
    walls_against = stopped_by(attempt)
    return walls_against == NEVER or not walls_against.isdisjoint(walls)


def attempts(places: dict[str, Any]) -> dict[str, bool]:
    """Try everything; True for what worked.

    places: "secrets" (what must not be read: name -> path), "code", "results", "submission",
    "library" (paths), "grader" (pid), "memory_mib", "file_mib", "open_files", "processes"
    """
    grader = Path("/proc") / str(places["grader"])
    tries: dict[str, Callable[[], object]] = {
        **{reading(name): partial(_read, path) for name, path in places["secrets"].items()},
        "write the results": lambda: _append(places["results"]),
        "change the submission": lambda: _create(places["submission"]),
        "change a library": lambda: _create(places["library"]),
        "read the grader's memory": lambda: _read(grader / "maps"),
        "read the grader's environment": lambda: _read(grader / "environ"),
        "find the grader's environment in its own memory": _environment_in_memory,
        "signal the grader": lambda: os.kill(places["grader"], 0),
        "limit the grader": lambda: _set_limit_as_it_is(places["grader"]),
        "change the rights of the grader's files": lambda: _set_rights_as_they_are(places["code"]),
        "raise its own limits": _raise_limit,
        "start more threads than allowed": lambda: _many_threads(places["processes"] + 1),
        "start a process": _fork,
        "run a program": _execute,
        "open a TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "open a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "write to a temporary folder": _write_temporary,
        "use more memory than allowed": lambda: bytearray((places["memory_mib"] + 16) << 20),
        "write a file larger than allowed": lambda: _large_file(places["file_mib"] + 1),
        "open more files than allowed": lambda: _many_files(places["open_files"] + 1),
        **kernel_attempts.ATTEMPTS,
    }
    return {name: works(action) for name, action in tries.items()}


def works(action: Callable[[], object]) -> bool:
    """Whether an attempt succeeds; what can't be done raises one of these."""
    try:
        action()
    except (OSError, MemoryError, ValueError, RuntimeError):
        return False  # the last two: of setrlimit, and of threads
    return True


def _read(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(1)


def _environment_in_memory() -> None:
    if not surplus(names_in_memory()):
        raise PermissionError


def _append(path: str) -> None:
    """Open a file for writing; where there is none yet, make another in its folder."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    except FileNotFoundError:
        _create(str(Path(path).parent))


def _create(folder: str) -> None:
    file = Path(folder) / f".preflight-{os.getpid()}"
    file.touch()
    file.unlink()


def _set_limit_as_it_is(process: int) -> None:
    which = resource.RLIMIT_CORE
    resource.prlimit(process, which, resource.prlimit(process, which))


def _set_rights_as_they_are(path: str) -> None:
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))


def _raise_limit() -> None:
    """Allow itself one more process than the hard limit, then what it had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard + 1))
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


def _many_threads(count: int) -> None:
    done = threading.Event()
    started: list[threading.Thread] = []
    usual = threading.stack_size(SMALL_STACK)
    try:
        while len(started) < count:
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    finally:
        threading.stack_size(usual)
        done.set()
        for thread in started:
            thread.join()


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _execute() -> None:
    try:
        os.execv("/nonexistent/program", ["program"])
    except FileNotFoundError:
        return  # the call itself was allowed: it looked for the program


def _write_temporary() -> None:
    folders = [Path(folder) for folder in ("/tmp", "/var/tmp", "/dev/shm")]
    worked = 0
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder):
                worked += 1
        except OSError:
            continue
    if not worked:
        raise PermissionError


def _large_file(mib: int) -> None:
    with tempfile.TemporaryFile(dir=".") as file:
        os.ftruncate(file.fileno(), mib << 20)


def _many_files(count: int) -> None:
    opened: list[int] = []
    try:
        while len(opened) < count:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for descriptor in opened:
            os.close(descriptor)
