"""From what a person submits, a folder or a zip, to a clean copy of what is graded.

Only the files that a submission consists of are taken, from wherever they lie (one folder
deeper is fine); links, devices and anything too big are refused, each with a sentence. The
given code is always the grader's own copy.
"""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autograder.notebook import MAX_BYTES as MAX_NOTEBOOK_BYTES
from autograder.notebook import NotebookError, is_stub, read_notebook

CODE_FILES = ("models.py", "attention.py", "encoder.py")
ANSWERS_FILE = "answers.yaml"
MAX_CODE_BYTES = 200_000
ARTIFACTS = {  # name in the artifacts folder -> most bytes
    "fc/history.csv": 100_000,
    "cnn/history.csv": 100_000,
    "vit/history.csv": 100_000,
    "vit/weights.safetensors": 16 << 20,
}
OTHER_NAMES = {"vit.safetensors": "vit/weights.safetensors"}  # a flat artifacts folder
MAX_NOTEBOOKS = 5  # that are looked into
MAX_ZIP = 200 << 20  # bytes of a zip inside a folder
MAX_ENTRIES = 5_000
# What reading from a damaged, encrypted or exotic zip raises.
UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError,
    EOFError, ValueError, struct.error,
)  # fmt: skip
MAX_DEPTH = 6
GIVEN_CODE = Path(__file__).resolve().parent.parent / "student_template" / "provided"


class IntakeError(Exception):
    """There is no submission at all: a wrong path or not a zip."""


@dataclass(frozen=True)
class Submission:
    """A clean copy of a submission.

    folder     what the worker sees: the code files and the given code
    answers    the text of answers.yaml, None where it is missing
    artifacts  contents of the artifact files that were there
    notes      what was found elsewhere, refused or ignored, for the student
    form       how it was handed in, in words: "a zip, the files in the folder work"
    """

    folder: Path
    code: dict[str, str]
    answers: str | None
    artifacts: dict[str, bytes]
    notes: list[str] = field(default_factory=list)
    form: str = "a folder"


@dataclass(frozen=True)
class _Entry:
    path: PurePosixPath
    size: int
    regular: bool


def take(source: Path, into: Path) -> Submission:
    """Copy a submission, a folder or zip, into a new folder. Raises IntakeError.

    The copy is readable by every user; the folders above `into` are the caller's to open.
    """
    if not source.exists():
        raise IntakeError(f"There is no submission at {source}")
    notes: list[str] = []
    if source.is_dir():
        opened: _Folder | _Zip = _Folder(source)
    elif zipfile.is_zipfile(source):
        opened = _Zip(source)
        try:
            opened.entries([])
        except UNREADABLE:
            raise IntakeError(f"{source} is a damaged zip") from None
    else:
        raise IntakeError(f"{source} is neither a folder nor a zip")
    form = "a folder" if source.is_dir() else "a zip"
    entries = opened.entries(notes)
    inner = [e for e in entries if e.path.suffix == ".zip" and e.regular and e.size <= MAX_ZIP]
    if not _finds_any(entries) and len(inner) == 1 and isinstance(opened, _Folder):
        form = f"the zip {inner[0].path.name}"
        opened, entries = _inside(source / inner[0].path, opened, entries, notes)
    elif not _finds_any(entries) and len(inner) > 1:
        notes.append(f"There are {len(inner)} zips in the submission: hand in one.")
    return _copy(opened, entries, into, notes, form)


def _inside(
    file: Path, opened: _Folder, entries: list[_Entry], notes: list[str]
) -> tuple[_Folder | _Zip, list[_Entry]]:
    """What is in the one zip of a folder; the folder as it is where that can't be read."""
    found = _Zip(file)
    try:
        inside = found.entries(notes)
    except UNREADABLE:
        notes.append(f"{file.name} can't be read as a zip.")
        return opened, entries
    notes.append(f"Graded what is inside {file.name}.")
    return found, inside


def _copy(
    opened: _Folder | _Zip, entries: list[_Entry], into: Path, notes: list[str], form: str
) -> Submission:
    root = _root(entries, notes)
    form += f", the files in the folder {root}" if root != PurePosixPath(".") else ""
    by_path = {entry.path: entry for entry in entries}
    read: dict[str, bytes] = {}
    for name, limit in wanted():
        entry = by_path.get(root / name)
        if entry is None:
            continue
        if not entry.regular:
            notes.append(f"{name} is a link or a device, not a file: not taken.")
        elif entry.size > limit:
            notes.append(f"{name} has {entry.size:,} bytes, more than {limit:,}: not taken.")
        else:
            try:
                read[name] = opened.read(entry.path, limit)
            except UNREADABLE:
                notes.append(f"{name} can't be read: not taken.")
    chosen = _definitions(opened, entries, root, read, notes)
    form += f", definitions from the notebook {chosen}" if chosen else ""
    notes += _near_misses(entries, root, read)
    folder = into / "submission"
    shutil.copytree(GIVEN_CODE, folder / "provided", ignore=shutil.ignore_patterns("__pycache__"))
    code = {}
    for name in CODE_FILES:
        if name in read:
            code[name] = read[name].decode("utf-8", errors="replace")
            (folder / name).write_bytes(read[name])
    _make_readable(into)
    artifacts = {
        OTHER_NAMES.get(name.removeprefix("artifacts/"), name.removeprefix("artifacts/")): content
        for name, content in read.items()
        if name.startswith("artifacts/")
    }
    answers = read[ANSWERS_FILE].decode("utf-8", errors="replace") if ANSWERS_FILE in read else None
    return Submission(folder, code, answers, artifacts, notes, form)


def _definitions(
    opened: _Folder | _Zip,
    entries: list[_Entry],
    root: PurePosixPath,
    read: dict[str, bytes],
    notes: list[str],
) -> str:
    """Fill in missing files from the notebook that defines most of them; returns its name.

    A file that is still the template's stub counts as missing.
    """
    missing = [
        name
        for name in (*CODE_FILES, ANSWERS_FILE)
        if name not in read
        or (name in CODE_FILES and is_stub(read[name].decode("utf-8", errors="replace")))
    ]
    best: dict[str, str] = {}
    chosen, said = "", list[str]()
    for entry in _notebooks(entries, root) if missing else ():
        try:
            notebook = read_notebook(opened.read(entry.path, MAX_NOTEBOOK_BYTES))
        except (NotebookError, *UNREADABLE) as problem:
            said.append(f"{entry.path.name} can't be used: {problem}.")
            continue
        found = {name: text for name in missing if (text := notebook.file(name)) is not None}
        if len(found) > len(best):
            best, chosen = found, entry.path.name
            cells = ", ".join(str(cell) for cell in notebook.unreadable[:10])
            said += [f"{chosen}: left out cell {cells}, which is not Python."] if cells else []
    if best or not read:
        notes += said
    if best:
        notes.append(f"Taken from the definitions in {chosen}: {', '.join(best)}.")
    read |= {name: text.encode()[:MAX_CODE_BYTES] for name, text in best.items()}
    return chosen


def _notebooks(entries: list[_Entry], root: PurePosixPath) -> list[_Entry]:
    """The notebooks that are small enough to be read, those beside the other files first."""
    found = [
        entry
        for entry in entries
        if entry.path.suffix == ".ipynb" and entry.regular and entry.size <= MAX_NOTEBOOK_BYTES
    ]
    return sorted(found, key=lambda entry: entry.path.parent != root)[:MAX_NOTEBOOKS]


def wanted() -> Iterable[tuple[str, int]]:
    """Every file that is taken, with the most bytes it may have."""
    for name in (*CODE_FILES, ANSWERS_FILE):
        yield name, MAX_CODE_BYTES
    for name, limit in ARTIFACTS.items():
        yield f"artifacts/{name}", limit
    for flat, name in OTHER_NAMES.items():
        yield f"artifacts/{flat}", ARTIFACTS[name]


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self, notes: list[str]) -> list[_Entry]:
        found: list[_Entry] = []
        for current, folders, files in os.walk(self._folder, followlinks=False):
            here = Path(current).relative_to(self._folder)
            folders[:] = sorted(
                name for name in folders if not _ignored(name) and len(here.parts) < MAX_DEPTH
            )
            for name in sorted(files):
                if len(found) >= MAX_ENTRIES:
                    notes.append(f"More than {MAX_ENTRIES:,} files: the rest was not looked at.")
                    return found
                status = (Path(current) / name).lstat()
                path = PurePosixPath(*here.parts, name)
                found.append(_Entry(path, status.st_size, stat.S_ISREG(status.st_mode)))
        return found

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        descriptor = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit)


class _Zip:
    def __init__(self, file: Path) -> None:
        self._file = file

    def entries(self, notes: list[str]) -> list[_Entry]:
        with zipfile.ZipFile(self._file) as archive:
            infos = archive.infolist()
        if len(infos) > MAX_ENTRIES:
            notes.append(f"More than {MAX_ENTRIES:,} files: the rest was not looked at.")
        found = []
        for info in infos[:MAX_ENTRIES]:
            path = PurePosixPath(info.filename.replace("\\", "/"))
            if info.is_dir() or path.is_absolute() or ".." in path.parts:
                continue
            if len(path.parts) > MAX_DEPTH + 1 or any(_ignored(part) for part in path.parts):
                continue
            mode = info.external_attr >> 16
            regular = stat.S_IFMT(mode) in (0, stat.S_IFREG)  # 0: permissions alone, or nothing
            found.append(_Entry(path, info.file_size, regular))
        return found

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        with zipfile.ZipFile(self._file) as archive:
            for info in archive.infolist():
                if PurePosixPath(info.filename.replace("\\", "/")) == path:
                    with archive.open(info) as file:
                        return file.read(limit)  # never more, whatever the archive claims
        raise OSError(f"{path} is gone")


def _ignored(name: str) -> bool:
    return name in ("__MACOSX", "__pycache__", "node_modules", "data") or name.startswith(".")


def _finds_any(entries: list[_Entry]) -> bool:
    return any(
        entry.path.name in (*CODE_FILES, ANSWERS_FILE) or entry.path.suffix == ".ipynb"
        for entry in entries
    )


def _root(entries: list[_Entry], notes: list[str]) -> PurePosixPath:
    """The folder that holds most of the wanted files, the shallowest of them."""
    counts: dict[PurePosixPath, int] = {}
    for entry in entries:
        if entry.path.name in (*CODE_FILES, ANSWERS_FILE):
            counts[entry.path.parent] = counts.get(entry.path.parent, 0) + 1
    notebooks = _notebooks(entries, PurePosixPath("."))
    if not counts and notebooks:
        return min((one.path.parent for one in notebooks), key=lambda one: len(one.parts))
    if not counts:
        names = ", ".join((*CODE_FILES, ANSWERS_FILE))
        notes.append(f"None of {names} was found in the submission.")
        return PurePosixPath(".")
    root = min(counts, key=lambda folder: (-counts[folder], len(folder.parts), str(folder)))
    if root != PurePosixPath("."):
        notes.append(f"Graded the files in the folder {root}.")
    return root


def _near_misses(entries: list[_Entry], root: PurePosixPath, read: dict[str, bytes]) -> list[str]:
    """A sentence for each missing file that seems to be there under another name."""
    notes = []
    for name in (*CODE_FILES, ANSWERS_FILE):
        if name in read or any(entry.path == root / name for entry in entries):
            continue
        stem, suffix = name.split(".")
        similar = [
            entry.path.name
            for entry in entries
            if entry.path.parent == root
            and entry.path.stem.lower().startswith(stem[:5])
            and entry.path.name not in (*CODE_FILES, ANSWERS_FILE)
            and entry.path.suffix.lower() in (f".{suffix}", ".yml", ".txt", ".ipynb")
        ]
        found = f"; {similar[0]} is there: rename it to {name}" if similar else ""
        notes.append(f"{name} is missing{found}.")
    return notes


def _make_readable(folder: Path) -> None:
    """Readable by every user, as the worker is one without rights; writable by none."""
    for current, folders, files in os.walk(folder):
        for name in files:
            (Path(current) / name).chmod(0o444)
        for name in folders:
            (Path(current) / name).chmod(0o755)
    folder.chmod(0o755)
