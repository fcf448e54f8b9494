"""Looking at what a submission sent: what fails there is the fault of what came.

The grader's own faults (GraderFault, and the machine's: OSError) stay what they are. So do
the errors that say already what is wrong. Anything else that is raised while an answer or an
artifact is looked at becomes an IndigestibleReply: a line lost with a sentence, and a flag
with the trace for staff.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

import pytest

from autograder.rubric.feedback import Rejected
from autograder.rubric.traces import trace_of
from autograder.sandbox.errors import GraderFault, IndigestibleReply, OutOfTime, WorkerError

SAID_ALREADY = (WorkerError, Rejected, GraderFault, OutOfTime, OSError, pytest.exit.Exception)


@contextlib.contextmanager
def digesting(doing: str) -> Iterator[None]:
    """Around whatever looks at a submission's answers; `doing` completes "while …"."""
    try:
        yield
    except SAID_ALREADY:
        raise
    except Exception as problem:  # the boundary: what is in an answer can make anything fail
        raise indigestible(problem, doing) from problem


def indigestible(problem: BaseException, doing: str) -> IndigestibleReply:
    """The error that stands for one that was raised over what a submission sent."""
    error = IndigestibleReply(trace_of(problem))
    error.doing = doing
    return error


def raised_in(problem: BaseException, modules: tuple[str, ...]) -> bool:
    """Whether an exception passed through a module of one of these packages."""
    frames = traceback.walk_tb(problem.__traceback__)
    names = (str(frame.f_globals.get("__name__", "")) for frame, _ in frames)
    return any(f"{name}.".startswith(f"{one}.") for name in names for one in modules)
