"""Runs confined: what a worker may open, through the kernel's Landlock.

Read and execute for Python, its libraries and the submission; read and write for the
scratch folder, but not to delete there, so that all that was written can be seen; nothing
else. Rights are asked for as far as the kernel knows them (its
ABI), so an older kernel gives less and says so.

About sixty lines of ctypes, rather than one of the packages that exist: those need a recent
kernel or a compiled extension, and the platform's kernel is unknown. The numbers are those
of linux/landlock.h; the three system calls have the same numbers on every architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
READ = EXECUTE | READ_FILE | READ_DIR
REMOVE = 1 << 4 | 1 << 5  # folders and files; what a new name replaces is removed, too
FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15  # truncate, device ioctl

# All rights on files that each ABI knows: 13 at first, then refer, truncate, device ioctl.
KNOWN_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
NETWORK_ABI, NETWORK_RIGHTS = 4, 0b11  # bind and connect TCP
SCOPE_ABI, SCOPES = 6, 0b11  # abstract Unix sockets, signals to the outside


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The kernel's Landlock version, 0 where it has none or it is switched off."""
    if platform.system() != "Linux":
        return 0
    version = _syscall(CREATE_RULESET, None, 0, ASK_VERSION)
    return max(version, 0)


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Confine this process to these folders and files for good. Raises OSError."""
    version = abi()
    if version == 0:
        raise OSError(errno.EOPNOTSUPP, "the kernel has no Landlock")
    rights = KNOWN_RIGHTS[max(known for known in KNOWN_RIGHTS if known <= version)]
    attributes = _Ruleset(
        rights,
        NETWORK_RIGHTS if version >= NETWORK_ABI else 0,
        SCOPES if version >= SCOPE_ABI else 0,
    )
    size = 24 if version >= SCOPE_ABI else 16 if version >= NETWORK_ABI else 8
    ruleset = _checked("ruleset", CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, READ & rights)
        for path in writable:
            _allow(ruleset, path, rights & ~EXECUTE & ~REMOVE)
        _checked("restrict", RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):  # not every system has every folder
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not path.is_dir():
                rights &= FOR_FILES
            rule = _PathBeneath(rights, descriptor)
            _checked(str(path), ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(descriptor)


def _checked(what: str, *arguments: object) -> int:
    result = _syscall(*arguments)
    if result < 0:
        raise OSError(-result, f"Landlock, {what}: {os.strerror(-result)}")
    return result


def _syscall(*arguments: object) -> int:
    """A raw system call's result, or minus its error number."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    number, *rest = arguments
    converted = [ctypes.c_long(one) if isinstance(one, int) else one for one in rest]
    result = int(libc.syscall(ctypes.c_long(int(str(number))), *converted))
    return result if result >= 0 else -ctypes.get_errno()
