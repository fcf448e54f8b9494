"""The command line: grade a submission, make the packages."""

from __future__ import annotations

import re
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from autograder.gradescope import Metadata, Results
from autograder.sandbox.confine import OPTIONAL_LAYERS

if TYPE_CHECKING:
    from autograder.solutions import Solution

ON_GRADESCOPE = Path("/autograder/submission")
GRADESCOPE_RESULTS = Path("/autograder/results/results.json")
GRADESCOPE_METADATA = Path("/autograder/submission_metadata.json")

CUT_SHORT = (
    "Grading was cut short, through a fault of the grader and not of yours. Every line below that "
    "was reached counts; the course staff can see what happened."
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The autograder of a homework on convolutions, MNIST and a Vision Transformer.",
)


@app.callback()
def _callback() -> None:
    """Keep `grade` a command of its own, also while there are few."""


@app.command()
def grade(
    submission: Annotated[
        Path | None, typer.Argument(help="A folder, zip or notebook; on Gradescope nothing.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where to write; results/results.json if not given.")
    ] = None,
    only: Annotated[str, typer.Option(help="Parts to grade alone, such as 3a,3b.")] = "",
    seed: Annotated[
        int | None, typer.Option(help="Repeat a run: the seed that it noted in extra_data.")
    ] = None,
    assignment: Annotated[
        Path | None, typer.Option(help="Another assignment.yaml, to try settings out.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="A submission_metadata.json, with earlier results.")
    ] = None,
    without: Annotated[
        str, typer.Option(help="Layers of confinement to leave out: user, landlock, seccomp.")
    ] = "",
    unsafe_local: Annotated[
        bool, typer.Option(help="Run code that you trust where nothing can confine it.")
    ] = False,
) -> None:
    """Grade one submission and write results.json."""
    console = Console(soft_wrap=False)
    parts = frozenset(part.strip() for part in only.split(",") if part.strip())
    if submission is None and not ON_GRADESCOPE.is_dir():
        raise _usage("Name the submission to grade: ./run_autograder FOLDER_OR_ZIP")
    if any(not re.fullmatch(r"[123][a-d]", part) for part in parts):
        raise _usage(f"--only takes parts such as 3a,3b; got {only}")
    source = submission or ON_GRADESCOPE
    if not source.exists():
        raise _usage(f"There is no submission at {source}")
    default = GRADESCOPE_RESULTS if submission is None else Path("results/results.json")
    layers = frozenset(layer for layer in without.split(",") if layer)
    if not layers <= set(OPTIONAL_LAYERS):
        raise _usage(f"--without takes {', '.join(OPTIONAL_LAYERS)}; got {without}")
    options: dict[str, Any] = {
        "only": parts,
        "seed": seed,
        "without": layers,
        "metadata": Metadata.read(metadata or GRADESCOPE_METADATA),
        "unsafe_local": unsafe_local,
    }
    if assignment is not None:
        options["assignment_file"] = assignment
    raise typer.Exit(_grade(source, results or default, console, options))


@app.command()
def package(
    into: Annotated[Path, typer.Option(help="The folder for the two zips.")] = Path("dist"),
) -> None:
    """Make dist/autograder.zip for Gradescope and dist/student_template.zip for students."""
    from autograder.mnist import DataError
    from autograder.packaging import make_packages

    try:
        for file, size in make_packages(into):
            print(f"{file}  {size / 1e6:.2f} MB")
    except DataError as problem:
        raise _usage(str(problem)) from None


@app.command()
def validate(
    only: Annotated[
        str, typer.Option(help="Solutions by name, pattern or kind: no-scale,alternatives.")
    ] = "",
    training: Annotated[
        bool, typer.Option(help="Ask the lines too that need a training; takes much longer.")
    ] = True,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown to this file.")] = None,
) -> None:
    """Prove the grader: grade all of solutions/ and compare with what is known; 1 if it differs."""
    from rich.progress import track

    from autograder import validation, validation_report

    console = Console(width=None if sys.stdout.isatty() else 140)
    chosen = _solutions([name for name in only.split(",") if name])
    outcomes = []
    for outcome in track(
        validation.validate(chosen, training), "validating", len(chosen), console=console
    ):
        outcomes.append(outcome)
        for difference in outcome.differences():  # as they come: a full run takes long
            console.print(f"✗ {outcome.solution.name}  {difference}", markup=False, soft_wrap=True)
    outcomes.sort(key=lambda one: (one.solution.kind, one.solution.name))
    console.print(validation_report.outcomes_table(outcomes))
    if junit is not None:
        validation_report.write_junit(outcomes, junit)
    if markdown is not None:
        validation_report.write_markdown(outcomes, markdown)
    raise typer.Exit(1 if any(outcome.differences() for outcome in outcomes) else 0)


@app.command()
def calibrate(
    submissions: Annotated[
        list[str], typer.Argument(help="Solutions by name, pattern or kind: reference, einsum.")
    ],
    seeds: Annotated[int, typer.Option(help="How many seeds each model is trained with.")] = 30,
    first_seed: Annotated[int, typer.Option(help="The first of them.")] = 0,
    kinds: Annotated[str, typer.Option(help="Which models: fc, cnn, vit.")] = "fc,cnn,vit",
    into: Annotated[Path, typer.Option(help="The folder for record and report.")] = Path("docs"),
) -> None:
    """Measure how often chance alone would fail a model; takes minutes per seed."""
    from autograder import assignment, calibration, calibration_report

    wanted = [kind for kind in kinds.split(",") if kind]
    if not set(wanted) <= set(calibration.KINDS):
        raise _usage(f"--kinds takes {', '.join(calibration.KINDS)}; got {kinds}")
    chosen = _solutions(submissions)
    settings = assignment.load()
    record = into / "calibration.jsonl"
    into.mkdir(parents=True, exist_ok=True)
    seeds_wanted = range(first_seed, first_seed + seeds)
    calibration.calibrate(chosen, wanted, seeds_wanted, record, settings, print)
    lines = calibration_report.report(calibration.read_record(record), settings)
    (into / "calibration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{into / 'calibration.md'}")


def _grade(source: Path, results: Path, console: Console, options: dict[str, Any]) -> int:
    """Grade, whatever happens: 0 graded, 2 nothing to grade, 3 a fault of the grader."""
    from autograder.assignment import AssignmentError
    from autograder.intake import IntakeError

    before = time.time()
    try:
        from autograder.grade import grade as grade_submission

        outcome, well = grade_submission(source, results, console=console, **options)
    except IntakeError as problem:
        typer.echo(str(problem), err=True)
        return 2
    except AssignmentError as problem:
        typer.echo(str(problem), err=True)
        _could_not_grade(str(problem)).write(results)
        return 3
    except Exception:  # the boundary of the grader: the platform must find valid results
        trace = traceback.format_exc()
        typer.echo(trace, err=True)
        _ended_by(trace, results, before).write(results)
        return 3
    for place, fault in outcome.extra_data["faults"].items():
        typer.echo(f"\nFault of the grader at {place}:\n{fault}", err=True)
    console.print(f"Results: {results}")
    return 0 if well else 3


def _ended_by(fault: str, file: Path, before: float) -> Results:
    """What stands once a fault of the grader has ended a run: whatever it had graded by then."""
    try:
        results = Results.read(file)
        old = file.stat().st_mtime < before
    except (OSError, ValueError):
        return _could_not_grade(fault)
    if old or not results.tests:
        return _could_not_grade(fault)
    results.output = f"{CUT_SHORT}\n{results.output}"
    results.extra_data["faults"] = {**results.extra_data.get("faults", {}), "grader": fault}
    return results


def _could_not_grade(fault: str) -> Results:
    return Results(
        tests=[],
        output="Your submission could not be graded, through a fault of the grader and not of "
        "yours. The course staff can see what happened.",
        extra_data={"faults": {"grader": fault}},
    )


def _solutions(names: list[str]) -> list[Solution]:
    """The solutions that a command names; all of them for none."""
    from autograder.solutions import SolutionError, load_solutions

    try:
        return load_solutions(names)
    except SolutionError as problem:
        raise _usage(str(problem)) from None


def _usage(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def main() -> None:
    """Entry point."""
    app(prog_name="autograder")
