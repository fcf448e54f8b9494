"""One confined process as the grader sees it: asked, watched, and ended; believed in nothing."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError
from torch import Tensor

from autograder.confined import wire

from .budget import Budget, Clock
from .errors import (
    InvalidReply,
    Limit,
    OutOfTime,
    Refused,
    SandboxFault,
    StudentCodeRaised,
    TookTooLong,
    WorkerDied,
    WorkerError,
)
from .replies import ErrorReply, RefusalReply, first_error

OUTPUT_BYTES_KEPT = 16 << 10
READY_SECONDS = 30.0
PROGRESS_MESSAGES = 10_000


class Reply(Protocol):
    """A schema that an answer's JSON is validated with."""

    @classmethod
    def model_validate(cls, obj: Any) -> Any:
        """The answer, if it fits. Raises ValidationError."""


class Owner(Protocol):
    """What started a worker, and ends it."""

    def end(self, worker: Worker, grace: bool) -> dict[str, Any]:
        """Kill and reap a worker; how it ended."""


@dataclass(frozen=True)
class Pipes:
    """The grader's ends of a worker's pipes."""

    questions: int
    replies: int
    output: int


class Worker:
    """One confined process. Ask it questions in turn; after an error it is gone."""

    def __init__(
        self,
        owner: Owner,
        pid: int,
        user: int | None,
        pipes: Pipes,
        scratch: Path,
        budget: Budget,
    ) -> None:
        self.pid = pid
        self.user = user
        self.scratch = scratch
        self._owner = owner
        self._budget = budget
        self._clock: Clock | None = None  # of the question that is under way
        self._questions = pipes.questions
        self._replies = pipes.replies
        self._output = pipes.output
        self._output_open = True
        self._kept = bytearray()
        self._closed = False

    @property
    def output(self) -> str:
        """What the student's code printed, as far as it is kept."""
        text = bytes(self._kept).decode(errors="replace")
        cut = len(self._kept) >= OUTPUT_BYTES_KEPT
        return text + ("\n… (cut: your code prints too much)" if cut else "")

    def wait_until_ready(self) -> list[str]:
        """The confinement's walls in force, as the worker reports them."""
        message = self._read(READY_SECONDS, "starting")
        walls = message.content.get("ready")
        if not isinstance(walls, list):
            raise SandboxFault(f"a worker could not be confined: {message.content}")
        return [str(wall) for wall in walls]

    def ask(
        self,
        question: str,
        schema: type[Reply],
        *,
        seconds: float,
        doing: str,
        tensors: Mapping[str, Tensor] | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
        **content: Any,
    ) -> tuple[Any, dict[str, Tensor]]:
        """The validated answer to a question, and the tensors that came with it.

        seconds: processor time that it may take; the worker's budget limits it further
        doing:   completes "while …" in the student's feedback

        Raises WorkerError, and OutOfTime where the run's time is up.
        """
        if self._closed:
            raise self._named(WorkerDied("an earlier question had ended it"), doing)
        with self._budget.question(self.pid, seconds) as self._clock:
            try:
                self._send(wire.Message({"ask": question, **content}, dict(tensors or {})), doing)
                for _ in range(PROGRESS_MESSAGES):
                    message = self._read(self._clock.wall_left(), doing)
                    if set(message.content) != {"progress"}:
                        return self._validated(message, schema, doing)
                    if on_progress is not None and isinstance(message.content["progress"], dict):
                        on_progress(message.content["progress"])
            except OutOfTime:
                self.close()
                raise
            finally:
                self._clock = None
        raise self._failed(InvalidReply("it never stopped reporting progress"), doing)

    def _send(self, message: wire.Message, doing: str) -> None:
        assert self._clock is not None
        try:
            self._clock.look()
            wire.write(self._questions, wire.encode(message), self._clock.wall_left())
        except wire.WireError as problem:  # it is as long as what the worker claims to need
            raise self._failed(
                InvalidReply(f"what it needs can't be sent: {problem}"), doing
            ) from None
        except wire.WireClosed:
            raise self._died(doing) from None
        except wire.WireTimeout:
            raise self._late(doing) from None
        except TookTooLong as problem:
            raise self._failed(problem, doing) from None

    def refuse(self, problem: str, doing: str) -> WorkerError:
        """End the worker over an answer that is well-formed but not what was asked."""
        return self._failed(InvalidReply(problem), doing)

    def close(self) -> dict[str, Any]:
        """End the process and everything in its group."""
        if self._closed:
            return {}
        self._closed = True
        self._drain(self._output)
        for descriptor in (self._questions, self._replies, self._output):
            os.close(descriptor)
        return self._owner.end(self, grace=False)

    def _read(self, seconds: float, doing: str) -> wire.Message:
        try:
            return wire.read(self._replies, seconds, idle=self._watched, drain=self._drain)
        except wire.WireClosed:
            raise self._died(doing) from None
        except wire.WireTimeout:
            raise self._late(doing) from None
        except TookTooLong as problem:
            raise self._failed(problem, doing) from None
        except wire.WireError as problem:
            raise self._failed(InvalidReply(str(problem)), doing) from None

    def _validated(
        self, message: wire.Message, schema: type[Reply], doing: str
    ) -> tuple[Any, dict[str, Tensor]]:
        try:
            if set(message.content) == {"error"}:
                error = ErrorReply.model_validate(message.content["error"])
                raise self._named(
                    StudentCodeRaised(error.type, error.message, error.file, error.line), doing
                )
            if set(message.content) == {"refusal"}:
                refusal = RefusalReply.model_validate(message.content["refusal"])
                raise self._named(Refused("Refusal", refusal.message, refusal.file, None), doing)
            return schema.model_validate(message.content), message.tensors
        except ValidationError as problem:
            raise self._failed(InvalidReply(first_error(problem)), doing) from None

    def _watched(self) -> list[int]:
        """What to read besides replies; looks at the clock on the way."""
        if self._clock is not None:
            self._clock.look()
        return [self._output] if self._output_open else []

    def _drain(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(descriptor, 1 << 16)
            self._output_open = bool(data)
            self._kept += data[: OUTPUT_BYTES_KEPT - len(self._kept)]

    def _died(self, doing: str) -> WorkerError:
        self._closed = True
        self._drain(self._output)
        for descriptor in (self._questions, self._replies, self._output):
            os.close(descriptor)
        report = self._owner.end(self, grace=True)
        return self._named(WorkerDied(why_it_ended(report), report), doing)

    def _late(self, doing: str) -> WorkerError:
        """The error of a worker that let the time on the clock pass. Raises OutOfTime."""
        limit = Limit(READY_SECONDS, processor=False, shared=False)
        if self._clock is not None:
            try:
                self._clock.look()
            except TookTooLong as problem:
                limit = problem.limit
        return self._failed(TookTooLong(limit), doing)

    def _failed(self, error: WorkerError, doing: str) -> WorkerError:
        self.close()
        return self._named(error, doing)

    @staticmethod
    def _named(error: WorkerError, doing: str) -> WorkerError:
        error.doing = doing
        return error


def why_it_ended(report: Mapping[str, Any]) -> str:
    """A worker's end in a student's words."""
    if report.get("stopped"):
        return str(report["stopped"])
    number = report.get("signal")
    if number is not None:
        known = {
            signal.SIGKILL: "it was killed, most likely because memory ran out",
            signal.SIGXCPU: "it used more processor time than allowed",
            signal.SIGSEGV: "it crashed (segmentation fault)",
            signal.SIGABRT: "it aborted",
        }
        return known.get(number, f"it was ended by signal {number}")
    if report.get("exit") is not None:
        return f"it exited by itself (exit status {report['exit']})"
    return "it ended without an answer"
