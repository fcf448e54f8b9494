"""Tracebacks for staff: from the frame that matters on, without what runs the tests."""

from __future__ import annotations

import traceback
from pathlib import Path

import _pytest
import pluggy

# Where the frames of whoever calls a test lie.
RUNNERS = tuple(Path(package.__file__ or "").parent for package in (_pytest, pluggy))
IMPORTING = "<frozen importlib"


def trace_of(problem: BaseException) -> str:
    """An exception's traceback from the first frame on that isn't pytest's.

    Where all frames are pytest's, as of a fixture that nobody defined, what it says stands alone.
    """
    trace = problem.__traceback__
    while trace is not None and _runs_tests(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is None and problem.__traceback__ is not None:
        return "".join(traceback.format_exception_only(type(problem), problem))
    return "".join(traceback.format_exception(type(problem), problem, trace))


def _runs_tests(file: str) -> bool:
    return file.startswith(IMPORTING) or any(folder in Path(file).parents for folder in RUNNERS)
