"""How much a worker has written: its scratch folder is measured while it runs.

The zygote looks many times a second, also between questions, and ends a worker that has
written too much. Where Landlock and the filter on system calls hold, a worker can't delete,
rename or unname what it has written (deleting only seems to work), nor write elsewhere. So
all that takes room can be found below the folder, however long its path; a mapping or an
open descriptor hides nothing. What is written between two looks comes on top.

A file system of a fixed size would be exact, but mounting one takes rights that neither an
ordinary user nor root in a container has.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

EVERY_SECONDS = 0.05  # between two looks; an empty folder takes 20 microseconds
LEAST_BYTES = 4096  # that an entry counts: a name and an inode take room too
BLOCK_BYTES = 512  # of stat's st_blocks, on every file system
MAX_DEPTH = 32  # folders in each other; nobody needs ten
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooMuch(Exception):
    """A scratch folder that its worker must end over; says why, in a student's words."""


def too_much(folder: Path, most_mib: int) -> str | None:
    """Why a worker must end over its scratch folder; None while it may go on.

    The look ends where the limit is exceeded. As each entry counts, so do a folder without
    end and one with a million names.
    """
    try:
        top = os.open(folder, FOLDER)
        try:
            _count(top, most_mib, most_mib << 20, 1)
        finally:
            os.close(top)
    except TooMuch as reason:
        return str(reason)
    except FileNotFoundError:  # it has been removed
        return None
    except OSError:
        return "it made a folder that can't be opened"
    return None


def _count(folder: int, most_mib: int, room: int, depth: int) -> int:
    """The room that is left when what is in a folder has been counted. Raises TooMuch."""
    if depth > MAX_DEPTH:
        raise TooMuch(f"it made more than {MAX_DEPTH} folders inside each other")
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                facts = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            # A sparse file counts as long as it is, a file with room beyond its end with that.
            room -= max(facts.st_size, facts.st_blocks * BLOCK_BYTES, LEAST_BYTES)
            if room < 0:
                raise TooMuch(f"it wrote more than {most_mib} MiB of files")
            if stat.S_ISDIR(facts.st_mode):
                room = _count_inner(entry.name, folder, most_mib, room, depth)
    return room


def _count_inner(name: str, within: int, most_mib: int, room: int, depth: int) -> int:
    try:
        inner = os.open(name, FOLDER, dir_fd=within)
    except (FileNotFoundError, NotADirectoryError):  # it has just gone
        return room
    try:
        return _count(inner, most_mib, room, depth + 1)
    finally:
        os.close(inner)
