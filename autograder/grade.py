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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console

from autograder.confined.confine import Limits, close_to_others
from autograder.homework import PARTS, STUDENT_MODULES, SUITES, VALUES_FILE, VERDICTS
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.hw5.examination import Examination
from autograder.hw5.figures import figures, leaderboard, notes
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


@dataclass(frozen=True)
class Options:
    """How a submission is graded; the command line has an option for each.

    only:      the parts and lines to grade, empty for all
    secrets:   files that no submission may read, beside those that none may read in any run
    without:   optional walls of the sandbox to leave out
    trainings: a folder through which gradings share equal trainings
    """

    only: frozenset[str] = frozenset()
    assignment_file: Path = assignments.FILE
    homework_file: Path = VALUES_FILE
    metadata: Metadata | None = None
    secrets: Mapping[str, Path] = field(default_factory=dict)
    seed: int | None = None
    without: frozenset[str] = frozenset()
    unsafe_local: bool = False
    unhurried: bool = False
    trainings: Path | None = None

    def assignment(self) -> Assignment:
        """The settings, for this machine and this hurry. Raises AssignmentError."""
        ships = self.assignment_file == assignments.FILE
        settings = assignments.load(self.assignment_file, self.homework_file, ships=ships)
        return settings.unhurried() if self.unhurried else settings.on(cores())


def grade(
    source: Path, results_file: Path, options: Options, *, console: Console
) -> tuple[Results, bool]:
    """Grade a submission, a folder, zip or notebook; returns the results and whether all went well.

    results.json stands before anything of the submission is opened, shows every outcome as it
    comes, and says `complete` at the end. Raises IntakeError for a submission that isn't
    there, AssignmentError for wrong settings.
    """
    started = time.monotonic()
    close_to_others()
    assignment, metadata = options.assignment(), options.metadata
    declared = {name: part.points for name, part in PARTS.items() if part.points}
    lines = outline(SUITES, assignment, options.only, declared)
    unopened(lines, UNDER_WAY, metadata=metadata, complete=False).write(results_file)
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder:
        try:
            submission = take_limited(source, Path(folder))
        except Unpackable as problem:
            results, well = not_unpacked(lines, problem, metadata), True
        else:
            limits = Limits(**assignment.worker.model_dump())
            sandbox = Sandbox(
                submission.folder, STUDENT_MODULES, limits, TRAINING_FILES, options.without
            )
            earlier = CarryOver.from_metadata(metadata.previous_submissions if metadata else [])
            if options.trainings is not None:
                earlier = TrainingStore(options.trainings, earlier)
            with Progress(console) as progress, contextlib.closing(sandbox):
                examination = Examination(
                    submission,
                    assignment,
                    sandbox,
                    say=progress.say,
                    seed=options.seed,
                    carry_over=earlier,
                    ends_at=started + assignment.seconds.total,
                )
                with contextlib.suppress(OSError, SystemExit):  # nobody may be reading
                    console.print(plan(assignment, options.only), style="dim")
                results, lines, well = judge(examination, results_file, lines, options, started)
    results.write(results_file)
    console.print(results_table(results, lines))
    return results, well


def judge(
    examination: Examination,
    results_file: Path,
    expected: Sequence[RubricLine],
    options: Options,
    started: float,
) -> tuple[Results, list[RubricLine], bool]:
    """Run the suites on a submission, saving each outcome.

    expected: the lines that the suites' text has
    started:  when the grading began, by the monotonic clock

    Returns the results, the lines, and whether all went well.
    """

    def results_of(lines: list[RubricLine], complete: bool = False) -> Results:
        return summarise(
            examination.submission,
            lines,
            sandbox=examination.sandbox,
            seconds=time.monotonic() - started,
            metadata=options.metadata,
            leaderboard=leaderboard(examination),
            figures=figures(examination),
            faults=plugin.faults,
            flags=plugin.flags,
            complete=complete,
            notes=() if options.only else notes(examination),
        )

    plugin = GradingPlugin(
        examination,
        options.only,
        lambda lines: results_of(lines).write(results_file),
        partial(of_error, code=examination.submission.code),
        VERDICTS,
        expected,
    )
    examination.start()
    secrets = {**SECRETS, **options.secrets}
    examination.sandbox.preflight(secrets, results_file, unsafe=options.unsafe_local)
    with start_trainings(examination, options.only):
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
