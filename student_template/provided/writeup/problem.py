"""What keeps a write-up from being built, and what is said beside one that was."""

from __future__ import annotations


class CannotBuild(Exception):
    """Why nothing can be built; one sentence for you."""


def in_a_row(words: list[str]) -> str:
    """Words in a sentence: 'a, b and c'."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def counted(number: int, noun: str) -> str:
    """A number with its noun: '1 page', '3 pages'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
