"""Proof that the grader is right: every solution graded, and compared with what is known.

Solutions are graded by the suites and the sandbox that grade students, several in each of
as many processes as there are cores. Of a solution that changes some files of the
reference only the parts are graded that these files can change. Identical trainings are
done once.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import pytest
import torch

from autograder.confined.confine import Limits, close_to_others
from autograder.homework import HEAD, LAYER, STUDENT_MODULES, SUITES, VERDICTS
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.hw5.examination import Examination
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.mnist import TRAINING_FILES
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.vit import TransformerRun
from autograder.intake.submission import Submission, take
from autograder.rubric.evidence import Kept
from autograder.rubric.plugin import GradingPlugin, RubricLine, number_of, run_suites
from autograder.sandbox.client import Sandbox
from autograder.sandbox.fork_server import ForkServer
from autograder.staff.solutions import Kind, Solution
from autograder.training.carry_over import CarryOver
from autograder.training.job import TrainingJob, TrainingResult
from autograder.training.machine import cores
from autograder.training.trainer import Trainers

WEIGHTS_LINE = "3c.2"


@dataclass(frozen=True)
class LineOutcome:
    """What a rubric line came to."""

    earned: float
    points: float
    diagnosis: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """What a solution came to: the lines that were asked, and faults of the grader.

    collected: every line that the suites have; without trainings, those that need none
    """

    solution: Solution
    lines: dict[str, LineOutcome]
    faults: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    collected: frozenset[str] = frozenset()

    @property
    def lost(self) -> list[str]:
        """Lines without full points."""
        return [number for number, line in self.lines.items() if line.earned < line.points]

    @property
    def diagnoses(self) -> list[str]:
        """Every diagnosis that was named, once."""
        return list(dict.fromkeys(one.diagnosis for one in self.lines.values() if one.diagnosis))

    def differences(self) -> list[str]:
        """Where it isn't what the solution expects, a sentence each."""
        solution = self.solution
        found = [f"{place}: a fault of the grader\n{text}" for place, text in self.faults.items()]
        if solution.kind is Kind.TEMPLATE:
            return found + [text for name, one in self.lines.items() for text in _unkind(name, one)]
        if solution.kind is Kind.MISTAKES and not solution.expected.lost:
            found.append("it expects full marks, which no mistake may get")
        for number, line in self.lines.items():
            found += _differences(solution, number, line)
        unknown = [n for n in solution.expected.lost if n.split(".")[0] not in solution.parts]
        return found + [f"{number}: none of its files can change this line" for number in unknown]


def _differences(solution: Solution, number: str, line: LineOutcome) -> Iterator[str]:
    points = solution.expected.points(number, line.points)
    if line.earned not in points:
        wanted = " or ".join(f"{one:g}" for one in points)
        yield f"{number}: {line.earned:g} points, expected {wanted}: {line.text}"
    elif solution.expected.named(number) not in ("", line.diagnosis):
        yield (
            f"{number}: names {line.diagnosis or 'nothing'}, expected "
            f"{solution.expected.named(number)}: {line.text}"
        )


def _unkind(number: str, line: LineOutcome) -> Iterator[str]:
    """What is wrong with a line of the untouched template."""
    if line.earned:
        yield f"{number}: {line.earned:g} points for the untouched template"
    kind = ("Not done yet", "Not answered yet", "artifacts/", "No trained weights")
    if not line.text.startswith(kind) or "Traceback" in line.text:
        yield f"{number}: no kind message: {line.text}"


class SharedTrainings(CarryOver):
    """Trainings that several processes share through a folder: each job is done once.

    While one process trains, others that need the same result wait for its file's lock.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._locked: dict[str, IO[str]] = {}

    def find(self, topic: str, job: TrainingJob) -> TrainingResult | None:
        """The result of an identical job; where there is none, the caller is to train."""
        key = _key(job)
        stream = (self._folder / key).open("a+", encoding="utf-8")
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        text = stream.read()
        if not text:
            self._locked[key] = stream
            return None
        stream.close()
        return TrainingResult.read(json.loads(text))

    def keep(self, topic: str, job: TrainingJob, result: TrainingResult) -> None:
        """Leave a result for the others."""
        key = _key(job)
        with self._locked.pop(key) as stream:
            stream.write(json.dumps(result.written()))

    def release(self) -> None:
        """Give up trainings that failed, for others to try."""
        while self._locked:
            self._locked.popitem()[1].close()


def _key(job: TrainingJob) -> str:
    """A name that two jobs share where they are the same."""
    return hashlib.sha256(job.model_dump_json().encode()).hexdigest()


class Grader:
    """Grades solutions one after the other in this process.

    trainings:  a folder for shared trainings; None leaves out every line that needs a training
    assignment: other rules than those of assignment.yaml
    suites:     the folder of the tests that grade
    """

    def __init__(
        self,
        trainings: Path | None,
        assignment: Assignment | None = None,
        suites: Path = SUITES,
    ) -> None:
        self.suites = suites
        rules = assignment or assignments.load()
        self.assignment = rules.model_copy(update={"pictures": False})
        self.limits = Limits(**self.assignment.worker.model_dump())
        self._with_training = trainings is not None
        self._shared = SharedTrainings(trainings) if trainings is not None else None
        self._zygote = ForkServer("worker")
        self.trainers = Trainers()
        self._transformers: dict[str, Kept[TransformerRun]] = {}
        torch.set_num_threads(1)  # processes side by side are faster than threads
        close_to_others()

    def close(self) -> None:
        """End what forks workers and trainings."""
        self._zygote.close()
        self.trainers.stop()

    def grade(self, solution: Solution) -> Outcome:
        """Grade one solution, the lines that it is to be asked."""
        with self.examine(solution) as examination:
            return self.judge(solution, examination)

    @contextlib.contextmanager
    def examine(self, solution: Solution) -> Iterator[Examination]:
        """A solution's examination, which gathers evidence as it is asked."""
        with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as taken:
            submission = take(solution.assemble(Path(whole)), Path(taken))
            sandbox = Sandbox(
                submission.folder, STUDENT_MODULES, self.limits, TRAINING_FILES, zygote=self._zygote
            )
            examination = Examination(
                submission,
                self.assignment,
                sandbox,
                carry_over=self._shared,
                trainers=self.trainers,
            )
            self._share_transformer(examination, submission)
            try:
                yield examination
            finally:
                if self._shared is not None:
                    self._shared.release()

    def judge(self, solution: Solution, examination: Examination) -> Outcome:
        """Run the suites on the evidence."""
        plugin = SolutionPlugin(
            examination,
            solution.parts,
            lambda lines: None,
            partial(of_error, code=examination.submission.code),
            VERDICTS,
            asks=self._asks(solution),
            training=self._with_training,
        )
        run_suites(plugin, self.suites)
        lines = {number: _outcome(line) for number, line in plugin.lines.items()}
        flagged = {flag["line"]: f"{flag['what']}\n{flag['trace']}" for flag in plugin.flags}
        faults = {**flagged, **plugin.faults}
        return Outcome(solution, lines, faults, examination.seed, frozenset(plugin.collected))

    def _asks(self, solution: Solution) -> Callable[[pytest.Item], bool]:
        def asks(item: pytest.Item) -> bool:
            if not self._with_training and item.get_closest_marker("slow"):
                return False
            return solution.asked_for_weights or number_of(item) != WEIGHTS_LINE

        return asks

    def _share_transformer(self, examination: Examination, submission: Submission) -> None:
        """Train a Vision Transformer once for all solutions that are the same in it."""
        compute = examination.transformer_training.get

        def shared() -> TransformerRun:
            heads = examination.heads()
            own = submission.code.get(HEAD.file, "") if heads is Heads.STUDENT else ""
            key = "\0".join((heads.value, own, submission.code.get(LAYER.file, "")))
            return self._transformers.setdefault(key, Kept(compute)).get()

        examination.transformer_training = Kept(shared)


@dataclass
class SolutionPlugin(GradingPlugin):
    """The grading plugin, for some of the lines.

    asks:      whether a test is run
    training:  whether lines that need a training are graded at all
    collected: the lines of all tests that there are, then
    """

    asks: Callable[[pytest.Item], bool] = lambda item: True
    training: bool = True
    collected: set[str] = field(default_factory=set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what isn't asked, then go on as always."""
        asked = [one for one in items if self.training or not one.get_closest_marker("slow")]
        self.collected = {number for number in map(number_of, asked) if number}
        items[:] = [item for item in items if self.asks(item)]
        super().pytest_collection_modifyitems(items)


def _outcome(line: RubricLine) -> LineOutcome:
    text = " ".join(line.feedback.lines())
    return LineOutcome(line.earned, line.points, line.feedback.diagnosis, text)


def validate(solutions: list[Solution], training: bool) -> Iterator[Outcome]:
    """Grade all solutions, on every core; yields each outcome as it comes."""
    with tempfile.TemporaryDirectory(prefix="autograder-trainings-") as folder:
        pool = ProcessPoolExecutor(
            min(cores(), len(solutions)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(Path(folder) if training else None,),
        )
        with pool:
            for done in as_completed([pool.submit(_grade, one) for one in solutions]):
                yield done.result()


_grader: Grader | None = None


def _start(trainings: Path | None) -> None:
    """Begin a process of the pool."""
    global _grader
    _grader = Grader(trainings)
    atexit.register(_grader.close)


def _grade(solution: Solution) -> Outcome:
    assert _grader is not None
    return _grader.grade(solution)
