"""Names that are nearly right, of files and of what a file must define."""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Collection, Iterable

from provided.homework import ANSWERS_FILE, CODE_FILES, SLOTS
from provided.notebook_names import UNPARSABLE

ALIKE = 0.75  # difflib's ratio from which two names count as one misspelled
SHORTEST = 3  # letters of a name that may stand for a longer one, such as cnn for build_cnn
LONGEST = 60  # letters of a name that is compared
MOST = 1_000  # names that are compared
NOTEBOOK = ".ipynb"
LIKE_CODE = (".py", ".txt", NOTEBOOK)
LIKE_ANSWERS = (".yaml", ".yml", ".txt")


def missing_files(there: Collection[str], read: Collection[str]) -> list[str]:
    """A sentence for each missing file, with the one that may be meant.

    there: names of all files beside each other
    read:  those that were read, under their right name
    """
    notes = []
    for name in (*CODE_FILES, ANSWERS_FILE):
        if name in read or name in there:
            continue
        near = file_like(name, there)
        found = f"; {near} is there: rename it to {name}" if near else ""
        if near.endswith(NOTEBOOK):
            found = f"; the notebook {near} defines nothing of it"
        notes.append(f"{name} is missing{found}.")
    return notes


def file_like(wanted: str, there: Iterable[str]) -> str:
    """A file's name that may be meant, such as "Attention (1).py"; empty where there is none."""
    stem, _, ending = wanted.partition(".")
    endings = LIKE_CODE if ending == "py" else LIKE_ANSWERS
    found = [
        name
        for name in sorted(there)[:MOST]
        if len(name) <= LONGEST
        and name not in (*CODE_FILES, ANSWERS_FILE)
        and name.lower().endswith(endings)
        and (stem[:5] in (own := name.lower().split(".")[0]) or _ratio(stem, own) >= ALIKE)
    ]
    # A notebook is read as it is; only where nothing else is near, it is named.
    return min(found, key=lambda name: name.endswith(NOTEBOOK), default="")


def definition_like(wanted: str, source: str) -> str:
    """A name that a file defines and that may be meant, as build_CNN for build_cnn; else empty."""
    known = {name for slots in SLOTS.values() for names in slots for name in names}
    plain = _plain(wanted)
    found = {
        name: 1.0 if own == plain else max(_ratio(plain, own), 0.8 * (own in plain))
        for name in definitions(source)[:MOST]
        if name not in known and SHORTEST <= len(own := _plain(name)) <= LONGEST
    }
    best = max(found, key=lambda name: found[name], default="")
    return best if best and found[best] >= ALIKE else ""


def definitions(source: str) -> list[str]:
    """The functions, classes and values that a file defines at its top level, in order."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as one about an unknown escape in a string
            body = ast.parse(source).body
    except UNPARSABLE:
        return []
    names = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [one.id for one in node.targets if isinstance(one, ast.Name)]
    return names


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
