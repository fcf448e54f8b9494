"""Staff's commands. The command line adds them where staff's room is."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from autograder.cli import MAX_TRACE, WEAKENING, usage_error
from autograder.homework import SUITES
from autograder.hw5 import assignment
from autograder.hw5.mnist import DataError
from autograder.hw5.settings_file import did_you_mean
from autograder.intake.submission import IntakeError
from autograder.rubric.outline import numbers
from autograder.sandbox.errors import GraderFault
from autograder.sandbox.text import clean
from autograder.sandbox.unpacking import Unpackable
from autograder.staff import (
    calibration,
    calibration_report,
    explanation,
    explanation_report,
    known_answers,
    readiness,
    stale,
    texts,
    validation,
    validation_report,
)
from autograder.staff.calibration import Calibration
from autograder.staff.classroom.commands import WithAgain, regrade, report, told_in_a_line
from autograder.staff.executor.workers import Scheduler, Workers
from autograder.staff.executor.workers import workers as opened
from autograder.staff.packaging import make_packages, verified_data
from autograder.staff.proof import gaps
from autograder.staff.solutions import ROOT, Solution, SolutionError, load_solutions
from autograder.staff.validation import Gradings
from autograder.training.job import Trial


def package(
    into: Annotated[Path, typer.Option(help="The folder for the two zips.")] = Path("dist"),
) -> None:
    """Make dist/autograder.zip for Gradescope and dist/student_template.zip for students.

    Writes nothing where the grader can't grade: settings, suites, points, reference.

    Exit status: 0 written; 1 refused; 2 wrong usage, or no data set.
    """

    try:
        verified_data()
        refused = list(readiness.reasons())
        for reason in refused:
            typer.echo(f"Not packaged: {reason}", err=True)
        if refused:
            raise typer.Exit(1)
        for file, size in make_packages(into):
            print(f"{file}  {size / 1e6:.2f} MB")
    except DataError as problem:
        raise usage_error(str(problem)) from None


def validate(
    only: Annotated[
        str, typer.Option(help="Solutions by name, pattern or kind: no-scale,alternatives.")
    ] = "",
    training: Annotated[
        bool, typer.Option(help="Also grade the lines that need a training; takes much longer.")
    ] = True,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown to this file.")] = None,
    workers: Workers = None,
    scheduler: Scheduler = "",
    into: Annotated[
        Path | None,
        typer.Option(help="For what is made on the way: with a cluster, one that hosts share."),
    ] = None,
) -> None:
    """Grade all of solutions/ and compare with what is expected.

    Of all solutions, each rubric line must be asked, and lost by a mistake.

    Exit status: 0 as expected; 1 something differs; 2 wrong usage.
    """

    console = Console(width=None if sys.stdout.isatty() else 140)
    chosen = _solutions([name for name in only.split(",") if name])
    outcomes = []
    with (
        told_in_a_line(),
        tempfile.TemporaryDirectory(prefix="autograder-validate-", dir=into) as folder,
        opened(Path(folder), workers, scheduler, console.print) as executor,
    ):
        graded = validation.validate(chosen, executor, Gradings(Path(folder), training))
        for outcome in track(graded, "validating", len(chosen), console=console):
            outcomes.append(outcome)
            for difference in outcome.differences():  # as they come: a full run takes long
                text = f"✗ {outcome.solution.name}  {difference}"
                console.print(text, markup=False, soft_wrap=True)
    outcomes.sort(key=lambda one: (one.solution.kind, one.solution.name))
    console.print(validation_report.outcomes_table(outcomes))
    unproven = None if only else list(gaps(outcomes))
    if unproven is not None:
        console.print(validation_report.proof_table(outcomes))
    for gap in unproven or ():
        console.print(f"✗ {gap}", markup=False, soft_wrap=True)
    if junit is not None:
        validation_report.write_junit(outcomes, junit, unproven or ())
    if markdown is not None:
        validation_report.write_markdown(outcomes, markdown, unproven)
    wrong = unproven or any(outcome.differences() for outcome in outcomes)
    raise typer.Exit(1 if wrong else 0)


def calibrate(
    submissions: Annotated[
        list[str], typer.Argument(help="Solutions by name, pattern or kind: reference, einsum.")
    ],
    seeds: Annotated[int, typer.Option(help="How many seeds each model is trained with.")] = 30,
    first_seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    kinds: Annotated[str, typer.Option(help="Which models: fc, cnn, vit.")] = "fc,cnn,vit",
    into: Annotated[Path, typer.Option(help="The folder for record and report.")] = Path("docs"),
    workers: Workers = None,
    scheduler: Scheduler = "",
) -> None:
    """Measure how often chance alone would fail a model; takes minutes per seed.

    Exit status: 0 measured; 1 something could not be; 2 wrong usage.
    """

    wanted = [kind for kind in kinds.split(",") if kind]
    if not set(wanted) <= set(calibration.KINDS):
        raise usage_error(f"--kinds takes {', '.join(calibration.KINDS)}; got {kinds}")
    chosen = _solutions(submissions)
    settings = assignment.load()
    record = into / "calibration.jsonl"
    into.mkdir(parents=True, exist_ok=True)
    with (
        told_in_a_line(),
        tempfile.TemporaryDirectory(prefix=".calibrate-", dir=into) as folder,
        opened(Path(folder), workers, scheduler, print) as executor,
    ):
        asked = Calibration(Path(folder).resolve(), record)
        runs = asked.runs(chosen, wanted, range(first_seed, first_seed + seeds))
        troubles = asked.measure_all(runs, executor, print)
    page = calibration_report.page(calibration.read_record(record), settings)
    (into / "calibration.md").write_text(page, encoding="utf-8")
    print(f"{into / 'calibration.md'}")
    raise typer.Exit(1 if troubles else 0)


def measure(
    submission: Annotated[Path, typer.Argument(help="A whole submission, as a folder.")],
    kind: Annotated[str, typer.Option(help="Which model: fc, cnn or vit.")],
    seed: Annotated[int, typer.Option(help="The training's seed.")],
    results: Annotated[Path, typer.Option(help="The file to write.")],
    assignment_file: Annotated[Path, typer.Option("--assignment", help="An assignment.yaml.")],
    homework_file: Annotated[Path, typer.Option("--homework", help="A homework.yaml.")],
) -> None:
    """Train one model once, as a worker of `calibrate` does."""
    settings = assignment.load(assignment_file, homework_file, ships=False)
    measured = calibration.measure(submission, kind, seed, settings)
    results.write_text(json.dumps(measured), encoding="utf-8")


def explain(
    submission: Annotated[Path, typer.Argument(help="A folder, zip or notebook.")],
    line: Annotated[str, typer.Option(help="The rubric line to explain.")] = "2b.3",
    seeds: Annotated[
        int, typer.Option(min=1, help="How many seeds a network is trained with (2b.3, 2c.4).")
    ] = 30,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    unsafe_local: Annotated[
        bool,
        typer.Option(
            help="Run code you trust even where nothing guards the grader's files.",
            rich_help_panel=WEAKENING,
        ),
    ] = False,
) -> None:
    """Show all that stands behind a rubric line, to answer a complaint.

    For 2b.3 and 2c.4 the network is trained with many seeds.

    Exit status: 0 explained; 2 wrong usage; 3 a grader error.
    """

    known = numbers(SUITES)
    if line not in known:
        raise usage_error(f"There is no line {line}{did_you_mean(line, known)}")
    if not submission.exists():
        raise usage_error(f"There is no submission at {submission}")
    start = time.monotonic()

    def say(trial: Trial, done: int) -> None:
        left = (time.monotonic() - start) / done * (seeds - done)
        typer.echo(
            f"{done} of {seeds}, about {left:.0f} s left: {explanation_report.told(trial)}",
            err=True,
        )

    try:
        with explanation.opened(submission, unsafe_local=unsafe_local) as session:
            found = session.explain(line, range(first_seed, first_seed + seeds), say)
    except (IntakeError, Unpackable) as problem:
        raise usage_error(f"The submission can't be opened: {problem}") from None
    except GraderFault as problem:
        typer.echo(f"Grader fault: {problem}", err=True)
        raise typer.Exit(3) from None
    for text in explanation_report.report(found):
        typer.echo(clean(text, MAX_TRACE))
    raise typer.Exit(3 if found.faults else 0)


def _solutions(names: list[str]) -> list[Solution]:
    """The solutions that a command names; all of them for none."""
    try:
        return load_solutions(names)
    except SolutionError as problem:
        raise usage_error(str(problem)) from None


def check(
    write: Annotated[
        bool, typer.Option("--write", help="Update the texts that quote an old value.")
    ] = False,
) -> None:
    """List what a changed value makes stale and how to redo it; exits with 1 if there is any."""
    try:
        settings = assignment.load()
        written = (*texts.write_texts(ROOT, settings), *known_answers.write()) if write else ()
        for file in written:
            print(f"Brought up to date: {file}")
        sentences = list(stale.stale())
    except assignment.AssignmentError as problem:
        raise usage_error(str(problem)) from None
    for sentence in sentences:
        print(f"- {sentence}")
    print("Then prove it again: autograder validate" if sentences else "Nothing is stale.")
    raise typer.Exit(1 if sentences else 0)


COMMANDS = (package, validate, calibrate, check, explain, regrade, report)
OF_WORKERS = (measure,)  # which no person calls


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in COMMANDS:
        app.command(cls=WithAgain if command is regrade else None)(command)
    for of_workers in OF_WORKERS:
        app.command(hidden=True)(of_workers)
