"""A notebook in the place of code files: its definitions, read as text and never run here.

What a notebook can hold, and what becomes of it:

    a cell "%%writefile attention.py"   is that file
    definitions of the slots            make up the file, with all that they name
    everything else                     is left out: trainings, prints, plots, %magics, !commands
    a cell that is no Python            is left out, with a note that names it
    not a notebook, too big, malformed  a NotebookError with a sentence for the student
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from provided.homework import ANSWERS_FILE, CODE_FILES, HEAD, LAYER, SLOTS, SUBMITTED
from provided.notebook_names import (
    UNPARSABLE,
    Statement,
    TooTangled,
    needed,
    read_statements,
)

MAX_BYTES = 20 << 20  # with pictures among its outputs
MAX_NOTEBOOKS = 5  # of a submission that are looked into
MAX_PARTS = 2_000_000  # lists, dictionaries and values: some 100 bytes of memory each
MAX_CODE = 400_000  # characters in all code cells together
MAX_CELLS = 2_000
MAX_NOTES = 3  # cells that are named one by one
MAX_QUOTED = 40  # characters of a cell's first line

# The encoder's heads are exchanged for correct ones where the student's are wrong.
OTHER_SLOTS = {LAYER.file: {HEAD.name: HEAD.module}}
WRITABLE = (*CODE_FILES, ANSWERS_FILE)
WRITES = ("%%writefile", "%%file")
RUNS_PYTHON = ("%%time", "%%capture", "%%prun")

COMMAND = re.compile(r"!(?!=)|%%?[A-Za-z]")
TARGETS = re.compile(r"[\w, ]+")  # of `files = !ls`
HELP = re.compile(r"\?{1,2}\s*[%\w.*]+|[%\w.*]+\s*\?{1,2}")


class NotebookError(Exception):
    """A file that can't be read as a notebook; a sentence for the student."""


@dataclass(frozen=True)
class Span:
    """Some lines of a file that stand one after the other in a cell.

    first, count  lines of the file, counted from 1
    cell, line    the cell, and the line in it, that `first` is
    """

    first: int
    count: int
    cell: int
    line: int


@dataclass(frozen=True)
class Extract:
    """A file made from a notebook, and where its lines come from."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Notebook:
    """What a notebook holds of a submission: files by name, and notes for the student."""

    name: str
    files: dict[str, Extract] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Cell:
    number: int
    source: str


def in_place_of(
    read: Mapping[str, str], candidates: Iterable[tuple[str, bytes]], notes: list[str]
) -> Notebook | None:
    """The notebook whose definitions stand in for code files; None where none is needed or there.

    A file is needed where it is missing, or as the template has it. Says in notes what is wrong.

    read:       the text of each file that is there
    candidates: notebooks, each with its name
    """
    missing = [name for name in WRITABLE if name not in read or is_untouched(read[name])]
    notebook = best_of(candidates, missing, notes) if missing else None
    if notebook is None:
        return None
    too_long = {name for name, made in notebook.files.items() if len(made.text) > SUBMITTED[name]}
    notes += [f"{name} from the notebook would be too long: ignored." for name in sorted(too_long)]
    files = {name: made for name, made in notebook.files.items() if name not in too_long}
    return replace(notebook, files=files)


def best_of(
    candidates: Iterable[tuple[str, bytes]], missing: Collection[str], notes: list[str]
) -> Notebook | None:
    """Of several notebooks, each with its name, the one that holds most of the missing files.

    It holds those files alone; None where there is no notebook. Says in notes what is wrong.
    """
    readable = []
    for name, content in candidates:
        try:
            notebook = read_notebook(content, name)
        except NotebookError as problem:
            notes.append(str(problem))
            continue
        files = {file: made for file, made in notebook.files.items() if file in missing}
        readable.append(replace(notebook, files=files))
    if not readable:
        return None
    # Cells that can't be read may hold what is missing, so their notes are worth telling.
    best = max(readable, key=lambda notebook: (len(notebook.files), len(notebook.notes)))
    if best.files:
        *most, last = sorted(best.files)
        names = f"{', '.join(most)} and {last} were" if most else f"{last} was"
        notes.append(f"{names} read from the notebook {best.name}.")
    notes += best.notes
    return best


def read_notebook(content: bytes, name: str) -> Notebook:
    """The files that a notebook holds. Raises NotebookError."""
    cells = _code_cells(_json(content, name), name)
    files = _written(cells)
    statements: list[Statement] = []
    unread = []
    for cell in cells:
        python = _python(cell.source)
        try:
            statements += read_statements(python, cell.number) if python else []
        except TooTangled:
            raise NotebookError(f"{name} holds too many definitions to be read.") from None
        except UNPARSABLE as problem:
            unread.append(_unread(cell, problem, name))
    for file in CODE_FILES:
        try:
            extract = _extract(file, statements, name)
        except TooTangled:
            raise NotebookError(f"{name} contains too many definitions to read.") from None
        if extract is not None:
            files.setdefault(file, extract)
    if len(unread) > MAX_NOTES:
        unread[MAX_NOTES:] = [
            f"{len(unread) - MAX_NOTES} more cells of {name} are not valid Python."
        ]
    return Notebook(name, files, tuple(unread))


def is_untouched(source: str) -> bool:
    """Whether a code file is the template's as it was: each function raises NotImplementedError."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except UNPARSABLE:
        return False
    last = [node.body[-1] for node in nodes if isinstance(node, ast.FunctionDef)]
    return bool(last) and all(
        isinstance(one, ast.Raise) and "NotImplementedError" in ast.dump(one) for one in last
    )


def located(text: str, spans: Mapping[str, Sequence[Span]]) -> str:
    """A text in which each "attention.py, line 9" is the notebook's cell and line instead."""

    def with_cell(match: re.Match[str]) -> str:
        line = int(match[2])
        for span in spans.get(match[1], ()):
            if span.first <= line < span.first + span.count:
                place = span.line + line - span.first
                return f"the notebook's cell {span.cell}, line {place}"
        return match[0]

    return re.sub(r"\b(\w+\.py), line (\d{1,7})\b", with_cell, text) if spans else text


def _json(content: bytes, name: str) -> Any:
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > MAX_PARTS:
        raise NotebookError(f"{name} is too large to read: clear its outputs and save it again.")
    try:
        # Numbers mean nothing here; as floats they cost no time, however long they are.
        return json.loads(content.decode("utf-8-sig"), parse_int=float)
    except (ValueError, RecursionError):
        raise NotebookError(f"{name} is not a readable notebook: save it again.") from None


def _code_cells(content: Any, name: str) -> list[_Cell]:
    """The code cells, numbered from 1 with the text cells between them."""
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise NotebookError(f"{name} contains no cells: save it as a Jupyter notebook.")
    if len(cells) > MAX_CELLS:
        raise NotebookError(f"{name} has more than {MAX_CELLS:,} cells.")
    found = [
        _Cell(number, source)
        for number, cell in enumerate(cells, start=1)
        if isinstance(cell, dict) and cell.get("cell_type") == "code"
        if (source := _source(cell.get("source"))) is not None
    ]
    if sum(len(cell.source) for cell in found) > MAX_CODE:
        raise NotebookError(
            f"{name} contains more than {MAX_CODE:,} characters of code, too many to read."
        )
    return found


def _source(value: object) -> str | None:
    """A cell's text, which stands as one string or as a list of lines; None for anything else."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    if not isinstance(value, str):
        return None
    text = value.encode("utf-8", errors="replace").decode("utf-8")  # halves of characters
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _written(cells: Sequence[_Cell]) -> dict[str, Extract]:
    """The files that cells write as a whole; the last one wins."""
    files: dict[str, Extract] = {}
    for cell in cells:
        name, appends = _target(cell.source)
        if name not in WRITABLE:
            continue
        before = files.get(name, Extract("", ())) if appends else Extract("", ())
        start, lines = _after_magic(cell.source)
        first = before.text.count("\n") + 1
        # The magic's line becomes a comment, so that lines count as they do in the cell.
        text = "\n".join([f"# cell {cell.number}", *lines]).rstrip("\n") + "\n"
        span = Span(first, text.count("\n"), cell.number, start)
        files[name] = Extract(before.text + text, (*before.spans, span))
    return files


def _after_magic(source: str) -> tuple[int, list[str]]:
    """The line of a cell's magic, counted from 1, and the lines after it."""
    lines = source.split("\n")
    start = next(place for place, line in enumerate(lines, start=1) if line.strip())
    return start, lines[start:]


def _target(source: str) -> tuple[str, bool]:
    """The file that a cell writes, without its folder, and whether it adds to it."""
    words = source.strip().partition("\n")[0].split()
    if len(words) < 2 or words[0] not in WRITES:
        return "", False
    path = words[-1].strip("'\"").replace("\\", "/")
    return PurePosixPath(path).name, "-a" in words or "--append" in words


def _python(source: str) -> str:
    """A cell's Python, line for line: what is only IPython's is blank or `pass`."""
    first = source.strip().partition("\n")[0].split()
    if not first:
        return ""
    if first[0].startswith("%%"):
        if first[0] not in RUNS_PYTHON:
            return ""
        source = source.replace(first[0], f"#{first[0]}", 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except UNPARSABLE:
        return "\n".join(_without_commands(source.split("\n")))
    return source


def _without_commands(lines: Sequence[str]) -> Iterator[str]:
    goes_on = False
    for line in lines:
        command = _is_command(line.strip())
        indent = line[: len(line) - len(line.lstrip())]
        yield "" if goes_on else f"{indent}pass" if command else line
        goes_on = (goes_on or command) and line.rstrip().endswith("\\")


def _is_command(line: str) -> bool:
    """Whether a stripped line is one of IPython's own: `!ls`, `files = !ls`, `%time x`, `x?`."""
    targets, equals, value = line.partition("=")
    rest = value.lstrip() if equals and TARGETS.fullmatch(targets) else line
    return bool(COMMAND.match(rest) or HELP.fullmatch(line))


def _extract(file: str, statements: Sequence[Statement], name: str) -> Extract | None:
    """A file made of the definitions that its slots need; None where no slot is defined."""
    names = tuple(name for names in SLOTS[file] for name in names)
    found = needed(statements, names, file.removesuffix(".py"), OTHER_SLOTS.get(file, {}))
    lines = [f"# Definitions from {name}"]
    spans = []
    cell = 0
    for statement in found:
        if statement.cell != cell:
            cell = statement.cell
            lines += ["", f"# cell {cell}"]
        own = statement.text.split("\n")
        spans.append(Span(len(lines) + 1, len(own), cell, statement.line))
        lines += own
    return Extract("\n".join(lines) + "\n", tuple(spans)) if found else None


def _unread(cell: _Cell, problem: BaseException, name: str) -> str:
    first = cell.source.strip().partition("\n")[0][:MAX_QUOTED]
    why = ""
    if isinstance(problem, SyntaxError) and problem.lineno:
        why = f": {problem.msg}, line {problem.lineno}"
    return f"Cell {cell.number} of {name} ({first}) is not valid Python and was ignored{why}."
