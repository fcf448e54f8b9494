"""Exhaust time, memory, disk, processes, descriptors."""

import os

from .attack import ALL_HEAD, Attack, in_forward, on_import, probe

LOST = ALL_HEAD


def imports(code: str, *says: tuple[str, str]) -> Attack:
    return Attack({"attention.py": on_import(code)}, lost=LOST, says=says)


def forwards(code: str, *says: tuple[str, str]) -> Attack:
    return Attack({"attention.py": in_forward(code)}, lost=frozenset({"3a.4"}), may=LOST, says=says)


TOO_MUCH = ("3a.4", "it wrote more than 64 MiB of files")
TOO_LONG = ("3a.4", "did not finish within")

ATTACKS = {
    "an endless loop on import": imports("while True: pass", TOO_LONG),
    "an endless loop in forward": forwards("while True: pass", TOO_LONG),
    "sleeping": forwards("import time; time.sleep(1000)", TOO_LONG),
    "sleeping through signals": imports(
        """
        import signal, time
        for number in range(1, 32):
            try: signal.signal(number, signal.SIG_IGN)
            except OSError: pass
        while True: time.sleep(1)
    """,
        TOO_LONG,
    ),
    "stopping itself": imports("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", TOO_LONG),
    "an endless destructor": forwards(
        """
        class Clingy:
            def __del__(self):
                while True: pass
        Clingy()
    """,
        TOO_LONG,
    ),
    "gigabytes of lists": forwards("_ = [bytearray(1 << 20) for _ in range(2000)]"),
    "gigabytes of tensors": forwards("_ = torch.ones(500_000_000)"),
    "endless recursion": forwards("def f(): return f()\nf()"),
    "a stack overflow": imports("""
        import sys
        sys.setrecursionlimit(10**9)
        def f(n): return repr([n]) and f(n + 1)
        f(0)
    """),
    "a segmentation fault": imports("import ctypes; ctypes.string_at(0)"),
    "abort": imports("import os; os.abort()"),
    "a flood of output": Attack(
        {"attention.py": on_import("for _ in range(2000): print('x' * 10_000)")},
    ),
    "a flood of output without end": imports("while True: print('x' * 10_000)", TOO_LONG),
    "filling the disk": imports("""
        for number in range(10_000):
            with open(f'file{number}', 'wb') as file: file.write(bytes(8 << 20))
        raise SystemExit
    """),
    "filling the disk with files that are deleted and open": imports(
        """
        import os, time
        for number in range(40):
            file = os.open(f'{number}', os.O_CREAT | os.O_RDWR)
            os.unlink(f'{number}')
            for _ in range(12): os.write(file, bytes(1 << 20))
        time.sleep(1000)
    """,
        TOO_MUCH,
    ),
    "filling the disk with files that are deleted and mapped": imports(
        """
        import mmap, os, time
        kept = []
        for number in range(40):
            file = os.open(f'{number}', os.O_CREAT | os.O_RDWR)
            os.ftruncate(file, 12 << 20)
            kept.append(mmap.mmap(file, 4096))
            for _ in range(12): os.write(file, bytes(1 << 20))
            os.close(file)
            os.unlink(f'{number}')
        time.sleep(1000)
    """,
        TOO_MUCH,
    ),
    "filling the disk with empty files": imports(
        """
        number = 0
        while True:
            number += 1
            open(f'{number}', 'w').close()
    """,
        TOO_MUCH,
    ),
    "folders inside each other without end": imports(
        """
        import os, time
        for _ in range(2000):
            os.mkdir('d' * 200)
            os.chdir('d' * 200)
        time.sleep(1000)
    """,
        ("3a.4", "folders inside each other"),
    ),
    "room beyond a file's end": probe("""
        import ctypes, os
        file, length = os.open('short', os.O_CREAT | os.O_RDWR), ctypes.c_long(20 << 20)  # more than a file's limit
        return ctypes.CDLL(None).fallocate(file, 1, ctypes.c_long(0), length) == 0
    """),
    "files without names": probe("""
        import os
        os.open('.', os.O_RDWR | os.O_TMPFILE, 0o600)
    """),
    "a file that is too large": probe(
        """
        with open('large', 'wb') as file:
            for _ in range(100): file.write(bytes(1 << 20))
    """,
        always=True,
    ),
    "too many open files": probe(
        """
        import os
        opened = []
        try:
            for _ in range(1000): opened.append(os.open('/dev/null', 0))
        finally:
            for descriptor in opened: os.close(descriptor)
    """,
        always=True,
    ),
    "forking": probe("""
        import os
        for _ in range(3):
            if os.fork() == 0: os._exit(0)
    """),
    "threads without end": imports("""
        import threading, time
        while True: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    """),
    "more threads than allowed": probe(
        """
        import threading
        done, started = threading.Event(), []
        threading.stack_size(64 << 10)
        try:
            for _ in range(60):
                started.append(threading.Thread(target=done.wait, daemon=True))
                started[-1].start()
        finally:
            threading.stack_size(0)
            done.set()
    """,
        always=os.geteuid() != 0,  # the limit doesn't bind root
    ),
    "leaving by the back door": imports("import os; os._exit(0)", ("3a.4", "exited by itself")),
    "killing itself": imports(
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ("3a.4", "killed")
    ),
}
