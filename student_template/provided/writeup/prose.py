"""Your own words: one Markdown file for each section, in the folder writeup."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provided.decoding import NoText, plain_text
from provided.run_notes import whole
from provided.writeup.problem import CannotBuild
from provided.writeup.questions import COLLABORATORS, HONOUR, SIGNED, Question

FOLDER = "writeup"
MAX_BYTES = 1_000_000  # of a file of words: more is something else, saved by mistake
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$")
FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
SIGNATURE = re.compile(
    rf"^[ \t*_]*{SIGNED.removesuffix(':')}[ \t*_]*:[ \t*_]*(.*)$", re.MULTILINE | re.IGNORECASE
)
NOT_PRINTED = "What stands between these arrows is not printed."


@dataclass(frozen=True)
class Prose:
    """A file of words. `name` is how sentences call it, `text` its content with plain line ends."""

    name: str
    text: str

    @property
    def words(self) -> str:
        """What a reader would see, headings included."""
        return COMMENT.sub("", self.text).strip()

    def line_of(self, piece: str, occurrence: int = 0) -> str:
        """Where a piece of the text stands: 'writeup/1a.md, line 7'; the file if it isn't there."""
        place = -1
        for _ in range(occurrence + 1):
            place = self.text.find(piece, place + 1)
        if place < 0:
            place = self.text.find(piece)
        if place < 0:
            return self.name
        start = place + len(piece) - len(piece.lstrip())
        return f"{self.name}, line {self.text.count(chr(10), 0, start) + 1}"

    def empty_sections(self) -> list[str]:
        """Headings with nothing below them; [''] where the file says nothing at all."""
        if not self.words:
            return [""]
        open_ones: list[tuple[int, str]] = []  # headings that have nothing below them so far
        empty: list[str] = []
        fence = ""
        for line in self.words.splitlines():
            mark = FENCE.match(line)
            if mark and (not fence or line.strip() == fence):
                fence = "" if fence else mark[1]
            heading = None if fence else HEADING.match(line)
            if heading:
                level = len(heading[1])
                empty += [title for above, title in open_ones if above >= level]
                open_ones = [one for one in open_ones if one[0] < level]
                open_ones.append((level, heading[2]))
            elif line.strip():
                open_ones = []
        return [*empty, *(title for _, title in open_ones)]

    def signature(self) -> str:
        """The name behind 'Signed:', or on the line below it; empty where nobody signed."""
        found = SIGNATURE.search(self.words)
        if not found:
            return ""
        below = self.words[found.end() :].strip().split("\n")[0]
        name = found[1].strip(" \t*_") or below.strip(" \t*_")
        return name if any(letter.isalpha() for letter in name) else ""


def path_of(root: Path, section: str) -> Path:
    """The file of a section, which is a part such as 1a or one of the first two pages."""
    return root / FOLDER / f"{section}.md"


def create(root: Path, asked: list[Question]) -> list[str]:
    """Make the files that aren't there yet; returns their names. A file that is there stays."""
    made = []
    for section, text in _beginnings(asked):
        file = path_of(root, section)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() or file.is_symlink():
            continue
        with whole(file) as new:
            new.write_bytes(text.encode())
        made.append(f"{FOLDER}/{file.name}")
    return made


def read(root: Path, section: str) -> Prose:
    """A section's words; none where its file is missing. Raises CannotBuild."""
    file = path_of(root, section)
    name = f"{FOLDER}/{file.name}"
    try:
        if file.stat().st_size > MAX_BYTES:
            raise CannotBuild(f"{name} is larger than {MAX_BYTES:,} bytes: keep only words in it.")
        content = file.read_bytes()
    except FileNotFoundError:
        return Prose(name, "")
    except OSError as problem:
        raise CannotBuild(f"{name} can't be read: {problem.strerror}.") from None
    try:
        return Prose(name, plain_text(content, name))
    except NoText as problem:
        raise CannotBuild(str(problem)) from None


def _beginnings(asked: list[Question]) -> Iterator[tuple[str, str]]:
    yield (
        COLLABORATORS,
        f"<!--\nWith whom did you work on this homework, and on what? Write their names, or that\n"
        f"you worked alone. {NOT_PRINTED}\n-->\n\n",
    )
    yield (
        HONOUR,
        f"<!--\nThe statement is put in above this line. Sign it: type your full name behind\n"
        f'"{SIGNED}". {NOT_PRINTED}\n-->\n\n{SIGNED} \n',
    )
    for question in asked:
        yield question.part, _beginning(question)


def _beginning(question: Question) -> str:
    lines = ["<!--", question.heading, "", *_wrapped(question.asks), ""]
    given = [
        *(["the values of answers.yaml"] if question.answers else []),
        *(["settings and accuracies of the run", "every run as a table"] if question.kind else []),
        *(["the figures"] if question.kind else []),
        *(["your code"] if question.code else []),
    ]
    if given:
        lines += _wrapped(f"Put in by themselves: {', '.join(given)}.")
    lines += _wrapped(
        "Formulas: $\\sqrt{d_k}$ in a line, $$...$$ on a line of their own. Pictures: "
        f"![what it shows](picture.png), from this folder. {NOT_PRINTED}"
    )
    lines += ["-->", ""]
    for heading in question.headings:
        lines += ["", f"## {heading.title}", "", f"<!-- {heading.hint} -->", ""]
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 88, break_on_hyphens=False)
