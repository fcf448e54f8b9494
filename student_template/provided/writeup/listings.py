"""Your code as the appendix shows it: from the .py files, or from a notebook's definitions."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provided.homework import MAX_TEXT_BYTES
from provided.near_names import NOTEBOOK
from provided.notebook import MAX_BYTES as MAX_NOTEBOOK_BYTES
from provided.writeup.problem import CannotBuild
from provided.writeup.prose import decoded
from provided.writeup.questions import Code

COLUMNS = 102  # that a line of code may have on the page
CONTINUED = "\u21aa "  # begins the rest of a line that was wrapped
MAGIC = re.compile(r"^\s*(?:%|!|\?)|\?{1,2}\s*$")


@dataclass(frozen=True)
class Listing:
    """Code for the appendix: where it comes from, and its lines, wrapped to the page."""

    origin: str
    source: str
    wrapped_lines: int


def listing_of(root: Path, code: Code, others: Sequence[Code]) -> Listing | None:
    """A question's code; None where it isn't written yet. Raises CannotBuild.

    `others` are the other questions' pieces of code: what of a file belongs to them alone is
    left out. A file that is filled in goes before a notebook, as in grading.
    """
    own = _own_names(code)
    theirs = {name for other in others if other.file == code.file for name in _own_names(other)}
    file = root / code.file
    if file.is_file():
        text = _read(file)
        statements = _statements(text, code.file)
        if statements is not None and _is_written(statements, own):
            shown = [one for one in statements if not one.only_for(theirs - own, statements, own)]
            return Listing(code.file, *wrapped("\n".join(one.text for one in shown).strip("\n")))
    for notebook in sorted(root.glob(f"*{NOTEBOOK}")):
        statements = _notebook_statements(notebook)
        if _is_written(statements, own):
            needed = _closure(statements, own)
            shown = [one for one in statements if one in needed]
            text = "\n\n".join(one.text.strip("\n") for one in shown)
            return Listing(notebook.name, *wrapped(text))
    return None


@dataclass(frozen=True)
class _Statement:
    """A statement at the top of a file, with the comments and blank lines above it."""

    text: str
    node: ast.stmt
    names: frozenset[str]  # that it defines
    uses: frozenset[str]

    def only_for(self, theirs: set[str], statements: Sequence[_Statement], own: set[str]) -> bool:
        """Whether it belongs to other questions and not to this one."""
        mine = _closure(statements, own)
        return self not in mine and self in _closure(statements, theirs)


def _own_names(code: Code) -> set[str]:
    return set(code.names)


def _read(file: Path) -> str:
    if file.stat().st_size > MAX_TEXT_BYTES:
        raise CannotBuild(f"{file.name} is larger than {MAX_TEXT_BYTES:,} bytes.")
    text = decoded(file.read_bytes())
    if text is None:
        raise CannotBuild(f"{file.name} is not plain text: save it as UTF-8.")
    return text


def _statements(text: str, name: str) -> list[_Statement] | None:
    """A file in pieces. Raises CannotBuild where it is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as problem:
        line = f", line {problem.lineno}" if isinstance(problem, SyntaxError) else ""
        raise CannotBuild(f"{name}{line}, is not valid Python: run python check.py.") from None
    return list(_pieces(text, tree))


def _pieces(text: str, tree: ast.Module) -> Iterator[_Statement]:
    lines = text.split("\n")
    above = 0
    for index, node in enumerate(tree.body):
        is_last = index == len(tree.body) - 1
        end = len(lines) if is_last else node.end_lineno or len(lines)
        yield _Statement(
            text="\n".join(lines[above:end]).rstrip(),
            node=node,
            names=frozenset(_defined(node)),
            uses=frozenset(one.id for one in ast.walk(node) if isinstance(one, ast.Name)),
        )
        above = max(above, end)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((one.asname or one.name).partition(".")[0] for one in node.names)
    else:
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                yield one.id


def _closure(statements: Sequence[_Statement], names: set[str]) -> list[_Statement]:
    """The statements that define names, and all that those use."""
    found: list[_Statement] = []
    wanted, done = set(names), set[str]()
    while wanted:
        name = wanted.pop()
        done.add(name)
        for one in statements:
            if name in one.names and one not in found:
                found.append(one)
                wanted |= one.uses - done
    return found


def _is_written(statements: Sequence[_Statement], names: set[str]) -> bool:
    """Whether one of the names is defined, by more than the template's NotImplementedError."""
    defined = [one for one in statements if one.names & names]
    builders = [one for one in defined if isinstance(one.node, (ast.FunctionDef, ast.ClassDef))]
    return bool(builders) and not any(_is_blank(one.node) for one in builders)


def _is_blank(node: ast.stmt) -> bool:
    return any(
        isinstance(one, ast.Raise)
        and one.exc is not None
        and ast.unparse(one.exc).startswith("NotImplementedError")
        for one in ast.walk(node)
    )


def _notebook_statements(file: Path) -> list[_Statement]:
    """All that a notebook's cells of Python define, in their order. Raises CannotBuild."""
    if file.stat().st_size > MAX_NOTEBOOK_BYTES:
        raise CannotBuild(f"{file.name} is larger than {MAX_NOTEBOOK_BYTES >> 20} MB.")
    try:
        cells = json.loads(file.read_text(encoding="utf-8-sig"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell.get("cell_type") == "code"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CannotBuild(f"{file.name} can't be read as a notebook.") from None
    found: list[_Statement] = []
    for source in sources:
        lines = source.replace("\r\n", "\n").split("\n")
        text = "\n".join("" if MAGIC.search(line) else line for line in lines)
        try:
            found += _pieces(text, ast.parse(text))
        except (SyntaxError, ValueError, RecursionError):
            continue  # a cell that is no Python defines nothing
    return found


def wrapped(source: str) -> tuple[str, int]:
    """Lines that the page has room for, the long ones in several; and how many were too long."""
    lines = [list(_pieces_of(line.rstrip())) for line in source.expandtabs(4).split("\n")]
    shown = "\n".join(piece for pieces in lines for piece in pieces)
    return shown, sum(len(pieces) > 1 for pieces in lines)


def _pieces_of(line: str) -> Iterator[str]:
    """A line in pieces that the page has room for; Chinese letters need two columns."""
    piece, width = "", 0
    for letter in line:
        wide = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if width + wide > COLUMNS:
            yield piece
            piece, width = CONTINUED, len(CONTINUED)
        piece += letter
        width += wide
    yield piece
