"""run.yaml: how a run was made, and how it ended; and files that are written as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

# What yaml raises besides its own errors, as for a date such as 2026-13-41.
NO_VALUE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
HALF_WRITTEN = r"{name}\.\d+\.new"  # the name that a file of this one has while it is written


def read_notes(file: Path) -> dict[str, Any] | None:
    """The notes; None where there are none that can be read."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, yaml.YAMLError, *NO_VALUE):
        return None
    return content if isinstance(content, dict) else None


def write_notes(file: Path, content: Mapping[str, Any]) -> None:
    """Write the notes, or replace them. Raises OSError."""
    text = yaml.safe_dump(dict(content), sort_keys=False, width=100)
    with whole(file) as new:
        new.write_text(text, encoding="utf-8")


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A place to write to; what was written then takes the file's place in one go.

    Raises OSError where it can't be, and leaves what was there.
    """
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        yield new
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
