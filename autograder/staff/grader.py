"""Solutions graded in this process: for what asks about the reference alone, and for tests.

What grades many is `validation.py`, by the grader's own command.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import torch

from autograder.confined.confine import Limits, close_to_others
from autograder.homework import STUDENT_MODULES, SUITES, VERDICTS
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.hw5.examination import Examination
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.mnist import TRAINING_FILES
from autograder.intake.submission import take
from autograder.rubric.plugin import GradingPlugin, RubricLine, number_of, run_suites
from autograder.sandbox.client import Sandbox
from autograder.sandbox.fork_server import ForkServer
from autograder.staff.solutions import Solution
from autograder.staff.validation import LineOutcome, Outcome, asked_of
from autograder.training.carry_over import CarryOver
from autograder.training.store import TrainingStore
from autograder.training.trainer import Trainers


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
        self._trainings = trainings
        self._zygote = ForkServer("worker")
        self.trainers = Trainers()
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
            shared = (
                None if self._trainings is None else TrainingStore(self._trainings, CarryOver())
            )
            examination = Examination(
                submission, self.assignment, sandbox, carry_over=shared, trainers=self.trainers
            )
            try:
                yield examination
            finally:
                if shared is not None:
                    shared.release()

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
            return asked_of(solution, number_of(item))

        return asks


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
