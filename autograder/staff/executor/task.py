"""What a worker is told to do, and how it says that it went: paths and a few numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autograder.staff.executor import keeping


@dataclass(frozen=True)
class Outcome:
    """How a task went.

    graded:  whether the grader ran; not where the results were there already
    trouble: why there are no results, in one sentence
    stop:    why no other task can go better, in one sentence
    """

    id: str
    graded: bool = False
    trouble: str = ""
    stop: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0


class Task(Protocol):
    """One grading, or another run of the grader, with a name of its own among the tasks."""

    @property
    def id(self) -> str:
        """Its name, which is one for a file too."""

    def run(self) -> Outcome:
        """Do it, where the worker is. Never raises for a submission."""

    def give_up(self, why: str) -> Outcome:
        """What it comes to where no worker can do it."""


class Executor(Protocol):
    """Workers that do tasks."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Do all; yields each outcome as it comes. Raises ClusterError.

        tasks: asked for one more when a worker is free, and not before
        """

    def close(self) -> None:
        """End what is under way here, and leave a cluster."""


def no_room(name: str, folder: str, report: Mapping[str, Any]) -> Outcome:
    """How a task went that met a fault of the machine: its own, or one every other would meet.

    report: what `keeping` says of the fault
    """
    why = report["failed"]
    what_to_do = keeping.OF_THE_FOLDER.get(report["errno"], "").format(folder)
    return Outcome(
        name,
        trouble=f"It could not be graded: {why} (in {folder}).",
        stop=f"{why}: {what_to_do}." if what_to_do else "",
    )


@dataclass(frozen=True)
class Run:
    """A run of the grader that leaves a file of its own, and nothing else.

    folder:  for the file, ID.json; every worker has to see it
    command: the grader's command and its options, without the one that names the results
    seconds: after which it is stopped
    program: which runs the command instead of the grader; in tests alone
    """

    id: str
    folder: str
    command: tuple[str, ...]
    seconds: float
    program: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        """What it leaves."""
        return Path(self.folder) / f"{self.id}.json"

    def run(self) -> Outcome:
        """Do it, anew if it was under way before."""
        try:
            self.file.unlink(missing_ok=True)
        except OSError as problem:
            report = keeping.failed(problem)
        else:
            report = keeping.keep(self.command, self.seconds, self.file, self.program)
        if "failed" in report:
            return no_room(self.id, self.folder, report)
        return Outcome(
            self.id,
            graded=True,
            trouble=keeping.trouble(report, self.seconds, self.file.is_file()),
            seconds=report["seconds"],
            peak_mib=report["peak_mib"],
        )

    def give_up(self, why: str) -> Outcome:
        """No file, and the reason."""
        return Outcome(self.id, graded=True, trouble=why)
