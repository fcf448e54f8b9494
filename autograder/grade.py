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
from collections.abc import Mapping
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
from autograder.rubric.deadline import run_limited
from autograder.rubric.feedback import Feedback
from autograder.rubric.gradescope import Metadata, Results
from autograder.rubric.outline import outline
from autograder.rubric.plugin import Flag, GradingPlugin, RubricLine, run_suites
from autograder.rubric.summary import UNDER_WAY, summarise, unopened
from autograder.rubric.terminal import Progress, results_table
from autograder.sandbox.client import Sandbox
from autograder.sandbox.unpacking import Unpackable, take_limited
from autograder.training.carry_over import CarryOver
from autograder.training.machine import cores
from autograder.training.store import TrainingStore


def grade(
    source: Path,
    results_file: Path,
    *,
    console: Console,
    only: frozenset[str] = frozenset(),
    assignment_file: Path = assignments.FILE,
    homework_file: Path = VALUES_FILE,
    metadata: Metadata | None = None,
    secrets: Mapping[str, Path] | None = None,
    seed: int | None = None,
    without: frozenset[str] = frozenset(),
    unsafe_local: bool = False,
    unhurried: bool = False,
    trainings: Path | None = None,
) -> tuple[Results, bool]:
    """Grade a submission, a folder, zip or notebook; returns the results and whether all went well.

    results.json stands before anything of the submission is opened, shows every outcome as it
    comes, and says `complete` at the end. `secrets` are files that no submission may read, beside
    those that none may read in any run. Raises IntakeError for a submission that isn't
    there, AssignmentError for wrong settings.
    """
    started = time.monotonic()
    close_to_others()
    assignment = assignments.load(assignment_file, homework_file)
    assignment = assignment.unhurried() if unhurried else assignment.on(cores())
    lines = outline(SUITES, assignment, only)
    unopened(lines, UNDER_WAY, metadata=metadata, complete=False).write(results_file)
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        try:
            submission = take_limited(source, Path(folder))
        except Unpackable as problem:
            results, well = not_unpacked(lines, problem, metadata), True
        else:
            limits = Limits(**assignment.worker.model_dump())
            sandbox = Sandbox(submission.folder, STUDENT_MODULES, limits, TRAINING_FILES, without)
            earlier = CarryOver.from_metadata(metadata.previous_submissions if metadata else [])
            if trainings is not None:
                earlier = TrainingStore(trainings, earlier)
            with Progress(console) as progress, contextlib.closing(sandbox):
                examination = Examination(
                    submission,
                    assignment,
                    sandbox,
                    say=progress.say,
                    seed=seed,
                    carry_over=earlier,
                    ends_at=started + assignment.seconds.total,
                )
                with contextlib.suppress(OSError, SystemExit):  # nobody may be reading
                    console.print(plan(assignment, only), style="dim")
                results, lines, well = judge(
                    examination,
                    results_file,
                    only,
                    metadata,
                    {**SECRETS, **(secrets or {})},
                    unsafe_local,
                    started,
                )
    results.write(results_file)
    console.print(results_table(results, lines))
    return results, well


def judge(
    examination: Examination,
    results_file: Path,
    only: frozenset[str],
    metadata: Metadata | None,
    secrets: Mapping[str, Path],
    unsafe_local: bool,
    started: float,
) -> tuple[Results, list[RubricLine], bool]:
    """Run the suites on a submission, saving each outcome.

    started: when the grading began, by the monotonic clock

    Returns the results, the lines, and whether all went well.
    """

    def results_of(lines: list[RubricLine], complete: bool = False) -> Results:
        return summarise(
            examination.submission,
            lines,
            sandbox=examination.sandbox,
            seconds=time.monotonic() - started,
            metadata=metadata,
            leaderboard=leaderboard(examination),
            figures=figures(examination),
            faults=plugin.faults,
            flags=plugin.flags,
            complete=complete,
        )

    plugin = GradingPlugin(
        examination, only, lambda lines: results_of(lines).write(results_file), of_error, VERDICTS
    )
    examination.start()
    examination.sandbox.preflight(secrets, results_file, unsafe=unsafe_local)
    with start_trainings(examination, only):
        run_limited(
            lambda: run_suites(plugin, SUITES),
            plugin,
            seconds=examination.assignment.seconds.total,
            stop_on=(signal.SIGTERM, signal.SIGINT),
        )
    lines = list(plugin.lines.values())
    return results_of(lines, complete=True), lines, not plugin.faults


def not_unpacked(
    lines: list[RubricLine], problem: Unpackable, metadata: Metadata | None
) -> Results:
    """The results of a submission that couldn't be unpacked: each line says why."""
    said = Feedback(
        f"Your submission can't be unpacked: {problem}.",
        next_step="Hand in your code files, answers.yaml and the artifacts folder, and nothing "
        "else. Course staff can see what went wrong.",
    )
    for line in lines:
        line.feedback, line.reached = said, True
    flag = Flag(line="", what=f"not unpacked: {problem}", trace=problem.trace)
    return unopened(lines, said.text(), metadata=metadata, complete=True, flags=[flag])
