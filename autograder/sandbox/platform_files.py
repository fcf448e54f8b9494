"""What the platform lays down beside the grader, closed to the users that workers run as.

The metadata names students and holds earlier results; the submission as it was handed in, the
results and the platform's own scripts are no worker's business either. Landlock keeps workers
from them; where the kernel has none, the rights of the files do. They are taken away before
any code of a submission runs, and stay as they are for root, who grades and collects.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def close_file(file: Path) -> None:
    """Take a file, or a folder and so all that is in it, from everybody but its owner.

    Only as root: workers are other users there, and nowhere else. What can't be closed, as on
    a disk that is mounted to be read, stays open: the pre-flight tells whether that matters.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        file = file.resolve()
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & OTHERS:
            file.chmod(mode & ~OTHERS)


def close_beside(root: Path, folder: Path) -> None:
    """Close what lies in the platform's folder, but for what workers have to reach.

    root: where the grader is installed, with the environment that workers use
    """
    needed = {
        place
        for path in (root, Path(sys.prefix), Path(sys.base_prefix))
        for place in (path.resolve(), *path.resolve().parents)
    }
    for entry in folder.iterdir():
        if not entry.is_symlink() and entry.resolve() not in needed:
            close_file(entry)
