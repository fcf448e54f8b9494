"""Plain accidents."""

from .attack import ALL_HEAD, Attack, head, in_forward, on_import

MAY_RULES = frozenset({"3a.2"})


def fails(text: str | bytes, said: str) -> Attack:
    return Attack({"attention.py": text}, lost=ALL_HEAD, says=(("3a.4", said),))


def works(text: str | bytes, may: frozenset[str] = frozenset()) -> Attack:
    return Attack({"attention.py": text}, may=may)


ATTACKS = {
    "a byte order mark": works(b"\xef\xbb\xbf" + head().encode()),
    "Windows line ends": works(head().replace("\n", "\r\n").encode()),
    "prints everywhere": works(on_import("print('hello')")),
    "a syntax error": fails("class A(:\n", "Python can't read attention.py"),
    "tabs and spaces mixed": fails("if 1:\n\tx = 1\n        y = 2\n", "Python can't read"),
    "an empty file": fails("", "defines no SingleHeadAttention"),
    "a notebook under another name": fails('{"cells": [], "nbformat": 4}\n', "no SingleHead"),
    "null bytes": fails(b"\x00\x00\x00", "attention.py was ignored"),
    "a comment in another encoding": works("# é\n".encode("latin-1") + head().encode()),
    "input()": fails(on_import("input()"), "EOFError"),
    "quit()": fails(on_import("raise SystemExit"), "SystemExit"),
    "a GPU that isn't there": fails(on_import("import torch; torch.zeros(1).cuda()"), "raised"),
    "workers that load data": fails(
        on_import("""
        import torch
        from torch.utils.data import DataLoader
        for _ in DataLoader([1, 2, 3], num_workers=2): pass
    """),
        "raised",
    ),
    "a download": fails(
        on_import("""
        import urllib.request
        urllib.request.urlopen('http://127.0.0.1:9')
    """),
        "URLError",
    ),
    "a picture drawn on import": works(
        on_import("""
        import matplotlib
        matplotlib.use('Agg')
        import matplotlib.pyplot as plt
        plt.plot([1, 2])
        plt.savefig('picture.png')
    """)
    ),
    "markup in an exception": Attack(
        {"attention.py": on_import("raise ValueError('<script>alert(1)</script>\\x1b[31m')")},
        lost=ALL_HEAD,
    ),
    "a message without end": fails(on_import("raise ValueError('x' * 10**7)"), "ValueError"),
    "an exception that can't be shown": fails(
        on_import("""
        class Odd(Exception):
            def __str__(self): raise RuntimeError
        raise Odd
    """),
        "raised",
    ),
    "slow code": works(in_forward("import time; time.sleep(0.05)")),
}
