"""What holds a worker, as the trusted side sees it: walls in force, and a folder to write in."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import stat
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.confined.confine import OPTIONAL_WALLS
from autograder.confined.preflight import must_fail
from autograder.confined.scratch import FOLDER

ROUNDS, ROUND_SECONDS = 5, 0.02  # of removing a scratch folder
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
    stack nor the longest path of the system is a limit. A link is never followed.
    """
    for _ in range(ROUNDS):  # a process that is being killed may still have added a file
        with contextlib.suppress(OSError):
            top = _opened(str(folder))
            try:
                _empty(top)
            finally:
                os.close(top)
        with contextlib.suppress(OSError):
            folder.rmdir()
        if not folder.exists():
            return
        time.sleep(ROUND_SECONDS)


def _empty(top: int) -> None:
    mark, count = secrets.token_hex(8), itertools.count()
    waiting = os.listdir(top)
    while waiting:
        name = waiting.pop()
        if _unlinked(name, top):
            continue
        with contextlib.suppress(OSError):
            inner = _opened(name, top)
            try:
                for one in os.listdir(inner):
                    if not _unlinked(one, inner):
                        with contextlib.suppress(OSError):  # moving a folder writes into it
                            os.close(_opened(one, inner))
                        above = f"{mark}-{next(count)}"
                        os.rename(one, above, src_dir_fd=inner, dst_dir_fd=top)
                        waiting.append(above)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)


def _opened(name: str, within: int | None = None) -> int:
    """A descriptor of a folder, which its owner may do anything with from now on."""
    try:
        descriptor = os.open(name, FOLDER, dir_fd=within)
    except PermissionError:
        if sys.platform == "linux":
            found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
            try:
                os.chmod(f"/proc/self/fd/{found}", stat.S_IRWXU)
            finally:
                os.close(found)
        else:
            os.chmod(name, stat.S_IRWXU, dir_fd=within, follow_symlinks=False)
        descriptor = os.open(name, FOLDER, dir_fd=within)
    os.fchmod(descriptor, stat.S_IRWXU)
    return descriptor


def _unlinked(name: str, folder: int) -> bool:
    """Remove a file; False for a folder, and for what can't be removed."""
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    return True
