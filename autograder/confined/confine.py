"""Runs confined: what a worker gives up before it loads a submission's code.

Walls, in the order they go up; the worker reports those in force:

    session     its own session and process group, which the grader kills as a whole
    user        a random user and group id without any rights, where the grader is root
    undumpable  its memory and descriptors closed to other processes of the same user
    orphan      it dies with the process that started it
    limits      address space, CPU time, processes, open files, file size, no core dumps
    privileges  no program it starts can gain rights (no_new_privs)
    landlock    files: Python and the submission to read, the scratch folder to write
    seccomp     system calls: no sockets, no processes, no kernel interfaces

The last two depend on the kernel and on libseccomp, `user` on being root. A wall that is
there and can't be put up ends the worker: it is never silently weaker than it could be.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import secrets
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from . import landlock, seccomp

PR_SET_PDEATHSIG = 1  # numbers of linux/prctl.h
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

# Ids above those of people and services, and below those that systemd hands out last.
FIRST_THROWAWAY_ID = 1 << 20
LAST_THROWAWAY_ID = 1 << 30

OPTIONAL_WALLS = ("user", "landlock", "seccomp")
LIBRARY_FOLDERS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/opt")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu")


@dataclass(frozen=True)
class Limits:
    """What one worker may use. Memory is counted on top of what it starts with."""

    memory_mib: int = 512
    cpu_seconds: int = 600
    processes: int = 48  # threads count: torch and OpenMP start some even for one thread
    open_files: int = 64
    file_mib: int = 16
    scratch_mib: int = 64


def confine(
    limits: Limits,
    user: int | None,
    submission: Path,
    scratch: Path,
    without: Collection[str] = (),
) -> list[str]:
    """Put up every wall that this machine allows around the calling process; returns their names.

    user:    the id to become, or None to stay who we are
    without: optional walls that staff switched off

    Raises OSError where a wall that is available can't be put up.
    """
    parent = os.getppid()
    offer_to_oom_killer()
    os.setsid()
    os.umask(0o077)
    os.chdir(scratch)
    applied = ["session"]
    if user is not None:
        become(user)
        applied.append("user")
    if sys.platform == "linux":
        _prctl(PR_SET_DUMPABLE, 0)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # only now: changing the user clears it
        if os.getppid() != parent:
            os._exit(1)
        applied += ["undumpable", "orphan"]
    apply_limits(limits)
    applied.append("limits")
    if sys.platform == "linux":
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        applied.append("privileges")
    landlocked = landlock.abi() > 0 and "landlock" not in without
    if landlocked:
        landlock.restrict(readable_places(submission), [scratch, Path("/dev/null")])
        applied.append("landlock")
    if seccomp.available() and "seccomp" not in without:
        seccomp.install(keep_files=landlocked)
        applied.append("seccomp")
    return applied


def readable_places(submission: Path) -> list[Path]:
    """Python, its libraries, the submission, and harmless facts about the machine."""
    python = {Path(folder) for folder in (sys.prefix, sys.base_prefix, *sys.path) if folder}
    fixed = (Path(place) for place in (*LIBRARY_FOLDERS, *DEVICES, *FACTS))
    return [*python, *fixed, submission]


def throwaway_user() -> int | None:
    """A random id for one worker, or None where only root could change to it.

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


def kill_everything_of(user: int) -> None:
    """Kill every process of a throw-away user, those that left their group too.

    A helper takes on the id and signals all that it may signal, until nothing is left.
    """
    helper = os.fork()
    if helper == 0:
        try:
            become(user)
            for _ in range(20):  # a process that forks fast may need more than one round
                os.kill(-1, signal.SIGKILL)
        except OSError:
            pass  # nothing left to kill
        finally:
            os._exit(0)
    os.waitpid(helper, 0)


def adopt_orphans() -> None:
    """Become the parent of whatever outlives its own parent below this process (Linux)."""
    if sys.platform == "linux":
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Be killed when the parent ends (Linux)."""
    if sys.platform == "linux":
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def offer_to_oom_killer() -> None:
    """Be what the kernel ends first where memory runs out, instead of the grader (Linux).

    To be called while still allowed to: a worker's user is not.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def close_to_others() -> None:
    """Make the calling process unreadable for others of the same user (Linux)."""
    if sys.platform == "linux":
        _prctl(PR_SET_DUMPABLE, 0)


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
