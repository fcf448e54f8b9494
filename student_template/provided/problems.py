"""What is said about your work: to fix, to do, or only to know."""

from __future__ import annotations

from collections.abc import Sequence


class Problem(Exception):
    """Something to fix before you submit; one sentence."""


class ToDo(Problem):
    """Something that is still missing; one sentence."""


class Remark(str):
    """Something to know that is no mistake; one sentence."""


def why_missing(file: str, notes: Sequence[str]) -> str:
    """What was noted about a file that isn't there."""
    found = (note for note in notes if note.startswith(f"{file} is "))
    return next(found, f"{file} is missing.")
