"""The text of a code file: decoded once, and from then on what is read and what is run.

What a file can begin with, and what becomes of it:

    nothing, or UTF-8's byte order mark     read as UTF-8
    `# -*- coding: latin-1 -*-` and others  read so, if people write in that encoding
    any other encoding, such as utf-7       read as UTF-8, with a note: some make code of comments
    bytes that the encoding doesn't have    shown as �, with a note

The text carries no other encoding's name afterwards, so that whoever reads it reads the same.
"""

from __future__ import annotations

import codecs
import re

UTF_8, WITH_MARK = "utf-8", "utf-8-sig"  # the latter reads UTF-8 without the mark too
WRITTEN_IN = re.compile(
    r"ascii|utf-8(-sig)?|iso8859-\d+|cp(125\d|437|850|852|932|949|950)|koi8-[ru]|mac-roman"
    r"|gbk|gb2312|gb18030|big5|shift_jis|euc_(jp|kr)"
)
# As Python looks for it, at the start of a line however lines end.
COOKIE = re.compile(r"((?:\A|(?<=[\r\n]))[ \t\f]*#[^\r\n]*?coding[:=][ \t]*)([-\w.]+)")
LINES_WITH_A_COOKIE = 2


def decoded(content: bytes, name: str, notes: list[str]) -> str:
    """The text of a file; says in notes what a student should know about its encoding."""
    cookie = COOKIE.search(_split(content.decode("latin-1"))[0])
    encoding = UTF_8
    if cookie and not content.startswith(codecs.BOM_UTF8):
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
