"""A submission's answers.yaml, judged strictly: what is missing or unreadable is named.

It is read as check.py reads it (provided/answers.py). What is wrong with one answer costs its
own line alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autograder.rubric.feedback import reject
from autograder.sandbox.text import clean
from provided import answers as given
from provided.answers import MAX_CHARACTERS as MAX_CHARACTERS
from provided.answers import Read
from provided.homework import ANSWERS_FILE

MAX_TEXT = 4_000


class Answers:
    """The answers by question and name, e.g. ("q1a", "parameters")."""

    def __init__(self, read: Read) -> None:
        self._read = read

    @property
    def slip(self) -> str:
        """What a student should know about how the words were read; else empty."""
        return self._read.slip

    @property
    def askew(self) -> tuple[str, ...]:
        """What YAML took without complaint and is hardly meant, a sentence each."""
        return self._read.askew

    def whole_number(self, question: str, name: str) -> int:
        """A whole number. Raises Rejected where it is missing or none."""
        value = self._get(question, name)
        number = given.whole(value)
        if number is None:
            raise self._unreadable(question, name, value, "a whole number, such as 12")
        return number

    def shape(self, question: str, name: str) -> tuple[int, ...]:
        """A shape, a few whole numbers. Raises Rejected where it is missing or none."""
        value = self._get(question, name)
        sizes = given.sizes(value)
        if sizes is None:
            raise self._unreadable(question, name, value, "a list of sizes, such as [5, 3]")
        return sizes

    def matrix(self, question: str, name: str) -> list[list[float]]:
        """A matrix of numbers. Raises Rejected where it is missing or none."""
        value = self._get(question, name)
        rows = given.matrix(value)
        if rows is None:
            raise self._unreadable(question, name, value, "a matrix, such as [[1, 2], [3, 5/7]]")
        return rows

    def word(self, question: str, name: str, choices: Sequence[str]) -> str:
        """One of some words. Raises Rejected where it is missing or another one."""
        value = self._get(question, name)
        word = given.word(value, choices)
        if word is None:
            raise self._unreadable(question, name, value, f"one of {', '.join(choices)}")
        return word

    @property
    def words(self) -> str:
        """The answer that a person reads, as it was written; empty where there is none."""
        return clean(self._read.words.strip(), MAX_TEXT)

    def _get(self, question: str, name: str) -> Any:
        if self._read.problem:
            raise reject(
                self._read.problem,
                next_step="Start again from the template's answers.yaml, or see what is wrong with "
                "yours: python check.py 1",
            )
        value = self._read.get(question, name)
        if value is None:
            raise reject(
                f"Not answered yet: {name} under {question} in {ANSWERS_FILE}.",
                likely=self._read.slip_in(question).removesuffix("."),
                next_step="Fill in the blank; the comment beside it says what belongs there.",
            )
        return value

    @staticmethod
    def _unreadable(question: str, name: str, value: Any, wanted: str) -> Exception:
        return reject(
            f"The answer {name} under {question} can't be read.",
            got=_shown(value),
            expected=wanted,
        )


def read_answers(text: str | None, in_words: str = "") -> Answers:
    """The answers in a YAML text; a problem with the whole file is told on each line.

    in_words: the question that is answered in words; nothing in it costs the other answers
    """
    if text is None:
        return Answers(Read(problem=f"{ANSWERS_FILE} was not submitted."))
    return Answers(given.read(text, in_words))


def _shown(value: Any) -> str:
    """A value as a student wrote it, roughly."""
    try:
        return repr(value)[:200]
    except ValueError:  # an integer of thousands of digits
        return "an enormous number"
