"""A student's text on its way to a terminal, results.json or a page: one cleaner for all of it.

What people write is shown as they wrote it. What only machines obey is not: characters that
move a cursor, turn the direction of reading, hide themselves, or that other programs refuse
(PostgreSQL has no NUL, jq no half of a surrogate pair). They are shown by their code, as
Python writes them: \\x1b, \\u202e.
"""

from __future__ import annotations

import re

MOST = 4_000  # characters, where a caller names no limit: more than any message needs
MOST_NAME = 80  # characters of a class, a layer, a file
CUT = " …"
LINE_MARK = "\n  | "  # begins each further line of a quoted text, so that none can pass for ours
UNMARKED = re.compile(r"\n(?!  \| )")

OBEYED = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and newline: NUL, escape, C1
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # drawn as nothing
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # directions, invisible marks
    "\u180b-\u180f\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e0fff"  # tags, which spell text that nobody sees
    "\ud800-\udfff"  # halves of surrogate pairs
    "]"
)
NOT_IN_A_NAME = re.compile(r"[^\w.()<>\[\]-]")


def clean(text: str, most: int = MOST) -> str:
    """The text as it may be shown anywhere, at most so many characters of it."""
    text = shortened(text, most)
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return shortened(OBEYED.sub(_code, text), most)


def shortened(text: str, most: int) -> str:
    """The text, cut to so many characters with a mark where it is longer."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def one_line(text: str, most: int) -> str:
    """A text on one line: whatever separates lines or words is one space."""
    return clean(" ".join(shortened(text, most).split()), most)


def quoted(text: str, most: int = MOST) -> str:
    """A text of several lines as it is quoted: each line but the first with a mark in front.

    A line that has the mark gets no second one, so what is quoted can be quoted again.
    """
    return UNMARKED.sub(LINE_MARK, clean(text, most).rstrip())


def name(text: str) -> str:
    """A name inside a sentence of ours: one word, so that it can't go on with the sentence."""
    return clean(NOT_IN_A_NAME.sub("?", text[: MOST_NAME + 1]), MOST_NAME) or "?"


def _code(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
