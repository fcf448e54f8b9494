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

from .confinement import WRITE_RESULTS, Confinement, make_scratch, remove
from .errors import (
    InvalidReply,
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
PROGRESS_MESSAGES = 10_000


class Reply(Protocol):
    """A schema that an answer's JSON is validated with."""

    @classmethod
    def model_validate(cls, obj: Any) -> Any:
        """The answer, if it fits. Raises ValidationError."""


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

    @contextlib.contextmanager
    def worker(self, *files: str) -> Iterator[Worker]:
        """A fresh worker that may read the named data files; ended when the block is left."""
        worker = self._start_worker(files)
        try:
            yield worker
        finally:
            worker.close()

    def close(self) -> None:
        """End the zygote, and with it every worker, unless others use it too."""
        if not self._shared:
            self._zygote.close()

    def _start_worker(self, names: tuple[str, ...]) -> Worker:
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
        worker = Worker(self, pid, user, pipes, scratch)
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
        self.endings.append({name: ending[name] for name in ending if name != "stopped"})
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
    ) -> None:
        self.pid = pid
        self.user = user
        self.scratch = scratch
        self._sandbox = sandbox
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

        Raises WorkerError; `doing` completes "while …" in the student's feedback.
        """
        if self._closed:
            raise self._named(WorkerDied("an earlier question had ended it"), doing)
        deadline = time.monotonic() + seconds
        try:
            frame = wire.encode(wire.Message({"ask": question, **content}, dict(tensors or {})))
            wire.write(self._questions, frame, seconds)
        except wire.WireError as problem:  # it is as long as what the worker claims to need
            raise self._failed(
                InvalidReply(f"what it needs can't be sent: {problem}"), doing
            ) from None
        except wire.WireClosed:
            raise self._died(doing) from None
        except wire.WireTimeout:
            raise self._failed(TookTooLong(seconds), doing) from None
        for _ in range(PROGRESS_MESSAGES):
            message = self._read(max(deadline - time.monotonic(), 0.0), doing, allowed=seconds)
            if set(message.content) != {"progress"}:
                return self._validated(message, schema, doing)
            if on_progress is not None and isinstance(message.content["progress"], dict):
                on_progress(message.content["progress"])
        raise self._failed(InvalidReply("it never stopped reporting progress"), doing)

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

    def _read(self, seconds: float, doing: str, allowed: float | None = None) -> wire.Message:
        try:
            return wire.read(self._replies, seconds, idle=self._watched, drain=self._drain)
        except wire.WireClosed:
            raise self._died(doing) from None
        except wire.WireTimeout:
            raise self._failed(TookTooLong(allowed or seconds), doing) from None
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
        """What to read besides replies."""
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
