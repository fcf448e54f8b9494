"""What staff have of a class: the platform's export, or a folder of submissions; zip or not.

    an export      submission_metadata.yml, and a folder submission_ID for each submission
    a folder       of folders, zips and notebooks, one for each submission

Nothing of it is ever wholly in memory. What can't be used is said in `notes`, and loses nothing
else.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autograder.homework import ANSWERS_FILE, CODE_FILES
from autograder.intake.archives import (
    UNREADABLE,
    Opened,
    OpenFolder,
    OpenPart,
    OpenZip,
    directory_bytes,
)
from autograder.intake.submission import MAX_ZIP
from autograder.staff.classroom import handed_in, metadata
from autograder.staff.classroom.records import ID, by_number, is_class
from provided.near_names import NOTEBOOK

SUBMISSION = re.compile(r"submission_(\d{1,20})")
MAX_DIRECTORY_BYTES = 512 << 20  # of a zip's list of files: millions of them
NOISE = ("__MACOSX", "__pycache__")
ZIP = ".zip"
FORMS = (ZIP, NOTEBOOK)
UNKNOWN = "whose the submissions are isn't known, and nothing is compared"
NO_FORM = "{} is no folder, .zip or .ipynb: left out."
OF_ONE = frozenset({*CODE_FILES, ANSWERS_FILE})  # what lies at the top of one submission


class ExportError(Exception):
    """There is nothing to regrade: a wrong path, or no form that a class can have."""


@dataclass(frozen=True)
class Source:
    """One submission: where it lies, and how it is looked into.

    path:  what can be graded where it lies; None where it has to be extracted first
    """

    id: str
    path: Path | None
    open: Callable[[], Opened] = field(repr=False)
    extract: Callable[[Path], Path] = field(repr=False)

    def place(self, folder: Path) -> Path:
        """The path to grade; what has to be extracted is so into a new folder."""
        if self.path is not None:
            return self.path
        folder.mkdir(parents=True)
        return self.extract(folder)


def _of_nobody() -> Iterator[metadata.Told]:
    return iter(())


@dataclass
class Export:
    """A class as it was handed to staff.

    sources: its submissions, by their ids
    told:    reads what is said of them, submission by submission
    notes:   what couldn't be used, a sentence each
    """

    sources: dict[str, Source] = field(default_factory=dict)
    told: Callable[[], Iterator[metadata.Told]] = _of_nobody
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, path: Path | None, opener: Callable[[], Opened]) -> None:
        """Add a submission under a name that no other has."""
        one = id_of(name)
        if one in self.sources:
            other = f"{one}-{_short(name)}"
            self.notes.append(f"{name} has the name of another submission: kept as {other}.")
            one = other
        self.sources[one] = Source(
            one, path, opener, lambda into: _extracted(opener(), into, into / "submission")
        )


def open_export(path: Path) -> Export:
    """Look what there is. Raises ExportError."""
    if is_class(path):
        raise ExportError(f"{path} is the folder of a regrade: name the export that it is of")
    if path.is_dir():
        found = _of_folder(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        try:
            found = _of_zip(path)
        except UNREADABLE:
            raise ExportError(f"{path} is a damaged zip: download it once more") from None
    elif path.suffix.lower() == ZIP and path.is_file():
        raise ExportError(f"{path} is a damaged zip: download it once more")
    elif path.exists():
        raise ExportError(f"{path} is not a folder or a zip: unpack it, and name the folder")
    else:
        raise ExportError(f"There is nothing at {path}")
    if not found.sources:
        raise ExportError(f"{path} holds no submission")
    _refuse_a_wrapped_export(path, found)
    if found.told is _of_nobody and all(one.isdecimal() for one in found.sources):
        found.notes.append(f"{metadata.FILE} is missing: {UNKNOWN}.")
    found.sources = {one: found.sources[one] for one in sorted(found.sources, key=by_number)}
    return found


def _refuse_a_wrapped_export(path: Path, found: Export) -> None:
    """Raise ExportError where all that there is is a zip, with the export in it."""
    if len(found.sources) > 1:
        return
    (source,) = found.sources.values()
    with tempfile.TemporaryDirectory(prefix="autograder-export-") as name:
        try:
            place = source.place(Path(name, "one"))
            if not zipfile.is_zipfile(place) or directory_bytes(place) > MAX_DIRECTORY_BYTES:
                return
            with zipfile.ZipFile(place) as archive:
                names = [PurePosixPath(one).name for one in archive.namelist()]
        except UNREADABLE:
            return
    if metadata.FILE in names:
        raise ExportError(
            f"{path} holds nothing but the zip {source.id}, which is an export: extract that, and "
            "name it"
        )


def _refuse_one_submission(path: Path, names: Iterable[str]) -> None:
    if one := sorted(OF_ONE.intersection(names)):
        raise ExportError(
            f"{path} is one submission and no class ({one[0]} is at its top): grade it with "
            "./run_autograder"
        )


def id_of(name: str) -> str:
    """The id of a submission by the name of its folder or file."""
    number = SUBMISSION.fullmatch(name)
    if number:
        return number[1]
    if ID.fullmatch(name):
        return name
    plain = re.sub(r"[^\w.@ +()-]", "_", name, flags=re.ASCII).lstrip("_.@ +()-")[:80]
    return f"{plain or 'submission'}-{_short(name)}"


def _short(name: str) -> str:
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]


def _of_folder(folder: Path) -> Export:
    found = Export()
    top, listed = _inner(folder)
    _refuse_one_submission(folder, [path.name for path in listed])
    for path in listed:
        if path.is_symlink():
            found.notes.append(f"{path.name} is a link: left out.")
        elif is_class(path):
            found.notes.append(f"{path.name} is the folder of a regrade: left out.")
        elif path.is_dir():
            found.add(path.name, path, _opener(OpenFolder, path))
        elif path.suffix == ZIP:
            found.add(path.stem, path, _opener(OpenZip, path))
        elif path.suffix == NOTEBOOK:
            found.add(path.stem, path, _opener(_notebook, path))
        elif path.name != metadata.FILE:
            found.notes.append(NO_FORM.format(path.name))
    file = top / metadata.FILE
    if file.is_file():
        found.told = lambda: _told_in(lambda: file.open("rb"), found.notes)
    return found


def _inner(top: Path) -> tuple[Path, list[Path]]:
    """The folder whose members are the submissions, and what is in it."""
    listed = _listed(top)
    while len(listed) == 1 and listed[0].is_dir() and not SUBMISSION.fullmatch(listed[0].name):
        inner = _listed(listed[0])
        flat = inner and not any(one.is_dir() or _is_form(one) for one in inner)
        if flat or OF_ONE.intersection(one.name for one in inner):
            break  # the one folder is a submission itself
        top, listed = listed[0], inner
    return top, listed


def _opener(how: Callable[[Path], Opened], path: Path) -> Callable[[], Opened]:
    return lambda: how(path)


def _notebook(path: Path) -> Opened:
    return OpenFolder(path.parent, only=path.name)


def _listed(folder: Path) -> list[Path]:
    return sorted(
        one for one in folder.iterdir() if one.name not in NOISE and not one.name.startswith(".")
    )


def _is_form(path: Path) -> bool:
    return path.suffix in FORMS or path.name == metadata.FILE


def _of_zip(file: Path) -> Export:
    if directory_bytes(file) > MAX_DIRECTORY_BYTES:
        raise ExportError(f"{file} lists far too many files")
    archive = zipfile.ZipFile(file)
    infos = [(path, info) for info in archive.infolist() if (path := _usable(info)) is not None]
    top = _top([path for path, _ in infos])
    found = Export()
    parts: dict[str, list[zipfile.ZipInfo]] = {}
    loose: list[str] = []
    for path, info in infos:
        below = path.parts[len(top.parts) :]
        if path.parts[: len(top.parts)] != top.parts or not below or info.is_dir():
            continue
        if len(below) > 1:
            parts.setdefault(below[0], []).append(info)
        elif path.name == metadata.FILE:
            found.told = _teller(archive, info, found.notes)
        elif path.suffix in FORMS:
            _add_file(found, archive, path, info)
        else:
            found.notes.append(NO_FORM.format(path.name))
            loose.append(path.name)
    _refuse_one_submission(file, loose)
    for name, inside in parts.items():
        found.add(name, None, _part_opener(archive, top / name, inside))
    return found


def _usable(info: zipfile.ZipInfo) -> PurePosixPath | None:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    hidden = any(part in NOISE or part.startswith(".") for part in path.parts)
    return None if path.is_absolute() or hidden or not path.parts else path


def _top(paths: list[PurePosixPath]) -> PurePosixPath:
    """The folder whose folders are the submissions."""
    described = [path.parent for path in paths if path.name == metadata.FILE]
    if described:
        return min(described, key=lambda one: len(one.parts))
    for path in paths:
        for depth, part in enumerate(path.parts):
            if SUBMISSION.fullmatch(part):
                return PurePosixPath(*path.parts[:depth])
    first = {path.parts[0] for path in paths}
    if any(len(path.parts) == 1 and path.suffix in FORMS for path in paths):
        return PurePosixPath()
    deeper = any(len(path.parts) > 2 or path.suffix in FORMS for path in paths)
    if any(len(path.parts) == 2 and path.name in OF_ONE for path in paths):
        return PurePosixPath()
    return PurePosixPath(*first) if len(first) == 1 and deeper else PurePosixPath()


def _teller(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, notes: list[str]
) -> Callable[[], Iterator[metadata.Told]]:
    return lambda: _told_in(lambda: archive.open(info), notes)


def _told_in(open_file: Callable[[], object], notes: list[str]) -> Iterator[metadata.Told]:
    nothing = True
    try:
        with contextlib.closing(open_file()) as stream:  # type: ignore[type-var]
            for told in metadata.read(stream, notes):  # type: ignore[arg-type]
                nothing = False
                yield told
        if nothing:
            notes.append(f"{metadata.FILE} tells of no submission: {UNKNOWN}.")
    except UNREADABLE:
        notes.append(f"{metadata.FILE} can't be read to its end: the zip is damaged.")


def _part_opener(
    archive: zipfile.ZipFile, below: PurePosixPath, infos: list[zipfile.ZipInfo]
) -> Callable[[], Opened]:
    return lambda: OpenPart(archive, below, infos)


def _add_file(
    found: Export, archive: zipfile.ZipFile, path: PurePosixPath, info: zipfile.ZipInfo
) -> None:
    """A zip or notebook that is a submission, in the zip of all."""

    def opened() -> Opened:
        return OpenPart(archive, path.parent, [info])

    found.add(path.stem, None, opened)
    one = list(found.sources)[-1]

    def extracted(into: Path) -> Path:
        if info.file_size > MAX_ZIP:
            raise zipfile.BadZipFile(f"{path.name} is too large")
        handed_in.extract(opened(), into)
        return into / path.name

    found.sources[one] = Source(one, None, opened, extracted)


def _extracted(opened: Opened, into: Path, folder: Path) -> Path:
    folder.mkdir()
    try:
        handed_in.extract(opened, folder)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return folder
