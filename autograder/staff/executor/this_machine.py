"""This machine's processors as workers: threads of this process, nothing to be reached.

Each thread has one run kept at a time. Whatever ends `run`, an interruption among it, ends
the runs that are under way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from autograder.staff.executor import keeping
from autograder.staff.executor.task import Outcome, Task


class ThisMachine:
    """Does tasks here.

    count: how many at once
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="grading")

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Do all; yields each outcome as it comes, and asks for tasks one by one."""
        waiting = iter(tasks)
        running: dict[Future[Outcome], Task] = {}
        stopped = False
        while True:
            while not stopped and len(running) < self._count:
                task = next(waiting, None)
                if task is None:
                    break
                running[self._pool.submit(task.run)] = task
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                outcome = _outcome(running.pop(done), done)
                stopped = stopped or bool(outcome.stop)
                yield outcome

    def close(self) -> None:
        """End what is under way; its threads are waited for."""
        keeping.stop_all()
        self._pool.shutdown(cancel_futures=True)
        keeping.begin()  # what this process may run afterwards


def _outcome(task: Task, done: Future[Outcome]) -> Outcome:
    try:
        return done.result()
    except Exception as problem:  # noqa: BLE001  a fault of one task ends no other
        return task.give_up(f"The worker failed: {problem!r:.300}.")


@contextlib.contextmanager
def this_machine(count: int) -> Iterator[ThisMachine]:
    """This machine's workers, for as long as the block lasts."""
    executor = ThisMachine(count)
    try:
        yield executor
    finally:
        executor.close()
