"""Intake in a process of its own, which what is handed in can hang, fill or kill.

A zip can claim a million files, a notebook can take minutes to parse, a folder can be made to
hurt. The process may use so much memory and time and no more, and leaves files of known names
and sizes, which are read back here. What can go wrong:

    no submission at all       IntakeError, as `take` raises it
    it takes too long, or too
      much memory, or fails    Unpackable: no line is graded, the student told why
    the disk is full, or the
      like                     IntakeFault: a fault of the grader
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

from autograder.confined.confine import address_space_bytes, die_with_parent, offer_to_oom_killer
from autograder.homework import ANSWERS_FILE, ARTIFACTS, CODE_FILES, SUBMITTED
from autograder.intake.submission import IntakeError, Submission, take
from autograder.sandbox.errors import GraderFault
from autograder.sandbox.text import one_line
from provided.notebook import Span

SECONDS = 20.0  # the largest notebook that is read takes 2 s on half a processor
MEMORY_MIB = 512  # on top of the grader's own; the largest notebook takes 200
MAX_FILE_BYTES = 32 << 20
MAX_REPORT_BYTES = 4 << 20
MAX_NOTES = 60
MAX_NOTE = 400  # characters
MAX_TRACE = 10_000  # characters
REPORT = "report.json"


class Unpackable(Exception):
    """A submission that can't be unpacked within the limits; says why. `trace` is for staff."""

    def __init__(self, reason: str, trace: str = "") -> None:
        super().__init__(reason)
        self.trace = trace


class IntakeFault(GraderFault):
    """The machine failed while a submission was unpacked."""


def take_limited(source: Path, into: Path, seconds: float = SECONDS) -> Submission:
    """What `take` returns, done by a limited process. Raises IntakeError and the above.

    Call it while the process has a single thread: it forks.
    """
    out = into / "intake"
    out.mkdir(mode=0o700)
    try:
        _run(source, into, out, seconds)
        return _read_back(into, out)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _run(source: Path, into: Path, out: Path, seconds: float) -> None:
    """Fork the process and wait for its end."""
    parent = os.getpid()
    alive_read, alive_write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that a library keeps
        # What a handler raises inside a fork, Python ignores: a signal to stop comes after it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGHUP))
        pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(alive_read)
        _be_the_process(source, into, out, parent)
    os.close(alive_write)
    started = time.monotonic()
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ended, _, _ = select.select([alive_read], [], [], seconds)
    finally:
        os.close(alive_read)
        if time.monotonic() - started < seconds:
            _, status = os.waitpid(pid, 0)
        else:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            ended, status = [], 0
    if not ended:
        raise Unpackable(f"looking through it takes more than {seconds:g} seconds")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            raise Unpackable(f"looking through it takes more than {seconds:g} seconds")
        reason = "takes more memory than there is" if number == signal.SIGKILL else "crashed"
        raise Unpackable(f"looking through it {reason}", f"signal {number}")


def _be_the_process(source: Path, into: Path, out: Path, parent: int) -> NoReturn:
    """Take the submission and leave a report; whatever happens, end here."""
    status = 1
    try:
        die_with_parent()
        if os.getppid() == parent:
            offer_to_oom_killer()
            _limit()
            (out / REPORT).write_text(json.dumps(_report(source, into, out)))
            status = 0
    finally:
        os._exit(status)


def _limit() -> None:
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(SECONDS)),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_AS, address_space_bytes() + (MEMORY_MIB << 20)),
    ):
        _, hard = resource.getrlimit(which)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def _report(source: Path, into: Path, out: Path) -> dict[str, Any]:
    try:
        return _left(take(source, into), out)
    except IntakeError as problem:
        return {"no_submission": str(problem)}
    except MemoryError:
        return {"unpackable": "looking through it takes more memory than there is", "trace": ""}
    except OSError:
        return {"fault": traceback.format_exc()[-MAX_TRACE:]}
    except Exception as problem:  # noqa: BLE001  names and contents are a student's
        trace = traceback.format_exc()[-MAX_TRACE:]
        return {
            "unpackable": f"looking through it failed ({type(problem).__name__})",
            "trace": trace,
        }


def _left(submission: Submission, out: Path) -> dict[str, Any]:
    """Leave the contents as files, and say what else there is to a submission."""
    names = list(submission.artifacts)
    for number, name in enumerate(names):
        (out / str(number)).write_bytes(submission.artifacts[name])
    if submission.answers is not None:
        text = submission.answers.encode("utf-8", errors="replace")
        (out / ANSWERS_FILE).write_bytes(text)
    spans = {
        file: [[span.first, span.count, span.cell, span.line] for span in of_file]
        for file, of_file in submission.spans.items()
    }
    return {
        "artifacts": names,
        "notes": [one_line(note, MAX_NOTE) for note in submission.notes[:MAX_NOTES]],
        "form": one_line(submission.form, MAX_NOTE),
        "spans": spans,
        "ignored": sorted(submission.ignored),
    }


def _read_back(into: Path, out: Path) -> Submission:
    """The submission that the process left."""
    try:
        report = json.loads(_content(out / REPORT, MAX_REPORT_BYTES) or b"")
    except ValueError:
        raise Unpackable("looking through it ended early") from None
    if "no_submission" in report:
        raise IntakeError(report["no_submission"])
    if "unpackable" in report:
        raise Unpackable(report["unpackable"], report["trace"])
    if "fault" in report:
        raise IntakeFault(report["fault"])
    folder = into / "submission"
    code = {
        name: content.decode("utf-8", errors="replace")
        for name in CODE_FILES
        if (content := _content(folder / name, 4 * SUBMITTED[name])) is not None
    }
    artifacts = {
        name: content
        for number, name in enumerate(report["artifacts"])
        if name in ARTIFACTS
        and (content := _content(out / str(number), ARTIFACTS[name])) is not None
    }
    answers = _content(out / ANSWERS_FILE, 4 * SUBMITTED[ANSWERS_FILE])
    return Submission(
        folder,
        code,
        None if answers is None else answers.decode("utf-8", errors="replace"),
        artifacts,
        report["notes"],
        report["form"],
        {file: tuple(Span(*span) for span in spans) for file, spans in report["spans"].items()},
        frozenset(report["ignored"]),
    )


def _content(file: Path, most: int) -> bytes | None:
    """At most so many bytes of a file; None where there is none."""
    try:
        with file.open("rb") as stream:
            return stream.read(most)
    except FileNotFoundError:
        return None
