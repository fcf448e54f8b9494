"""The text of a file of yours: decoded once, and from then on what is read and what is run.

What a file can begin with, and what becomes of it:

    nothing, or UTF-8's byte order mark     read as UTF-8
    the mark of UTF-16 or UTF-32            read so, with a note: Python itself can't
    `# -*- coding: latin-1 -*-` and others  read so, if people write in that encoding
    any other encoding, such as utf-7       read as UTF-8, with a note: some make code of comments
    bytes that the encoding doesn't have    shown as �, with a note
    zero bytes anywhere in the text         refused: it is no text, or damaged

The text carries no other encoding's name afterwards, so that whoever reads it reads the same.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

UTF_8, WITH_MARK = "utf-8", "utf-8-sig"  # the latter reads UTF-8 without the mark too
WRITTEN_IN = re.compile(
    r"ascii|utf-8(-sig)?|iso8859-\d+|cp(125\d|437|850|852|932|949|950)|koi8-[ru]|mac-roman"
    r"|gbk|gb2312|gb18030|big5|shift_jis|euc_(jp|kr)"
)
# As Python looks for it, at the start of a line however lines end.
COOKIE = re.compile(r"((?:\A|(?<=[\r\n]))[ \t\f]*#[^\r\n]*?coding[:=][ \t]*)([-\w.]+)")
LINES_WITH_A_COOKIE = 2
MARKED = {  # byte order mark -> encoding; UTF-32's begins as UTF-16's does
    codecs.BOM_UTF8: WITH_MARK,
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class NoText(Exception):
    """Why a file holds no text; one sentence."""


def texts_of(contents: Mapping[str, bytes], notes: list[str]) -> dict[str, str]:
    """The texts of some files; what holds none is left out, with its reason in the notes."""
    texts = {}
    for name, content in contents.items():
        try:
            texts[name] = decoded(content, name, notes)
        except NoText as problem:
            notes.append(str(problem))
    return texts


def decoded(content: bytes, name: str, notes: list[str]) -> str:
    """The text of a file; says in notes what a student should know about its encoding.

    Raises NoText.
    """
    told: list[str] = []
    text = _decoded(content, name, told)
    if "\0" in text:
        raise NoText(
            f"{name} is not a text file, as it has zero bytes: ignored. Save it as plain text in "
            "UTF-8."
        )
    notes += told
    return text


def plain_text(content: bytes, name: str) -> str:
    """The text of a file with plain line ends; its encoding is UTF-8, or told by a mark.

    Raises NoText.
    """
    try:
        text = content.decode(_marked(content) or UTF_8)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise NoText(f"{name} is not plain text: save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _marked(content: bytes) -> str:
    """The encoding that a byte order mark tells; empty where there is none."""
    return next((name for mark, name in MARKED.items() if content.startswith(mark)), "")


def _decoded(content: bytes, name: str, notes: list[str]) -> str:
    marked = _marked(content)
    cookie = COOKIE.search(_split(content.decode("latin-1"))[0])
    encoding = marked or UTF_8
    if marked not in ("", WITH_MARK):
        notes.append(
            f"{name} was saved as {marked.upper()} and read as such. Other programs expect UTF-8: "
            "save it so."
        )
    elif cookie and not marked:
        encoding = _known(cookie[2])
        if not encoding:
            notes.append(f"{name} names the encoding {cookie[2][:40]}: it was read as UTF-8.")
    encoding = WITH_MARK if encoding in ("", UTF_8) else encoding
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode(encoding, errors="replace")
        said = "UTF-8" if encoding == WITH_MARK else encoding
        notes.append(f"{name} is not written in {said} throughout: unreadable characters became �.")
    head, rest = _split(text)
    return COOKIE.sub(rf"\g<1>{UTF_8}", head) + rest


def _known(name: str) -> str:
    """Python's name of an encoding that people write code in; empty for any other."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    return found if WRITTEN_IN.fullmatch(found) else ""


def _split(text: str) -> tuple[str, str]:
    """The lines in which an encoding may be named, and the rest."""
    lines = re.split(r"(\r\n|\r|\n)", text, maxsplit=LINES_WITH_A_COOKIE)
    return "".join(lines[: 2 * LINES_WITH_A_COOKIE]), "".join(lines[2 * LINES_WITH_A_COOKIE :])
