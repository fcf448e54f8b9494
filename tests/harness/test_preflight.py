"""The pre-flight proves that the filter holds: what it tries works where nothing stops it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.confined import kernel_attempts, seccomp
from autograder.confined.confine import Limits
from autograder.confined.kernel_attempts import ATTEMPTS
from autograder.confined.preflight import works
from autograder.homework import STUDENT_MODULES
from autograder.hw5 import assignment as assignments
from autograder.sandbox.client import Sandbox
from autograder.sandbox.errors import SandboxFault

NO_NEW_PRIVILEGES, SET_NAME = 38, 15  # linux/prctl.h
ON_ANY_FILE_SYSTEM = {name for name in ATTEMPTS if "of a file" in name or "longer" in name} - {
    "set the flags of a file",
    "set the attributes of a file",
}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the calls are Linux's"),
    pytest.mark.skipif(not seccomp.available(), reason="there is no filter"),
]


@pytest.fixture
def worked(open_folder, tmp_path) -> Callable[..., set[str]]:
    """What a worker's pre-flight found to work, with some walls left out."""
    (open_folder / "submission").mkdir()

    def found(*without: str, secrets: dict[str, Path] | None = None) -> set[str]:
        limits = Limits(**assignments.load().worker.model_dump())
        folder = open_folder / "submission"
        sandbox = Sandbox(folder, STUDENT_MODULES, limits, {}, without)
        try:
            sandbox.preflight(secrets or {}, tmp_path / "results.json", unsafe=True)
        finally:
            sandbox.close()
        return {name for name, did in sandbox.confinement.worked.items() if did}

    return found


def test_the_filter_stops_every_attempt_that_works_without_it(worked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = {name for name, attempt in ATTEMPTS.items() if works(attempt)}
    assert here >= ON_ANY_FILE_SYSTEM  # the others depend on the file system
    assert worked("seccomp") >= here
    assert worked() & ATTEMPTS.keys() == set()


def test_an_attempt_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGIO), os.listdir("/proc/self/fd")
    for attempt in ATTEMPTS.values():
        works(attempt)
    assert list(tmp_path.iterdir()) == []
    assert (signal.getsignal(signal.SIGIO), os.listdir("/proc/self/fd")) == before


def in_a_filtered_child(action: Callable[[], int]) -> int:
    """What an action returns, a small number, in a forked process behind the filter."""
    child = os.fork()
    if child == 0:
        status = 255
        try:
            ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            seccomp.install()
            status = action()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


REQUESTS = [
    *(("ioctl", request) for request in seccomp.IOCTL_DENIED),
    *(("fcntl", command) for command in seccomp.FCNTL_DENIED),
]


@pytest.mark.parametrize("upper_half", [0, 1, 1 << 31])
def test_a_denied_call_is_denied_whatever_the_upper_half_of_its_argument(upper_half):
    """EPERM before anything else: the descriptor is bad, which the kernel would say."""

    def passed() -> int:
        errors = [errno_of(call, -1, number | upper_half << 32, 0) for call, number in REQUESTS]
        return sum(error != errno.EPERM for error in errors)

    assert in_a_filtered_child(passed) == 0


def errno_of(call: str, *arguments: int) -> int:
    """The number of the error that a system call ends with, 0 for none."""
    try:
        kernel_attempts.system_call(call, *arguments)
    except OSError as problem:
        return problem.errno or -1
    return 0


def test_what_programs_need_of_the_same_calls_is_not_denied():
    def failed() -> int:
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_inheritable(write, True)
        os.kill(os.getpid(), 0)
        return (
            os.isatty(read)
            + (fcntl.fcntl(read, fcntl.F_GETFL) & os.O_NONBLOCK == 0)
            + (ctypes.CDLL(None).prctl(SET_NAME, b"a name", 0, 0, 0) != 0)
            + (errno_of("fcntl", -1, fcntl.F_GETFD, 0) != errno.EBADF)
        )

    assert in_a_filtered_child(failed) == 0


def test_a_secret_that_a_worker_can_read_stops_the_run(worked, open_folder):
    open_to_all = open_folder / "metadata.json"
    open_to_all.write_text("{}")
    open_to_all.chmod(0o644)
    secrets = {"the platform's metadata": open_to_all}
    if os.geteuid() == 0:
        with pytest.raises(SandboxFault, match="read the platform's metadata"):
            worked("landlock", secrets=secrets)
        open_to_all.chmod(0o600)
        assert "read the platform's metadata" not in worked("landlock", secrets=secrets)
    assert "read the platform's metadata" not in worked(secrets=secrets)
