"""The time limit of a whole run: what was not reached says so, and why."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from autograder.rubric.feedback import Feedback
from autograder.rubric.plugin import OUT_OF_TIME, GradingPlugin
from autograder.rubric.signals import end_by


def run_limited(
    run: Callable[[], None],
    plugin: GradingPlugin,
    *,
    seconds: float,
    stop_on: tuple[signal.Signals, ...],
) -> None:
    """Run the suites until they end, the time is up, or one of the signals comes.

    Lines that were not reached say so, and why. Main thread only.
    """
    reason = ""

    def stop(number: int) -> None:
        nonlocal reason
        reason = (
            f"grading ran out of time ({seconds:g} seconds)"
            if number == signal.SIGALRM
            else "the grader was stopped"
        )
        signal.setitimer(signal.ITIMER_REAL, 0)
        pytest.exit(reason)

    before = {number: end_by(number, stop) for number in (*stop_on, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        run()
    except pytest.exit.Exception:
        pass  # the signal came before or after pytest's own loop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if reason:
        plugin.faults.pop("pytest", None)
        for line in plugin.lines.values():
            if not line.reached and line.feedback is not OUT_OF_TIME:
                line.feedback = Feedback(f"Not reached: {reason} before this line.")
