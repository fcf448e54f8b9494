"""One hostile or broken submission, and what must hold when it is graded."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[3] / "solutions" / "reference"
ESCAPED = "ESCAPED-from-confinement"
SURROUNDINGS = "/surroundings-of-the-test"  # in an attack's files: a folder that the test made
LEFT_BEHIND = "hw5-left-behind"  # likewise: a name that no other run uses
HEAD_LINES = frozenset(f"3a.{n}" for n in range(1, 7))


@dataclass(frozen=True)
class Attack:
    """A submission: the reference with some files changed.

    files: name -> text or bytes; what is not named stays the reference's
    only:  the parts that are graded
    lost:  lines that must be lost
    may:   lines that may be lost besides; all others must stay
    says:  (line, words) that the feedback must hold
    person: lines that staff must be asked to look at
    tried: for a probe, the body of a function that tries something
    always: a probe that must fail even where no optional layer of confinement is in force
    change: what else is done to the submission's folder; returns what is handed in
    """

    files: dict[str, str | bytes]
    only: str = "3a"
    lost: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    says: tuple[tuple[str, str], ...] = field(default=())
    person: frozenset[str] = frozenset()
    tried: str = ""
    always: bool = False
    change: Callable[[Path], Path] | None = None


def left_by(folder: Path) -> str:
    """The name of what the submission in this folder would leave behind."""
    return f"{LEFT_BEHIND}{folder}".replace(os.sep, "-")


def in_place(text: str, folder: Path) -> str:
    """An attack's text with the names that stand for others, for a submission in this folder."""
    surroundings = str(folder.with_name("surroundings"))
    return text.replace(SURROUNDINGS, surroundings).replace(LEFT_BEHIND, left_by(folder))


def probe(code: str, always: bool = False) -> Attack:
    """Try something on import of attention.py; raise ESCAPED where it works."""
    body = textwrap.indent(textwrap.dedent(code).strip("\n"), "    ")
    attempt = f"def _attempt():\n{body}\n\n\n"
    guard = (
        "try:\n    _worked = _attempt() is not False\n"
        "except BaseException:\n    _worked = False\n"
        f"if _worked:\n    raise RuntimeError('{ESCAPED}')\n\n"
    )
    return Attack(
        {"attention.py": attempt + guard + head()},
        may=frozenset({"3a.2"}),
        tried=body,
        always=always,
    )


def all_at_once(probes: dict[str, Attack]) -> str:
    """An attention.py that tries every probe and raises the numbers of those that worked."""
    parts = [f"def _{number}():\n{probe.tried}\n" for number, probe in enumerate(probes.values())]
    collect = """
worked = []
for number in range({count}):
    try:
        if globals()[f'_{{number}}']() is not False:
            worked.append(number)
    except BaseException:
        pass
raise RuntimeError(worked)
"""
    return "\n".join(parts) + collect.format(count=len(parts))


def head() -> str:
    """The reference's attention.py."""
    return (REFERENCE / "attention.py").read_text()


def wrong_head(before: str = "", result: str = "torch.zeros(*x.shape[:2], 5)") -> str:
    """A head that doesn't attend, with something in front of it that tries to hide it."""
    return textwrap.dedent(before) + textwrap.dedent(
        f"""
        import torch
        from torch import nn


        class SingleHeadAttention(nn.Module):
            def __init__(self, input_dim, inner_dim, dropout=0.0):
                super().__init__()
                self.query = nn.Linear(input_dim, inner_dim, bias=False)
                self.key = nn.Linear(input_dim, inner_dim, bias=False)
                self.value = nn.Linear(input_dim, inner_dim, bias=False)

            def forward(self, x):
                return {result}
        """
    )


def in_forward(code: str) -> str:
    """The reference's head with statements at the start of its forward."""
    body = textwrap.indent(textwrap.dedent(code), " " * 8).lstrip()
    return head().replace("q, k, v = ", f"{body}\n        q, k, v = ", 1)


def on_import(code: str) -> str:
    """The reference's head behind statements that run on import."""
    return textwrap.dedent(code) + "\n" + head()


ALL_HEAD = frozenset(HEAD_LINES)
