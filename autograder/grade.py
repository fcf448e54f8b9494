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

from autograder import assignment as assignments
from autograder import mnist
from autograder.background import plan, run_limited, start_trainings
from autograder.carry_over import CarryOver
from autograder.examination import Examination
from autograder.gradescope import Metadata, Results
from autograder.intake import take
from autograder.machine import cores
from autograder.plugin import GradingPlugin, RubricLine, run_suites
from autograder.report import Progress, results_table
from autograder.sandbox.client import Sandbox
from autograder.sandbox.confine import Limits, close_to_others
from autograder.summary import summarise
from autograder.transformer import DATA_FILES

LABELS = mnist.raw_folder() / mnist.TEST_LABELS
SUITES = Path(__file__).resolve().parent.parent / "tests" / "grading"


def grade(
    source: Path,
    results_file: Path,
    *,
    console: Console,
    only: frozenset[str] = frozenset(),
    assignment_file: Path = assignments.FILE,
    metadata: Metadata | None = None,
    seed: int | None = None,
    without: frozenset[str] = frozenset(),
    unsafe_local: bool = False,
) -> tuple[Results, bool]:
    """Grade a submission, a folder, zip or notebook; returns the results and whether all went well.

    results.json stands from the first second and is complete after every line. Raises
    IntakeError for a submission that isn't there, AssignmentError for a wrong assignment.yaml.
    """
    started = time.monotonic()
    close_to_others()
    assignment = assignments.load(assignment_file).on(cores())
    with tempfile.TemporaryDirectory(prefix="autograder-") as folder, Progress(console) as progress:
        submission = take(source, Path(folder))
        limits = Limits(**assignment.worker.model_dump())
        sandbox = Sandbox(submission.folder, limits, DATA_FILES, without)
        earlier = CarryOver.from_metadata(metadata.previous_submissions if metadata else [])
        examination = Examination(
            submission, assignment, sandbox, say=progress.say, seed=seed, carry_over=earlier
        )

        def save(lines: list[RubricLine]) -> None:
            results = summarise(examination, plugin, lines, time.monotonic() - started, metadata)
            results.write(results_file)

        plugin = GradingPlugin(examination, only, save)
        try:
            with contextlib.suppress(OSError, SystemExit):  # nobody may be reading
                console.print(plan(assignment, only), style="dim")
            examination.start()
            sandbox.preflight(LABELS, results_file, unsafe=unsafe_local)
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
    results = summarise(examination, plugin, lines, time.monotonic() - started, metadata)
    results.write(results_file)
    console.print(results_table(results, lines))
    return results, not plugin.faults
