"""The grader's handle on a zygote: adopt one that was forked at start, or start one.

`launch` forks two zygotes before anything of the grader is imported, so that a single
import of torch serves every process of a run. A program that uses the grader as a library
starts them when they are needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path
from typing import Any

from autograder import HOMEWORK

START_SECONDS = 120.0  # importing torch on half a core, from a cold disk
REQUEST_SECONDS = 30.0
MAX_REPLY_BYTES = 1 << 16
LOG_BYTES_KEPT = 16 << 10
TRAINER = "trainer"  # what the launcher is called with to be a zygote of trainings

_forked_at_start: dict[str, tuple[int, socket.socket]] = {}


class ForkServerError(Exception):
    """No zygote can be started, or it ended."""


def offer(kind: str, pid: int, control: socket.socket) -> None:
    """Keep a zygote that was forked at start for the first ForkServer of its kind."""
    _forked_at_start[kind] = (pid, control)


class ForkServer:
    """Has a zygote fork children; a zygote that dies is replaced once per request.

    kind: "worker" for confined processes, "trainer" for the grader's own trainings
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self._pid: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready = False

    def start(self) -> None:
        """Adopt or start the zygote, without waiting until it is ready."""
        with self._lock:
            if self._control is None:
                self._start()

    def request(
        self, request: dict[str, Any], descriptors: list[int], restart: bool = True
    ) -> dict[str, Any]:
        """Send one request and return the reply. Raises ForkServerError."""
        with self._lock:
            for attempt in (1, 2):
                try:
                    return self._exchange(request, descriptors)
                except (OSError, ValueError, ForkServerError) as problem:
                    self._stop()
                    if attempt == 2 or not restart:
                        raise ForkServerError(
                            f"no {self._kind} can be started: {problem}\n{self._read_log()}"
                        ) from problem
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the zygote, and with it every child that dies with its parent."""
        with self._lock:
            self._stop()
            self._log.close()

    def _start(self) -> None:
        if self._kind in _forked_at_start:
            self._pid, self._control = _forked_at_start.pop(self._kind)
        else:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    self._command(theirs.fileno()),
                    env={"LANG": "C.UTF-8", "PATH": os.defpath, "OMP_NUM_THREADS": "1"},
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    start_new_session=True,
                )
            self._pid = self._process.pid
        self._control.settimeout(START_SECONDS)
        self._ready = False

    def _command(self, control: int) -> list[str]:
        if self._kind == TRAINER:
            return [sys.executable, "-I", "-m", "autograder.launch", TRAINER, str(control)]
        start = Path(__file__).resolve().parent.parent / "confined" / "start.py"
        packages = dict.fromkeys(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
        return [sys.executable, "-I", "-S", "-B", str(start), str(control), HOMEWORK, *packages]

    def _exchange(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        if self._control is None:
            self._start()
        assert self._control is not None
        if not self._ready:
            self._receive(self._control)
            self._control.settimeout(REQUEST_SECONDS)
            self._ready = True
        socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        return self._receive(self._control)

    @staticmethod
    def _receive(control: socket.socket) -> dict[str, Any]:
        data = control.recv(MAX_REPLY_BYTES)
        if not data:
            raise ForkServerError("its zygote has ended")
        reply = json.loads(data)
        if not isinstance(reply, dict):
            raise ForkServerError("its zygote answers nonsense")
        return reply

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
            if self._process is not None:
                self._process.wait()
            else:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(self._pid, 0)
        self._process = self._control = self._pid = None

    def _read_log(self) -> str:
        self._log.seek(0)
        return self._log.read(LOG_BYTES_KEPT).decode(errors="replace")
