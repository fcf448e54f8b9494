"""Texts for people that quote the homework's values: each checked against them, or mended.

What can be derived when it is read (titles of rubric lines, check.py, feedback) is. What is
written for people, in comments, docstrings and documents, quotes values in sentences; each
such sentence stands below once, with the value's name in its place. A number that looks like
one of the homework's and stands in no known sentence is told too, so that a new sentence
can't be forgotten.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autograder.hw5.assignment import Assignment


class Place(NamedTuple):
    """A sentence of a file, with values named as in a rubric line's title."""

    file: str
    sentence: str


MODELS, ANSWERS = "student_template/models.py", "student_template/answers.yaml"
STUDENTS, RUBRIC = "student_template/README.md", "docs/rubric.md"
CONV1D = (
    "A sequence of {conv1d.length} numbers ({conv1d.length} x {conv1d.input_channels}) meets "
    "{conv1d.filters} filters of size {conv1d.kernel} x {conv1d.input_channels}, stride "
    "{conv1d.stride}, no padding."
)
CONV2D = (
    "An image of {conv2d.height} x {conv2d.width} x {conv2d.input_channels} meets "
    "{conv2d.filters} filters of size {conv2d.kernel} x {conv2d.kernel} x "
    "{conv2d.input_channels}, stride {conv2d.stride}, no padding."
)
POOLING = (
    "# Pool both matrices with a window of {pooling.window} x {pooling.window} and stride "
    "{pooling.stride}, without padding.\n#\n{pooling.side_by_side}\nq1c:"
)
PLACES = (
    Place(ANSWERS, CONV1D),
    Place(ANSWERS, CONV2D),
    Place(ANSWERS, POOLING),
    Place(MODELS, "in batches of {training.batch_size} for at most {training.epochs} epochs."),
    Place(MODELS, "only {fully_connected.listed}, after a Flatten."),
    Place(
        MODELS,
        "at most {fully_connected.max_hidden_units} hidden units in all hidden layers together. "
        "Goal: {fully_connected.training.accuracy:.1%} of the test images.",
    ),
    Place(MODELS, "only {cnn.listed}, with at least one {cnn.required_kinds}."),
    Place(
        MODELS,
        "fewer than {cnn.max_parameters:,} parameters. Goal: {cnn.training.accuracy:.1%} of the "
        "test images.",
    ),
    Place("student_template/attention.py", "From torch.nn only {head.listed}, without biases;"),
    Place(STUDENTS, "in batches of {training.batch_size} for at most {training.epochs} epochs."),
    Place(
        STUDENTS,
        "up to batches of {fully_connected.max_batch_size:,} and {fully_connected.max_epochs} "
        "epochs;",
    ),
    Place(
        STUDENTS,
        "an `nn.Sequential` of {fully_connected.listed}, with a Flatten in front; at most "
        "{fully_connected.max_hidden_units} hidden units in all hidden layers together (the last "
        "Linear gives the ten logits and doesn't count) | "
        "{fully_connected.training.accuracy:.1%} |",
    ),
    Place(
        STUDENTS,
        "an `nn.Sequential` of {cnn.listed}; at least one {cnn.required_kinds}; fewer than "
        "{cnn.max_parameters:,} parameters | {cnn.training.accuracy:.1%} |",
    ),
    Place(STUDENTS, "of `torch.nn` only {head.listed}; no biases"),
    Place(STUDENTS, "{training.epochs} epochs | {transformer.accuracy:.1%} |"),
    Place(RUBRIC, "fully connected: only {fully_connected.listed}, after a Flatten |"),
    Place(RUBRIC, "at most {fully_connected.max_hidden_units} hidden units in all"),
    Place(
        RUBRIC,
        "| 2b.3 | 4 | test accuracy of at least {fully_connected.training.accuracy:.1%}; "
        "{fully_connected.training.partial_credit} |",
    ),
    Place(RUBRIC, "| 2c.2 | 1 | at least one {cnn.required_kinds} |"),
    Place(RUBRIC, "fewer than {cnn.max_parameters:,} parameters |"),
    Place(
        RUBRIC,
        "| 2c.4 | 6 | test accuracy of at least {cnn.training.accuracy:.1%}; "
        "{cnn.training.partial_credit} |",
    ),
    Place(RUBRIC, "from torch.nn only {head.listed}; no built-in attention |"),
    Place(
        RUBRIC,
        "| 3c.2 | 2 | submitted weights reach {transformer.accuracy:.1%} on the test images; "
        "{transformer.partial_credit} |",
    ),
    Place(
        RUBRIC,
        "The threshold of {transformer.accuracy:.1%} is 1% below the convolutional network's "
        "{cnn.training.accuracy:.1%}, not below",
    ),
    Place(RUBRIC, "Adam, batches of {training.batch_size} and at most {training.epochs} epochs;"),
)
# Where a number that looks like one of these values must stand in a sentence above.
READ_BY_PEOPLE = (
    "student_template/*.py",
    "student_template/*.yaml",
    "student_template/*.md",
    "student_template/*.ipynb",
    "student_template/provided/*.py",
    "docs/rubric.md",
    "autograder/**/*.py",
    "tests/grading/*.py",
)
NOT_READ = ("autograder/staff/",)


@dataclass(frozen=True)
class Stale:
    """A text that doesn't say what the homework's values say."""

    file: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.problem}"


def stale_texts(root: Path, assignment: Assignment) -> list[Stale]:
    """Every text in a checkout that quotes another value, is missing, or is not known here."""
    found: list[Stale] = []
    covered: dict[str, list[range]] = {}
    for place in PLACES:
        text = (root / place.file).read_text(encoding="utf-8")
        matches = list(pattern_of(place.sentence, assignment).finditer(text))
        covered.setdefault(place.file, []).extend(range(*match.span()) for match in matches)
        if not matches:
            found.append(Stale(place.file, 1, f"no sentence like “{_short(place.sentence)}”"))
        for match in matches:
            for (name, wanted), said in zip(
                values_of(place.sentence, assignment), match.groups(), strict=True
            ):
                if _plain(said) != _plain(wanted):
                    line = text.count("\n", 0, match.start()) + 1
                    problem = f"says {_short(said)}, but {name} is {_short(wanted)}"
                    found.append(Stale(place.file, line, problem))
    return found + list(_unknown(root, assignment, covered))


def write_texts(root: Path, assignment: Assignment) -> list[str]:
    """Bring every known sentence up to date; the files that were changed."""
    changed = []
    for file in dict.fromkeys(place.file for place in PLACES):
        before = text = (root / file).read_text(encoding="utf-8")
        for place in PLACES:
            if place.file == file:
                text = _mended(text, place.sentence, assignment)
        if text != before:
            (root / file).write_text(text, encoding="utf-8")
            changed.append(file)
    return changed


def values_of(sentence: str, assignment: Assignment) -> list[tuple[str, str]]:
    """The values that a sentence quotes, in order: name and how it is written."""
    found = []
    for _, name, how, _ in string.Formatter().parse(sentence):
        if name:
            value, _ = string.Formatter().get_field(name, (), dict(assignment))
            found.append((name, format(value, how or "")))
    return found


def pattern_of(sentence: str, assignment: Assignment) -> re.Pattern[str]:
    """What finds a sentence whatever its values: a group for each, any white space between."""
    parts: list[str] = []
    values = iter(values_of(sentence, assignment))
    for literal, name, _, _ in string.Formatter().parse(sentence):
        parts.append(r"\s+".join(re.escape(word) for word in re.split(r"\s+", literal)))
        if name:
            _, written = next(values)
            is_number = re.fullmatch(r"[\d.,]+%?", written)
            parts.append(r"(\d[\d.,]*(?: ?%)?)" if is_number else r"((?:(?!\n\n)[^|])+?)")
    return re.compile("".join(parts))


def _mended(text: str, sentence: str, assignment: Assignment) -> str:
    wanted = [written for _, written in values_of(sentence, assignment)]

    def mend(match: re.Match[str]) -> str:
        whole, start = match[0], match.start()
        for number in range(len(wanted), 0, -1):  # from the end, so that places before it stay
            if _plain(match[number]) != _plain(wanted[number - 1]):
                first, last = match.start(number) - start, match.end(number) - start
                whole = whole[:first] + wanted[number - 1] + whole[last:]
        return whole

    return pattern_of(sentence, assignment).sub(mend, text)


def _unknown(
    root: Path, assignment: Assignment, covered: dict[str, list[range]]
) -> Iterator[Stale]:
    """Numbers that look like the homework's in sentences that are not listed above."""
    looks_like = _telling_numbers(assignment)
    for file in sorted({file for pattern in READ_BY_PEOPLE for file in root.glob(pattern)}):
        name = file.relative_to(root).as_posix()
        if name.startswith(NOT_READ) or name == "student_template/provided/homework.yaml":
            continue
        text = file.read_text(encoding="utf-8")
        for match in looks_like.finditer(text):
            if not any(match.start() in span for span in covered.get(name, [])):
                line = text.count("\n", 0, match.start()) + 1
                yield Stale(name, line, f"“{match[0]}” looks like a value of the homework")


def _telling_numbers(assignment: Assignment) -> re.Pattern[str]:
    """Numbers that can hardly mean anything else."""
    bars = {
        assignment.fully_connected.training.accuracy,
        assignment.cnn.training.accuracy,
        assignment.transformer.accuracy,
    }
    words = [re.escape(f"{bar:.1%}"[:-1]) + " ?%" for bar in bars]
    words += [re.escape(f"{bar:g}") for bar in bars]
    words += [f"{assignment.cnn.max_parameters:,}", str(assignment.cnn.max_parameters)]
    words += [f"{assignment.fully_connected.max_hidden_units} hidden"]
    return re.compile(rf"(?<![\d.])(?:{'|'.join(words)})(?!\d)")


def _plain(text: str) -> str:
    """A text without the differences that white space makes."""
    return " ".join(text.split()).replace(" %", "%")


def _short(text: str) -> str:
    plain = _plain(text)
    return plain if len(plain) <= 90 else f"{plain[:89]}…"
