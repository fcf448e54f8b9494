"""answers.yaml: read leniently, by check.py and by the grader in the same way.

Whole numbers may be written 40, "40" or 40.0, shapes [99, 8] or "99 x 8", entries of a
matrix 0.71 or 5/7. Nothing here knows what is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import yaml

from provided.homework import ANSWERS_FILE
from provided.own_words import without_own_words
from provided.yaml_slips import AsWritten, control_character, in_plain_words, read_askew, unspaced

MAX_CHARACTERS = 64_000
MAX_BITS = 200  # of a whole number; no answer comes near
MAX_SIZES = 6  # in a shape
MAX_ROWS = 20  # of a matrix, and numbers in a row
INDENT = "To be sure, write it below `{0}: >`, each line indented by two spaces."
NOT_YAML = "What stands under {0} is not valid YAML, so it was read as plain text. " + INDENT
NO_TEXT = "What stands under {0} was read as {1}, where a text belongs. " + INDENT
NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d{1,2})?( */ *\d+)?")
IN_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class Read:
    """What answers.yaml holds.

    values:  the answers by question and name
    problem: what is wrong with the whole file, a sentence; empty where nothing is
    words:   the answer in words, as it is written in the file
    slip:    what to know about how the words were read; empty where there is nothing
    askew:   what YAML took without complaint and is hardly meant, a sentence each
    text:    the file
    """

    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    words: str = ""
    slip: str = ""
    askew: tuple[str, ...] = ()
    text: str = ""

    def get(self, question: str, name: str) -> Any:
        """An answer; None where it is missing or blank."""
        section = self.values.get(question)
        value = section.get(name) if isinstance(section, dict) else None
        return None if value == "" else value

    def slip_in(self, question: str) -> str:
        """Why a question has no answers that can be told apart; empty where it has some."""
        if not isinstance(self.values.get(question), str):
            return ""
        found = unspaced(self.text, question)
        return f"{ANSWERS_FILE}, {found}." if found else ""


def read(text: str, in_words: str = "") -> Read:
    """The answers in a YAML text.

    in_words: the question that is answered in words; nothing in it costs the other answers
    """
    if len(text) > MAX_CHARACTERS:
        return Read(problem=f"{ANSWERS_FILE} is too long (limit: {MAX_CHARACTERS:,} characters).")
    text = text.lstrip("\ufeff").replace("\r\n", "\n")
    rest, words = without_own_words(text, in_words) if in_words else (text, "")
    values, problem = _loaded(text)
    slip = ""
    if problem and words:
        others, still = _loaded(rest)
        if not still and isinstance(others, dict):
            values, problem = {**others, in_words: words}, ""
            slip = NOT_YAML.format(in_words)
        problem = still or problem
    if problem or not isinstance(values, dict):
        problem = problem or f"{ANSWERS_FILE} contains no questions."
        return Read(problem=problem, words=words, text=text)
    own = values.get(in_words)
    if own is None or isinstance(own, str):
        words = own or ""
    else:
        slip = NO_TEXT.format(in_words, _kind(own))
    return Read(values, "", words, slip, tuple(read_askew(rest, ANSWERS_FILE)), text)


def _loaded(text: str) -> tuple[Any, str]:
    """What a YAML text holds, and what is wrong with it."""
    try:
        return yaml.load(text, Loader=AsWritten), ""  # AsWritten is a SafeLoader
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as problem:
        if isinstance(problem, yaml.MarkedYAMLError):
            line, said = in_plain_words(problem, text)
        else:
            line, said = control_character(text)
        place = f", line {line}" if line else ""
        return None, f"{ANSWERS_FILE} is not valid YAML{place}: {said}."
    except Exception:  # noqa: BLE001  odd tags raise AttributeError, KeyError, IndexError and more
        return None, f"{ANSWERS_FILE} is not valid YAML."


def _kind(value: object) -> str:
    """What YAML made of some words."""
    if isinstance(value, dict):
        return "names with values, because of a colon"
    if isinstance(value, list):
        return "a list"
    return "a number" if isinstance(value, (int, float)) else "something else"


def number(value: object) -> Fraction | None:
    """A finite number, also one written as text or as a fraction; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return None
    text = str(value).replace("_", "").strip()
    if IN_THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if len(text) > 40 or not NUMBER.fullmatch(text):
        return None
    try:
        return Fraction(text.replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        return None


def whole(value: object) -> int | None:
    """A whole number; None for anything else."""
    found = number(value)
    return None if found is None or found != int(found) else int(found)


def sizes(value: object) -> tuple[int, ...] | None:
    """A shape, a few whole numbers above 0; None for anything else."""
    parts = re.findall(r"[\w.-]+", value.replace("x", " ")) if isinstance(value, str) else value
    if not isinstance(parts, list) or not 1 <= len(parts) <= MAX_SIZES:
        return None
    found = [whole(part) for part in parts]
    some = [size for size in found if size is not None and size >= 1]
    return tuple(some) if len(some) == len(found) else None


def matrix(value: object) -> list[list[float]] | None:
    """A matrix, rows of numbers; None for anything else."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ROWS:
        return None
    rows = []
    for row in value:
        if not isinstance(row, list) or len(row) > MAX_ROWS:
            return None
        found = [number(one) for one in row]
        some = [float(one) for one in found if one is not None]
        if len(some) < len(found):
            return None
        rows.append(some)
    return rows


def word(value: object, choices: Sequence[str]) -> str | None:
    """One of some words; None for anything else."""
    found = value.strip().lower() if isinstance(value, str) else ""
    return found if found in choices else None
