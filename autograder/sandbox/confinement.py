"""What holds a worker, as the trusted side sees it: walls in force, and a folder to write in."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.confined.confine import OPTIONAL_WALLS
from autograder.confined.preflight import must_fail

WRITE_RESULTS = "write the results"


@dataclass(frozen=True)
class Confinement:
    """What holds a worker: the walls it reports, and what the preflight found to work.

    guarded: the attempts that reach for what a submission must never get
    """

    walls: list[str] = field(default_factory=list)
    worked: dict[str, bool] = field(default_factory=dict)
    guarded: frozenset[str] = frozenset({WRITE_RESULTS})

    def broken(self) -> list[str]:
        """Attempts that worked although they must fail: a wall that stops them is in force."""
        return [
            attempt
            for attempt, worked in self.worked.items()
            if worked and must_fail(attempt, self.walls)
        ]

    def guards_secrets(self) -> bool:
        """Whether a worker is kept from the grader's files."""
        return not any(self.worked.get(name, True) for name in self.guarded)

    def for_staff(self) -> dict[str, Any]:
        """What is in force, what is missing, what a worker could do."""
        return {
            "walls": self.walls,
            "missing": [wall for wall in OPTIONAL_WALLS if wall not in self.walls],
            "possible": [attempt for attempt, worked in self.worked.items() if worked],
        }


def make_scratch(user: int | None) -> Path:
    """A new empty folder that only the worker's user can enter."""
    scratch = Path(tempfile.mkdtemp(prefix="autograder-scratch-"))
    if user is not None:
        os.chown(scratch, user, user)
    return scratch


def remove(folder: Path) -> None:
    """Remove a worker's scratch folder, however deep, and whatever its rights.

    What lies in a folder inside is moved up and then looked at, so that neither Python's
    stack nor the longest path of the system is a limit.
    """
    with contextlib.suppress(OSError):
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _empty(top)
        finally:
            os.close(top)
        folder.rmdir()


def _empty(top: int) -> None:
    mark, count = secrets.token_hex(8), itertools.count()
    waiting = os.listdir(top)
    while waiting:
        name = waiting.pop()
        if _unlinked(name, top):
            continue
        with contextlib.suppress(OSError):
            os.chmod(name, 0o700, dir_fd=top)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
            try:
                for one in os.listdir(inner):
                    if not _unlinked(one, inner):
                        with contextlib.suppress(OSError):  # moving a folder writes into it
                            os.chmod(one, 0o700, dir_fd=inner)
                        above = f"{mark}-{next(count)}"
                        os.rename(one, above, src_dir_fd=inner, dst_dir_fd=top)
                        waiting.append(above)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)


def _unlinked(name: str, folder: int) -> bool:
    """Remove a file; False for a folder, and for what can't be removed."""
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    return True


def folder_mib(folder: Path) -> float:
    """Size of the files below a folder, counted without following links."""
    total, folders = 0, [folder]
    while folders and len(folders) < 10_000:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    total += max(entry.stat(follow_symlinks=False).st_size, 4096)
    return total / (1 << 20)
