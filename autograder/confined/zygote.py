"""A clean process that has imported torch and forks a child when asked.

Importing torch takes a second and 200 MiB; forking a process that already has takes
milliseconds and shares its memory. One zygote forks the workers, which run confined; it
has none of the grader's modules, secrets, environment or descriptors, and never loads
student code itself. Another forks the grader's own training processes.

It takes requests, one JSON object each, over a Unix socket:

    {"do": "start", …}            with the child's descriptors -> {"pid": 123}
    {"do": "end", "pid": 123, …}  kill its group and its user's processes -> how it ended
                                  ("grace": true gives one about to exit a moment first)

Meanwhile it looks at the scratch folders of the children that have one, and ends a child
that fills its own; why, is told when the child is ended.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import scratch
from .confine import adopt_orphans, kill_everything_of
from .without_compiler import leave_out_compiler

MAX_REQUEST_BYTES = 64 << 10
MAX_DESCRIPTORS = 16

Serve = Callable[[dict[str, Any], list[int]], None]


def warm_up() -> None:
    """Import torch and make it ready to be forked: one thread, and autograd.

    A collection of garbage writes to every object that it looks at. So none looks at what is
    here by then, or each child would have a copy of its own: 100 MiB.
    """
    import numpy  # noqa: F401  imported for the children
    import torch

    leave_out_compiler()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    weight = torch.nn.Parameter(torch.zeros(1))
    (weight * 2).sum().backward()
    gc.freeze()


@dataclass(frozen=True)
class Watched:
    """A child whose scratch folder is measured."""

    folder: Path
    most_mib: int
    user: int | None


class Zygote:
    """Forks children that run `serve`, and ends them, as the control socket asks."""

    def __init__(self, control: socket.socket, serve: Serve) -> None:
        self._control = control
        self._serve = serve
        self._children: set[int] = set()
        self._watched: dict[int, Watched] = {}
        self._stopped: dict[int, str] = {}  # why, of those that were ended unasked

    def run(self) -> None:
        """Take requests until the other side closes the socket."""
        adopt_orphans()
        self._reply({"ready": os.getpid()})
        while True:
            self._watch_until_asked()
            data, descriptors, _, _ = socket.recv_fds(
                self._control, MAX_REQUEST_BYTES, MAX_DESCRIPTORS
            )
            if not data:
                return
            request = json.loads(data)
            if request["do"] == "start":
                self._reply({"pid": self._start(request, descriptors)})
            else:
                self._reply(self._end(request["pid"], request["user"], request["grace"]))

    def _watch_until_asked(self) -> None:
        """Look at the scratch folders again and again until there is a request."""
        pause = scratch.EVERY_SECONDS
        while self._watched and not select.select([self._control], [], [], pause)[0]:
            started = time.monotonic()
            for pid, watched in list(self._watched.items()):
                reason = scratch.too_much(watched.folder, watched.most_mib)
                if reason is not None:
                    self._stopped[pid] = reason
                    del self._watched[pid]
                    _kill(pid, watched.user)
            pause = max(scratch.EVERY_SECONDS, time.monotonic() - started)

    def _reply(self, content: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(content).encode())

    def _start(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """Fork a child that keeps the given descriptors and nothing else."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self._control.close()
                self._serve(request, descriptors)
                status = 0
            finally:
                os._exit(status)
        self._children.add(pid)
        if "scratch" in request:
            most_mib = request["limits"]["scratch_mib"]
            self._watched[pid] = Watched(Path(request["scratch"]), most_mib, request["user"])
        for descriptor in descriptors:
            os.close(descriptor)
        return pid

    def _end(self, pid: int, user: int | None, grace: bool) -> dict[str, Any]:
        """Kill a child's whole process group, reap it, and tell how it ended."""
        self._watched.pop(pid, None)
        stopped = self._stopped.pop(pid, None)
        ended, status, usage = _wait_briefly(pid, (0.0, 0.002, 0.01, 0.05) if grace else (0.0,))
        if not ended:
            _kill(pid, None)
            _, status, usage = os.wait4(pid, 0)
        self._children.discard(pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # children of a worker that is gone
        if user is not None:
            kill_everything_of(user)
        self._reap_orphans()
        return {
            "user": user,
            "by_itself": ended and stopped is None,
            "stopped": stopped,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "peak_mib": usage.ru_maxrss // 1024,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        }

    def _reap_orphans(self) -> None:
        """Take in what a worker left behind: as subreaper, the zygote inherits it.

        Its own children are left alone, as `_end` needs their exit status.
        """
        with contextlib.suppress(ChildProcessError):
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid in self._children:
                    return
                os.waitpid(found.si_pid, os.WNOHANG)


def _kill(pid: int, user: int | None) -> None:
    """Kill a child that isn't reaped yet, its group, and all that runs as its user."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    if user is not None:
        kill_everything_of(user)


def _wait_briefly(pid: int, pauses: tuple[float, ...]) -> tuple[bool, int, resource.struct_rusage]:
    for pause in pauses:
        time.sleep(pause)
        reaped, status, usage = os.wait4(pid, os.WNOHANG)
        if reaped:
            return True, status, usage
    return False, status, usage
