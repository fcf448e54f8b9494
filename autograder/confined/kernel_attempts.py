"""Runs confined, in the pre-flight: attempts on calls of the kernel that the filter denies.

Files can be made to send signals to other processes, to hold others up, to resist deletion,
or to take room that nothing shows. Each attempt is harmless where it succeeds; it works on
pipes, or on a file in the working folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import signal
import struct
from collections.abc import Callable, Iterator

from .seccomp import (
    F_NOTIFY,
    F_SETLEASE,
    F_SETOWN,
    F_SETOWN_EX,
    F_SETPIPE_SZ,
    F_SETSIG,
    FALLOC_FL_KEEP_SIZE,
    FIOASYNC,
    FS_IOC_FSSETXATTR,
    FS_IOC_SETFLAGS,
    O_ASYNC,
    PR_SET_PDEATHSIG,
)

FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h
FS_IOC_FSGETXATTR = 0x801C581F
F_OWNER_PID = 1  # asm-generic/fcntl.h
BEYOND = 1 << 32  # a bit that the kernel drops where it takes an int
SYSCALLS = {  # unistd.h of the architecture: fcntl, ioctl, prctl
    "x86_64": {"fcntl": 72, "ioctl": 16, "prctl": 157},
    "aarch64": {"fcntl": 25, "ioctl": 29, "prctl": 167},
}
FILE = ".preflight-file"


@contextlib.contextmanager
def a_pipe() -> Iterator[int]:
    """The reading end of a pipe that nothing is written to."""
    ends = os.pipe()
    try:
        yield ends[0]
    finally:
        for end in ends:
            os.close(end)


@contextlib.contextmanager
def a_file(flags: int = os.O_RDWR) -> Iterator[int]:
    """A file in the working folder."""
    os.close(os.open(FILE, os.O_RDWR | os.O_CREAT, 0o600))
    descriptor = os.open(FILE, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        with contextlib.suppress(PermissionError):  # of Landlock
            os.unlink(FILE)


def system_call(name: str, *arguments: int) -> None:
    """A system call with all 64 bits of its arguments, which the C library's functions cut."""
    number = SYSCALLS.get(platform.machine(), {}).get(name)
    if number is None:
        raise OSError(f"the number of {name} is not known here")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    _checked(libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))


def owner() -> None:
    """Name itself as the process that a pipe sends signals to."""
    with a_pipe() as pipe:
        fcntl.fcntl(pipe, F_SETOWN, os.getpid())


def owner_by_kind() -> None:
    """The same by the newer command."""
    with a_pipe() as pipe:
        fcntl.fcntl(pipe, F_SETOWN_EX, struct.pack("ii", F_OWNER_PID, os.getpid()))


def other_signal() -> None:
    """Choose the signal: the one that is sent anyway."""
    with a_pipe() as pipe:
        fcntl.fcntl(pipe, F_SETSIG, 0)


def signals_by_flag() -> None:
    """Switch a pipe's signals on, while nothing happens to it."""
    with a_pipe() as pipe:
        fcntl.fcntl(pipe, fcntl.F_SETFL, O_ASYNC)


def signals_by_ioctl() -> None:
    """The same by ioctl."""
    with a_pipe() as pipe:
        fcntl.ioctl(pipe, FIOASYNC, struct.pack("i", 1))


def lease() -> None:
    """Take a lease on a file, which holds up whoever opens it."""
    with a_file(os.O_RDONLY) as file:
        fcntl.fcntl(file, F_SETLEASE, fcntl.F_RDLCK)


def watch() -> None:
    """Ask for a signal when a file in the working folder is renamed."""
    folder = os.open(".", os.O_RDONLY)
    try:
        fcntl.fcntl(folder, F_NOTIFY, fcntl.DN_RENAME)
    finally:
        os.close(folder)


def larger_pipe() -> None:
    """Take more of the kernel's memory for a pipe than it has at first."""
    with a_pipe() as pipe:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, 1 << 17)


def file_flags() -> None:
    """Set a file's flags, such as "immutable", as they are."""
    with a_file() as file:
        flags = fcntl.ioctl(file, FS_IOC_GETFLAGS, bytes(8))
        fcntl.ioctl(file, FS_IOC_SETFLAGS, flags)


def file_attributes() -> None:
    """Set a file's extended flags as they are."""
    with a_file() as file:
        attributes = fcntl.ioctl(file, FS_IOC_FSGETXATTR, bytes(28))
        fcntl.ioctl(file, FS_IOC_FSSETXATTR, attributes)


def hidden_room() -> None:
    """Take room on the disk that isn't within a file's size."""
    libc = ctypes.CDLL(None, use_errno=True)
    with a_file() as file:
        room = ctypes.c_long(1 << 16)
        _checked(libc.fallocate(file, FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), room))


def nameless_file() -> None:
    """Make a file that no folder shows."""
    os.close(os.open(".", os.O_RDWR | os.O_TMPFILE, 0o600))


def longer_fcntl() -> None:
    """Name the owner of a pipe, with a bit in the command that the kernel drops."""
    with a_pipe() as pipe:
        system_call("fcntl", pipe, F_SETOWN | BEYOND, os.getpid())


def longer_ioctl() -> None:
    """Switch a pipe's signals on, in the same way."""
    on = ctypes.c_int(1)
    with a_pipe() as pipe:
        system_call("ioctl", pipe, FIOASYNC | BEYOND, ctypes.addressof(on))


def longer_prctl() -> None:
    """Choose its own end with the parent's, in the same way: the one that it has."""
    system_call("prctl", PR_SET_PDEATHSIG | BEYOND, int(signal.SIGKILL), 0)


ATTEMPTS: dict[str, Callable[[], None]] = {
    "say whom a file signals": owner,
    "say whom a file signals, by kind": owner_by_kind,
    "choose the signal of a file": other_signal,
    "switch on the signals of a file": signals_by_flag,
    "switch on the signals of a file by ioctl": signals_by_ioctl,
    "take a lease on a file": lease,
    "watch a folder": watch,
    "enlarge a pipe": larger_pipe,
    "set the flags of a file": file_flags,
    "set the attributes of a file": file_attributes,
    "take room beyond a file's end": hidden_room,
    "make a file without a name": nameless_file,
    "get past the filter with a longer fcntl": longer_fcntl,
    "get past the filter with a longer ioctl": longer_ioctl,
    "get past the filter with a longer prctl": longer_prctl,
}


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
