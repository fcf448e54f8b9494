"""The pytest plugin that turns tests into rubric lines and never loses a result.

A test carries its points and id through gradescope_utils' `@weight` and `@number`; the first
line of its docstring is the title that a student reads. What can happen to a line:

    the test returns              full points, with the feedback it left
    it raises Rejected            the points named there, usually 0, with its feedback
    it needs an answer that a     0 points, with what went wrong there in plain words
      worker couldn't give
    a verdict raises anything     0 points, and a flag with the traceback for staff: a verdict
      else                        looks at nothing but what the submission sent
    it raises anything else       a fault of the grader: 0 for now, the student told so, the
                                  traceback in extra_data and on stdout
    its suite can't be collected  the same; the line is known from the suite's text
    the run's time is up before   0, "not reached", and a flag for staff
      it can be judged
    the run ends before it        0, "not reached", and why
"""

from __future__ import annotations

import re
import string
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypedDict

import pytest
from pydantic import ValidationError

from autograder.rubric.digesting import SAID_ALREADY, indigestible, raised_in
from autograder.rubric.feedback import Feedback, Rejected, of_worker_error
from autograder.rubric.gradescope import TestResult
from autograder.rubric.page import fragment, says_more
from autograder.rubric.traces import trace_of
from autograder.sandbox.errors import IndigestibleReply, OutOfTime, WorkerError

NOT_REACHED = Feedback(
    "Not reached: the grader was stopped before this line.",
    next_step="Submit again. If it happens again, ask course staff: they can see what took so "
    "long.",
)
OUT_OF_TIME = Feedback(
    "Not reached: the time for the whole grading was up before this line.",
    next_step="Look for what is slow: a large model, or code that takes seconds in each call. The "
    "course staff can see what took so long.",
)
GRADER_FAULT = Feedback(
    "This line could not be graded because of a grader error, not your code. "
    "Course staff can see what happened and will correct your points."
)
NOT_COLLECTED = "the suites' text has this line, and pytest collected no test for it"
RAN_OUT = "not reached: the time for the whole grading was up"
AUTOLOAD = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"  # in the environment, as pytest looks for it
MAX_TRACE = 10_000  # characters of a trace, its end: where it failed
PART = re.compile(r"^(\d[a-z])\.\d+$")


class Flag(TypedDict):
    """Something for a person to look at: on which line, what failed, the trace."""

    line: str
    what: str
    trace: str


class Exam(Protocol):
    """What a run is about: the suites reach all evidence through it."""

    @property
    def assignment(self) -> Any:
        """What staff set up."""

    @property
    def submission(self) -> Any:
        """The clean copy of the submission."""


@dataclass
class RubricLine:
    """One line of the rubric, and its outcome so far."""

    number: str
    title: str
    points: float
    earned: float = 0.0
    reached: bool = False
    feedback: Feedback = NOT_REACHED

    @property
    def part(self) -> str:
        """The question part: "3a" for line 3a.1."""
        return self.number.partition(".")[0]

    def say(self, feedback: Feedback | str) -> None:
        """Leave the feedback for full points."""
        self.feedback = Feedback(feedback) if isinstance(feedback, str) else feedback

    def result(self) -> TestResult:
        """As it stands in results.json."""
        more = says_more(self.feedback)
        return TestResult(
            name=f"{self.number} {self.title}",
            number=self.number,
            score=round(min(max(self.earned, 0.0), self.points), 4),
            max_score=self.points,
            status="passed" if self.earned >= self.points else "failed",
            output=fragment(self.feedback) if more else self.feedback.headline,
            output_format="html" if more else "text",
            extra_data={"diagnosis": self.feedback.diagnosis} if self.feedback.diagnosis else None,
        )


@dataclass
class GradingPlugin:
    """Collects the rubric lines of one run, and records each outcome as it comes.

    evidence: all that is known of the submission, the suites' fixture `exam`
    only:     the parts and lines to grade, empty for all
    save:     called with the lines after collection and after every change
    explain:  a student's view of a worker's error, the likely mistake included
    verdicts: the packages of modules that judge what a submission sent
    expected: the lines that the suites' text has; one that can't be collected stays, as a fault
    flags:    for staff: lines on which something failed over what the submission sent
    """

    evidence: Exam
    only: frozenset[str]
    save: Callable[[list[RubricLine]], None]
    explain: Callable[[WorkerError], Feedback] = of_worker_error
    verdicts: tuple[str, ...] = ()
    expected: Sequence[RubricLine] = ()
    lines: dict[str, RubricLine] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    flags: list[Flag] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = {line.number: line for line in self.expected}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Find each test's line; quick ones run first, and the file shows all from the start."""
        lines: dict[str, RubricLine] = {}
        kept = []
        for item in items:
            try:
                line = self._line_of(item)
                if line.number in lines:
                    raise pytest.UsageError(f"rubric line {line.number} appears twice")
            except pytest.UsageError as problem:
                self.faults[item.nodeid] = str(problem)
                continue
            if wanted(line.number, self.only):
                lines[line.number] = line
                kept.append(item)
        kept.sort(key=lambda item: (_waits(item), number_of(item)))
        items[:] = kept
        self.lines = dict(sorted({**self._uncollected(lines), **lines}.items()))
        self._save()

    def _uncollected(self, lines: Mapping[str, RubricLine]) -> dict[str, RubricLine]:
        """The expected lines that are not among the collected ones: faults of the grader."""
        missing = {one.number: one for one in self.expected if one.number not in lines}
        for number, line in missing.items():
            line.feedback, line.reached = GRADER_FAULT, True
            if not self.faults:
                self.faults[number] = NOT_COLLECTED
        return missing

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Ask for tests' tracebacks as Python's: pytest's own print every tensor that they name."""
        session.config.option.tbstyle = "native"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A suite that can't be collected is a fault of the grader."""
        if report.failed:
            self.faults.setdefault(report.nodeid or "collection", str(report.longrepr))

    def pytest_exception_interact(
        self,
        node: pytest.Item | pytest.Collector,
        call: pytest.CallInfo[Any],
        report: pytest.CollectReport | pytest.TestReport,
    ) -> None:
        """Keep why a suite couldn't be collected: what importing it raised."""
        cause = call.excinfo.value.__cause__ if call.excinfo is not None else None
        if isinstance(report, pytest.CollectReport) and cause is not None:
            self.faults[report.nodeid or "collection"] = trace_of(cause)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """Keep why pytest itself gave up, and let it print nothing."""
        self.faults["pytest"] = trace_of(excinfo.value)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> object:
        """Record what a test, or its set-up, came to."""
        line = self.lines[number_of(item)]
        if call.excinfo is not None and call.when == "teardown":
            self.faults[f"{line.number}, afterwards"] = trace_of(call.excinfo.value)
        elif call.excinfo is not None:
            self._failed(line, call.excinfo.value)
        elif call.when == "call":
            line.earned = line.points
            if line.feedback is NOT_REACHED:
                line.say("Correct.")
        if call.when == "call" or call.excinfo is not None:
            line.reached = line.feedback is not OUT_OF_TIME
            try:
                line.result()
            except ValidationError as problem:  # a text that the platform would refuse
                self._failed(line, problem)
            self._save()
        return (yield)

    def _save(self) -> None:
        """Save the lines; where that fails, the grading goes on and the next time may do."""
        try:
            self.save(list(self.lines.values()))
        except pytest.exit.Exception:  # the run is told to stop
            raise
        except Exception:  # noqa: BLE001  whatever it is, the grading goes on
            self.faults["saving"] = traceback.format_exc()

    def _failed(self, line: RubricLine, problem: BaseException) -> None:
        line.earned = 0.0
        if isinstance(problem, Rejected):
            line.earned, line.feedback = problem.points, problem.feedback
        elif isinstance(problem, WorkerError):
            line.feedback = self._explained(line, problem)
        elif isinstance(problem, OutOfTime):
            line.feedback = OUT_OF_TIME
            self.flags.append(Flag(line=line.number, what=RAN_OUT, trace=""))
        elif raised_in(problem, self.verdicts) and not isinstance(problem, SAID_ALREADY):
            line.feedback = self._explained(line, indigestible(problem, "judging this line"))
        else:
            line.feedback = GRADER_FAULT
            self.faults[line.number] = trace_of(problem)

    def _explained(self, line: RubricLine, error: WorkerError) -> Feedback:
        if isinstance(error, IndigestibleReply):
            self._flag(line, f"failed while {error.doing}", error.trace)
        try:
            return self.explain(error)
        except pytest.exit.Exception:  # the run is told to stop
            raise
        except Exception:  # noqa: BLE001  it reads a student's message
            self._flag(line, "failed while explaining an error", traceback.format_exc())
            return of_worker_error(error)

    def _flag(self, line: RubricLine, what: str, trace: str) -> None:
        """Flag a line for staff; a trace that was told before is not told again."""
        before = next((flag for flag in self.flags if flag["trace"] == trace), None)
        said = f"as on {before['line']}" if before else trace[-MAX_TRACE:]
        self.flags.append(Flag(line=line.number, what=what, trace=said))

    @pytest.fixture
    def line(self, request: pytest.FixtureRequest) -> RubricLine:
        """The rubric line of the test that asks."""
        return self.lines[number_of(request.node)]

    @pytest.fixture
    def exam(self) -> Exam:
        """All evidence about the submission."""
        return self.evidence

    @pytest.fixture
    def assignment(self) -> Any:
        """What staff set up."""
        return self.evidence.assignment

    @pytest.fixture
    def submission(self) -> Any:
        """The clean copy of the submission."""
        return self.evidence.submission

    def _line_of(self, item: pytest.Item) -> RubricLine:
        return rubric_line(item, self.evidence.assignment)


def rubric_line(item: pytest.Item, assignment: object) -> RubricLine:
    """The line that a test stands for. Raises UsageError where its marks are incomplete.

    A title may quote the assignment: "at most {fully_connected.max_hidden_units} hidden units".
    """
    function = getattr(item, "function", None)
    number, weight = getattr(function, "__number__", None), getattr(function, "__weight__", None)
    title = (getattr(function, "__doc__", None) or "").strip().splitlines()
    numbered = isinstance(number, str) and PART.match(number)
    if not numbered or not isinstance(weight, (int, float)) or not title:
        raise pytest.UsageError(
            f"{item.nodeid} needs @number('3a.1'), @weight(points) and a docstring"
        )
    try:
        named = titled(title[0], assignment)
    except (AttributeError, ValueError) as problem:
        raise pytest.UsageError(
            f"{item.nodeid}: its title quotes a value that doesn't exist: {problem}"
        ) from None
    return RubricLine(str(number), named, float(weight))


def titled(docstring: str, assignment: object) -> str:
    """A line's title: the first line of its test's docstring, values of the assignment put in."""
    fields = {name for _, name, _, _ in string.Formatter().parse(docstring) if name}
    roots = {name.partition(".")[0] for name in fields}
    return docstring.format(**{name: getattr(assignment, name) for name in roots}).rstrip(".")


def number_of(item: pytest.Item) -> str:
    """The number of a collected test's line; empty where it has none."""
    return str(getattr(getattr(item, "function", None), "__number__", ""))


def wanted(number: str, only: Collection[str]) -> bool:
    """Whether a line is to be graded: all are where no parts and no lines are named."""
    return not only or number in only or number.partition(".")[0] in only


def _waits(item: pytest.Item) -> bool:
    """Whether a test waits for a training (marked slow)."""
    return item.get_closest_marker("slow") is not None


def run_suites(plugin: GradingPlugin, folder: Path) -> None:
    """Run the grading suites of a folder with the plugin, printing nothing.

    A suite is imported anew each time: what an earlier run or another folder left under its
    name in this process isn't what grades.
    """
    for file in folder.glob("test_*.py"):
        sys.modules.pop(file.stem, None)
    arguments = [
        str(folder),
        f"--rootdir={folder}",
        f"--confcutdir={folder}",
        "-c/dev/null",
        "--assert=plain",  # rewriting the suites costs 0.3 s and is for people who read asserts
        "-pno:cacheprovider",
        "-pno:terminal",
        "-pno:timeout",
        "-pno:logging",
        "-pno:unraisableexception",  # it collects garbage twice: 0.3 s of a short run
        "-omarkers=slow: waits for a training",
        "--strict-markers",
        "--continue-on-collection-errors",
        "--import-mode=importlib",
    ]
    with pytest.MonkeyPatch.context() as surroundings:
        # No plugin that happens to be installed: none should judge, or take time.
        surroundings.setenv(AUTOLOAD, "1")
        status = pytest.main(arguments, plugins=[plugin])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        plugin.faults.setdefault("pytest", f"pytest ended with {status!r}")
        for line in plugin.lines.values():
            if line.feedback is NOT_REACHED:
                line.feedback = GRADER_FAULT
