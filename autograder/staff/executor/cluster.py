"""The workers of a Dask cluster that runs somewhere.

Each worker gets one task for each of its threads, and the next when that is done. What can
happen:

    a worker dies             its tasks go to others; one that was under way in three deaths is
                              given up, alone
    a worker may not grade    it gets no work, and is named with the reason (probe.py)
    the scheduler dies        it is waited for; what is done stands in the folder
    no worker is left         NoWorkers, after a while

Everything goes through TLS: the messages are pickles, which whoever can send them could run here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from autograder.staff.executor import probe
from autograder.staff.executor.task import Outcome, Task

MAX_DEATHS = 3
TICK_SECONDS = 1.0  # how often workers are looked for
WAIT_SECONDS = 600.0  # for a scheduler that went away, or for a first worker
NOT_INSTALLED = "A cluster needs Dask, which is not installed here: run ./setup.sh --class once."


class ClusterError(Exception):
    """There is no cluster to grade on: a wrong address, nobody there, none that may grade."""


@dataclass
class _Running:
    task: Task
    worker: str
    future: Any


@dataclass
class Crowd:
    """Workers that grade.

    connect: to the scheduler; called again where the connection is lost
    refuse:  why a worker that says so of itself may not grade
    folder:  which every worker has to see
    say:     told what staff should know, a sentence each
    ask:     done by a worker before it gets work, with the folder; what it returns is judged
    """

    connect: Callable[[], Any]
    refuse: Callable[[dict[str, Any]], str]
    folder: str
    say: Callable[[str], None]
    patience: float = WAIT_SECONDS
    ask: Callable[[str], Any] = probe.report
    refused: dict[str, str] = field(default_factory=dict)
    _client: Any = None
    _slots: dict[str, int] = field(default_factory=dict)  # workers that may grade -> threads
    _asked: dict[str, Any] = field(default_factory=dict)  # workers that are being asked
    _running: dict[str, _Running] = field(default_factory=dict)
    _deaths: Counter[str] = field(default_factory=Counter)
    _again: list[Task] = field(default_factory=list)  # lost on the way
    _stopped: bool = False
    _done: queue.Queue[str] = field(default_factory=queue.Queue)
    _keys: Iterator[int] = field(default_factory=itertools.count)

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Do all; yields each outcome as it comes. Raises ClusterError.

        tasks: asked for one more when a worker is free, and not before
        """
        waiting = iter(tasks)
        idle_since = looked = time.monotonic() - TICK_SECONDS
        waits = False
        self._client = self._client or self.connect()
        while True:
            if time.monotonic() - looked >= TICK_SECONDS:
                self._again += self._look_for_workers()
                looked = time.monotonic()
            yield from self._hand_out(waiting)
            if self._running or self._asked:
                idle_since, waits = time.monotonic(), False
            elif self._slots or self._stopped:
                return
            elif time.monotonic() - idle_since > self.patience:
                raise ClusterError(self._nobody())
            elif not waits:
                waits = True
                self.say(f"{self._nobody()} Waiting up to {self.patience:,.0f} seconds.")
            for outcome in self._finished():
                self._stopped = self._stopped or bool(outcome.stop)
                yield outcome

    def close(self) -> None:
        """Leave the cluster; tasks that are under way are not waited for."""
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close(timeout=2)

    def _hand_out(self, waiting: Iterator[Task]) -> Iterator[Outcome]:
        """Give every free worker a task; yields those that are given up."""
        while not self._stopped and (worker := self._free()):
            one = self._again.pop() if self._again else next(waiting, None)
            if one is None:
                return
            if self._deaths[one.id] < MAX_DEATHS:
                self._submit(one, worker)
            else:
                yield one.give_up(f"The worker that graded it died, {MAX_DEATHS} times.")

    def _submit(self, one: Task, worker: str) -> None:
        key = f"task-{one.id}-{next(self._keys)}-{time.time_ns()}"
        future = self._client.submit(
            _do,
            one,
            key=key,
            workers=[worker],
            allow_other_workers=False,
            pure=False,
        )
        self._running[key] = _Running(one, worker, future)
        future.add_done_callback(lambda ended: self._done.put(ended.key))

    def _free(self) -> str:
        """A worker that has a thread to spare; empty where there is none."""
        busy = Counter(one.worker for one in self._running.values())
        return next((one for one, slots in self._slots.items() if busy[one] < slots), "")

    def _finished(self) -> Iterator[Outcome]:
        """Outcomes that came within a moment."""
        with contextlib.suppress(queue.Empty):
            key = self._done.get(timeout=TICK_SECONDS / 4)
            while True:
                if key in self._asked:
                    self._answered(key)
                elif key in self._running:
                    yield from self._outcome(self._running.pop(key))
                key = self._done.get_nowait()

    def _outcome(self, ended: _Running) -> Iterator[Outcome]:
        one, future = ended.task, ended.future
        try:
            if future.status == "finished":
                yield future.result(timeout=30)
            elif future.status == "error":
                problem = future.exception(timeout=30)
                yield one.give_up(f"The worker failed: {problem!r:.300}.")
            else:  # lost on the way
                self._again.append(one)
        except (OSError, TimeoutError):
            self._again.append(one)
        finally:
            with contextlib.suppress(Exception):
                future.release()

    def _look_for_workers(self) -> list[Task]:
        """Ask new workers what they are; returns what those that went away had to do."""
        try:
            seen = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception:  # noqa: BLE001  whatever Dask raises where its scheduler is gone
            return self._reconnect()
        gone = [key for key, one in self._running.items() if one.worker not in seen]
        lost = []
        for key in gone:
            one = self._running.pop(key)
            self._deaths[one.task.id] += 1
            lost.append(one.task)
            with contextlib.suppress(Exception):
                one.future.cancel()
        for known in (self._slots, self.refused):
            for worker in known.keys() - seen.keys():
                del known[worker]
        self._asked = {k: (w, f) for k, (w, f) in self._asked.items() if w in seen}
        being_asked = {worker for worker, _ in self._asked.values()}
        for worker, about in seen.items():
            if worker not in {*self._slots, *self.refused, *being_asked}:
                self._ask(worker, int(about["nthreads"]))
        return lost

    def _ask(self, worker: str, threads: int) -> None:
        key = f"probe-{next(self._keys)}-{time.time_ns()}"
        future = self._client.submit(self.ask, self.folder, key=key, workers=[worker], pure=False)
        self._asked[key] = (worker, future)
        future.threads = threads
        future.add_done_callback(lambda ended: self._done.put(ended.key))

    def _answered(self, key: str) -> None:
        worker, future = self._asked.pop(key)
        try:
            why = self.refuse(future.result(timeout=30))
        except Exception as problem:  # noqa: BLE001  it may have no autograder to answer with
            why = f"it can't say what it is: {problem!r:.300}"
        if why:
            self.refused[worker] = why
            self.say(f"Worker {worker} gets no work: {why}.")
        else:
            self._slots[worker] = future.threads

    def _reconnect(self) -> list[Task]:
        """Wait for the scheduler to come back; all that was under way is to be done again."""
        self.say("The scheduler is gone: waiting for it.")
        self.close()
        lost = [one.task for one in self._running.values()]
        for known in (self._running, self._slots, self._asked, self.refused):
            known.clear()
        deadline = time.monotonic() + self.patience
        while True:
            try:
                self._client = self.connect()
            except (OSError, ClusterError) as problem:
                if time.monotonic() > deadline:
                    raise ClusterError(f"The scheduler did not come back: {problem}") from None
                time.sleep(TICK_SECONDS)
            else:
                self.say("The scheduler is back.")
                return lost

    def _nobody(self) -> str:
        said = "; ".join(f"{worker}: {why}" for worker, why in self.refused.items())
        return f"No worker may grade. {said}" if said else "The cluster has no worker: start some."


def _do(task: Task) -> Outcome:
    """What a worker is called with."""
    return task.run()


def at(address: str) -> Callable[[], Any]:
    """How to connect to a scheduler. Raises ClusterError for an address that isn't safe."""
    distributed = imported()
    check_address(address)

    def connect() -> Any:
        try:
            return distributed.Client(address, security=distributed.Security(), timeout=10)
        except (OSError, ValueError, TypeError) as problem:
            raise ClusterError(f"{address} can't be reached: {problem}") from None

    return connect


def check_address(address: str) -> None:
    """Raise ClusterError unless what is sent there is encrypted, or stays on this machine."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme == "tls":
        return
    try:
        near = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        near = parts.hostname == "localhost"
    if parts.scheme != "tcp" or not near:
        raise ClusterError(
            f"{address} is not encrypted, and whoever is on the way could run code here: start the "
            "scheduler with TLS and name it as tls://HOST:PORT (see docs/class.md)"
        )


def imported() -> Any:
    """Dask's `distributed`. Raises ClusterError where it isn't installed."""
    try:
        import distributed
    except ImportError:
        raise ClusterError(NOT_INSTALLED) from None
    return distributed
