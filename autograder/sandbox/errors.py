"""What can go wrong with a worker.

    WorkerError
      StudentCodeRaised    the student's code raised an exception
        Refused            it lacks something, or something is of the wrong kind
      TookTooLong          no answer within the question's time, or within the part's
      WorkerDied           the process ended: killed, crashed, out of memory, exited early
      InvalidReply         the answer breaks the wire's limits or the reply's schema
      IndigestibleReply    the answer passed both, and nothing could be made of it
    GraderFault
      SandboxFault         no worker can be started at all
    OutOfTime              the whole run's time was up before an answer came

A WorkerError is about one worker, and costs the rubric lines that needed it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class WorkerError(Exception):
    """A worker couldn't answer. `doing` says in plain words what it was asked."""

    doing = "running your code"


@dataclass
class StudentCodeRaised(WorkerError):
    """The student's code raised, at a line of their file where that is known."""

    type: str
    message: str
    file: str | None
    line: int | None

    @property
    def summary(self) -> str:
        """The type, and the first line of the message where there is one."""
        first = self.message.strip().partition("\n")[0][:200]
        return f"{self.type}: {first}" if first else self.type


class Refused(StudentCodeRaised):
    """Something is missing or of the wrong kind; `message` says what, as the worker claims."""

    @property
    def summary(self) -> str:
        """The first line of the message."""
        return self.message.strip().partition("\n")[0][:200]


@dataclass(frozen=True)
class Limit:
    """What an answer may take.

    processor: whether the seconds are the worker's processor time, else time on the clock
    shared:    whether all questions of a part share them
    """

    seconds: float
    processor: bool
    shared: bool


@dataclass
class TookTooLong(WorkerError):
    """No answer within a limit."""

    limit: Limit


@dataclass
class WorkerDied(WorkerError):
    """The process ended before it answered; `reason` is for the student, the rest for staff."""

    reason: str
    report: dict[str, Any] = field(default_factory=dict)


@dataclass
class InvalidReply(WorkerError):
    """What came back is not an answer; `problem` says why."""

    problem: str


@dataclass
class IndigestibleReply(WorkerError):
    """Something failed while the grader looked at what came back; `trace` is for staff."""

    trace: str


class GraderFault(Exception):
    """Something of the grader's own failed: never held against a submission."""


class SandboxFault(GraderFault):
    """The grader can't start a worker."""


class OutOfTime(Exception):
    """The whole run's time was up before an answer came: nobody's fault, and no verdict."""
