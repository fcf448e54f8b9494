"""What a student reads on a rubric line: a headline, then got, expected, mistake, next step.

Where it helps, a small table and pictures follow; the text stands alone without the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypedDict

from autograder.sandbox import refusals
from autograder.sandbox.errors import (
    IndigestibleReply,
    InvalidReply,
    Limit,
    Refused,
    StudentCodeRaised,
    TookTooLong,
    WorkerDied,
    WorkerError,
)
from autograder.sandbox.text import clean, one_line, quoted

MAX_PARAGRAPH = 3_000  # characters of one paragraph
MAX_CELL = 200  # characters in a table's cell
MAX_NAMED = 120  # characters of what Python says about a file
MAX_ROWS = 600  # of a table: a model may have 500 layers
MAX_QUOTED = 600  # characters of a student's own message or output that are quoted

Table = tuple[tuple[str, ...], ...]  # rows of the same length, the heads of the columns first


@dataclass(frozen=True)
class Picture:
    """A PNG and the sentence that stands for it where pictures can't be shown."""

    png: bytes
    description: str


class Named(TypedDict, total=False):
    """What is said about a mistake that was recognised; the keywords of `reject`."""

    likely: str
    next_step: str
    diagnosis: str


@dataclass(frozen=True)
class Feedback:
    """One rubric line's text. Only the headline must be there.

    Whatever of it is a student's comes out clean, and each paragraph in lines of its own.
    """

    headline: str
    got: str = ""
    expected: str = ""
    likely: str = ""
    next_step: str = ""
    table: Table = ()
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    diagnosis: str = ""  # id of the known mistake that was recognised, for staff and validate
    cause: str = ""  # what is the same on every line that the same thing costs; never shown

    def __post_init__(self) -> None:
        for paragraph in ("headline", "got", "expected", "likely", "next_step"):
            object.__setattr__(self, paragraph, quoted(getattr(self, paragraph), MAX_PARAGRAPH))
        object.__setattr__(self, "notes", tuple(quoted(note, MAX_PARAGRAPH) for note in self.notes))
        rows = tuple(
            tuple(one_line(cell, MAX_CELL) for cell in row) for row in self.table[:MAX_ROWS]
        )
        object.__setattr__(self, "table", rows)

    def lines(self) -> list[str]:
        """The text, a line each."""
        said = [f"{label}: {text}" for label, text in self.labelled]
        return [self.headline, *said, *aligned(self.table), *self.notes]

    @property
    def labelled(self) -> list[tuple[str, str]]:
        """What is said below the headline, each with its label."""
        parts = {
            "Got": self.got,
            "Expected": self.expected,
            "Likely mistake": self.likely,
            "Next": self.next_step,
        }
        return [(label, text) for label, text in parts.items() if text]

    def text(self) -> str:
        """All of it as plain text."""
        return "\n".join(self.lines())

    def rewritten(self, rewrite: Callable[[str], str]) -> Feedback:
        """The same with each sentence put through a function."""
        return replace(
            self,
            headline=rewrite(self.headline),
            got=rewrite(self.got),
            expected=rewrite(self.expected),
            likely=rewrite(self.likely),
            next_step=rewrite(self.next_step),
            notes=tuple(rewrite(note) for note in self.notes),
        )

    def noting(self, *notes: str) -> Feedback:
        """The same with more notes at its end."""
        return replace(self, notes=(*self.notes, *(note for note in notes if note)))

    def showing(self, *pictures: Picture) -> Feedback:
        """The same with more pictures."""
        return replace(self, pictures=(*self.pictures, *pictures))


class Rejected(Exception):
    """A check that a submission doesn't pass: the feedback, and the points it still gets."""

    def __init__(self, feedback: Feedback, points: float = 0.0) -> None:
        super().__init__(feedback.headline)
        self.feedback = feedback
        self.points = points


def reject(
    headline: str,
    *,
    got: str = "",
    expected: str = "",
    likely: str = "",
    next_step: str = "",
    table: Table = (),
    notes: tuple[str, ...] = (),
    points: float = 0.0,
    diagnosis: str = "",
) -> Rejected:
    """A Rejected to raise, from its parts."""
    return Rejected(
        Feedback(headline, got, expected, likely, next_step, table, notes, diagnosis=diagnosis),
        points,
    )


def aligned(table: Table) -> list[str]:
    """A table as lines of text in which columns stand below each other, numbers to the right.

    Each word of a column's head has a line of its own: a phone is forty characters wide.
    """
    if not table:
        return []
    heads = [head.split() for head in table[0]]
    height = max(map(len, heads))
    rows = [*zip(*([""] * (height - len(head)) + head for head in heads), strict=True), *table[1:]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def counted(count: int, what: str) -> str:
    """A count with its noun: 1 epoch, 1,200 epochs."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def joined(parts: Iterable[str]) -> str:
    """Words as a list in a sentence: a, b and c."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def of_worker_error(error: WorkerError) -> Feedback:
    """A student's view of what went wrong in the process that ran their code."""
    if isinstance(error, StudentCodeRaised):
        return _of_exception(error)
    if isinstance(error, TookTooLong):
        return _of_limit(error.limit, error.doing)
    if isinstance(error, WorkerDied):
        return Feedback(
            f"The process that runs your code ended while {error.doing}: {error.reason}.",
            next_step="Look for exit(), endless recursion, or tensors that grow without bound.",
        )
    if isinstance(error, IndigestibleReply):
        return Feedback(
            f"The grader can't make sense of what it got from your submission while {error.doing}.",
            expected="tensors of moderate size and ordinary names from your code, and files as "
            "train.py writes them",
            next_step="Print type, shape and range of what your functions return. The course staff "
            "can see what went wrong with it.",
        )
    if isinstance(error, InvalidReply):
        return Feedback(
            f"Your code returned something the grader can't read while {error.doing}.",
            got=error.problem[:MAX_QUOTED],
            expected="plain dense tensors of moderate size",
            next_step="Print the type and shape of what your function returns.",
        )
    return Feedback(f"Your code could not be run while {error.doing}.")


def _of_limit(limit: Limit, doing: str) -> Feedback:
    """Code that took too long: alone, or together with what the same part ran before."""
    unit = "seconds of processor time" if limit.processor else "seconds"
    if limit.shared:
        return Feedback(
            f"Your code took more than {limit.seconds:g} {unit}, which is all the time for this "
            f"part; it was stopped while {doing}.",
            next_step="Time one call of your code: it should take well under a second. Look for "
            "work that every call repeats, sleep(), or training that runs on import.",
        )
    return Feedback(
        f"Your code did not finish within {limit.seconds:g} {unit} while {doing}.",
        next_step="Look for an endless loop, input(), or training that runs on import.",
    )


def _of_exception(error: StudentCodeRaised) -> Feedback:
    cause = f"{error.type} {error.file} {error.line} {error.message}"
    return replace(_of_raised(error), cause=cause)


def _of_raised(error: StudentCodeRaised) -> Feedback:
    place = f" ({error.file}, line {error.line})" if error.file and error.line else ""
    message = clean(error.message.strip(), MAX_QUOTED)
    if isinstance(error, Refused) and not refusals.is_ours(message):
        return Feedback(
            f"Your code is not what the grader needs while {error.doing}.",
            got=message,
            next_step="Compare with the template, or run: python check.py",
        )
    if isinstance(error, Refused):
        starts_with_name = "." in message.partition(" ")[0] or "(" in message.partition(" ")[0]
        first = message[:1] if starts_with_name else message[:1].upper()
        return Feedback(
            f"{first}{message[1:]}.", next_step="Compare with the template, or run: python check.py"
        )
    if error.type == "NotImplementedError":
        return Feedback(
            f"Not done yet{place}: this function still raises NotImplementedError.",
            next_step="Replace it with your code; the docstring says what goes in and comes out.",
        )
    if error.type in ("SyntaxError", "IndentationError", "TabError"):
        said = one_line(message, MAX_NAMED)
        return Feedback(
            f"Python can't read {error.file or 'your file'}: {said}{place}.",
            next_step="Open the file at that line, or run: python check.py",
        )
    return Feedback(
        f"Your code raised {error.type} while {error.doing}{place}.",
        got=f"{error.type}: {message}" if message else error.type,
        next_step="Try it on your machine: python check.py",
    )
