"""Graders forked from a process that has torch loaded, so that a run takes no start-up time.

That process is where `launch` is when it forks its zygotes: torch is ready, and of the grader
nothing is in memory but `launch` and `confined`. A run is forked from it and goes on through
`launch.main`, as one of `./run_autograder` does. So its workers hold no more than they would
there, which is what the attacks are about.

Run as a script, this module is that process; it imports nothing of the harness.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.01
TAKEN = b"+"


class Preloaded:
    """Forks graders for the tests of one process; ends when that process does.

    command:     the interpreter and its options
    environment: which the process is started with, and drops as every grader does
    paths:       more places to import from
    user:        who the graders run as; else who runs the tests
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
                start_new_session=True,  # an interruption of the tests ends it by its socket
            )

    def run(
        self, arguments: list[str], environment: Mapping[str, str], seconds: float
    ) -> tuple[int, str]:
        """A grader's exit status (negative: the signal that ended it), and what it printed.

        Raises TimeoutExpired, with the grader killed.
        """
        request = {"arguments": arguments, "environment": surroundings().kept(environment)}
        life, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors, life:
            with theirs, self._lock:
                descriptors = [theirs.fileno(), out.fileno(), errors.fileno()]
                life.sendall(json.dumps(request).encode() + b"\n")
                socket.send_fds(self._control, [TAKEN], descriptors)
                assert self._control.recv(len(TAKEN)) == TAKEN, "the preloaded process has ended"
            if not select.select([life], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(arguments, seconds)
            status = int(life.recv(20))
            printed = b""
            for file in (out, errors):
                file.seek(0)
                printed += file.read()
        return status, printed.decode()

    def close(self) -> None:
        """End the process, and with it every grader that still runs."""
        self._control.close()
        self._process.wait()


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork a grader for each request, and return in it with the request; None at the end."""
    keepers: set[int] = set()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, len(TAKEN), 3)
        keepers -= {pid for pid in keepers if os.waitpid(pid, os.WNOHANG)[0]}
        if not data:
            return None
        pid = os.fork()
        if pid == 0:
            control.close()
            return keep(*descriptors)
        keepers.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(TAKEN)


def keep(life: int, out: int, errors: int) -> dict[str, Any]:
    """Fork a grader and return in it; tell the test how it ended, or kill it if the test left."""
    with open(life, "rb", closefd=False) as asked:
        request: dict[str, Any] = json.loads(asked.readline())
    pid = os.fork()
    if pid:
        reaped = 0
        while not reaped and not select.select([life], [], [], POLL_SECONDS)[0]:
            reaped, status = os.waitpid(pid, os.WNOHANG)
        if reaped:
            os.write(life, str(os.waitstatus_to_exitcode(status)).encode())
        else:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(errors, 2)
    for descriptor in (life, out, errors):
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"], OMP_NUM_THREADS="1")
    return request


def surroundings() -> Any:
    """The grader's own module, which may be one of another place than this process's."""
    return importlib.import_module("autograder.confined.surroundings")


def main() -> None:
    """Import torch once; then be each grader that is asked for."""
    sys.path += sys.argv[3:]
    surroundings().start_clean()
    control = socket.socket(fileno=int(sys.argv[1]))
    launch = importlib.import_module("autograder.launch")
    zygote = importlib.import_module("autograder.confined.zygote")
    sys.modules["__main__"] = sys.modules.pop("autograder.launch")  # as python -m has it
    zygote.warm_up()
    zygote.warm_up = lambda: None  # once in a process is all it stands
    request = serve(control)
    if request is not None:
        tempfile.tempdir = None  # torch has looked for one, with the process's own TMPDIR
        sys.argv = ["autograder", *request["arguments"]]
        launch.main()


if __name__ == "__main__":
    main()
