"""Read secrets."""

from .attack import SURROUNDINGS, probe

ATTACKS = {
    "the test labels": probe("""
        import sys
        from pathlib import Path
        module = [m for n, m in sys.modules.items() if n.endswith('confined.wire')][0]
        folder = Path(module.__file__).parents[2] / 'data' / 'MNIST' / 'raw'
        (folder / 't10k-labels-idx1-ubyte').read_bytes()
    """),
    "any file that is named like the labels": probe(f"""
        import os
        for folder, inner, files in os.walk('{SURROUNDINGS}'):
            for name in files:
                if name.startswith('t10k-labels'):
                    open(os.path.join(folder, name), 'rb').read(1)
                    return True
        return False
    """),
    "the reference through an import": probe("import autograder.hw5.probes.reference", always=True),
    "the reference by its path": probe("""
        import sys
        module = [m for n, m in sys.modules.items() if n.endswith('confined.wire')][0]
        from pathlib import Path
        (Path(module.__file__).parents[1] / 'hw5' / 'probes' / 'reference.py').read_text()
    """),
    "the key that signs carried-over verdicts": probe("""
        import sys
        from pathlib import Path
        module = [m for n, m in sys.modules.items() if n.endswith('confined.wire')][0]
        (Path(module.__file__).parents[1] / 'carry_over.key').read_bytes()
    """),
    "the grading suites": probe("""
        import sys
        from pathlib import Path
        module = [m for n, m in sys.modules.items() if n.endswith('confined.wire')][0]
        list((Path(module.__file__).parents[2] / 'tests' / 'grading').iterdir())
    """),
    "the reference solution": probe("""
        import sys
        from pathlib import Path
        module = [m for n, m in sys.modules.items() if n.endswith('confined.wire')][0]
        (Path(module.__file__).parents[2] / 'solutions/reference/attention.py').read_text()
    """),
    "the grader's environment": probe(
        """
        import os
        return 'HW5_CANARY' in os.environ or b'HW5_CANARY' in open('/proc/self/environ', 'rb').read()
    """,
        always=True,
    ),
    "the environment on its own stack": probe(
        """
        import ctypes
        libc = ctypes.CDLL(None)
        libc.getauxval.restype = ctypes.c_ulong
        low, high = libc.getauxval(25), libc.getauxval(31)
        return b'HW5_CANARY' in ctypes.string_at(low, high - low)
    """,
        always=True,
    ),
    "the parents' environment": probe("""
        import os
        return bool(open(f'/proc/{os.getppid()}/environ', 'rb').read(1))
    """),
    "the parent's memory": probe("import os; open(f'/proc/{os.getppid()}/mem', 'rb')"),
    "the parent's descriptors": probe("import os; os.listdir(f'/proc/{os.getppid()}/fd')"),
    "other processes": probe("""
        import os
        for pid in os.listdir('/proc'):
            try:
                if pid.isdigit() and int(pid) != os.getpid():
                    if open(f'/proc/{pid}/environ', 'rb').read(1):
                        return True
            except OSError:
                pass
        return False
    """),
    "grading modules left in memory": probe(
        """
        import gc, sys
        names = ('autograder.hw5.probes.reference', 'autograder.hw5.verdicts.networks', 'autograder.hw5.examination')
        return any(name in sys.modules for name in names) or any(
            type(o).__name__ in ('LayerParameters', 'Examination') for o in gc.get_objects())
    """,
        always=True,
    ),
    "secrets in the calling frames": probe(
        """
        import sys
        frame = sys._getframe()
        while frame is not None:
            if any('labels' in name or 'expected' in name for name in frame.f_locals):
                return True
            frame = frame.f_back
        return False
    """,
        always=True,
    ),
    "other submissions in temporary folders": probe(f"""
        import os
        return bool(os.listdir('{SURROUNDINGS}'))
    """),
    "password files, through libc": probe("""
        import ctypes
        return ctypes.CDLL(None).open(b'/etc/shadow', 0) >= 0
    """),
    "the platform's metadata": probe(f"""
        return bool(open('{SURROUNDINGS}/submission_metadata.json').read(1))
    """),
    "the home of root": probe("import os; os.listdir('/root')"),
    "standard input": probe("import sys; return bool(sys.stdin.read(1))", always=True),
}
