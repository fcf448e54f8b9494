"""What a student reads on a rubric line: one headline, then got, expected, mistake, next step."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass, field, replace
from typing import TypedDict

from autograder.sandbox.errors import (
    InvalidReply,
    StudentCodeRaised,
    TookTooLong,
    WorkerDied,
    WorkerError,
)

MAX_QUOTED = 600  # characters of a student's own message or output that are quoted


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
    """One rubric line's text. Only the headline must be there."""

    headline: str
    got: str = ""
    expected: str = ""
    likely: str = ""
    next_step: str = ""
    notes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)
    diagnosis: str = ""  # id of the known mistake that was recognised, for staff and validate

    def lines(self) -> list[str]:
        """The text, a line each."""
        labelled = {
            "Got": self.got,
            "Expected": self.expected,
            "Likely mistake": self.likely,
            "Next": self.next_step,
        }
        return [
            self.headline,
            *(f"{label}: {text}" for label, text in labelled.items() if text),
            *self.notes,
        ]

    def text(self) -> str:
        """All of it as plain text."""
        return "\n".join(self.lines())

    def html(self) -> str:
        """All of it as an HTML fragment, with the pictures inline. Everything is escaped."""
        text = "<br>".join(html.escape(line).replace("\n", "<br>") for line in self.lines())
        images = "".join(image_tag(picture) for picture in self.pictures)
        return f"<p>{text}</p>{images}"

    def noting(self, *notes: str) -> Feedback:
        """The same with more notes at its end."""
        return replace(self, notes=(*self.notes, *(note for note in notes if note)))


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
    points: float = 0.0,
    diagnosis: str = "",
) -> Rejected:
    """A Rejected to raise, from its parts."""
    return Rejected(
        Feedback(headline, got, expected, likely, next_step, diagnosis=diagnosis), points
    )


def image_tag(picture: Picture) -> str:
    """A picture as an inline HTML image, described for those who don't see it."""
    data = base64.b64encode(picture.png).decode("ascii")
    description = html.escape(picture.description, quote=True)
    return f'<p><img alt="{description}" src="data:image/png;base64,{data}"></p>'


def of_worker_error(error: WorkerError) -> Feedback:
    """A student's view of what went wrong in the process that ran their code."""
    if isinstance(error, StudentCodeRaised):
        return _of_exception(error)
    if isinstance(error, TookTooLong):
        return Feedback(
            f"Your code did not finish within {error.seconds:g} seconds while {error.doing}.",
            next_step="Look for an endless loop, input(), or training that runs on import.",
        )
    if isinstance(error, WorkerDied):
        return Feedback(
            f"The process that runs your code ended while {error.doing}: {error.reason}.",
            next_step="Look for exit(), endless recursion, or tensors that grow without bound.",
        )
    if isinstance(error, InvalidReply):
        return Feedback(
            f"Your code returned something that can't be read while {error.doing}.",
            got=error.problem[:MAX_QUOTED],
            expected="plain dense tensors of moderate size",
        )
    return Feedback(f"Your code could not be run while {error.doing}.")


def _of_exception(error: StudentCodeRaised) -> Feedback:
    place = f" ({error.file}, line {error.line})" if error.file and error.line else ""
    message = error.message.strip()[:MAX_QUOTED]
    if error.type == "Refusal":
        starts_with_name = "." in message.partition(" ")[0] or "(" in message.partition(" ")[0]
        first = message[:1] if starts_with_name else message[:1].upper()
        return Feedback(f"{first}{message[1:]}.")
    if error.type == "NotImplementedError":
        return Feedback(
            f"Not done yet{place}: this slot still raises NotImplementedError.",
            next_step="Replace the raise by your own code; the docstring gives the shapes.",
        )
    if error.type in ("SyntaxError", "IndentationError", "TabError"):
        return Feedback(
            f"Python can't read {error.file or 'your file'}: {message}{place}.",
            next_step="Open the file at that line, or run: python check.py",
        )
    return Feedback(
        f"Your code raised {error.type} while {error.doing}{place}.",
        got=f"{error.type}: {message}" if message else error.type,
        next_step="Run the same on your machine: python check.py",
    )
