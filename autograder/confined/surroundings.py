"""What a process of the grader keeps of the environment that it was started with.

Emptying os.environ doesn't forget it: the kernel has laid a copy on the stack before Python
starts, every process forked from this one inherits the stack, and any code there can read
it. So a grader that was started with more than it needs replaces itself by one that wasn't.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

# The same names stand in run_autograder.
KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",  # which Python sets itself where there is no locale
    "TERM",  # how the table is drawn
    "COLUMNS",
    "NO_COLOR",
    "TMPDIR",
    "OMP_NUM_THREADS",
    "LD_LIBRARY_PATH",  # without which some interpreters don't start
    "COVERAGE_PROCESS_CONFIG",  # of our own tests: which lines they run
)
AT_RANDOM, AT_EXECFN = 25, 31  # numbers of linux/auxvec.h
NAME = re.compile(rb"([A-Za-z_]\w*)=")


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """What is kept of an environment."""
    return {name: environment[name] for name in KEPT if name in environment}


def start_clean() -> None:
    """Start this program anew, in its place, if its environment held more than is kept (Linux).

    It is the kernel's copy that decides, which holds exactly what the program was started
    with: so the second start is the last.
    """
    if sys.platform != "linux":
        return
    if surplus(names_in(Path("/proc/self/environ").read_bytes())):
        # one thread, as run_autograder has it: small models run far slower with more
        environment = {**kept(os.environ), "OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def surplus(names: Iterable[str]) -> list[str]:
    """Names of variables that no process of the grader should have been started with."""
    return sorted(set(names) - set(KEPT))


def names_in(strings: bytes) -> list[str]:
    """The names in an environment as the kernel keeps it: NAME=value, each ended by NUL."""
    found = (NAME.match(string) for string in strings.split(b"\0"))
    return [match[1].decode() for match in found if match]


def names_in_memory() -> list[str]:
    """The names in the kernel's copy, read from this process's own stack. Raises OSError.

    From below, the stack's end holds 16 random bytes, the arguments, the environment and the
    program's name. The C library tells where the first and the last of them lie.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "getauxval"):
        raise OSError(errno.ENOSYS, "there is no getauxval")
    libc.getauxval.restype = ctypes.c_ulong
    libc.getauxval.argtypes = [ctypes.c_ulong]
    low, high = libc.getauxval(AT_RANDOM), libc.getauxval(AT_EXECFN)
    if not 0 < low < high:
        raise OSError(errno.ENOSYS, "the stack's end isn't where it is expected")
    strings = ctypes.string_at(low, high - low)
    arguments = b"".join(os.fsencode(argument) + b"\0" for argument in sys.orig_argv)
    _, found, environment = strings.rpartition(arguments)
    return names_in(environment if found else strings)
