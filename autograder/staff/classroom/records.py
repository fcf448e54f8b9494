"""One submission of a class as it is kept in the class's folder, and how it is read.

Only files count, and each is replaced in one step. What can't be read is as if it weren't
there: an entry without results says so in its `trouble`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from autograder.staff.classroom.lenient import as_list, as_mapping, as_number, as_text

RESULTS: Final = "results"
BEFORE: Final = "before"
ABOUT: Final = "about"
TROUBLE: Final = "trouble"
AGAIN: Final = "again"
SETTINGS: Final = "settings"  # and what each digest of settings stands for
LOCK: Final = ".lock"  # held while a regrade works in the folder
REGRADE: Final = "regrade"  # in extra_data: with what it was graded, and what that took
NOT_GRADED = "It has not been graded yet."
UNREADABLE = "Its results can't be read: the file is damaged. Run the same command again."

PICTURE = re.compile(r'(?<=src=")data:image/[^"]*')
ID = re.compile(r"[A-Za-z0-9][\w.@ +()-]{0,150}", re.ASCII)  # is a file's name as it stands


def is_class(folder: Path) -> bool:
    """Whether a folder is one that a regrade works in."""
    return (folder / LOCK).is_file() and (folder / SETTINGS).is_dir()


def has_results(folder: Path) -> bool:
    """Whether a folder is a class's that a report can be written of, or a copy of one."""
    return (folder / RESULTS).is_dir() and (folder / SETTINGS).is_dir()


@dataclass(frozen=True)
class Student:
    """Who handed something in; empty where it isn't known."""

    name: str = ""
    sid: str = ""
    email: str = ""


@dataclass(frozen=True)
class Entry:
    """One submission of a class.

    id:       the platform's number, or the name of the folder that was graded
    students: several for a group, none where they aren't known
    results:  what the grader wrote, without the pictures; None: not graded
    before:   the same of the export, or of another regrade; None: not known
    created_at: ISO 8601, empty where it isn't known
    attempts: how often it was handed in, this time included; 0: not known
    history:  earlier scores, the oldest first
    trouble:  one sentence where it could not be graded, else empty; beside results, these are
              of an earlier regrade
    seconds:  of the grading, on the clock
    peak_mib: memory of the grading's largest process
    digests:  file -> what stands for its content, for a person to compare: of code without
              formatting and comments, of artifacts as they are
    again:    the results with another seed; None where it wasn't asked for
    """

    id: str
    students: tuple[Student, ...] = ()
    results: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    created_at: str = ""
    attempts: int = 0
    history: tuple[float, ...] = ()
    trouble: str = ""
    seconds: float | None = None
    peak_mib: float | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    again: Mapping[str, Any] | None = None


def read_class(folder: Path) -> list[Entry]:
    """All entries of a class's folder, sorted by their ids."""
    return [read_entry(folder, one) for one in ids(folder)]


def ids(folder: Path) -> list[str]:
    """The ids of all entries, sorted: by number where they are numbers."""
    found = {
        file.stem
        for room in (RESULTS, ABOUT, TROUBLE)
        for file in (folder / room).glob("*.json")
        if ID.fullmatch(file.stem)
    }
    return sorted(found, key=by_number)


def by_number(one: str) -> tuple[float, str]:
    """What ids are sorted by."""
    return (float(one) if one.isdecimal() else math.inf, one)


def read_entry(folder: Path, one: str) -> Entry:
    """The entry with an id, as far as its files go."""
    about = read_json(folder / ABOUT / f"{one}.json") or {}
    results = read_json(folder / RESULTS / f"{one}.json")
    used = with_what(results)
    return Entry(
        id=one,
        students=tuple(_student(each) for each in as_list(about.get("students"))),
        results=without_pictures(results),
        before=without_pictures(read_json(folder / BEFORE / f"{one}.json")),
        created_at=as_text(about.get("created_at")),
        attempts=int(as_number(about.get("attempts")) or 0),
        history=tuple(
            score
            for each in as_list(about.get("history"))
            if (score := as_number(each)) is not None
        ),
        trouble=_trouble(folder, one, results),
        seconds=as_number(used.get("seconds")),
        peak_mib=as_number(used.get("peak_mib")),
        digests={
            str(name): as_text(value) for name, value in as_mapping(about.get("digests")).items()
        },
        again=without_pictures(read_json(folder / AGAIN / f"{one}.json")),
    )


def with_what(results: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What a regrade noted in its results: their key's parts, seconds, memory."""
    return as_mapping(as_mapping((results or {}).get("extra_data")).get(REGRADE))


def without_pictures(results: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Results whose texts have lost the pictures, which are most of their size."""
    if results is None:
        return None
    lines = [
        {**line, "output": PICTURE.sub("", line["output"])}
        if isinstance(line, dict) and isinstance(line.get("output"), str)
        else line
        for line in as_list(results.get("tests"))
    ]
    return {**results, "tests": lines}


def read_json(file: Path) -> dict[str, Any] | None:
    """What a JSON file says; None where there is none, or nothing that can be read."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Replace a file in one step, by strict JSON. Raises OSError, and leaves nothing behind."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, indent=1)
    write_text(file, [text])


def write_text(file: Path, pieces: Iterable[str]) -> None:
    """Replace a file in one step by pieces of text. Raises OSError, and leaves nothing behind."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="") as stream:
            stream.writelines(pieces)
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut may leave the new name without content
        Path(temporary).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _trouble(folder: Path, one: str, results: Mapping[str, Any] | None) -> str:
    said = read_json(folder / TROUBLE / f"{one}.json") or {}
    if "trouble" in said:  # beside results, these are of an earlier regrade
        return as_text(said["trouble"]) or NOT_GRADED
    if results is not None:
        return ""
    return UNREADABLE if (folder / RESULTS / f"{one}.json").exists() else NOT_GRADED


def _student(content: object) -> Student:
    said = as_mapping(content)
    return Student(*(as_text(said.get(name)) for name in ("name", "sid", "email")))
