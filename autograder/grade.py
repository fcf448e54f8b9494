"""One grading run, from a submission to results.json. Read this first.

intake        a clean copy of the submission, with the grader's own given code
sandbox       the process that will run it, confined
examination   what is asked of it, trainings in the background
suites        tests/grading: each rubric line judged, each outcome saved at once
results       results.json, the table in the terminal
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from pathlib import Path

from rich.console import Console

from autograder.confined.confine import Limits, close_to_others
from autograder.homework import STUDENT_MODULES, SUITES, VALUES_FILE, VERDICTS
from autograder.hw5 import assignment as assignments
from autograder.hw5.examination import Examination
from autograder.hw5.figures import figures, leaderboard
from autograder.hw5.jobs import plan, start_trainings
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.mnist import TRAINING_FILES
from autograder.hw5.secrets import SECRETS
from autograder.intake.submission import take
from autograder.rubric.deadline import run_limited
from autograder.rubric.gradescope import Metadata, Results
from autograder.rubric.plugin import GradingPlugin, RubricLine, run_suites
from autograder.rubric.summary import summarise
from autograder.rubric.terminal import Progress, results_table
from autograder.sandbox.client import Sandbox
from autograder.training.carry_over import CarryOver
from autograder.training.machine import cores


def grade(
    source: Path,
    results_file: Path,
    *,
    console: Console,
    only: frozenset[str] = frozenset(),
    assignment_file: Path = assignments.FILE,
    homework_file: Path = VALUES_FILE,
    metadata: Metadata | None = None,
    seed: int | None = None,
    without: frozenset[str] = frozenset(),
    unsafe_local: bool = False,
) -> tuple[Results, bool]:
    """Grade a submission, a folder, zip or notebook; returns the results and whether all went well.

    results.json stands from the first second and is complete after every line. Raises
    IntakeError for a submission that isn't there, AssignmentError for wrong settings.
    """
    started = time.monotonic()
    close_to_others()
    assignment = assignments.load(assignment_file, homework_file).on(cores())
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder, Progress(console) as progress:
        submission = take(source, Path(folder))
        limits = Limits(**assignment.worker.model_dump())
        sandbox = Sandbox(submission.folder, STUDENT_MODULES, limits, TRAINING_FILES, without)
        earlier = CarryOver.from_metadata(metadata.previous_submissions if metadata else [])
        examination = Examination(
            submission, assignment, sandbox, say=progress.say, seed=seed, carry_over=earlier
        )

        def results_of(lines: list[RubricLine]) -> Results:
            return summarise(
                submission,
                lines,
                sandbox=sandbox,
                seconds=time.monotonic() - started,
                metadata=metadata,
                leaderboard=leaderboard(examination),
                figures=figures(examination),
                faults=plugin.faults,
            )

        plugin = GradingPlugin(
            examination,
            only,
            lambda lines: results_of(lines).write(results_file),
            of_error,
            VERDICTS,
        )
        try:
            with contextlib.suppress(OSError, SystemExit):  # nobody may be reading
                console.print(plan(assignment, only), style="dim")
            examination.start()
            sandbox.preflight(SECRETS, results_file, unsafe=unsafe_local)
            with start_trainings(examination, only):
                run_limited(
                    lambda: run_suites(plugin, SUITES),
                    plugin,
                    seconds=assignment.seconds.total,
                    stop_on=(signal.SIGTERM, signal.SIGINT),
                )
        finally:
            sandbox.close()
    lines = list(plugin.lines.values())
    results = results_of(lines)
    results.write(results_file)
    console.print(results_table(results, lines))
    return results, not plugin.faults
