"""What stands around the rubric lines in results.json: notes, leaderboard, figures for staff."""

from __future__ import annotations

import platform
import resource
from dataclasses import replace
from typing import Any

import torch

from autograder.examination import Examination, Kept
from autograder.gradescope import LeaderboardEntry, Metadata, Results
from autograder.intake import Submission
from autograder.notebook import located
from autograder.plugin import GradingPlugin, RubricLine, assemble
from autograder.training import TrainingResult

WELCOME = (
    "Each line says what was found and, where points are missing, what to look at. You may "
    "submit again; the last submission counts."
)


def summarise(
    examination: Examination,
    plugin: GradingPlugin,
    lines: list[RubricLine],
    seconds: float,
    metadata: Metadata | None,
) -> Results:
    """The results as they stand now."""
    submission = examination.submission
    return assemble(
        [_with_cells(line, submission) for line in lines],
        seconds=seconds,
        output="\n".join([WELCOME, f"Recognised: {submission.form}.", *submission.notes]),
        leaderboard=_leaderboard(examination),
        extra_data={
            "submission": metadata.id if metadata else None,
            "for_a_person": {"1d": examination.answers.free_text("q1d")},
            "seed": examination.seed,
            "confinement": examination.sandbox.confinement.report(),
            "grader": _own_figures(),
            "workers": examination.sandbox.endings[-50:],
            "trainings": {
                "fc": _figures(examination.fully_connected_training),
                "cnn": _figures(examination.cnn_training),
            },
            "carry_over": dict(examination.carry_over.entries),
            "faults": plugin.faults,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    )


def _with_cells(line: RubricLine, submission: Submission) -> RubricLine:
    """A line that names a notebook's cells beside lines of files that were made from them."""
    if not submission.spans:
        return line
    return replace(
        line, feedback=line.feedback.rewritten(lambda text: located(text, submission.spans))
    )


def _leaderboard(examination: Examination) -> list[LeaderboardEntry]:
    entries = []
    for name, training in (
        ("Fully connected: test accuracy", examination.fully_connected_training),
        ("CNN: test accuracy", examination.cnn_training),
    ):
        result = training.peek()
        if result is not None:
            entries.append(LeaderboardEntry(name=name, value=round(result.best.best, 4)))
    cnn, trained = examination.cnn.peek(), examination.cnn_training.peek()
    if cnn is not None and trained is not None and trained.ended == "reached":
        count = sum(number for _, number in cnn.layers.parameter_counts())
        entries.append(LeaderboardEntry(name="CNN: parameters", value=count, order="asc"))
    return entries


def _own_figures() -> dict[str, float]:
    """What the grader's own process has used; memory that forked processes share counts too."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "peak_mib": used.ru_maxrss // 1024,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
    }


def _figures(training: Kept[TrainingResult]) -> dict[str, Any] | None:
    result = training.peek()
    if result is None:
        return None
    return {
        "ended": result.ended,
        "process": result.report,
        "trials": [
            {"seed": trial.seed, "test_accuracy": trial.test_accuracy} for trial in result.trials
        ],
    }
