"""Solutions graded inside the test process, in milliseconds: for tests of verdicts alone.

The questions and the answers are the real ones; what is missing is the process boundary
between them, which our own solutions don't need. Trainings are not run: they end with the
accuracy that the solution's expected points stand for.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import inspect
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch.overrides import TorchFunctionMode

from autograder.confined import wire
from autograder.confined.describing import Refusal
from autograder.confined.worker import (
    SubmissionFinder,
    describe_exception,
    describe_refusal,
    frame_of,
)
from autograder.homework import GIVEN_CODE, STUDENT_MODULES, SUITES
from autograder.hw5 import assignment as assignments
from autograder.hw5.confined.questions import Questions
from autograder.hw5.examination import Examination
from autograder.hw5.mistakes.layer_construction import MAPS_NOT_RETURNED
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.mnist import TRAINING_FILES
from autograder.intake.submission import take
from autograder.rubric.feedback import Rejected
from autograder.rubric.plugin import NOT_REACHED, RubricLine
from autograder.sandbox.budget import Budget
from autograder.sandbox.errors import InvalidReply, Refused, StudentCodeRaised, WorkerError
from autograder.staff.solutions import Kind, Solution, load_solutions
from autograder.staff.validation import WEIGHTS_LINE, LineOutcome, Outcome
from autograder.training.job import Ending, TrainingJob, TrainingResult, Trial
from provided.training import Epoch

from .conftest import stand_ins

ON_ONE_CORE = pytest.mark.xdist_group("recorded mistakes")  # which are recorded once there
TRAINED_LINES = {"3c.1", "3c.4"}  # what they come to shows only after a real training
STUDENT_FILES = (
    *(STUDENT_MODULES - {GIVEN_CODE.name}), "provided.multi_head", "provided.vision_transformer",
)  # fmt: skip
SLOW = {  # trainings cut down to a moment
    "steps": 1,
    "training_images": 64,
    "test_images": 100,
    "accuracy": 0.0,
}


class Telling(TorchFunctionMode):
    """Tells which functions of torch are called: a worker's watch is for good, this one isn't."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._tell({"called": getattr(func, "__name__", "")})
        return func(*args, **(kwargs or {}))


class LocalWorker:
    """Answers as a worker does, in this process."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder = folder
        files = {name: os.open(TRAINING_FILES[name], os.O_RDONLY) for name in names}
        self._files = files
        self._answerer = Questions(files, progress=lambda content: None)

    def ask(
        self,
        question: str,
        schema: Any,
        *,
        seconds: float,
        doing: str,
        tensors: Any = None,
        on_progress: Any = None,
        **content: Any,
    ) -> Any:
        sent = {name: value.clone() for name, value in (tensors or {}).items()}
        message = wire.Message({"ask": question, **content}, sent)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a worker has no filter that makes errors of them
                with Telling(on_progress or (lambda told: None)):
                    answer = self._answerer.answer(message)
        except Refusal as problem:
            answer = wire.Message({"refusal": describe_refusal(problem)})
        except BaseException as problem:  # noqa: BLE001  as in a worker
            answer = wire.Message({"error": describe_exception(problem, self._folder)})
        try:
            reply = received(frame_of(answer))
        except wire.WireError as problem:
            raise self.refuse(str(problem), doing) from None
        if set(reply.content) & {"error", "refusal"}:
            error = (
                StudentCodeRaised(**reply.content["error"])
                if "error" in reply.content
                else Refused("Refusal", **reply.content["refusal"], line=None)
            )
            error.doing = doing
            raise error
        return schema.model_validate(reply.content), reply.tensors

    def refuse(self, problem: str, doing: str) -> WorkerError:
        error = InvalidReply(problem)
        error.doing = doing
        return error

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])


def received(frame: bytes) -> wire.Message:
    """A frame as it arrives on the other side."""
    json_bytes, _ = wire.LENGTHS.unpack(frame[: wire.LENGTHS.size])
    start = wire.LENGTHS.size + json_bytes
    text, tensors = frame[wire.LENGTHS.size : start], frame[start:]
    return wire.Message(wire.decode_json(text), wire.decode_tensors(tensors))


class LocalSandbox:
    """Starts workers that are none; each sees freshly imported student modules."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def within(self, budget: Budget) -> LocalSandbox:
        return self

    @contextlib.contextmanager
    def worker(self, *files: str) -> Iterator[LocalWorker]:
        finder = SubmissionFinder(self._folder, STUDENT_MODULES)
        forget_student_modules()
        sys.meta_path.insert(0, finder)
        worker = LocalWorker(self._folder, files)
        try:
            with stand_ins(self._folder):
                yield worker
        finally:
            worker.close()
            sys.meta_path.remove(finder)
            forget_student_modules()


def forget_student_modules() -> None:
    for name in STUDENT_FILES:
        sys.modules.pop(name, None)


class LocalTrainers:
    """Ends every training at the accuracy that earns the points that are expected."""

    def __init__(self, solution: Solution) -> None:
        self._solution = solution

    def train(self, job: TrainingJob, seconds: float, on_event: Any) -> TrainingResult:
        assignment = assignments.load()
        is_cnn = any(layer["kind"] == "Conv2d" for layer in job.layers)
        line, part = ("2c.4", assignment.cnn) if is_cnn else ("2b.3", assignment.fully_connected)
        points = self._solution.expected.points(line, 99)[0]
        bars = {bar.points: bar.accuracy for bar in part.training.partial}
        accuracy = bars.get(points, 0.5 if points < 99 else job.accuracy)
        epochs = [Epoch(n, 0.3, 0.3, 0.9, 0.9) for n in range(1, job.settings["epochs"] + 1)]
        trial = Trial(0, epochs, [accuracy] * len(epochs))
        return TrainingResult([trial], Ending.REACHED if accuracy >= job.accuracy else "missed")


@contextlib.contextmanager
def examine(solution: Solution) -> Iterator[Examination]:
    """A solution's examination; it lives as long as the block."""
    assignment = assignments.load()
    brief = assignment.transformer.brief.model_copy(update=SLOW)
    transformer = assignment.transformer.model_copy(update={"brief": brief})
    assignment = assignment.model_copy(update={"transformer": transformer, "pictures": False})
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as taken:
        submission = take(solution.assemble(Path(whole)), Path(taken))
        yield Examination(
            submission,
            assignment,
            LocalSandbox(submission.folder),  # type: ignore[arg-type]
            seed=1,
            trainers=LocalTrainers(solution),  # type: ignore[arg-type]
        )


@contextlib.contextmanager
def examine_files(files: Mapping[str, str]) -> Iterator[tuple[Solution, Examination]]:
    """The examination of some files' text, the reference's in place of the others."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        solution = Solution(Kind.ALTERNATIVES, "text", Path(folder), tuple(files))
        with examine(solution) as examination:
            yield solution, examination


def judge(solution: Solution, exam: Examination, only: set[str] | None = None) -> Outcome:
    """The verdicts on some lines, or on all of the parts that a solution can change."""
    lines = {}
    for number, test in suite_tests().items():
        if (number in only) if only is not None else (number.split(".")[0] in solution.parts):
            lines[number] = judge_line(number, test, exam)
    return Outcome(solution, lines)


def judge_line(number: str, test: Callable[..., None], exam: Examination) -> LineOutcome:
    """What one rubric line comes to, as the plugin judges it."""
    line = judged_line(number, test, exam)
    text = " ".join(line.feedback.lines())
    return LineOutcome(line.earned, line.points, line.feedback.diagnosis, text)


def judged_line(number: str, test: Callable[..., None], exam: Examination) -> RubricLine:
    """One rubric line with its feedback, as the plugin judges it."""
    line = RubricLine(number, (test.__doc__ or "").strip(), float(test.__weight__))
    fixtures = {
        "exam": exam,
        "assignment": exam.assignment,
        "submission": exam.submission,
        "line": line,
    }
    try:
        test(**{name: fixtures[name] for name in inspect.signature(test).parameters})
        line.earned = line.points
        if line.feedback is NOT_REACHED:
            line.say("Correct.")
    except Rejected as rejected:
        line.earned, line.feedback = rejected.points, rejected.feedback
    except WorkerError as problem:
        line.feedback = of_error(problem, exam.submission.code)
    return line


_tests: dict[str, Callable[..., None]] = {}


def suite_tests() -> dict[str, Callable[..., None]]:
    """Every rubric line's test function, by number."""
    if not _tests:
        for file in sorted(SUITES.glob("test_*.py")):
            spec = importlib.util.spec_from_file_location(f"suite_{file.stem}", file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            for value in vars(module).values():
                if hasattr(value, "__number__"):
                    _tests[value.__number__] = value
    return dict(sorted(_tests.items()))


@dataclass(frozen=True)
class Recorded:
    """A mistake with its evidence, gathered once, and what it came to."""

    solution: Solution
    exam: Examination
    asked: frozenset[str]
    outcome: Outcome

    def judge_again(self) -> Outcome:
        """The same evidence, judged by whatever the verdicts are now.

        What is rejected while evidence is gathered, as an untrainable model, is tried again.
        """
        for kept in (
            self.exam.fully_connected_training,
            self.exam.cnn_training,
            self.exam.transformer_weights,
        ):
            kept._future = None
        return judge(self.solution, self.exam, set(self.asked))


MISTAKES = {solution.name: solution for solution in load_solutions([Kind.MISTAKES])}
_opened = contextlib.ExitStack()
atexit.register(_opened.close)


@cache
def recorded(name: str) -> Recorded:
    """A mistake, graded on the lines that it must lose and that can be asked here."""
    solution = MISTAKES[name]
    exam = _opened.enter_context(examine(solution))
    asked = set(solution.expected.lost)
    if not solution.asked_for_weights:
        asked.discard(WEIGHTS_LINE)
    if solution.expected.named("3c.4") != MAPS_NOT_RETURNED.id:
        asked -= TRAINED_LINES
    return Recorded(solution, exam, frozenset(asked), judge(solution, exam, asked))
