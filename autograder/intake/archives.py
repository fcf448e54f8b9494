"""A folder or a zip that is looked through: what lies in it, and the contents of its files.

Links are not followed, names that lead out of a zip are passed over, and no file is read
further than the limit that is given, whatever an archive claims about its size.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_ENTRIES = 5_000
MAX_DEPTH = 6
MAX_DIRECTORY_BYTES = 4 << 20  # of a zip's list of files: tens of thousands with usual names
END_MARK, END_BYTES, LENGTH_AT = b"PK\x05\x06", 22, 12  # the record at the end of a zip
IN_ANOTHER_RECORD = 0xFFFFFFFF  # the length of lists beyond 4 GB
MAX_COMMENT_BYTES = 1 << 16  # that may stand behind it
GIT = ".git"  # .gitignore and the like begin with it, and tell a repository
# What reading from a damaged, encrypted or exotic zip raises.
UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    NotImplementedError,
    EOFError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class Entry:
    """Something in a folder or zip: where, how many bytes, whether it is an ordinary file."""

    path: PurePosixPath
    size: int
    regular: bool


class OpenFolder:
    """A folder, its links left alone; or one file of it, as if there were no others."""

    def __init__(self, folder: Path, only: str = "") -> None:
        self._folder = folder
        self._only = only

    def entries(self, notes: list[str]) -> list[Entry]:
        """Everything in it that isn't hidden; says in notes where that is too much."""
        found: list[Entry] = []
        for current, folders, files in os.walk(self._folder, followlinks=False):
            here = Path(current).relative_to(self._folder)
            folders[:] = sorted(
                name for name in folders if not _ignored(name) and len(here.parts) < MAX_DEPTH
            )
            if self._only:
                folders.clear()
                files = [self._only]
            for name in sorted(files):
                if len(found) >= MAX_ENTRIES:
                    notes.append(f"More than {MAX_ENTRIES:,} files: the rest were ignored.")
                    return found
                status = (Path(current) / name).lstat()
                path = PurePosixPath(*here.parts, name)
                found.append(Entry(path, status.st_size, stat.S_ISREG(status.st_mode)))
        return found

    def form(self) -> str:
        """What it is, in a student's words."""
        if self._only:
            return f"the notebook {self._only}"
        here = [path for path in _names(self._folder) if not path.is_symlink()]
        names = [path.name for folder in (self._folder, *here) for path in _names(folder)]
        return "a repository" if any(name.startswith(GIT) for name in names) else "a folder"

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        """A file's content, at most so many bytes of it."""
        descriptor = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limit)


class OpenZip:
    """A zip, read where it lies. Reading it may raise what stands in UNREADABLE."""

    def __init__(self, file: Path, inside: bool = False) -> None:
        self._file = file
        self._inside = inside  # a folder, so that its name tells something
        self._archive: zipfile.ZipFile | None = None
        self._infos: dict[PurePosixPath, zipfile.ZipInfo] = {}
        self._below = PurePosixPath()

    def entries(self, notes: list[str]) -> list[Entry]:
        """Everything in it that isn't hidden; says in notes where that is too much."""
        if directory_bytes(self._file) > MAX_DIRECTORY_BYTES:
            notes.append("The zip holds far too many files to be looked at: zip your files alone.")
            return []
        return self._entries(self._opened().infolist(), notes)

    def _entries(self, infos: Sequence[zipfile.ZipInfo], notes: list[str]) -> list[Entry]:
        if len(infos) > MAX_ENTRIES:
            notes.append(f"More than {MAX_ENTRIES:,} files: the rest were ignored.")
        found = []
        for info in infos[:MAX_ENTRIES]:
            path = PurePosixPath(info.filename.replace("\\", "/"))
            if info.is_dir() or path.is_absolute() or ".." in path.parts:
                continue
            path = path.relative_to(self._below)
            if len(path.parts) > MAX_DEPTH + 1 or any(_ignored(part) for part in path.parts):
                continue
            mode = info.external_attr >> 16
            regular = stat.S_IFMT(mode) in (0, stat.S_IFREG)  # 0: permissions alone, or nothing
            self._infos.setdefault(path, info)
            found.append(Entry(path, info.file_size, regular))
        return found

    def form(self) -> str:
        """What it is, in a student's words."""
        return f"the zip {self._file.name}" if self._inside else "a zip"

    def read(self, path: PurePosixPath, limit: int) -> bytes:
        """A file's content, at most so many bytes of it."""
        with self._opened().open(self._infos[path]) as file:
            return file.read(limit)  # never more, whatever the archive claims

    def _opened(self) -> zipfile.ZipFile:
        """The archive, its list of files read once; it closes itself with this object."""
        if self._archive is None:
            self._archive = zipfile.ZipFile(self._file)
        return self._archive


class OpenPart(OpenZip):
    """A folder of a zip that holds many, as if it were a zip of its own.

    archive: the whole, which others read from too
    infos:   what lies in the folder
    """

    def __init__(
        self, archive: zipfile.ZipFile, below: PurePosixPath, infos: Sequence[zipfile.ZipInfo]
    ) -> None:
        super().__init__(Path(archive.filename or ""))
        self._archive = archive
        self._below = below
        self._all = infos

    def entries(self, notes: list[str]) -> list[Entry]:
        """Everything in it that isn't hidden; says in notes where that is too much."""
        return self._entries(self._all, notes)


def directory_bytes(file: Path) -> int:
    """How long a zip's list of its files is, by the record at its end; 0 where that has none.

    Reading the list is work and memory for each of them, so its length is asked first.
    """
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - END_BYTES - MAX_COMMENT_BYTES, 0))
        end = stream.read()
    place = end.rfind(END_MARK)
    if place < 0 or len(end) - place < END_BYTES:
        return 0
    (length,) = struct.unpack("<I", end[place + LENGTH_AT : place + LENGTH_AT + 4])
    return 0 if length == IN_ANOTHER_RECORD else int(length)


Opened = OpenFolder | OpenZip


def _names(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it is none or can't be listed."""
    _, folders, files = next(os.walk(folder), ("", [], []))
    return [folder / name for name in (*folders, *files)]


def _ignored(name: str) -> bool:
    return name in ("__MACOSX", "__pycache__", "node_modules", "data") or name.startswith(".")
