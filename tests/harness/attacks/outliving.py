"""Outlive the worker, reach others, change what comes later."""

from pathlib import Path

from .attack import LEFT_BEHIND, Attack, on_import, probe

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
}
