"""What you type at a terminal, and what is printed there or into a file."""

from __future__ import annotations

import argparse
import io
import re
import sys

WHOLE = re.compile(r"-?[0-9]{1,18}")  # torch takes seeds of 19 digits, if not all


def positive(text: str) -> int:
    """A number from 1."""
    if not WHOLE.fullmatch(text) or int(text) < 1:
        raise argparse.ArgumentTypeError("give a whole number from 1")
    return int(text)


def seed(text: str) -> int:
    """A number that torch takes as a seed."""
    if not WHOLE.fullmatch(text):
        raise argparse.ArgumentTypeError("give a whole number of at most 18 digits")
    return int(text)


def replace_unknown_letters() -> None:
    """From now on print ? for a letter that it lacks, such as one in the name of your folder.

    A pipe on Windows knows some 200 letters, and Python stops at any other.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
