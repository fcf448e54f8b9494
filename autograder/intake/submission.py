"""From what a person submits, a folder, a zip or a notebook, to a clean copy of what is graded.

Only the files that a submission consists of are taken, from wherever they lie (one folder
deeper is fine); links, devices and anything too big are refused, each with a sentence. Code
files that are missing are made from a notebook where there is one. The given code is always
the grader's own copy.
"""

from __future__ import annotations

import os
import shlex
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autograder.homework import (
    ANSWERS_FILE,
    ARTIFACTS,
    ARTIFACTS_FOLDER,
    CODE_FILES,
    GIVEN_CODE,
    SUBMITTED,
    WEIGHTS,
)
from autograder.intake.archives import UNREADABLE, Entry, Opened, OpenFolder, OpenZip
from autograder.intake.export import count_exported
from provided.decoding import texts_of
from provided.near_names import NOTEBOOK, missing_files
from provided.notebook import MAX_BYTES as MAX_NOTEBOOK
from provided.notebook import MAX_NOTEBOOKS, Extract, Span, in_place_of

# In a flat artifacts folder the weights carry the model's name: vit.safetensors.
OTHER_NAMES = {f"{Path(WEIGHTS).parent}{Path(WEIGHTS).suffix}": WEIGHTS}
TEXTS = (*CODE_FILES, ANSWERS_FILE)
MAX_ZIP = 200 << 20  # bytes of a zip inside a folder
NOT_GRADED = ("__pycache__", "writeup")  # of the given code: what submissions can do without


class IntakeError(Exception):
    """There is no submission at all: a wrong path, or no form that one can have."""


@dataclass(frozen=True)
class Submission:
    """A clean copy of a submission.

    folder     what the worker sees: the code files, exactly as in `code`, and the given code
    code       the text of each code file, decoded
    answers    the text of answers.yaml, None where it is missing
    artifacts  contents of the artifact files that were there
    notes      what was found elsewhere, refused or ignored, for the student
    form       how it was handed in, in words: "a zip with the files in the folder work"
    spans      for a code file made from a notebook, where its lines come from
    ignored    names of files that are there and were not taken; the notes say why
    """

    folder: Path
    code: dict[str, str] = field(repr=False)
    answers: str | None = field(repr=False)
    artifacts: dict[str, bytes] = field(repr=False)
    notes: list[str] = field(default_factory=list)
    form: str = "a folder"
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()


def take(source: Path, into: Path) -> Submission:
    """Copy a submission, a folder, a zip or a notebook, into a new folder. Raises IntakeError.

    The copy is readable by every user; the folders above `into` are the caller's to open.
    """
    if not source.exists():
        raise IntakeError(f"There is no submission at {source}")
    notes: list[str] = []
    if source.is_dir():
        opened: Opened = OpenFolder(source)
    elif zipfile.is_zipfile(source):
        opened = OpenZip(source)
        try:
            exported = count_exported(entry.path for entry in opened.entries([]))
        except UNREADABLE:
            raise IntakeError(f"{source} is a damaged zip") from None
        if exported:
            raise IntakeError(
                f"{source} is an export of {exported} submissions, and one is graded at a time: "
                f"autograder regrade {shlex.quote(str(source))} grades all (after ./setup.sh "
                "--class); unpacked, each folder in it is a submission"
            )
    elif source.suffix == NOTEBOOK:
        opened = OpenFolder(source.absolute().parent, only=source.name)
    else:
        raise IntakeError(f"{source} is not a folder, a zip or a notebook")
    entries = opened.entries(notes)
    inner = [e for e in entries if e.path.suffix == ".zip" and e.regular and e.size <= MAX_ZIP]
    if not _finds_any(entries) and len(inner) == 1 and isinstance(opened, OpenFolder):
        opened, entries = _inside(source / inner[0].path, opened, entries, notes)
    elif not _finds_any(entries) and len(inner) > 1:
        notes.append(f"The submission contains {len(inner)} zips: submit only one.")
    return _copy(opened, entries, into, notes)


def _inside(
    file: Path, opened: OpenFolder, entries: list[Entry], notes: list[str]
) -> tuple[Opened, list[Entry]]:
    """What is in the one zip of a folder; the folder as it is where that can't be read."""
    found = OpenZip(file, inside=True)
    try:
        inside = found.entries(notes)
    except UNREADABLE:
        notes.append(f"{file.name} can't be read as a zip.")
        return opened, entries
    notes.append(f"Graded the contents of {file.name}.")
    return found, inside


def _copy(opened: Opened, entries: list[Entry], into: Path, notes: list[str]) -> Submission:
    root = _root(entries, notes)
    below = f" with the files in the folder {root}" if root != PurePosixPath(".") else ""
    by_path = {entry.path: entry for entry in entries}
    read: dict[str, bytes] = {}
    for name, limit in wanted():
        entry = by_path.get(root / name)
        if entry is None:
            continue
        if not entry.regular:
            notes.append(f"{name} is a link or a device, not a regular file: ignored.")
        elif entry.size > limit:
            notes.append(f"{name} is too large ({entry.size:,} bytes, limit {limit:,}): ignored.")
        else:
            try:
                read[name] = opened.read(entry.path, limit)
            except UNREADABLE:
                notes.append(f"{name} can't be read: ignored.")
    texts = texts_of({name: read.pop(name) for name in TEXTS if name in read}, notes)
    notebook = in_place_of(texts, _notebooks(opened, entries, root, notes), notes)
    made: Mapping[str, Extract] = {} if notebook is None else notebook.files
    texts |= {name: extract.text for name, extract in made.items()}
    beside = {entry.path.name for entry in entries if entry.path.parent == root}
    notes += missing_files(beside, texts)
    folder = into / "submission"
    shutil.copytree(
        GIVEN_CODE, folder / GIVEN_CODE.name, ignore=shutil.ignore_patterns(*NOT_GRADED)
    )
    code = {name: texts[name] for name in CODE_FILES if name in texts}
    for name, text in code.items():
        (folder / name).write_bytes(text.encode("utf-8"))
    _make_readable(into)
    inside = f"{ARTIFACTS_FOLDER}/"
    artifacts = {
        _usual(name).removeprefix(inside): content
        for name, content in read.items()
        if name.startswith(inside)
    }
    there = {_usual(name) for name, _ in wanted() if root / name in by_path}
    return Submission(
        folder,
        code,
        texts.get(ANSWERS_FILE),
        artifacts,
        notes,
        form=opened.form() + below,
        spans={name: extract.spans for name, extract in made.items()},
        ignored=frozenset(there - {*texts, *(inside + name for name in artifacts)}),
    )


def _notebooks(
    opened: Opened, entries: list[Entry], root: PurePosixPath, notes: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of notebooks, those beside the other files first."""
    found = [entry for entry in entries if entry.path.suffix == NOTEBOOK and entry.regular]
    found.sort(key=lambda one: (one.path.parent != root, len(one.path.parts), str(one.path)))
    for entry in found[:MAX_NOTEBOOKS]:
        if entry.size > MAX_NOTEBOOK:
            notes.append(f"{entry.path.name} is larger than {MAX_NOTEBOOK >> 20} MB: ignored.")
            continue
        try:
            yield entry.path.name, opened.read(entry.path, MAX_NOTEBOOK)
        except UNREADABLE:
            notes.append(f"{entry.path.name} can't be read: ignored.")


def wanted() -> Iterable[tuple[str, int]]:
    """Every file that is taken, with the most bytes it may have."""
    yield from SUBMITTED.items()
    for flat, name in OTHER_NAMES.items():
        yield f"{ARTIFACTS_FOLDER}/{flat}", ARTIFACTS[name]


def _usual(name: str) -> str:
    """The name that a file has in the template, for one that may lie elsewhere."""
    inside = f"{ARTIFACTS_FOLDER}/"
    other = OTHER_NAMES.get(name.removeprefix(inside))
    return f"{inside}{other}" if other else name


def _finds_any(entries: list[Entry]) -> bool:
    return any(
        entry.path.name in (*CODE_FILES, ANSWERS_FILE) or entry.path.suffix == NOTEBOOK
        for entry in entries
    )


def _root(entries: list[Entry], notes: list[str]) -> PurePosixPath:
    """The folder that holds most of the wanted files, the shallowest of them.

    Where there are none, the folder of a notebook.
    """
    found = [entry.path for entry in entries if entry.path.name in (*CODE_FILES, ANSWERS_FILE)]
    found = found or [entry.path for entry in entries if entry.path.suffix == NOTEBOOK]
    counts = Counter(path.parent for path in found)
    if not counts:
        names = ", ".join((*CODE_FILES, ANSWERS_FILE))
        notes.append(f"None of {names} was found in the submission.")
        return PurePosixPath(".")
    root = min(counts, key=lambda folder: (-counts[folder], len(folder.parts), str(folder)))
    if root != PurePosixPath("."):
        notes.append(f"Graded the files in the folder {root}.")
    return root


def _make_readable(folder: Path) -> None:
    """Readable by every user, as the worker is one without rights; writable by none."""
    for current, folders, files in os.walk(folder):
        for name in files:
            (Path(current) / name).chmod(0o444)
        for name in folders:
            (Path(current) / name).chmod(0o755)
    folder.chmod(0o755)
