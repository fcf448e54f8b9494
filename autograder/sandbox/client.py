"""The trusted side of the sandbox: starts workers, asks questions, believes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sysconfig
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError
from torch import Tensor

from autograder.confined import wire
from autograder.confined.confine import Limits, throwaway_user
from autograder.confined.preflight import STOPPED_BY, reading

from .budget import Budget, Clock
from .confinement import WRITE_RESULTS, Confinement, folder_mib, make_scratch, remove
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
from .fork_server import ForkServer, ForkServerError
from .replies import ErrorReply, PreflightReply, RefusalReply, first_error

OUTPUT_BYTES_KEPT = 16 << 10
READY_SECONDS = 30.0
SCRATCH_EVERY_SECONDS = 0.1  # how often the scratch folder is measured, at most
PROGRESS_MESSAGES = 10_000


class ScratchFull(Exception):
    """A worker filled its scratch folder; raised and caught in this module."""


class Reply(Protocol):
    """A schema that an answer's JSON is validated with."""

    @classmethod
    def model_validate(cls, obj: Any) -> Any:
        """The answer, if it fits. Raises ValidationError."""


class Workers(Protocol):
    """Starts workers to ask."""

    def worker(self, *files: str) -> contextlib.AbstractContextManager[Worker]:
        """A fresh worker that may read the named data files; it lives as long as the block."""


class Sandbox:
    """Starts workers for one submission, each a fresh confined process.

    submission: the staged folder, readable by every user
    modules:    names of the modules in it that student code may import
    limits:     what each worker may use
    files:      data files that a worker may be given, by name
    without:    optional walls of confinement to leave out
    zygote:     what forks the workers, where several submissions share one; else its own
    """

    def __init__(
        self,
        submission: Path,
        modules: Collection[str],
        limits: Limits,
        files: Mapping[str, Path],
        without: Collection[str] = (),
        zygote: ForkServer | None = None,
    ) -> None:
        self._submission = submission
        self._modules = sorted(modules)
        self._limits = limits
        self._files = dict(files)
        self._without = frozenset(without)
        self._zygote = zygote or ForkServer("worker")
        self._shared = zygote is not None
        self.confinement = Confinement()
        self.endings: list[dict[str, Any]] = []

    def start(self) -> None:
        """Start the zygote, without waiting until it is ready."""
        self._zygote.start()

    def within(self, budget: Budget) -> Workers:
        """Workers whose questions share a budget of time."""
        return _Within(self, budget)

    @contextlib.contextmanager
    def worker(self, *files: str, budget: Budget | None = None) -> Iterator[Worker]:
        """A fresh worker that may read the named data files; ended when the block is left.

        Raises SandboxFault, and OutOfTime where the budget's run is over.
        """
        budget = budget or Budget()
        if budget.left() <= 0:
            raise OutOfTime
        worker = self._start_worker(files, budget)
        try:
            yield worker
        finally:
            worker.close()

    def close(self) -> None:
        """End the zygote, and with it every worker, unless others use it too."""
        if not self._shared:
            self._zygote.close()

    def _start_worker(self, names: tuple[str, ...], budget: Budget) -> Worker:
        ends = [os.pipe() for _ in range(3)]
        (questions_read, questions), (replies, replies_write), (output, output_write) = ends
        files = [os.open(self._files[name], os.O_RDONLY) for name in names]
        theirs = [questions_read, replies_write, output_write, *files]
        user = None if "user" in self._without else throwaway_user()
        scratch = make_scratch(user)
        request = {
            "do": "start",
            "submission": str(self._submission),
            "modules": self._modules,
            "scratch": str(scratch),
            "limits": asdict(self._limits),
            "user": user,
            "files": names,
            "without": sorted(self._without),
        }
        try:
            pid = int(self._zygote.request(request, theirs)["pid"])
        except BaseException as problem:  # whatever stops the start, nothing is left open
            for descriptor in (questions, replies, output):
                os.close(descriptor)
            remove(scratch)
            if isinstance(problem, ForkServerError):
                raise SandboxFault(str(problem)) from problem
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        os.set_blocking(output, False)
        pipes = Pipes(questions, replies, output)
        worker = Worker(self, pid, user, pipes, scratch, self._limits.scratch_mib, budget)
        try:
            walls = worker.wait_until_ready()
        except BaseException:  # the whole run may be told to stop here
            worker.close()
            raise
        self.confinement = replace(self.confinement, walls=walls)
        return worker

    def end(self, worker: Worker, grace: bool) -> dict[str, Any]:
        """Kill and reap a worker; how it ended, or nothing where the zygote is gone too."""
        request = {"do": "end", "pid": worker.pid, "user": worker.user, "grace": grace}
        try:
            ending = self._zygote.request(request, [], restart=False)
        except ForkServerError:
            return {}
        finally:
            remove(worker.scratch)
        self.endings.append(ending)
        return ending

    def preflight(self, secrets: Mapping[str, Path], results: Path, unsafe: bool = False) -> None:
        """Prove the confinement before any student code runs. Raises SandboxFault.

        secrets: what a worker must not read, name -> file; one that isn't there proves
                 nothing, so it is a fault
        results: what a worker must not write
        unsafe:  go on although a submission could read the grader's secrets
        """
        absent = [f"{name} ({file})" for name, file in secrets.items() if not file.is_file()]
        if absent:
            raise SandboxFault(
                f"the confinement can't be proven: there is no {'; no '.join(absent)}"
            )
        places = {
            "secrets": {name: str(file) for name, file in secrets.items()},
            "code": str(Path(__file__).resolve()),
            "results": str(results.resolve()),
            "submission": str(self._submission),
            "library": sysconfig.get_paths()["purelib"],
            "grader": os.getpid(),
            "memory_mib": self._limits.memory_mib,
            "file_mib": self._limits.file_mib,
            "open_files": self._limits.open_files,
            "processes": self._limits.processes,
        }
        with self.worker() as worker:
            try:
                reply, _ = worker.ask(
                    "preflight",
                    PreflightReply,
                    seconds=READY_SECONDS,
                    doing="trying the confinement",
                    places=places,
                )
            except WorkerError as problem:
                raise SandboxFault(f"the confinement could not be tried: {problem}") from None
        tried = {*STOPPED_BY, *map(reading, secrets)}
        if set(reply.worked) != tried:
            missing = ", ".join(sorted(tried ^ set(reply.worked)))
            raise SandboxFault(f"the confinement was not tried as asked: {missing}")
        guarded = frozenset({WRITE_RESULTS, *map(reading, secrets)})
        self.confinement = replace(self.confinement, worked=reply.worked, guarded=guarded)
        broken = self.confinement.broken()
        if broken:
            raise SandboxFault(f"the confinement does not hold: a worker can {'; '.join(broken)}")
        if not self.confinement.guards_secrets() and not unsafe:
            raise SandboxFault(
                "nothing here keeps a submission from reading the grader's files: run as root, or "
                "on a Linux with Landlock, or accept it with --unsafe-local"
            )


@dataclass(frozen=True)
class _Within:
    """A sandbox whose workers share a budget."""

    sandbox: Sandbox
    budget: Budget

    def worker(self, *files: str) -> contextlib.AbstractContextManager[Worker]:
        return self.sandbox.worker(*files, budget=self.budget)


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
        sandbox: Sandbox,
        pid: int,
        user: int | None,
        pipes: Pipes,
        scratch: Path,
        scratch_mib: int,
        budget: Budget,
    ) -> None:
        self.pid = pid
        self.user = user
        self.scratch = scratch
        self._scratch_mib = scratch_mib
        self._sandbox = sandbox
        self._budget = budget
        self._clock: Clock | None = None  # of the question that is under way
        self._questions = pipes.questions
        self._replies = pipes.replies
        self._output = pipes.output
        self._output_open = True
        self._looked = 0.0
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
        return self._sandbox.end(self, grace=False)

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
        except ScratchFull:
            reason = f"it wrote more than {self._scratch_mib} MiB of files"
            raise self._failed(WorkerDied(reason), doing) from None

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
        """What to read besides replies; looks at the clock and the scratch folder on the way."""
        if self._clock is not None:
            self._clock.look()
        if time.monotonic() - self._looked > SCRATCH_EVERY_SECONDS:
            if folder_mib(self.scratch) > self._scratch_mib:
                raise ScratchFull
            self._looked = time.monotonic()  # after the look, which may itself take long
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
        report = self._sandbox.end(self, grace=True)
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
