"""What stands around the rubric lines in results.json: notes, leaderboard, figures for staff."""

from __future__ import annotations

import platform
import resource
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from autograder.intake.submission import Submission
from autograder.rubric.gradescope import LeaderboardEntry, Metadata, Results
from autograder.rubric.plugin import Flag, RubricLine
from autograder.rubric.repeated import told_once, what_was_lost
from autograder.sandbox.client import Sandbox
from autograder.sandbox.text import one_line
from provided.notebook import located

WELCOME = (
    "Each line says what the grader found and, where points are missing, what to look at next. "
    "You can submit again as often as your course allows."
)
UNDER_WAY = (
    "Grading was not finished when this was written: lines that were not reached count 0 for now."
)
ABSENT = "was not submitted"  # as every check says of a file that it hasn't got
IGNORED = "was ignored, and the top of the results says why"
MAX_NOTES = 40  # about the submission as a whole
MAX_NOTE = 400  # characters of one
WORKERS_LISTED = 50  # the last that ended


def summarise(
    submission: Submission,
    lines: Sequence[RubricLine],
    *,
    sandbox: Sandbox,
    seconds: float,
    metadata: Metadata | None,
    leaderboard: Sequence[LeaderboardEntry],
    figures: Mapping[str, Any],
    faults: Mapping[str, str],
    flags: Sequence[Flag] = (),
    complete: bool = True,
    notes: Sequence[str] = (),
) -> Results:
    """The results as they stand now.

    notes:    what the homework itself tells students above the lines
    figures:  what the homework itself tells staff, beside what any run tells them
    flags:    lines for a person to look at
    complete: whether the run has come to its end
    """
    return Results(
        tests=[_as_handed_in(line, submission).result() for line in told_once(lines)],
        execution_time=round(seconds, 2),
        output="\n".join(
            [
                *((what_was_lost(lines), "") if complete else (UNDER_WAY,)),
                WELCOME,
                *notes,
                *(
                    one_line(note, MAX_NOTE)
                    for note in (f"Recognised as {submission.form}.", *submission.notes[:MAX_NOTES])
                ),
            ]
        ),
        leaderboard=list(leaderboard),
        extra_data={
            "complete": complete,
            "submission": metadata.id if metadata else None,
            **figures,
            "confinement": sandbox.confinement.for_staff(),
            "grader": _own_figures(),
            "workers": sandbox.endings[-WORKERS_LISTED:],
            "faults": dict(faults),
            "flags": list(flags),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    )


def unopened(
    lines: Sequence[RubricLine],
    output: str,
    *,
    metadata: Metadata | None,
    complete: bool,
    flags: Sequence[Flag] = (),
) -> Results:
    """The results where nothing of a submission has been looked at: not yet, or not at all."""
    return Results(
        tests=[line.result() for line in lines],
        output=output,
        extra_data={
            "complete": complete,
            "submission": metadata.id if metadata else None,
            "faults": {},
            "flags": list(flags),
        },
    )


def _as_handed_in(line: RubricLine, submission: Submission) -> RubricLine:
    """A line in terms of what was handed in.

    It names a notebook's cells beside lines of files that were made from them, and calls no file
    missing that is there and was ignored.
    """
    if not submission.spans and not submission.ignored:
        return line

    def told(text: str) -> str:
        for name in submission.ignored:
            text = text.replace(f"{name} {ABSENT}", f"{name} {IGNORED}")
        return located(text, submission.spans)

    return replace(line, feedback=line.feedback.rewritten(told))


def _own_figures() -> dict[str, float]:
    """What the grader's own process has used; memory that forked processes share counts too."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "peak_mib": used.ru_maxrss // 1024,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
    }
