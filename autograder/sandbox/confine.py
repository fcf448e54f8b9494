"""Runs confined (and once in the zygote): what a worker gives up before it loads student code.

Layers, in the order they are applied; each is reported by name, so that staff can read
which of them were in force:

    session     its own session and process group, which the grader kills as a whole
    user        a random user and group id without any rights, where the grader is root
    undumpable  its memory and descriptors closed to other processes of the same user
    orphan      it dies with the process that started it
    limits      address space, CPU time, processes, open files, file size, no core dumps
    privileges  no program it starts can gain rights (no_new_privs)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import secrets
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1  # numbers of linux/prctl.h
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

FIRST_THROWAWAY_ID = 1 << 20  # above every ordinary user, below systemd's dynamic ranges' end
LAST_THROWAWAY_ID = 1 << 30


@dataclass(frozen=True)
class Limits:
    """What one worker may use. Memory is counted on top of what it starts with."""

    memory_mib: int = 1024
    cpu_seconds: int = 600
    processes: int = 48  # threads count: torch and OpenMP start some even for one thread
    open_files: int = 64
    file_mib: int = 16


def confine(limits: Limits, user: int | None) -> list[str]:
    """Apply every layer this machine allows to the calling process; returns their names.

    `user` is the id to become, or None to stay who we are. Raises OSError where a layer
    that must hold doesn't.
    """
    parent = os.getppid()
    applied = ["session"]
    os.setsid()
    os.umask(0o077)
    os.chdir("/")
    if user is not None:
        become(user)
        applied.append("user")
    if sys.platform == "linux":
        _prctl(PR_SET_DUMPABLE, 0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        applied += ["undumpable", "orphan"]
    apply_limits(limits)
    applied.append("limits")
    if sys.platform == "linux":
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        applied.append("privileges")
    return applied


def throwaway_user() -> int | None:
    """A random id for one run, or None where only root could change to it.

    Random, because limits on processes are counted per id on the whole host, so that a
    fixed one would be shared with every other container there.
    """
    if os.geteuid() != 0:
        return None
    return FIRST_THROWAWAY_ID + secrets.randbelow(LAST_THROWAWAY_ID - FIRST_THROWAWAY_ID)


def become(user: int) -> None:
    """Change to another user and group for good."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def apply_limits(limits: Limits) -> None:
    """Set the resource limits, soft and hard, so that they can't be raised again."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.file_mib << 20,
    }
    if sys.platform == "linux":
        wanted[resource.RLIMIT_AS] = address_space_bytes() + (limits.memory_mib << 20)
        wanted[resource.RLIMIT_NPROC] = limits.processes
        wanted[resource.RLIMIT_MEMLOCK] = 0
        wanted[resource.RLIMIT_MSGQUEUE] = 0
    for which, value in wanted.items():
        _, hard = resource.getrlimit(which)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        with contextlib.suppress(ValueError):  # a host may forbid a limit it doesn't know
            resource.setrlimit(which, (value, value))


def address_space_bytes() -> int:
    """The calling process's present address space (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")
