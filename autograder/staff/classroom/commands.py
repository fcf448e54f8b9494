"""Staff's commands for a class: regrade it, and write its report anew."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from autograder.cli import usage_error
from autograder.homework import GRADED_PARTS, VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.sandbox.text import one_line
from autograder.staff.classroom import flakiness, plan, settings
from autograder.staff.classroom import regrade as regrading
from autograder.staff.classroom.changes import FILE as CHANGES
from autograder.staff.classroom.export import ExportError, open_export
from autograder.staff.classroom.flakiness import FILE as FLAKINESS
from autograder.staff.classroom.records import has_results
from autograder.staff.executor.cluster import ClusterError, check_address
from autograder.staff.executor.keeping import OF_THE_FOLDER
from autograder.staff.executor.workers import Scheduler, Workers
from autograder.staff.executor.workers import workers as opened

TRAININGS = "trainings"
NOT_INSTALLED = "A class's report needs what is not installed here: run ./setup.sh --class once."
MAX_LINE = 400  # characters of a sentence in the terminal
Folder = Annotated[Path, typer.Option(help="The folder of the class; the same to go on.")]
Assignment = Annotated[Path, typer.Option(help="Another assignment.yaml, to try out settings.")]
Homework = Annotated[Path, typer.Option(help="Another homework.yaml, to try out goals.")]


class WithAgain(TyperCommand):
    """A command whose `--again` may stand without an amount."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the usual amount where there is none."""
        place = args.index("--again") if "--again" in args else None
        if place is not None and not _is_amount("".join(args[place + 1 : place + 2])):
            args = [*args[: place + 1], flakiness.SAMPLE, *args[place + 1 :]]
        return super().parse_args(ctx, args)


def _is_amount(word: str) -> bool:
    """Whether the word behind --again is meant as an amount: it looks like one, or like nothing."""
    if flakiness.AMOUNT.fullmatch(word):
        return True
    if not word or word.startswith("-") or os.sep in word or Path(word).suffix:
        return False
    try:
        return not Path(word).exists()
    except OSError:  # too long for a name
        return True


def regrade(
    export: Annotated[
        Path, typer.Argument(help="The platform's export, or a folder of submissions; or a zip.")
    ],
    into: Folder = Path("class"),
    workers: Workers = None,
    scheduler: Scheduler = "",
    only: Annotated[str, typer.Option(help="Grade only these parts, such as 3a,3b.")] = "",
    students: Annotated[
        Path | None, typer.Option(help="A file of ids, student numbers or e-mails, one a line.")
    ] = None,
    again: Annotated[
        str, typer.Option(help="Grade some again with another seed: a number, 10% or all.")
    ] = "",
    anonymous: Annotated[bool, typer.Option(help="Leave names out of the report.")] = False,
    assignment: Assignment = assignments.FILE,
    homework: Homework = VALUES_FILE,
) -> None:
    """Regrade a class; interrupted, the same command goes on. Tells what changed and why."""
    _look_for_jinja()
    parts = {part.strip() for part in only.split(",") if part.strip()} or set(GRADED_PARTS)
    if not parts <= set(GRADED_PARTS):
        raise usage_error(f"--only takes parts: {', '.join(GRADED_PARTS)}; got {only}")
    if only and not only.strip(" ,"):
        raise usage_error(f"--only takes parts: {', '.join(GRADED_PARTS)}")
    with told_in_a_line(into), regrading.only_one(into):
        if scheduler:
            check_address(scheduler)
        named = _named_in(students) if students else []
        with_these = settings.prepare(into, assignment, homework)
        shared = settings.share_trainings(with_these, into / TRAININGS)
        planned = plan.Plan(into, open_export(export), shared, parts, notes=[])
        plan.look_through(planned, named)
        planned.notes[:0] = planned.export.notes
        for note in planned.notes:
            _say(f"! {note}")
        sample = flakiness.sample(planned.chosen, again) if again else []
        count = len(planned.chosen)
        _say(f"{count} submissions, {len(planned.todo)} to grade.")
        tally = regrading.Tally(there_already=count)
        if planned.todo or sample:
            _say("Each worker first proves that it confines a submission.")
            with opened(into, workers, scheduler, _say, prove_this_machine=True) as executor:
                tally = regrading.grade_all(planned, executor, _say)
                if sample:
                    other = settings.prepare(into, assignment, homework, other_seeds=True)
                    other = settings.share_trainings(other, into / TRAININGS)
                    regrading.grade_again(planned, executor, other, sample, _say, tally)
        entries = regrading.write_up(into, planned, with_these, tally)
        _write_report(entries, into, anonymous)
        _say(
            f"Graded {tally.graded}, there already {tally.there_already}, in trouble "
            f"{sum(bool(entry.trouble) for entry in entries)}."
        )
        _say_what_changed(into, tally)


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a class that was regraded.")],
    against: Annotated[
        Path | None, typer.Option(help="Compare with another regrade, in this folder.")
    ] = None,
    anonymous: Annotated[bool, typer.Option(help="Leave names out of the report.")] = False,
) -> None:
    """Write a class's report and tables anew, without grading."""
    _look_for_jinja()
    for place in (folder, *([against] if against else [])):
        if not has_results(place):
            raise usage_error(
                f"{place} is not the folder of a class: regrade one into it first, as in "
                f"autograder regrade EXPORT --into {place}"
            )
    if against is not None and against.resolve() == folder.resolve():
        raise usage_error(f"--against takes another folder than {folder}")
    with told_in_a_line(folder), regrading.only_one(folder):
        if against is not None:
            regrading.copy_meanings(folder, against)
        tally = regrading.Tally()
        with_these = settings.prepare(folder)
        entries = regrading.write_up(folder, None, with_these, tally, against)
        _write_report(entries, folder, anonymous)
        _say_what_changed(folder, tally)


def _named_in(file: Path) -> list[str]:
    """The students that a file names, one a line; from a spreadsheet too."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise usage_error(f"{file} is no text in UTF-8") from None
    named = [one.strip() for one in lines if one.strip()]
    if not named:
        raise usage_error(f"{file} names nobody")
    return named


def _say_what_changed(folder: Path, tally: regrading.Tally) -> None:
    worded = f" ({tally.worded} in nothing but words)" if tally.worded else ""
    changed = f"{tally.changed} submissions changed{worded}, {tally.fell} scores fell"
    _say(f"{folder / CHANGES}: {changed}.")
    _say(f"{folder / FLAKINESS}: {tally.turned} lines that another seed judges otherwise.")


def _look_for_jinja() -> None:
    """End in a line where the report can't be written, before anything is graded."""
    if importlib.util.find_spec("jinja2") is None:
        raise usage_error(NOT_INSTALLED)


def _write_report(entries: Any, folder: Path, anonymous: bool) -> None:
    """Write report.html, grades.csv and Canvas's table."""
    from autograder.staff.classroom.grades import write_grades
    from autograder.staff.classroom.report import write_report

    write_report(entries, folder, anonymous=anonymous)
    write_grades(entries, folder)


@contextlib.contextmanager
def told_in_a_line(folder: Path | None = None) -> Iterator[None]:
    """What staff can mend is told in a line, with exit status 2.

    folder: that is written into, whose disk may be full
    """
    if folder is not None and folder.exists() and not folder.is_dir():
        raise usage_error(f"{folder} is a file: name a folder")
    try:
        yield
    except (
        ExportError,
        ClusterError,
        regrading.InUse,
        assignments.AssignmentError,
        flakiness.SampleError,
    ) as problem:
        raise usage_error(str(problem)) from None
    except OSError as problem:
        what_to_do = OF_THE_FOLDER.get(problem.errno or 0, "").format(folder)
        if what_to_do:
            raise usage_error(
                f"{problem.strerror}: {what_to_do}, then run the same command again"
            ) from None
        where = f" ({problem.filename})" if problem.filename else ""
        raise usage_error(f"{problem.strerror or problem}{where}") from None


def _say(text: str) -> None:
    typer.echo(one_line(text, MAX_LINE))
