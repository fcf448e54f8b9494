"""Evidence about a submission: gathered once, in the background if asked, kept for every line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Kept(Generic[Result]):
    """A result that is computed once, in the background if asked; its exception is kept too."""

    def __init__(self, compute: Callable[[], Result]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._future: Future[Result] | None = None

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Compute it in the background."""
        with self._lock:
            if self._future is None:
                self._future = pool.submit(self._compute)

    def get(self) -> Result:
        """The result, waiting for it. Raises what computing it raised."""
        with self._lock:
            if self._future is None:
                self._future = Future()
                try:
                    self._future.set_result(self._compute())
                except Exception as problem:  # noqa: BLE001  raised for each line that needs it
                    self._future.set_exception(problem)
        return self._future.result()

    def peek(self) -> Result | None:
        """The result if there is one by now."""
        future = self._future
        if future is None or not future.done() or future.cancelled() or future.exception():
            return None
        return future.result()
