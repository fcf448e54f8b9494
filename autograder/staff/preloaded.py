"""Graders forked from a process that has torch loaded: many runs wait for one import alone.

That process is where `launch` is when it forks its zygotes: torch is ready, and of the grader
nothing is in memory but `launch` and `confined`. A run is forked from it and goes on through
`launch.main`, as one of `./run_autograder` does. So its workers hold no more than they would
there, which is what the attacks are about.

Between the two stands a process that sees to the run's end: one that waits, or a keeper's. Runs
with a keeper are many, so theirs are forked from a second process that has imported the grader
too, as are their trainings; the zygote of their workers is forked from one that has not:

    preloaded: torch ─┬─ waits for a run ── the run ── its zygotes
                      ├─ sees to a kept run, on one core ── the zygote of its workers
                      └─ stocked: torch and the grader ── keeper ── a kept run, its trainings

Run as a script, this file is the first process. It imports nothing of staff's, so that a copy of
it alone will do.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

POLL_SECONDS = 0.01
WAITED_FOR, KEPT = b"w", b"k"  # the two ways of a run, as the first byte of a request
TAKEN = b"+"
NOT_STARTED = b'{"ended": "not started"}'
MAX_BYTES = 1 << 16  # of what goes with descriptors
MAX_DESCRIPTORS = 4


class Gone(Exception):
    """The preloaded process has ended, or can't be started."""


class Preloaded:
    """Forks graders for one process; ends when that process does.

    command:     the interpreter and its options
    environment: which the process is started with, and drops as every grader does
    paths:       more places to import from
    user:        who the graders run as; else who runs this
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        script: Path = Path(__file__),
        paths: tuple[Path, ...] = (),
        user: int | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._has_answered = False
        self._control, theirs = socket.socketpair()
        self.mark = f"preloaded-{uuid.uuid4()}"  # in the command line of it and of its graders
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(script), str(theirs.fileno()), self.mark, *map(str, paths)],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                user=user,
                group=user,
                extra_groups=None if user is None else [],
                start_new_session=True,  # an interruption of the terminal ends it by its socket
            )

    def run(
        self, arguments: list[str], environment: Mapping[str, str], seconds: float
    ) -> tuple[int, str]:
        """A grader's exit status (negative: the signal that ended it), and what it printed.

        Raises TimeoutExpired, with the grader killed, and Gone.
        """
        request = {"arguments": arguments, "environment": surroundings().kept(environment)}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            with self.ask(request, out, errors) as life:
                if not select.select([life], [], [], seconds)[0]:
                    raise subprocess.TimeoutExpired(arguments, seconds)
                status = int(life.recv(20))
            printed = b""
            for file in (out, errors):
                file.seek(0)
                printed += file.read()
        return status, printed.decode()

    def ask(self, request: Mapping[str, Any], *files: BinaryIO) -> socket.socket:
        """Have a grader forked; its report comes through the socket, whose end ends it.

        request: `arguments` and `environment`, where `files` take what it prints; or what a
                 keeper's `report` takes, with the `keeper`'s file
        Raises Gone.
        """
        way = KEPT if "keeper" in request else WAITED_FOR
        life, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                descriptors = [theirs.fileno(), *(file.fileno() for file in files)]
                life.sendall(json.dumps(request).encode() + b"\n")
                socket.send_fds(self._control, [way], descriptors)
                if self._control.recv(len(TAKEN)) != TAKEN:
                    raise Gone("the preloaded process has ended")
                self._has_answered = True
        except (OSError, Gone) as problem:
            life.close()
            raise Gone(str(problem)) from problem
        return life

    def close(self) -> None:
        """End the process, and with it every grader that is waited for; kept ones go on."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        if not self._has_answered:  # it may be importing torch
            self._process.terminate()
        self._process.wait()


class Fork:
    """The process that forks: runs that are waited for, and what kept ones consist of."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._stock: socket.socket | None = None
        self._stocked: int | None = None
        self._children: set[int] = set()

    def serve(self) -> None:
        """Do what is asked until the other side closes."""
        while True:
            way, descriptors, _, _ = socket.recv_fds(self._control, 1, MAX_DESCRIPTORS)
            self._children -= {pid for pid in self._children if os.waitpid(pid, os.WNOHANG)[0]}
            if not way:
                return
            if way == KEPT and self._stock is None:
                self._fork_stocked(descriptors)
            pid = os.fork()
            if pid == 0:
                self._control.close()
                if way == KEPT:
                    assert self._stock is not None
                    see_to_run(self._stock, *descriptors)
                else:
                    if self._stock is not None:
                        self._stock.close()
                    wait(_read(descriptors[0]), *descriptors)
                launch().end_process(0)
            self._children.add(pid)
            for descriptor in descriptors:
                os.close(descriptor)
            self._control.sendall(TAKEN)

    def close(self) -> None:
        """Let go of the stocked process; runs that are kept go on."""
        if self._stock is not None and self._stocked is not None:
            self._stock.close()
            os.waitpid(self._stocked, 0)
        for pid in self._children:
            os.waitpid(pid, os.WNOHANG)

    def _fork_stocked(self, others: Sequence[int]) -> None:
        """Fork the process with the grader; `others` are descriptors of the first run."""
        self._stock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stocked = os.fork()
        if self._stocked == 0:
            for end in (self._control, self._stock):
                end.close()
            for descriptor in others:
                os.close(descriptor)
            serve_stocked(theirs)
            launch().end_process(0)
        theirs.close()


def see_to_run(stock: socket.socket, life: int) -> None:
    """Fork the zygote of a kept run's workers, have the run forked, pass its report on, end all.

    All of it keeps to one core of the machine. Memory is that of the largest process, the
    zygotes' own children among them.
    """
    request = _read(life)
    keeper = _loaded(request["keeper"])
    claim = keeper.one_core()
    zygote, workers = launch().fork_zygote(launch().serve_workers)
    report, theirs = os.pipe()
    told = {"request": request, "zygote": zygote, "cores": keeper.cores()}
    try:
        with workers:
            handed = [life, theirs, workers.fileno()]
            socket.send_fds(stock, [json.dumps(told).encode()], handed)
    except OSError:
        pass  # the end of the report says so
    finally:
        stock.close()
        os.close(theirs)
    with open(report, "rb") as stream:
        said = stream.read()
    peak_mib = _ended(zygote)
    claim.close()
    with contextlib.suppress(OSError):  # nobody is left to be told
        os.write(life, _completed(said[len(TAKEN) :], peak_mib) if said else NOT_STARTED)


def _ended(zygote: int) -> float:
    """End a zygote; the memory of the largest process of it and its children, in MiB."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(zygote, signal.SIGKILL)
    return round(os.wait4(zygote, 0)[2].ru_maxrss / 1024, 1)


def _completed(said: bytes, peak_mib: float) -> bytes:
    """A keeper's report with a zygote's memory; nothing where the keeper was killed."""
    try:
        report = json.loads(said)
    except ValueError:
        return b""
    if "peak_mib" in report:
        report["peak_mib"] = max(report["peak_mib"], peak_mib)
    return json.dumps(report).encode()


def _read(life: int) -> dict[str, Any]:
    with open(life, "rb", closefd=False) as asked:
        request: dict[str, Any] = json.loads(asked.readline())
    return request


def serve_stocked(control: socket.socket) -> None:
    """Import the grader; then fork a keeper for each request, and let it fork the grader."""
    stock_up()
    keepers: set[int] = set()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MAX_BYTES, MAX_DESCRIPTORS)
        keepers -= {pid for pid in keepers if os.waitpid(pid, os.WNOHANG)[0]}
        if not data:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            life, report, workers = descriptors
            told = json.loads(data)
            keep(told, (told["zygote"], socket.socket(fileno=workers)), life, report)
            launch().end_process(0)
        keepers.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)


def stock_up() -> None:
    """Import and compute here what every grading would, and let none copy it."""
    verdicts = importlib.import_module(importlib.import_module("autograder.homework").VERDICTS[0])
    names = ["autograder.cli", "autograder.grade"]
    names += [f"{verdicts.__name__}.{one.name}" for one in pkgutil.iter_modules(verdicts.__path__)]
    plugins = importlib.import_module("_pytest.config").default_plugins
    names += [f"_pytest.{name}" for name in plugins]
    for name in names:
        importlib.import_module(name)
    importlib.import_module("autograder.hw5.made_with").grader()
    importlib.import_module("autograder.hw5.versions").versions()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy the memory of all that is loaded here


def _loaded(file: str) -> Any:
    """A keeper, which no process knows by a name."""
    spec = importlib.util.spec_from_file_location("keeper", file)
    assert spec is not None
    assert spec.loader is not None
    keeper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(keeper)
    return keeper


def wait(request: dict[str, Any], life: int, out: int, errors: int) -> None:
    """Fork a grader and tell who asked how it ended; kill it if nobody waits any more."""
    pid = os.fork()
    if pid == 0:
        be_grader(request["arguments"], request["environment"], (life,), out, errors)
    reaped = 0
    while not reaped and not select.select([life], [], [], POLL_SECONDS)[0]:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    if reaped:
        os.write(life, str(os.waitstatus_to_exitcode(status)).encode())
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def keep(told: dict[str, Any], workers: tuple[int, socket.socket], life: int, report: int) -> None:
    """Let the keeper of a request keep the grader that is forked here; report what it says.

    workers: their zygote, and the socket to it
    """
    os.write(report, TAKEN)  # from here on, the run is under way
    request = told["request"]
    keeper = _loaded(request.pop("keeper"))
    keeper.keep_to(told["cores"])
    environment = request.pop("environment")
    trainings = launch().fork_zygote(launch().serve_trainings)
    zygotes = {launch().serve_workers: workers, launch().serve_trainings: trainings}
    launch().fork_zygote = zygotes.__getitem__

    def start(command: list[str], printed: BinaryIO, folder: Path) -> int:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            keeper.die_with_keeper()
            within = {**environment, "TMPDIR": str(folder)}
            be_grader(command, within, (life, report), printed.fileno(), printed.fileno())
        return pid

    said = keeper.report(request, start=start, life=life)
    os.write(report, _completed(said, _ended(trainings[0])))


def be_grader(
    arguments: list[str],
    environment: Mapping[str, str],
    closed: tuple[int, ...],
    out: int,
    errors: int,
) -> None:
    """Be the grader, as a program of its own would be; never returns."""

    def grader() -> None:
        os.dup2(out, 1)
        os.dup2(errors, 2)
        for descriptor in {*closed, out, errors}:
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(environment, OMP_NUM_THREADS="1")
        tempfile.tempdir = None  # torch has looked for one, with the process's own TMPDIR
        sys.argv = ["autograder", *arguments]
        launch().main()

    launch().run_and_end(grader)


def launch() -> Any:
    """The grader's own start, in whose place this process is (see `main`)."""
    return sys.modules["__main__"]


def surroundings() -> Any:
    """The grader's own module, which may be one of another place than this process's."""
    return importlib.import_module("autograder.confined.surroundings")


def main() -> None:
    """Import torch once; then fork each grader that is asked for."""
    sys.path += sys.argv[3:]
    surroundings().start_clean()
    control = socket.socket(fileno=int(sys.argv[1]))
    importlib.import_module("autograder.launch")
    zygote: Any = importlib.import_module("autograder.confined.zygote")
    sys.modules["__main__"] = sys.modules.pop("autograder.launch")  # as python -m has it
    zygote.warm_up()
    zygote.warm_up = lambda: None  # once in a process is all it stands
    fork = Fork(control)
    fork.serve()
    fork.close()


if __name__ == "__main__":
    main()
