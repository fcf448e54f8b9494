"""Where gradings run: on this machine's cores, or on a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from autograder.hw5 import made_with
from autograder.staff.executor import cluster, probe
from autograder.staff.executor.cluster import ClusterError
from autograder.staff.executor.task import Executor
from autograder.staff.executor.this_machine import this_machine
from autograder.training.machine import cores

Workers = Annotated[
    int | None, typer.Option(min=1, help="Gradings at once; by default one on each core.")
]
Scheduler = Annotated[str, typer.Option(help="A Dask cluster that runs: tls://HOST:PORT.")]


@contextlib.contextmanager
def workers(
    folder: Path,
    count: int | None,
    scheduler: str,
    say: Callable[[str], None],
    *,
    prove_this_machine: bool = False,
) -> Iterator[Executor]:
    """The workers that a command's options name. Raises ClusterError.

    folder:  which every worker has to see
    count:   gradings at once on this machine; one on each core if it is None
    say:     told what staff should know, a sentence each
    prove_this_machine: ask it, too, whether it may grade, as any worker of a cluster is asked
    """
    if not scheduler:
        if prove_this_machine and (why := refused(probe.report(str(folder.resolve())))):
            raise ClusterError(f"This machine may not grade: {why}")
        with this_machine(count or cores()) as here:
            yield here
        return
    crowd = cluster.Crowd(cluster.at(scheduler), refused, str(folder.resolve()), say)
    with contextlib.closing(crowd):
        yield crowd


def refused(said: dict[str, Any]) -> str:
    """Why a worker that says so of itself gets no work; empty where it may grade."""
    return probe.refusal(said, made_with.grader(), probe.own_torch())
