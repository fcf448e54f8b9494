"""A signal that ends a run ends it, whatever Python was doing when it came."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from autograder.rubric import signals

PROGRAM = """
import signal, sys, time
from autograder.rubric.signals import end_by


def stop(number):
    raise SystemExit(7)


class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


{install}
try:
    del_me = Finalized()
    del del_me
    time.sleep(5)
    sys.exit(0)
finally:
    print("cleaned up")
"""


@pytest.mark.parametrize(
    ("install", "status"),
    [
        ("end_by(signal.SIGTERM, stop)", 7),
        ("signal.signal(signal.SIGTERM, lambda number, frame: stop(number))", 0),  # what it mends
    ],
)
def test_a_signal_during_a_finalizer_ends_the_program(install, status):
    program = PROGRAM.format(install=install)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout == "cleaned up\n"


def test_other_dropped_exceptions_are_told_as_before(monkeypatch):
    class Fails:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    old = signals.end_by(signal.SIGUSR1, lambda number: None)
    try:
        Fails()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert len(told) == 1
