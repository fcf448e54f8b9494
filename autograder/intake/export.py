"""A platform's export of many submissions, which is not one submission: recognised, not opened."""

from __future__ import annotations

import re
from pathlib import Path

METADATA = "submission_metadata.yml"
SUBMISSION = re.compile(r"submission_\d+")


def exported_submissions(folder: Path) -> list[Path]:
    """The submissions' folders in an export, or in a folder around it; empty for anything else."""
    for place in (folder, *_folders_in(folder)):
        found = [path for path in _folders_in(place) if SUBMISSION.fullmatch(path.name)]
        if len(found) > 1 or (found and (place / METADATA).is_file()):
            return found
    return []


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:  # a file, or closed to us: whoever opens it will say so
        return []
