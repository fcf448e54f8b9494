"""Outlive the worker, reach others, change what comes later."""

from pathlib import Path

from .attack import HEAD_LINES, LEFT_BEHIND, Attack, on_import, probe

CAP_SYS_RESOURCE = 24  # linux/capability.h


def limits_bind() -> bool:
    """Whether who runs the tests can't raise a hard limit."""
    status = Path("/proc/self/status").read_text()
    held = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return not int(held, 16) >> CAP_SYS_RESOURCE & 1


ATTACKS = {
    "a daemon": probe("""
        import os
        if os.fork() == 0:
            os.setsid()
            os._exit(0)
    """),
    "a program": probe("import subprocess; subprocess.Popen(['sleep', '1'])"),
    "a new program in its place": probe("import os; os.execv('/bin/true', ['true'])"),
    "the parent killed": probe("import os, signal; os.kill(os.getppid(), signal.SIGCONT)"),
    "everybody signalled": probe("import os; os.kill(-1, 0)"),
    "a file left in /tmp": probe(f"open('/tmp/{LEFT_BEHIND}', 'w').close()"),
    "a file left in shared memory": probe(f"open('/dev/shm/{LEFT_BEHIND}', 'w').close()"),
    "its own submission changed": probe("open(__file__, 'a').close()"),
    "the given code changed": probe("import provided.mnist as m; open(m.__file__, 'a').close()"),
    "a library changed": probe("import torch; open(torch.__file__, 'a').close()"),
    "a later question poisoned": Attack(
        {
            "attention.py": on_import("""
                import sys, torch
                for name in ('softmax', 'matmul', 'zeros'):
                    setattr(torch, 'later_' + name, getattr(torch, name))
                import atexit
                atexit.register(lambda: open('left', 'w').close())
            """)
        },
        only="3a,3b",
        may=frozenset({"3a.2"}),
    ),
    "a TCP connection": probe("""
        import socket
        s = socket.socket(); s.settimeout(1)
        return s.connect_ex(('127.0.0.1', 9)) in (0, 111)
    """),
    "a UDP packet": probe("""
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))
    """),
    "a Unix socket": probe("import socket; socket.socketpair()"),
    "memory files": probe("import os; os.memfd_create('x')"),
    "tracing the parent": probe("""
        import ctypes, os
        return ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0
    """),
    "becoming root again": probe(
        "import os; os.setuid(0); return os.getppid() and os.geteuid() == 0"
    ),
    "new namespaces": probe("""
        import ctypes
        return ctypes.CDLL(None).unshare(0x10000000) == 0
    """),
    "limits raised": probe(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NPROC, (10**6, 10**6))
    """,
        always=limits_bind(),
    ),
    "the grader's limits": probe("""
        import os, resource
        which = resource.RLIMIT_CORE
        resource.prlimit(os.getppid(), which, resource.prlimit(os.getppid(), which))
    """),
    "the grader's priority": probe("""
        import os
        now = os.getpriority(os.PRIO_PROCESS, os.getppid())
        os.setpriority(os.PRIO_PROCESS, os.getppid(), now)
    """),
    "the grader's processors": probe("""
        import os
        os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid()))
    """),
    "the rights of its own files": probe("import os; os.chmod(__file__, 0o644)"),
    "the times of its own files": probe("import os; os.utime(__file__, (0, 0))"),
    "the rights of the grader's files": probe("""
        import os, autograder
        folder = os.path.dirname(autograder.__file__)
        os.chmod(folder, os.stat(folder).st_mode & 0o7777)
    """),
    "system calls by number": probe("""
        import ctypes, platform
        number = {'x86_64': 41, 'aarch64': 198}[platform.machine()]
        return ctypes.CDLL(None).syscall(number, 2, 1, 0) >= 0
    """),
    "the parent signalled through a pipe": probe("""
        import fcntl, os, signal
        read, write = os.pipe()
        fcntl.fcntl(read, 8, os.getppid())  # F_SETOWN
        fcntl.fcntl(read, 10, signal.SIGCONT)  # F_SETSIG
    """),
    "the parent signalled through a pipe, by ioctl": probe("""
        import fcntl, os, struct
        read, write = os.pipe()
        fcntl.ioctl(read, 0x5452, struct.pack('i', 1))  # FIOASYNC
    """),
    "the parent signalled through a pipe, by a flag": probe("""
        import fcntl, os
        read, write = os.pipe()
        fcntl.fcntl(read, fcntl.F_SETFL, os.O_NONBLOCK | 0o20000)  # O_ASYNC
    """),
    "signals through a pipe, past a filter of 64 bits": probe("""
        import ctypes, os, platform
        number = {'x86_64': 72, 'aarch64': 25}[platform.machine()]
        command = ctypes.c_long(0xABCD00000000 | 8)
        owner = ctypes.c_long(os.getpid())
        return ctypes.CDLL(None).syscall(number, os.pipe()[0], command, owner) == 0
    """),
    "signals by ioctl, past a filter of 64 bits": probe("""
        import ctypes, os, platform
        number = {'x86_64': 16, 'aarch64': 29}[platform.machine()]
        request, on = ctypes.c_long(0x7FFF00005452 | 1 << 46), ctypes.byref(ctypes.c_int(1))
        return ctypes.CDLL(None).syscall(number, os.pipe()[0], request, on) == 0
    """),
    "made readable, past a filter of 64 bits": probe("""
        import ctypes, platform
        number = {'x86_64': 157, 'aarch64': 167}[platform.machine()]
        option = ctypes.c_long(0x500000000 | 4)  # PR_SET_DUMPABLE
        return ctypes.CDLL(None).syscall(number, option, ctypes.c_long(1), 0, 0, 0) == 0
    """),
    "a lease that holds up whoever opens a file": probe("""
        import fcntl, os
        file = os.open('leased', os.O_CREAT | os.O_RDONLY)
        fcntl.fcntl(file, 1024, fcntl.F_RDLCK)  # F_SETLEASE
    """),
    "a watch on a folder": probe("""
        import fcntl, os
        fcntl.fcntl(os.open('.', os.O_RDONLY), 1026, 8)  # F_NOTIFY, DN_DELETE
    """),
    "a file that is marked": probe("""
        import fcntl, os, struct
        file = os.open('marked', os.O_CREAT | os.O_RDWR)
        flags, = struct.unpack('l', fcntl.ioctl(file, 0x80086601, bytes(8)))
        fcntl.ioctl(file, 0x40086602, struct.pack('l', flags | 0x40))  # not to be backed up
    """),
    "folders that nobody can open": Attack(
        {
            "attention.py": on_import("""
                import os
                os.umask(0)
                for mode in (0, 0o100, 0o300, 0o500):
                    os.mkdir(f'{mode}', mode)
                    try: os.mkdir(f'{mode}/inner', 0)
                    except OSError: pass
            """)
        },
        may=HEAD_LINES,  # where the grader is an ordinary user, it can't look into them either
    ),
}
