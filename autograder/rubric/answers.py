"""A submission's answers.yaml: read leniently, judged strictly.

Whole numbers may be written 40, "40" or 40.0, shapes [99, 8] or "99 x 8", entries of a
matrix 0.71 or 5/7. What is missing or unreadable is named, and costs its own line alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import yaml

from autograder.rubric.feedback import reject
from autograder.rubric.plain_yaml import PlainLoader
from autograder.sandbox.text import clean
from provided.own_words import without_own_words

FILE = "answers.yaml"
MAX_BYTES = 64_000
MAX_TEXT = 4_000
INDENT = "To be sure, write it below `{0}: >`, each line indented by two spaces."
NOT_YAML = "What stands under {0} is not valid YAML, so it was read as plain text. " + INDENT
NO_TEXT = "What stands under {0} was read as {1}, where a text belongs. " + INDENT
MAX_BITS = 200  # of a whole number; no answer comes near


class Answers:
    """The answers by question and name, e.g. ("q1a", "parameters").

    problem: what is wrong with the whole file
    words:   the answer in words, as it is written in the file
    slip:    what a student should know about how these were read
    """

    def __init__(
        self, values: dict[str, Any], problem: str = "", words: str = "", slip: str = ""
    ) -> None:
        self._values = values
        self._problem = problem
        self._words = words
        self.slip = slip

    def whole_number(self, question: str, name: str) -> int:
        """A whole number. Raises Rejected where it is missing or none."""
        value = self._get(question, name)
        number = _number(value)
        if number is None or number != int(number):
            raise self._unreadable(question, name, value, "a whole number, such as 12")
        return int(number)

    def shape(self, question: str, name: str) -> tuple[int, ...]:
        """A shape, a few whole numbers. Raises Rejected where it is missing or none."""
        value = self._get(question, name)
        parts = re.findall(r"[\w.-]+", value.replace("x", " ")) if isinstance(value, str) else value
        numbers = [_number(part) for part in parts] if isinstance(parts, list) else [None]
        if not 1 <= len(numbers) <= 6 or any(
            one is None or one != int(one) or one < 1 for one in numbers
        ):
            raise self._unreadable(question, name, value, "a list of sizes, such as [5, 3]")
        return tuple(int(number) for number in numbers if number is not None)

    def matrix(self, question: str, name: str) -> list[list[float]]:
        """A matrix of numbers. Raises Rejected where it is missing or none."""
        value = self._get(question, name)
        rows = value if isinstance(value, list) else [value]
        numbers = [
            [_number(one) for one in row] if isinstance(row, list) else [None] for row in rows
        ]
        if not 1 <= len(numbers) <= 20 or any(
            len(row) > 20 or any(one is None for one in row) for row in numbers
        ):
            raise self._unreadable(question, name, value, "a matrix, such as [[1, 2], [3, 5/7]]")
        return [[float(one) for one in row if one is not None] for row in numbers]

    def word(self, question: str, name: str, choices: Sequence[str]) -> str:
        """One of some words. Raises Rejected where it is missing or another one."""
        value = self._get(question, name)
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in choices:
            raise self._unreadable(question, name, value, f"one of {', '.join(choices)}")
        return word

    @property
    def words(self) -> str:
        """The answer that a person reads, as it was written; empty where there is none."""
        return clean(self._words.strip(), MAX_TEXT)

    def _get(self, question: str, name: str) -> Any:
        if self._problem:
            raise reject(self._problem, next_step="Start again from the template's answers.yaml.")
        section = self._values.get(question)
        value = section.get(name) if isinstance(section, dict) else None
        if value is None or value == "":
            raise reject(
                f"Not answered yet: {name} under {question} in {FILE}.",
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
        return Answers({}, f"{FILE} was not submitted.")
    if len(text) > MAX_BYTES:
        return Answers({}, f"{FILE} is too long (limit: {MAX_BYTES:,} characters).")
    text = text.lstrip("\ufeff")
    rest, words = without_own_words(text, in_words) if in_words else (text, "")
    values, problem = _loaded(text)
    if problem and words:
        others, still = _loaded(rest)
        if not still and isinstance(others, dict):
            return Answers(others, words=words, slip=NOT_YAML.format(in_words))
        problem = still or problem
    if problem or not isinstance(values, dict):
        return Answers({}, problem or f"{FILE} contains no questions.", words)
    own = values.get(in_words)
    if own is None or isinstance(own, str):
        return Answers(values, words=own or "")
    return Answers(values, words=words, slip=NO_TEXT.format(in_words, _kind(own)))


def _loaded(text: str) -> tuple[Any, str]:
    """What a YAML text holds, and what is wrong with it."""
    try:
        return yaml.load(text, Loader=PlainLoader), ""  # a SafeLoader
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f", line {mark.line + 1}" if mark else ""
        return None, f"{FILE} is not valid YAML{place}: {problem.problem or 'unreadable'}."
    except Exception:  # noqa: BLE001  odd tags raise AttributeError, KeyError, IndexError and more
        return None, f"{FILE} is not valid YAML."


def _kind(value: object) -> str:
    """What YAML made of some words."""
    if isinstance(value, dict):
        return "names with values, because of a colon"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "something else"
    return "a number"


def _shown(value: Any) -> str:
    """A value as a student wrote it, roughly."""
    try:
        return repr(value)[:200]
    except ValueError:  # an integer of thousands of digits
        return "an enormous number"


def _number(value: Any) -> Fraction | None:
    """A finite number, also one written as text or as a fraction; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return None
    text = str(value).replace(",", "").replace("_", "").strip()
    if len(text) > 40 or not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d{1,2})?( */ *\d+)?", text):
        return None
    try:
        return Fraction(text.replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        return None
