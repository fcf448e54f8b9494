"""Signals that end a run by an exception, which is never lost.

Python drops an exception that a signal's handler raises while a finalizer or another callback
runs: it prints a line, and the run goes on as if nothing had come. Here such a signal is sent
again a moment later.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

AGAIN_SECONDS = 0.05
Raising = Callable[[int], None]


def end_by(number: signal.Signals, raising: Raising) -> Any:
    """Handle a signal by a function that raises; returns the handler before. Main thread only."""
    _notice_what_is_dropped()

    def handle(received: int, frame: object) -> None:
        try:
            raising(received)
        except BaseException as problem:
            problem.signal_number = received  # type: ignore[attr-defined]
            raise

    return signal.signal(number, handle)


def _notice_what_is_dropped() -> None:
    before = sys.unraisablehook
    if getattr(before, "sends_again", False):
        return

    def notice(dropped: Any) -> None:
        number = getattr(dropped.exc_value, "signal_number", None)
        if number is None:
            before(dropped)
            return
        again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    notice.sends_again = True  # type: ignore[attr-defined]
    sys.unraisablehook = notice
