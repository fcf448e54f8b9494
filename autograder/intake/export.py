"""A platform's export of many submissions, which is not one submission: recognised, not opened."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

METADATA = "submission_metadata.yml"
SUBMISSION = re.compile(r"submission_\d+")


def exported_submissions(folder: Path) -> list[Path]:
    """The submissions' folders in an export, or in a folder around it; empty for anything else."""
    for place in (folder, *_folders_in(folder)):
        found = [path for path in _folders_in(place) if SUBMISSION.fullmatch(path.name)]
        if len(found) > 1 or (found and (place / METADATA).is_file()):
            return found
    return []


def count_exported(files: Iterable[PurePosixPath]) -> int:
    """How many submissions an export has, from the paths of its files; 0 for anything else."""
    told = set()
    found = defaultdict(set)
    for file in files:
        if file.name == METADATA:
            told.add(file.parent)
        for folder in file.parents:
            if SUBMISSION.fullmatch(folder.name):
                found[folder.parent].add(folder.name)
    return max((len(found[place]) for place in found if place in told), default=0)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:  # a file, or closed to us: whoever opens it will say so
        return []
