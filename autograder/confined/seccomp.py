"""Runs confined: a filter on system calls, through libseccomp.

It is a deny list. An allow list would break with every release of torch; what stands here
is what a network that computes has no use for, and what an escape would need: sockets,
further processes, other processes' memory, limits and priority, the rights and times of
files (which Landlock leaves open to their owner), files that send signals, hold others up or
take room unseen, mounts, keys, kernel interfaces that have had holes. A denied call fails
with an error number; it doesn't kill the process.

The filter sees arguments of 64 bits. Where the kernel takes an int it drops the upper half,
so what is denied by its value is compared in the lower half alone; where everything but one
value is denied, all 64 bits may count.

libseccomp is called through ctypes rather than the pyseccomp package, which has had no
release since 2021 and adds to what the worker must be able to read.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
from collections.abc import Iterable

ALLOW = 0x7FFF0000  # seccomp.h: SCMP_ACT_ALLOW
ERRNO = 0x00050000  # SCMP_ACT_ERRNO(number)
ALL_THREADS = 4  # SCMP_FLTATR_CTL_TSYNC
NOT_EQUAL, EQUAL, MASKED_EQUAL = 1, 4, 7  # enum scmp_compare
CLONE_THREAD = 0x00010000  # linux/sched.h
INT = 0xFFFFFFFF  # the bits of an argument that the kernel takes as an int

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PRCTL_DENIED = (PR_SET_PDEATHSIG, 4, 24, 35)  # DUMPABLE, CAPBSET_DROP, SET_MM

F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15  # asm-generic/fcntl.h: whom a file signals, and how
F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ = 1024, 1026, 1031  # linux/fcntl.h
FCNTL_DENIED = (F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ)
F_SETFL, O_ASYNC = 4, 0o20000
O_TMPFILE = 0o20000000  # the bit of its own; os.O_TMPFILE holds O_DIRECTORY too
FALLOC_FL_KEEP_SIZE = 1  # linux/falloc.h

FIOASYNC = 0x5452  # asm-generic/ioctls.h
FS_IOC_SETFLAGS = 0x40086602  # linux/fs.h
FS_IOC_FSSETXATTR = 0x401C5820
IOCTL_DENIED = (
    *(0x5412, 0x541C, 0x540E),  # TIOCSTI, TIOCLINUX, TIOCSCTTY
    *(FIOASYNC, 0x8901, 0x8902),  # FIOSETOWN, SIOCSPGRP
    *(FS_IOC_SETFLAGS, 0x40046602, FS_IOC_FSSETXATTR),  # the second: of 32-bit programs
    *(0x40087602, 0x41009432, 0x40806685),  # FS_IOC_SETVERSION, SETFSLABEL, ENABLE_VERITY
    *(0x800C6613, 0xC0506617),  # FS_IOC_SET_ENCRYPTION_POLICY, ADD_ENCRYPTION_KEY
    *(0xC0045877, 0xC0045878, 0xC0185879),  # FIFREEZE, FITHAW, FITRIM
)

# Those that an older libseccomp doesn't know by name; numbers from 424 on are the same on
# every architecture (asm-generic/unistd.h).
NUMBERS = {"fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "file_setattr": 469}

DENIED = {
    errno.EACCES: "socket socketpair bind listen accept accept4 connect",
    errno.ENOSYS: "clone3 openat2",  # their flags lie in memory; programs fall back
    errno.EPERM: """
        fork vfork execve execveat setsid setpgid tkill rt_sigqueueinfo rt_tgsigqueueinfo
        ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp
        pidfd_open pidfd_getfd pidfd_send_signal
        memfd_create memfd_secret userfaultfd perf_event_open bpf
        io_uring_setup io_uring_enter io_uring_register io_setup io_submit
        add_key request_key keyctl
        unshare setns mount umount2 move_mount open_tree fsopen fsconfig fsmount fspick
        mount_setattr pivot_root chroot swapon swapoff quotactl quotactl_fd acct
        reboot kexec_load kexec_file_load init_module finit_module delete_module
        settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname syslog
        shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
        mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
        inotify_init inotify_init1 inotify_add_watch fanotify_init fanotify_mark
        mknod mknodat name_to_handle_at open_by_handle_at
        chown fchown lchown fchownat chmod fchmod fchmodat fchmodat2 file_setattr
        utime utimes futimesat utimensat setxattr lsetxattr fsetxattr setxattrat
        removexattr lremovexattr fremovexattr removexattrat
        setpriority ioprio_set sched_setaffinity sched_setattr sched_setparam
        sched_setscheduler
        lookup_dcookie vmsplice personality ioperm iopl modify_ldt
        landlock_create_ruleset seccomp
    """,
}


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp: argument number, operator, two operands."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def _is(argument: int, value: int) -> _Comparison:
    """An argument that the kernel takes as an int has this value."""
    return _Comparison(argument, MASKED_EQUAL, INT, value)


def _has(argument: int, flag: int) -> _Comparison:
    """An argument has this flag among others."""
    return _Comparison(argument, MASKED_EQUAL, flag, flag)


def available() -> bool:
    """Whether libseccomp is installed and the kernel takes filters."""
    return _library() is not None and os.path.exists("/proc/sys/kernel/seccomp/actions_avail")


def install(keep_files: bool = False) -> None:
    """Filter the system calls of this process, all threads, for good. Raises OSError.

    keep_files: deleting seems to work and does nothing; where Landlock forbids it, programs
                that clean up behind themselves would fail over it
    """
    library = _library()
    if library is None:
        raise OSError(errno.ENOSYS, "libseccomp is not installed")
    context = library.seccomp_init(ALLOW)
    if not context:
        raise OSError(errno.ENOMEM, "seccomp_init failed")
    filters = _Filter(library, context)
    try:
        for number, names in DENIED.items():
            for name in names.split():
                filters.deny(name, number)
        own = os.getpid()
        for name in ("kill", "tgkill"):
            filters.deny(name, errno.EPERM, [_Comparison(0, NOT_EQUAL, own, 0)])
        filters.deny("prlimit64", errno.EPERM, [_Comparison(0, NOT_EQUAL, 0, 0)])  # of others
        filters.deny("clone", errno.EPERM, [_Comparison(0, MASKED_EQUAL, CLONE_THREAD, 0)])
        for option in PRCTL_DENIED:
            filters.deny("prctl", errno.EPERM, [_is(0, option)])
        for request in IOCTL_DENIED:
            filters.deny("ioctl", errno.EPERM, [_is(1, request)])
        for command in FCNTL_DENIED:
            filters.deny("fcntl", errno.EPERM, [_is(1, command)])
        filters.deny("fcntl", errno.EPERM, [_is(1, F_SETFL), _has(2, O_ASYNC)])
        filters.deny("open", errno.EOPNOTSUPP, [_has(1, O_TMPFILE)])
        filters.deny("openat", errno.EOPNOTSUPP, [_has(2, O_TMPFILE)])
        filters.deny("fallocate", errno.EOPNOTSUPP, [_Comparison(1, NOT_EQUAL, 0, 0)])
        for name in ("unlink", "unlinkat", "rmdir") if keep_files else ():
            filters.deny(name, 0)
        filters.load()
    finally:
        library.seccomp_release(context)


class _Filter:
    def __init__(self, library: ctypes.CDLL, context: int) -> None:
        self._library = library
        self._context = ctypes.c_void_p(context)

    def deny(self, name: str, number: int, when: Iterable[_Comparison] = ()) -> None:
        """Let a system call fail with an error number; one that this kernel lacks is skipped.

        With 0 it doesn't fail: it does nothing, and says that it has.
        """
        syscall = self._library.seccomp_syscall_resolve_name(name.encode())
        if syscall < 0:
            syscall = NUMBERS.get(name, syscall)
        if syscall < 0:
            return
        comparisons = list(when)
        array = (_Comparison * len(comparisons))(*comparisons)
        self._check(
            self._library.seccomp_rule_add_array(
                self._context, ERRNO | number, syscall, len(comparisons), array
            ),
            name,
        )

    def load(self) -> None:
        """Put the filter in force."""
        self._check(
            self._library.seccomp_attr_set(self._context, ALL_THREADS, 1), "for all threads"
        )
        self._check(self._library.seccomp_load(self._context), "load")

    @staticmethod
    def _check(result: int, what: str) -> None:
        if result != 0:
            raise OSError(-result, f"seccomp, {what}: {os.strerror(-result)}")


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    return library
