"""A line's feedback as the platform's page shows it: a fragment of HTML.

The platform cleans it, and doesn't say what it keeps. So only plain elements carry the text;
each ends with a break, in case the element is dropped, and a style is never needed: without
it, a picture is as wide as the page, and a table narrow enough for a phone.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence

from autograder.rubric.feedback import Feedback, Picture, aligned

LONG_WORD = re.compile(r"\S{30,}")
EACH = 12  # characters after which a long word may be broken
BREAK = "\x00"  # where it may; no text holds one, as Feedback cleans them


def fragment(feedback: Feedback) -> str:
    """All of a feedback, with the pictures inline. Everything is escaped."""
    labelled = "".join(
        f"<p><b>{label}:</b> {escaped(text)}<br></p>" for label, text in feedback.labelled
    )
    notes = "".join(paragraph(note) for note in feedback.notes)
    images = "".join(image(picture) for picture in feedback.pictures)
    gap = "<br>" if feedback.table and not labelled else ""
    return f"{escaped(feedback.headline)}<br>{labelled}{gap}{table(feedback)}{notes}{images}"


def says_more(feedback: Feedback) -> bool:
    """Whether there is more to a feedback than its headline."""
    return bool(feedback.labelled or feedback.table or feedback.notes or feedback.pictures)


def paragraph(text: str) -> str:
    """A text as an element of its own."""
    return f"<p>{escaped(text)}<br></p>"


def table(feedback: Feedback) -> str:
    """A feedback's table in columns; nothing where there is none. It scrolls where it must."""
    rows = [html.escape(row, quote=False) for row in aligned(feedback.table)]
    style = "overflow-x: auto"
    return f'<pre style="{style}">{_joined(rows)}<br></pre>' if rows else ""


def escaped(text: str) -> str:
    """A text in which markup is text, lines are lines, and a long word fits a narrow page."""
    marked = LONG_WORD.sub(lambda word: re.sub(f"(.{{{EACH}}})", rf"\1{BREAK}", word[0]), text)
    lines = html.escape(marked, quote=False).split("\n")
    return _joined(lines).replace(BREAK, "<wbr>")


def _joined(lines: Sequence[str]) -> str:
    return "<br>".join(lines)


def image(picture: Picture) -> str:
    """A picture inline, described for those who don't see it; no wider than it is, or the page."""
    data = base64.b64encode(picture.png).decode("ascii")
    description = html.escape(picture.description, quote=True)
    style = f"max-width: {width(picture.png)}px"
    return (
        f'<p><img alt="{description}" width="100%" style="{style}" '
        f'src="data:image/png;base64,{data}"><br></p>'
    )


def width(png: bytes) -> int:
    """A PNG's width in pixels, from its first chunk."""
    return int.from_bytes(png[16:20], "big")
