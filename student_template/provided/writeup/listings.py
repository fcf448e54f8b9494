"""Your code as the appendix shows it: from the .py files, or from a notebook's definitions."""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provided.near_names import NOTEBOOK
from provided.submission import Submission
from provided.writeup.problem import CannotBuild
from provided.writeup.questions import Code

COLUMNS = 102  # that a line of code may have on the page
CONTINUED = "\u21aa "  # begins the rest of a line that was wrapped


@dataclass(frozen=True)
class Listing:
    """Code for the appendix: where it comes from, and its lines, wrapped to the page."""

    origin: str
    source: str
    wrapped_lines: int


def listing_of(submission: Submission, code: Code, others: Sequence[Code]) -> Listing | None:
    """A question's code, as it is graded; None where it isn't written yet. Raises CannotBuild.

    `others` are the other questions' pieces of code: what of a file belongs to them alone is
    left out.
    """
    text = submission.code.get(code.file)
    own = _own_names(code)
    statements = [] if text is None else _statements(text, code.file)
    if not _is_written(statements, own):
        for note in _refusals(submission, code.file):
            raise CannotBuild(note)
        return None
    theirs = {name for other in others if other.file == code.file for name in _own_names(other)}
    shown = [one for one in statements if not one.only_for(theirs - own, statements, own)]
    origin = submission.notebook if code.file in submission.made else code.file
    return Listing(origin, *wrapped("\n".join(one.text for one in shown).strip("\n")))


def _refusals(submission: Submission, file: str) -> Iterator[str]:
    """Why a file that is there, or a notebook in its place, wasn't taken."""
    names = [path.name for path in submission.folder.glob(f"*{NOTEBOOK}")]
    for note in submission.notes:
        if note.startswith((f"{file} is not ", f"{file} is too ", *(f"{name} " for name in names))):
            yield note


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


def _statements(text: str, name: str) -> list[_Statement]:
    """A file in pieces. Raises CannotBuild where it is no Python."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
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
