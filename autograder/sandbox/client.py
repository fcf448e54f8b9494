"""The trusted side of the sandbox: starts workers, and proves that they are confined."""

from __future__ import annotations

import contextlib
import os
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from autograder.confined.confine import Limits, throwaway_user
from autograder.confined.preflight import STOPPED_BY, reading
from provided.packages import ABSENT

from .budget import Budget
from .confinement import WRITE_RESULTS, Confinement, make_scratch, remove
from .errors import OutOfTime, SandboxFault, WorkerError
from .fork_server import ForkServer, ForkServerError
from .replies import PreflightReply
from .worker import READY_SECONDS, Pipes, Worker


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
            "absent": sorted(ABSENT),
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
        worker = Worker(self, pid, user, pipes, scratch, budget)
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
class _Within:
    """A sandbox whose workers share a budget."""

    sandbox: Sandbox
    budget: Budget

    def worker(self, *files: str) -> contextlib.AbstractContextManager[Worker]:
        return self.sandbox.worker(*files, budget=self.budget)
