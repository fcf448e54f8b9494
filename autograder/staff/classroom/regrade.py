"""Regrade a class: what is done is left, what is missing is graded, what changed is written down.

The class's folder is all there is between two runs of the command. Whatever ends a run, the
next one with the same options goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.staff.classroom import changes, flakiness
from autograder.staff.classroom.grading import Grading
from autograder.staff.classroom.plan import Plan
from autograder.staff.classroom.records import (
    AGAIN,
    LOCK,
    SETTINGS,
    Entry,
    ids,
    read_entry,
    read_json,
    with_what,
    write_text,
)
from autograder.staff.classroom.settings import Settings
from autograder.staff.executor.cluster import ClusterError
from autograder.staff.executor.task import Executor, Outcome

INDEX = "index.jsonl"
NOTES = "notes.txt"


class InUse(Exception):
    """Another regrade works on the same folder, or it can't be told."""


@dataclass
class Tally:
    """What a regrade did."""

    graded: int = 0
    there_already: int = 0
    changed: int = 0
    worded: int = 0  # of those, the ones whose points and named mistakes are the same
    fell: int = 0
    turned: int = 0
    stopped: str = ""


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Be the only regrade into a folder; the kernel drops the claim with the process.

    Raises InUse.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("a") as stream:
        os.set_inheritable(stream.fileno(), False)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"Another regrade into {folder} is under way: wait for its end, or name another "
                "folder with --into"
            ) from None
        except OSError as problem:
            raise InUse(
                f"{folder} can't be locked ({problem.strerror}): its file system has no locks. "
                "Name a folder on another with --into"
            ) from None
        yield


def grade_all(plan: Plan, executor: Executor, say: Callable[[str], None]) -> Tally:
    """Grade what has to be. Raises ClusterError."""
    tally = Tally(there_already=len(plan.chosen) - len(plan.todo))
    _run(plan, executor, plan.gradings(), len(plan.todo), say, tally)
    return tally


def grade_again(
    plan: Plan,
    executor: Executor,
    settings: Settings,
    sample: Sequence[str],
    say: Callable[[str], None],
    tally: Tally,
) -> None:
    """Grade some with another seed. Raises ClusterError."""

    def gradings() -> Iterator[Grading]:
        for one in sample:
            yield plan.grading(one, settings, AGAIN)

    say(f"With another seed: {len(sample)} of {len(plan.chosen)} submissions.")
    _run(plan, executor, gradings(), len(sample), say, tally)


def _run(
    plan: Plan,
    executor: Executor,
    gradings: Iterable[Grading],
    count: int,
    say: Callable[[str], None],
    tally: Tally,
) -> None:
    started: list[float] = []  # when the first one was handed out: workers prove themselves first

    def handed_out() -> Iterator[Grading]:
        for grading in gradings:
            started[:] = started or [time.monotonic()]
            yield grading

    for number, outcome in enumerate(executor.run(handed_out()), 1):
        plan.clean_up(outcome.id)
        tally.graded += outcome.graded
        tally.stopped = tally.stopped or outcome.stop
        left = (time.monotonic() - started[0]) / number * (count - number)
        say(f"{number} of {count}  {outcome.id}: {_in_words(outcome)}{_about(left)}")
    if tally.stopped:
        raise ClusterError(f"Stopped. {tally.stopped} Then run the same command again.")


def _in_words(outcome: Outcome) -> str:
    if outcome.trouble:
        return outcome.trouble
    return f"{outcome.seconds:.1f} s" if outcome.graded else "there already"


def _about(seconds: float) -> str:
    if seconds < 60:
        return ""
    return f"  (about {seconds / 60:.0f} min left)"


def write_up(
    folder: Path, plan: Plan | None, settings: Settings, tally: Tally, against: Path | None = None
) -> list[Entry]:
    """Write the index and the tables from the class's files; the entries, for a report.

    against: another class's folder, whose results are compared with instead of those before
    """
    entries = [read_entry(folder, one) for one in ids(folder)]
    if against is not None:
        entries = _compared_with(entries, against)
    found = changes.write_changes(entries, folder)
    tally.changed = len({one for one, _ in found})
    tally.worded = tally.changed - len({one for one, c in found if c.cause != changes.ONLY_TEXT})
    tally.fell = sum(
        sum((c.after or 0) - (c.before or 0) for o, c in found if o == one) < 0
        for one in {one for one, _ in found}
    )
    tally.turned = flakiness.write_flakiness(entries, folder, settings.assignment)
    write_text(folder / INDEX, (json.dumps(_indexed(entry)) + "\n" for entry in entries))
    if plan is not None:
        write_text(folder / NOTES, (f"{note}\n" for note in plan.notes))
    return entries


def _indexed(entry: Entry) -> dict[str, Any]:
    """What the index says of an entry: its digests, what it came to, what it took."""
    used = with_what(entry.results)
    return {
        "id": entry.id,
        "parts": used.get("parts", {}),
        "taken_over": used.get("taken_over", {}),
        "score": (entry.results or {}).get("score"),
        "trouble": entry.trouble,
        "seconds": entry.seconds,
        "peak_mib": entry.peak_mib,
    }


def _compared_with(entries: Sequence[Entry], other: Path) -> list[Entry]:
    """The entries with what another class's folder says of the same submission, or student."""
    theirs = [read_entry(other, one) for one in ids(other)]
    by_id = {entry.id: entry for entry in theirs}
    by_student = {key: entry for entry in theirs for key in _keys(entry)}
    found = []
    for entry in entries:
        same = by_id.get(entry.id) or next(
            (by_student[key] for key in _keys(entry) if key in by_student), None
        )
        found.append(Entry(**{**vars(entry), "before": same.results if same else None}))
    return found


def _keys(entry: Entry) -> Collection[str]:
    keys = (one.sid or one.email.strip().casefold() for one in entry.students)
    return [key for key in keys if key]


def copy_meanings(folder: Path, other: Path) -> None:
    """Let a class's folder know the settings that another was graded with."""
    for file in (other / SETTINGS).glob("*.json"):
        mine = folder / SETTINGS / file.name
        content = read_json(file)
        if content is not None and not mine.exists():
            write_text(mine, [json.dumps(content)])
