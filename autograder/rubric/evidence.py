"""Evidence about a submission: gathered once, in the background if asked, kept for every line."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from autograder.sandbox.errors import OutOfTime

LOOK_SECONDS = 1.0  # how often who waits looks at the time

Result = TypeVar("Result")


class Kept(Generic[Result]):
    """A result that is computed once, in the background if asked; its exception is kept too.

    left: seconds for which who needs the result may still wait
    """

    def __init__(
        self, compute: Callable[[], Result], left: Callable[[], float] = lambda: math.inf
    ) -> None:
        self._compute = compute
        self._left = left
        self._lock = threading.Lock()
        self._future: Future[Result] | None = None

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Compute it in the background."""
        with self._lock:
            if self._future is None:
                self._future = pool.submit(self._compute)

    def get(self) -> Result:
        """The result, waiting for it. Raises what computing it raised; OutOfTime."""
        with self._lock:
            mine = self._future is None
            future: Future[Result] = self._future or Future()
            self._future = future
        if mine:
            try:
                future.set_result(self._compute())
            except Exception as problem:  # noqa: BLE001  raised for each line that needs it
                future.set_exception(problem)
            except BaseException as problem:
                future.set_exception(problem)
                raise
        while not future.done():
            left = self._left()
            if left <= 0:
                raise OutOfTime
            wait([future], timeout=min(left, LOOK_SECONDS))
        return future.result()

    def peek(self) -> Result | None:
        """The result if there is one by now."""
        future = self._future
        if future is None or not future.done() or future.cancelled() or future.exception():
            return None
        return future.result()
