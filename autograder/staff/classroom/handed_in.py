"""What one submission of a class holds: a digest of all of it, and of files worth comparing.

Files are read with the limits and the caution of `intake`: links aren't followed, nothing is
read further than a submission's file may be long. Nothing of it is imported.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autograder.homework import CODE_FILES, SUBMITTED
from autograder.intake.archives import UNREADABLE, Opened
from autograder.intake.submission import MAX_ZIP, OTHER_NAMES
from autograder.staff.solutions import TEMPLATE
from provided.decoding import texts_of
from provided.near_names import NOTEBOOK
from provided.notebook import MAX_BYTES as MAX_NOTEBOOK

MAX_BYTES = 512 << 20  # of all files together
LENGTH = 32  # hexadecimal digits of a digest


@dataclass
class HandedIn:
    """A submission's digest, and those of its files: code by what it does, others as they are.

    A file that is as the template has it has none: it tells nothing.
    """

    digest: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def look(opened: Opened) -> HandedIn:
    """Read a submission through. Raises what stands in UNREADABLE for one that can't be opened."""
    found = HandedIn()
    whole = hashlib.sha256()
    for path, content in contents(opened, found.notes):
        whole.update(hashlib.sha256(str(path).encode(errors="replace")).digest())
        whole.update(hashlib.sha256(content).digest())
        name = _graded_name(path)
        told = _told_apart(name, content) if name and name not in found.digests else ""
        if told and told != _of_template(name):
            found.digests[name] = told
    found.digest = whole.hexdigest()[:LENGTH]
    return found


def extract(opened: Opened, into: Path) -> None:
    """Copy a submission's files into a folder, those that can be read."""
    for path, content in contents(opened, []):
        file = into / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # a file and a folder of one name: the first one stays
        except ValueError:
            continue  # a name that no file can have


def contents(opened: Opened, notes: list[str]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Each file's path and content, in the order of their paths; notes say what is left out."""
    left = MAX_BYTES
    for entry in sorted(opened.entries(notes), key=lambda one: str(one.path)):
        if not entry.regular:
            notes.append(f"{entry.path} is a link or a device: left out.")
            continue
        if entry.size > min(left, MAX_ZIP):
            notes.append(f"{entry.path} is too large ({entry.size:,} bytes): left out.")
            continue
        try:
            content = opened.read(entry.path, MAX_ZIP)
        except UNREADABLE:
            notes.append(f"{entry.path} can't be read: left out.")
            continue
        left -= len(content)
        yield entry.path, content


def _graded_name(path: PurePosixPath) -> str:
    """The name under which a file is graded, wherever it lies; empty for any other."""
    for name in (*SUBMITTED, *(f"artifacts/{flat}" for flat in OTHER_NAMES)):
        if path.parts[-len(PurePosixPath(name).parts) :] == PurePosixPath(name).parts:
            return name
    return path.name if path.suffix == NOTEBOOK else ""


def _told_apart(name: str, content: bytes) -> str:
    if name in CODE_FILES:
        texts = texts_of({name: content[: SUBMITTED[name]]}, [])
        content = _normal(texts[name]) if texts else content
    elif name.endswith(NOTEBOOK):
        content = _normal(_cells(content)) if len(content) <= MAX_NOTEBOOK else content
    return hashlib.sha256(content).hexdigest()[:LENGTH] if content.strip() else ""


def _normal(code: str) -> bytes:
    """Code without formatting and comments; where Python can't read it, without blanks."""
    try:
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
                node, clean=False
            ):
                del node.body[0]
        return ast.dump(tree).encode(errors="replace")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "".join(code.split()).encode(errors="replace")


def _cells(content: bytes) -> str:
    """The code of a notebook; empty where it can't be read."""
    try:
        cells = json.loads(content)["cells"]
        return "\n".join(
            "".join(cell["source"]) for cell in cells if cell.get("cell_type") == "code"
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""


_templates: dict[str, str] = {}


def _of_template(name: str) -> str:
    if name not in _templates:
        file = TEMPLATE / name
        _templates[name] = _told_apart(name, file.read_bytes()) if file.is_file() else ""
    return _templates[name]
