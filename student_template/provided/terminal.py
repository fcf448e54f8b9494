"""The terminal, or the file, that your scripts print to."""

from __future__ import annotations

import io
import sys


def replace_unknown_letters() -> None:
    """From now on print ? for a letter that it lacks, such as one in the name of your folder.

    A pipe on Windows knows some 200 letters, and Python stops at any other.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
