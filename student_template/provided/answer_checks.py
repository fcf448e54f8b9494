"""What check.py looks for in answers.yaml: that each blank is filled in, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from provided.answers import Read, matrix, read, sizes, whole, word
from provided.homework import ANSWERS_FILE
from provided.problems import Problem, ToDo, why_missing

IN_WORDS = "q1d"  # the question that is answered in words
POOLED = ("first_average", "first_maximum", "second_average", "second_maximum")
COUNTS = ("image_height", "image_width", "training_images", "test_images")
PIXEL_VALUES = ("intensity", "color", "label", "probability")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
MOST_SHOWN = 40  # characters of an answer that can't be read


def check_convolution(read: Read, question: str) -> Iterator[str]:
    """Questions 1a and 1b: a number and a shape."""
    answers = answered(read, question, ("parameters", "output_shape"))
    shown = need_whole(answers, question, "parameters")
    yield f"read as {shown}, {need_sizes(answers, question, 'output_shape')}"


def check_pooling(read: Read) -> Iterator[str]:
    """Question 1c: four matrices."""
    answers = answered(read, "q1c", POOLED)
    shown = [need_matrix(answers, "q1c", name) for name in POOLED]
    yield from (f"read as {one}" for one in shown)


def check_text(read: Read) -> Iterator[str]:
    """Question 1d: some text."""
    words = read.words.split()
    if not words:
        raise ToDo("not answered yet in answers.yaml: q1d, write a few sentences.")
    yield f"{len(words)} words, graded by hand"


def check_data_answers(read: Read) -> Iterator[str]:
    """Question 2a: numbers and a word."""
    answers = answered(read, "q2a", (*COUNTS, "pixel_value"))
    shown = [need_whole(answers, "q2a", name) for name in COUNTS]
    yield f"read as {', '.join(shown)}, {need_word(answers, 'q2a', 'pixel_value', PIXEL_VALUES)}"


def read_answers(text: str | None, notes: Sequence[str] = ()) -> Read:
    """answers.yaml as the grader reads it. Raises Problem where the whole can't be read."""
    if text is None:
        raise ToDo(why_missing(ANSWERS_FILE, notes))
    found = read(text, IN_WORDS)
    if found.problem:
        raise Problem(found.problem)
    return found


def answered(answers: Read, question: str, names: Sequence[str]) -> dict[str, Any]:
    """A question's answers, all of them filled in."""
    values = {name: answers.get(question, name) for name in names}
    missing = [name for name, value in values.items() if value is None]
    if missing and (slip := answers.slip_in(question)):
        raise Problem(slip)
    if missing:
        raise ToDo(f"not answered yet in {ANSWERS_FILE}: {question}, {', '.join(missing)}.")
    return values


def need_whole(section: dict[str, Any], question: str, name: str) -> str:
    """An answer is a whole number; returns it as it is graded."""
    found = whole(section[name])
    if found is None:
        raise unreadable(section, question, name, "write a whole number such as 12")
    return f"{name} {found:,}"


def need_sizes(section: dict[str, Any], question: str, name: str) -> str:
    """An answer is a shape, a list of whole numbers; returns it as it is graded."""
    found = sizes(section[name])
    if found is None:
        raise unreadable(section, question, name, "write a list of whole numbers such as [5, 3]")
    return f"{name} {list(found)}"


def need_matrix(section: dict[str, Any], question: str, name: str) -> str:
    """An answer is a matrix, a list of rows of numbers; returns it as it is graded."""
    rows = matrix(section[name])
    if rows is None:
        raise unreadable(section, question, name, "write a matrix such as [[1, 2], [3, 5/7]]")
    if len({len(row) for row in rows}) > 1:
        raise Problem(f"{question}, {name}: the rows of the matrix have different lengths.")
    shown = "], [".join(", ".join(f"{one:.4g}" for one in row) for row in rows)
    return f"{name} [[{shown}]]"


def need_word(section: dict[str, Any], question: str, name: str, words: Sequence[str]) -> str:
    """An answer is one of some words; returns it as it is graded."""
    found = word(section[name], words)
    if found is None:
        raise unreadable(section, question, name, f"write one of {', '.join(words)}")
    return f"{name} {found}"


def unreadable(section: dict[str, Any], question: str, name: str, wanted: str) -> Problem:
    """What is wrong with an answer of another kind, and how it is written."""
    value = section[name]
    if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value.strip()):
        wanted = "write a decimal point in place of the comma"
    try:
        shown = str(value)
    except ValueError:  # Python writes no number of thousands of digits
        shown = "a number with thousands of digits"
    if len(shown) > MOST_SHOWN:
        shown = f"{shown[:MOST_SHOWN]}…"
    return Problem(f"{question}, {name}: {shown} can't be read; {wanted}.")
