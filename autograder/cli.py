"""The command line: grade a submission, and where staff is, staff's commands.

What grades is shipped to the platform; what staff alone run is not, so it is found by name.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from autograder.confined.confine import OPTIONAL_WALLS
from autograder.homework import GRADED_PARTS, SUITES
from autograder.intake.export import exported_submissions
from autograder.rubric.feedback import counted
from autograder.rubric.gradescope import Metadata, Results, ResultsInUse, only_writer
from autograder.rubric.outline import numbers
from autograder.sandbox import platform_files
from autograder.sandbox.text import clean

ROOT = Path(__file__).resolve().parents[1]
ON_GRADESCOPE = Path("/autograder/submission")
GRADESCOPE_RESULTS = Path("/autograder/results/results.json")
GRADESCOPE_METADATA = Path("/autograder/submission_metadata.json")

CUT_SHORT = (
    "Grading stopped early because of a grader error, not your code. The lines that were graded "
    "count; course staff can see what happened."
)

WEAKENING = "Options that weaken safety"  # a panel of their own in --help
MAX_TRACE = 20_000  # characters of a trace in the terminal

WRONG_USAGE = 2  # exit status
DEFAULT_NAME = "results.json"
STAFF = "autograder.staff"  # a room that the package for the platform comes without

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Autograder for a homework on convolutions, MNIST and a Vision Transformer.",
)


def _print_versions(asked: bool) -> None:
    if asked:
        from autograder.hw5.versions import versions

        found = versions()
        typer.echo(
            f"autograder {found['grader']} (code {found['sources']}), torch {found['torch']}, "
            f"Python {found['python']}"
        )
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_versions, is_eager=True, help="Print versions, and end."
    ),
]


@app.callback()
def _callback(version: Version = False) -> None:
    """Keep `grade` a command of its own, also while there are few."""


@app.command()
def grade(
    submission: Annotated[
        Path | None, typer.Argument(help="A folder, zip or notebook; leave it out on Gradescope.")
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="The file to write, or its folder; by default results/results.json.",
        ),
    ] = None,
    only: Annotated[
        str,
        typer.Option(help="Grade only these questions (3), parts (3a) or lines (3a.4): 1,2b,3a.4."),
    ] = "",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the results as JSON; all else goes to stderr."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Repeat a run: the seed from its extra_data.")
    ] = None,
    assignment: Annotated[
        Path | None, typer.Option(help="Another assignment.yaml, to try out settings.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="A submission_metadata.json with earlier results.")
    ] = None,
    without: Annotated[
        str,
        typer.Option(
            help="Walls of the sandbox to leave out: user, landlock, seccomp.",
            rich_help_panel=WEAKENING,
        ),
    ] = "",
    unsafe_local: Annotated[
        bool,
        typer.Option(
            help="Grade code you trust even where nothing guards the grader's files.",
            rich_help_panel=WEAKENING,
        ),
    ] = False,
    unhurried: Annotated[
        bool,
        typer.Option(help="Take all the time that is needed: no training is cut short."),
    ] = False,
    homework: Annotated[
        Path | None, typer.Option(help="Another homework.yaml, to try out goals and limits.")
    ] = None,
    version: Version = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Also write the page that a student sees of the results to this file."),
    ] = None,
    staff_notes: Annotated[
        bool, typer.Option(help="In that page, also say what students don't see.")
    ] = False,
    trainings: Annotated[
        Path | None, typer.Option(help="A folder through which gradings share equal trainings.")
    ] = None,
) -> None:
    """Grade one submission and write results.json.

    Exit status: 0 graded, whatever the score; 2 wrong usage; 3 a grader error.
    """
    console = Console(soft_wrap=False, stderr=as_json)
    if submission is None and not ON_GRADESCOPE.is_dir():
        raise usage_error("Name the submission to grade: ./run_autograder FOLDER_OR_ZIP")
    chosen = _chosen(only)
    source = submission or ON_GRADESCOPE
    if not source.exists():
        raise usage_error(f"There is no submission at {source}")
    if submission is not None and (exported := exported_submissions(source)):
        raise usage_error(_one_at_a_time(source, exported))
    default = GRADESCOPE_RESULTS if submission is None else Path("results/results.json")
    file = default if results is None else results_file(results)
    page = _page(html, file)
    walls = frozenset(wall for wall in without.split(",") if wall)
    if not walls <= set(OPTIONAL_WALLS):
        raise usage_error(f"--without takes {', '.join(OPTIONAL_WALLS)}; got {without}")
    if submission is None:
        platform_files.close_beside(ROOT, ON_GRADESCOPE.parent)
        metadata = metadata or GRADESCOPE_METADATA
    options: dict[str, Any] = {
        "only": chosen,
        "seed": seed,
        "without": walls,
        "metadata": None if metadata is None else Metadata.read(metadata),
        "secrets": _closed(metadata),
        "unsafe_local": unsafe_local,
        "unhurried": unhurried,
        "trainings": trainings,
    }
    if assignment is not None:
        options["assignment_file"] = assignment
    if homework is not None:
        options["homework_file"] = homework
    try:
        with only_writer(file):
            status = _grade(source, file, console, options)
            status = _show(page, source.name, file, staff_notes, status)
            if as_json and status != WRONG_USAGE and file.is_file():
                typer.echo(file.read_text(encoding="utf-8"))
    except ResultsInUse as problem:
        raise usage_error(str(problem)) from None
    raise typer.Exit(status)


def results_file(named: str) -> Path:
    """The file that --results names: in a folder, results.json."""
    path = Path(named)
    return path / DEFAULT_NAME if named.endswith("/") or path.is_dir() else path


def _chosen(only: str) -> frozenset[str]:
    """The parts and lines that --only names, for a question all of its parts."""
    chosen: set[str] = set()
    lines = numbers(SUITES) if "." in only else []
    for name in filter(None, (one.strip() for one in only.split(","))):
        of_question = {part for part in GRADED_PARTS if part[:-1] == name}
        if name in GRADED_PARTS or name in lines:
            chosen.add(name)
        elif of_question:
            chosen |= of_question
        else:
            raise usage_error(
                f"--only takes questions (3), parts ({', '.join(GRADED_PARTS)}) and lines (3a.4) "
                f"that there are; got {name}"
            )
    return frozenset(chosen)


def _one_at_a_time(source: Path, exported: Sequence[Path]) -> str:
    """What to do with an export of many submissions."""
    place = shlex.quote(str(exported[0].parent))
    return (
        f"{source} is an export of {counted(len(exported), 'submission')}, and one is graded at a "
        f'time:\n  for one in {place}/submission_*/; do ./run_autograder "$one" --results '
        '"results/$(basename "$one")/"; done\n'
        f"After ./setup.sh --class, all of them: autograder regrade {shlex.quote(str(source))}"
    )


def _closed(metadata: Path | None) -> dict[str, Path]:
    """The metadata file, closed to workers; as the secret that it is, where there is one."""
    if metadata is None or not metadata.is_file():
        return {}
    platform_files.close_file(metadata)
    return {"the platform's metadata": metadata}


def _grade(source: Path, results: Path, console: Console, options: dict[str, Any]) -> int:
    """Grade, whatever happens: 0 graded, 2 nothing to grade, 3 a fault of the grader."""
    from autograder.hw5.assignment import AssignmentError
    from autograder.intake.submission import IntakeError

    before = time.time()
    try:
        from autograder.grade import Options
        from autograder.grade import grade as grade_submission

        outcome, well = grade_submission(source, results, Options(**options), console=console)
    except IntakeError as problem:
        typer.echo(clean(str(problem)), err=True)
        return WRONG_USAGE
    except AssignmentError as problem:
        typer.echo(str(problem), err=True)
        _save(_could_not_grade(str(problem)), results)
        return 3
    except Exception:  # noqa: BLE001  the grader's boundary: the platform must find valid results
        trace = traceback.format_exc()
        typer.echo(clean(trace, MAX_TRACE), err=True)
        _save(_ended_by(trace, results, before), results)
        return 3
    for place, fault in outcome.extra_data["faults"].items():
        typer.echo(f"\nGrader fault ({place}):\n{clean(fault, MAX_TRACE)}", err=True)
    for flag in outcome.extra_data["flags"]:
        text = clean(flag["trace"], MAX_TRACE)
        typer.echo(f"\nFor staff, {flag['line']}: {flag['what']}\n{text}", err=True)
    console.print(f"Results: {results}")
    return 0 if well else 3


def _page(file: Path | None, results: Path) -> Path | None:
    """The file for the page, where one is asked for."""
    if file is not None and (file.is_dir() or file.resolve() == results.resolve()):
        raise usage_error(f"--html names a file of its own for the page; got {file}")
    return file


def _show(page: Path | None, of: str, results: Path, staff_notes: bool, status: int) -> int:
    """Write the page of a run that ended with a status; returns the status with which we end."""
    from autograder.rubric import preview

    if page is None or status == 2:
        return status
    try:
        content = json.loads(results.read_bytes())
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(preview.page(content, title=of, staff=staff_notes), encoding="utf-8")
    except OSError as problem:
        typer.echo(f"The page can't be written to {page}: {problem.strerror}.", err=True)
        return 3
    typer.echo(f"Page: {page}")
    return status


def _save(results: Results, file: Path) -> None:
    """Write the results of a run that a fault ended; where that fails too, the last ones stay."""
    try:
        results.write(file)
    except OSError as problem:
        typer.echo(
            f"The results can't be written to {file}: {problem.strerror}. What stands there is "
            "what could be written last. Make room, and grade again.",
            err=True,
        )


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
        output="Your submission could not be graded because of a grader error, not your code. "
        "Course staff can see what happened.",
        extra_data={"faults": {"grader": fault}},
    )


def _wrong_settings() -> str:
    """What is wrong with the settings; nothing where they are as they should be."""
    from autograder.hw5.assignment import AssignmentError, load

    try:
        load()
    except AssignmentError as problem:
        return str(problem)
    return ""


def usage_error(message: str) -> typer.Exit:
    """Wrong usage, told in one line: exit status 2."""
    typer.echo(message, err=True)
    return typer.Exit(WRONG_USAGE)


def main() -> None:
    """Entry point. Staff's commands are there where staff's room is.

    A grading run doesn't wait for their imports.
    """
    if sys.argv[1:2] != ["grade"] and importlib.util.find_spec(STAFF) is not None:
        try:
            importlib.import_module(f"{STAFF}.commands").register(app)
        except Exception:  # the given code reads homework.yaml as it is imported
            problem = _wrong_settings()
            if not problem:
                raise
            typer.echo(problem, err=True)
            sys.exit(WRONG_USAGE)
    app(prog_name="autograder")
