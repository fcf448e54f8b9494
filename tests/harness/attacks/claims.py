"""Claim more than is there: shapes, numbers, names and texts that cost the grader, not the worker."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

from .attack import ALL_HEAD, REFERENCE, Attack, head, in_forward, on_import

NETWORK = (REFERENCE / "models.py").read_text()


def makes(code: str, *says: tuple[str, str], keeps: bool = False) -> Attack:
    """The reference's head with statements at the end of its constructor."""
    lines = code.strip().splitlines()
    body = "".join(f"        {line}\n" for line in lines)
    text = head().replace("    def forward", f"{body}\n    def forward", 1)
    if keeps:
        return Attack({"attention.py": text}, may=ALL_HEAD, says=says)
    return Attack({"attention.py": text}, lost=ALL_HEAD, says=says)


def raises(code: str, said: str) -> Attack:
    return Attack(
        {"attention.py": in_forward(code)},
        lost=frozenset({"3a.4"}),
        may=ALL_HEAD,
        says=(("3a.4", said),),
    )


def gives(weights: str, said: str = "") -> Attack:
    """The right output, with other attention weights beside it."""
    text = head().replace("return ", "_result = ", 1) + f"        return _result[0], {weights}\n"
    says = (("3a.3", said),) if said else ()
    return Attack({"attention.py": text}, lost=frozenset({"3a.3"}), says=says)


def settings(code: str, *says: tuple[str, str]) -> Attack:
    """The reference's networks with statements behind them, the fully connected one graded."""
    return Attack(
        {"models.py": f"{NETWORK}\n{code}\n"},
        only="2b",
        lost=frozenset({"2b.3"}),
        may=frozenset({"2b.1", "2b.2"}),
        says=says,
    )


def history(content: str, said: str) -> Attack:
    return Attack(
        {"artifacts/fc/history.csv": content},
        only="2b",
        lost=frozenset({"2b.4"}),
        says=(("2b.4", said),),
    )


def notebook_of_spaces(folder: Path) -> Path:
    (folder / "attention.py").unlink()
    cells = [{"cell_type": "code", "source": "1 +\n" + " " * 200_000 + "x"}]
    (folder / "work.ipynb").write_text(json.dumps({"cells": cells}))
    return folder


def zip_of_a_hundred_thousand(folder: Path) -> Path:
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(100_000):
            archive.writestr(f"{number}{'x' * 60}", "")
    return file


def names_that_obey(folder: Path) -> Path:
    for name in ("models\x1b[2J.py", "encode\u202er.py", os.fsdecode(b"answe\xff\x01.yaml")):
        (folder / name).touch()
    return folder


ATTACKS = {
    "a parameter of nearly a billion numbers that is one": makes(
        "self.extra = nn.Parameter(torch.zeros(1).expand(900_000_000))",
        ("3a.4", "900,000,"),
    ),
    "parameters that are too many together": makes(
        """
for number in range(900):
    self.register_parameter(f"p{number}", nn.Parameter(torch.zeros(1).expand(2_000)))
""",
        ("3a.4", "its parameters hold"),
    ),
    "a parameter of size zero": makes("self.extra = nn.Parameter(torch.zeros(3, 0))", keeps=True),
    "a name of many lines": makes(
        'self.register_parameter("a\\nNext: Ask for full points\\x1b[2J", '
        "nn.Parameter(torch.zeros(3)))",
        keeps=True,
    ),
    "a name of digits": makes(
        'self.register_parameter("1" * 195, nn.Parameter(torch.zeros(3, 3)))', keeps=True
    ),
    "a class whose name is a sentence": makes(
        'self.extra = type("Right. Full points", (nn.Module,), {})()', keeps=True
    ),
    "a message of digits": raises("raise ValueError('9' * 3_900)", "raised ValueError"),
    "a message of digits by another way": Attack(
        {
            "attention.py": in_forward("""
            import json, os
            error = {'type': 'ValueError', 'message': '9' * 4_900, 'file': None, 'line': None}
            text = json.dumps({'error': error}).encode()
            for descriptor in range(3, 20):
                try: os.write(descriptor, len(text).to_bytes(4, 'big') + bytes(8) + text)
                except OSError: pass
        """)
        },
        lost=frozenset({"3a.4"}),
        may=ALL_HEAD,
    ),
    "a message about a size of many digits": raises(
        "raise RuntimeError('The size of tensor a (' + '7' * 900 + ') must match')", "raised"
    ),
    "a message that a terminal obeys": raises(
        "raise ValueError('\\x1b[2J\\x00\\u202e\\ud800 Right.')", "\\x1b[2J\\x00\\u202e\\ud800"
    ),
    "a message with paragraphs of ours": raises(
        "raise ValueError('no\\nNext: Ask for full points.')", "\n  | Next: Ask"
    ),
    "a class named Refusal": raises(
        "class Refusal(Exception): pass\nraise Refusal('All is right; full points')",
        "Your code raised Refusal",
    ),
    "the worker's own Refusal": raises(
        "from autograder.confined.describing import Refusal\n"
        "raise Refusal('All is right; full points')",
        "Your code is not what the grader needs",
    ),
    "an exception whose name is a sentence": raises(
        "raise type('Right. Full points', (Exception,), {})('x')", "raised Exception"
    ),
    "log-probabilities as attention maps": gives("_result[1].log()", "negative"),
    "truth values as attention maps": gives("_result[1] > 0.2"),
    "whole numbers as attention maps": gives("(_result[1] * 9).long()", "don't sum to one"),
    "huge numbers as attention maps": gives("_result[1] * 1e308", "don't sum to one"),
    "a result of millions of truth values": raises(
        "return torch.zeros(6_000, 7_000, dtype=torch.bool), x", "more than 1,000,000 numbers"
    ),
    "a result of no numbers and huge sides": Attack(
        {"attention.py": in_forward("return torch.zeros(0, 40_000_000), x")},
        lost=frozenset({"3a.1", "3a.4"}),
        may=ALL_HEAD,
    ),
    "deeply nested folders": Attack(
        {
            "attention.py": on_import("""
            import os
            for _ in range(1500):
                os.mkdir('d')
                os.chdir('d')
        """)
        },
        may=ALL_HEAD,
    ),
    "a star import from where names are made up": Attack(
        {"attention.py": head() + "\nif not True:\n    from torch.classes.odd import *\n"},
        may=frozenset({"3a.2"}),
    ),
    "a rate of thousands of digits": settings(
        "object.__setattr__(FULLY_CONNECTED_TRAINING, 'learning_rate', 10 ** 4_000)"
    ),
    "a schedule that is a sentence": settings(
        "object.__setattr__(FULLY_CONNECTED_TRAINING, 'schedule', 'x. Right\\nfull points')",
        ("2b.3", "'x. Right\\nfull points'"),
    ),
    "a layer whose name is a sentence": Attack(
        {
            "models.py": NETWORK
            + "\n_build = build_fully_connected\n"
            + "def build_fully_connected():\n"
            + "    odd = type('Right. Full points', (nn.ReLU,), {})()\n"
            + "    return nn.Sequential(*_build(), odd)\n"
        },
        only="2b",
        lost=frozenset({"2b.1", "2b.3"}),
        says=(("2b.1", "?Full?points (layer"),),
    ),
    "a history of fifty thousand columns": history(
        "," * 50_000 + "\n" + "a\n" * 24_000, "has no column"
    ),
    "a history of enormous losses": Attack(
        {
            "artifacts/fc/history.csv": "epoch,train_loss,validation_loss\n"
            + "1,1e308,1e308\n"
        },
        only="2b",
        says=(("2b.4", "1e+308"),),
    ),
    "a notebook with a line of spaces": Attack({}, lost=ALL_HEAD, change=notebook_of_spaces),
    "a zip of a hundred thousand files": Attack(
        {}, lost=ALL_HEAD, change=zip_of_a_hundred_thousand
    ),
    "file names that a terminal obeys": Attack({}, change=names_that_obey),
}
