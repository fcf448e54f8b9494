"""How long a submission's code may take: processor time, with wall time as a backstop.

A busy machine makes code wait, not compute: so what counts is the processor time of the worker,
read from outside. Code that waits itself (input(), a lock, sleep) uses none; the wall clock
ends that, and leaves so much room that a machine shared by several others does not.

One question has its limits, and all questions of a part together have theirs. When the whole
run's time is up, that is nobody's fault: it raises OutOfTime, and no line is judged by it.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator

from .errors import Limit, OutOfTime, TookTooLong

WAITING = 2.0  # seconds on the clock for each second of processor time that is allowed


def processor_seconds(pid: int) -> float | None:
    """Processor time that a process has used with all its threads; None where it is gone."""
    clock = (~pid << 3) | 2  # clock_getcpuclockid(3): Linux makes the clock's number so
    try:
        return time.clock_gettime(clock)
    except OSError:
        return None


class Budget:
    """Time that the questions of a part share, over all its workers.

    processor: seconds of processor time
    wall:      seconds on the clock
    waiting:   seconds on the clock for each processor second that one question may take
    left:      seconds on the clock that the whole run has left
    """

    def __init__(
        self,
        processor: float = math.inf,
        wall: float = math.inf,
        waiting: float = WAITING,
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.processor = processor
        self.wall = wall
        self.waiting = waiting
        self.left = left
        self._used_processor = 0.0
        self._used_wall = 0.0
        self._lock = threading.Lock()  # two questions may be under way

    @contextlib.contextmanager
    def question(self, pid: int, seconds: float) -> Iterator[Clock]:
        """The clock of one question, charged to this budget when the block is left.

        pid:     the worker that is asked
        seconds: processor time that the question may take
        """
        with self._lock:
            limits = [  # the shared ones first: they say more
                (Limit(self.processor, processor=True, shared=True), self._used_processor),
                (Limit(self.wall, processor=False, shared=True), self._used_wall),
                (Limit(seconds, processor=True, shared=False), 0.0),
                (Limit(seconds * self.waiting, processor=False, shared=False), 0.0),
            ]
        clock = Clock(pid, limits, self.left)
        try:
            yield clock
        finally:
            processor, wall = clock.used()
            with self._lock:
                self._used_processor += processor
                self._used_wall += wall


class Clock:
    """How long one question has taken so far, and which of its limits that passes.

    limits: each with the seconds that earlier questions have used of it
    """

    def __init__(
        self, pid: int, limits: list[tuple[Limit, float]], left: Callable[[], float]
    ) -> None:
        self._pid = pid
        self._limits = limits
        self._left = left
        self._began = time.monotonic()
        self._processor = self._before = processor_seconds(pid) or 0.0

    def used(self) -> tuple[float, float]:
        """Processor seconds, as last seen where the process is gone, and seconds on the clock."""
        now = processor_seconds(self._pid)
        self._processor = max(self._processor, now or 0.0)
        return self._processor - self._before, time.monotonic() - self._began

    def look(self) -> None:
        """Raises TookTooLong where a limit is passed, OutOfTime where the run's time is up."""
        processor, wall = self.used()
        for limit, used in self._limits:
            if used + (processor if limit.processor else wall) >= limit.seconds:
                raise TookTooLong(limit)
        if self._left() <= 0:
            raise OutOfTime

    def wall_left(self) -> float:
        """Seconds on the clock until the first limit of that kind is passed, at least 0."""
        _, wall = self.used()
        least = min(limit.seconds - used for limit, used in self._limits if not limit.processor)
        return max(min(least - wall, self._left()), 0.0)
