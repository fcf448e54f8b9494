"""The worker's parent: a clean process that has imported torch and forks when asked.

Importing torch takes a second; forking a process that already has takes milliseconds, so
every group of questions can have a worker of its own. The zygote is started without the
grader's modules, environment or descriptors, and never loads student code itself.

It takes requests, one line of JSON each, over a Unix socket:

    {"do": "start", …}            with the worker's descriptors -> {"pid": 123}
    {"do": "end", "pid": 123, …}  kill its group and its user's processes -> how it ended
                                  ("grace": true gives one about to exit a moment first)
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import time
from typing import Any

from .confine import adopt_orphans, kill_everything_of

MAX_REQUEST_BYTES = 64 << 10
MAX_DESCRIPTORS = 16


def main() -> None:
    """Serve the control socket, whose descriptor is the first argument, until it closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    adopt_orphans()
    warm_up()
    control.sendall(json.dumps({"ready": os.getpid()}).encode())
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, MAX_DESCRIPTORS)
        if not data:
            return
        request = json.loads(data)
        reply = (
            start(request, descriptors, control)
            if request["do"] == "start"
            else end(int(request["pid"]), request["user"], grace=bool(request["grace"]))
        )
        control.sendall(json.dumps(reply).encode())


def warm_up() -> None:
    """Import what every worker needs, with one thread, so that forking is safe and cheap.

    The first optimizer ever made in a process costs a second of imports; here it is paid once.
    """
    import numpy  # noqa: F401  imported for the workers
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    weight = torch.nn.Parameter(torch.zeros(1))
    torch.optim.Adam([weight], fused=True)
    (weight * 2).sum().backward()
    from . import answerer  # noqa: F401  imported for the workers


def start(
    request: dict[str, Any], descriptors: list[int], control: socket.socket
) -> dict[str, Any]:
    """Fork a worker that keeps the given descriptors and nothing else."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            control.close()
            from . import worker

            worker.serve(request, descriptors)
            status = 0
        finally:
            os._exit(status)
    for descriptor in descriptors:
        os.close(descriptor)
    return {"pid": pid}


def end(pid: int, user: int | None, grace: bool) -> dict[str, Any]:
    """Kill a worker's whole process group, reap it, and tell how it ended."""
    ended, status, usage = _wait_briefly(pid, (0.0, 0.002, 0.01, 0.05) if grace else (0.0,))
    if not ended:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # children of a worker that is gone
    if user is not None:
        kill_everything_of(user)
    _reap_orphans()
    return {
        "by_itself": ended,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "peak_mib": usage.ru_maxrss // 1024,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
    }


def _reap_orphans() -> None:
    """Take in what a worker left behind: as subreaper, the zygote inherits it."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return


def _wait_briefly(pid: int, pauses: tuple[float, ...]) -> tuple[bool, int, resource.struct_rusage]:
    for pause in pauses:
        time.sleep(pause)
        reaped, status, usage = os.wait4(pid, os.WNOHANG)
        if reaped:
            return True, status, usage
    return False, status, usage
