"""What stands behind a rubric line, for a complaint: the evidence, and chance's share in it.

A submission is opened, staged and asked as in grading, behind the same walls. One line of it
is graded again; where that line depends on a training, its network is also trained with many
seeds, several at once, every epoch of each.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.confined.confine import Limits, close_to_others
from autograder.homework import STUDENT_MODULES, SUITES, VERDICTS
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import TrainingRules
from autograder.hw5.described import Model
from autograder.hw5.examination import Examination, Untrainable
from autograder.hw5.figures import figures
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.mnist import TRAINING_FILES
from autograder.hw5.network_figures import network_figures
from autograder.hw5.secrets import SECRETS
from autograder.rubric.evidence import Kept
from autograder.rubric.feedback import Feedback
from autograder.rubric.outline import outline
from autograder.rubric.plugin import Flag, GradingPlugin, RubricLine, run_suites
from autograder.sandbox.client import Sandbox
from autograder.sandbox.errors import IndigestibleReply, WorkerError
from autograder.sandbox.unpacking import take_limited
from autograder.staff.calibration import RUN_SECONDS, rules_of, seed_job
from autograder.training.job import TrainingResult, Trial
from autograder.training.machine import cores
from autograder.training.trainer import Trainers

TRAINED_LINES = {"2b.3": "fc", "2c.4": "cnn"}  # lines that a training decides, with its network


@dataclass(frozen=True)
class SeedRuns:
    """A network trained with many seeds, each to its last epoch; in the order of the seeds.

    shortened: how the trainings were shortened to fit the time that one may take
    """

    trials: Sequence[Trial]
    shortened: str = ""

    @property
    def best(self) -> list[float]:
        """Each training's best test accuracy of any epoch, which is what a verdict looks at."""
        return [trial.best for trial in self.trials]


@dataclass(frozen=True)
class NetworkEvidence:
    """What stands behind the accuracy of a network.

    network: its layers, settings and size, as extra_data has them
    own_run: the trainings that decided on the points; None where it can't be trained
    seeds:   the same network with many seeds; None where it can't be trained
    """

    rules: TrainingRules
    network: dict[str, Any]
    own_run: TrainingResult | None
    seeds: SeedRuns | None


@dataclass(frozen=True)
class Explanation:
    """A rubric line graded again, and all that staff may know about it.

    errors:  what workers raised over it, whole
    doubt:   why a person should look at the line, where something says so
    workers: how each worker ended
    """

    line: RubricLine
    errors: Sequence[WorkerError]
    flags: Sequence[Flag]
    faults: dict[str, str]
    doubt: str
    workers: Sequence[dict[str, Any]]
    seed: int
    network: NetworkEvidence | None = None


@dataclass
class Session:
    """A submission that is open to be asked."""

    examination: Examination
    trainers: Trainers
    errors: list[WorkerError] = field(default_factory=list)

    def explain(
        self, number: str, seeds: Sequence[int], say: Callable[[Trial, int], None]
    ) -> Explanation:
        """Grade a line, and train its network with the seeds where a training decides it.

        say: told of each seed's training as it ends, and how many have ended
        """
        examination = self.examination
        expected = outline(SUITES, examination.assignment, frozenset({number}))
        plugin = GradingPlugin(
            examination,
            frozenset({number}),
            lambda lines: None,
            self._explained,
            VERDICTS,
            expected,
        )
        run_suites(plugin, SUITES)
        kind = TRAINED_LINES.get(number)
        return Explanation(
            line=plugin.lines[number],
            errors=list(self.errors),
            flags=plugin.flags,
            faults=plugin.faults,
            doubt=figures(examination)["for_a_person"].get(number, ""),
            workers=list(examination.sandbox.endings),
            seed=examination.seed,
            network=None if kind is None else self._network(kind, seeds, say),
        )

    def _explained(self, error: WorkerError) -> Feedback:
        self.errors.append(error)
        return of_error(error)

    def _network(
        self, kind: str, seeds: Sequence[int], say: Callable[[Trial, int], None]
    ) -> NetworkEvidence | None:
        examination = self.examination
        model = examination.cnn if kind == "cnn" else examination.fully_connected
        training: Kept[TrainingResult | Untrainable] = (
            examination.cnn_training if kind == "cnn" else examination.fully_connected_training
        )
        described, result = model.peek(), training.peek()
        if described is None:
            return None
        own_run = result if isinstance(result, TrainingResult) else None
        rules = rules_of(examination.assignment, kind)
        runs = None
        if own_run is not None:
            runs = train_with_seeds(self.trainers, described, rules, seeds, say)
        return NetworkEvidence(rules, network_figures(described), own_run, runs)


def train_with_seeds(
    trainers: Trainers,
    model: Model,
    rules: TrainingRules,
    seeds: Sequence[int],
    say: Callable[[Trial, int], None],
) -> SeedRuns:
    """Train a network once with each seed, one process for each core, all of its epochs."""
    limits = {"cpu_seconds": rules.cpu_seconds, "shorten": True}  # as in the grader's own run
    done: dict[int, TrainingResult] = {}
    pool = ThreadPoolExecutor(cores(), thread_name_prefix="seed")
    try:
        waiting = {
            pool.submit(trainers.train, job, RUN_SECONDS, _ignored): job.seeds[0]
            for job in (seed_job(model, rules, seed, **limits) for seed in seeds)
        }
        for future in as_completed(waiting):
            done[waiting[future]] = result = future.result()
            say(result.best, len(done))
    except BaseException:  # one failed, or whoever waits has had enough: the others end too
        trainers.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return SeedRuns([done[seed].best for seed in seeds], done[seeds[0]].shortened)


def _ignored(event: dict[str, Any]) -> None:
    """An epoch has ended; what is told is whole trainings."""


@contextlib.contextmanager
def opened(source: Path, *, unsafe_local: bool = False) -> Iterator[Session]:
    """Open a submission as a run of the grader does, for as long as the block lasts.

    Raises what intake raises (IntakeError, Unpackable), and SandboxFault where nothing keeps the
    submission's code from the grader's files.
    """
    close_to_others()
    assignment = assignments.load().on(cores()).model_copy(update={"pictures": False})
    trainers = Trainers()
    with tempfile.TemporaryDirectory(prefix="autograder-") as staged:
        submission = take_limited(source, Path(staged))
        limits = Limits(**assignment.worker.model_dump())
        sandbox = Sandbox(submission.folder, STUDENT_MODULES, limits, TRAINING_FILES)
        examination = Examination(submission, assignment, sandbox, trainers=trainers)
        with tempfile.TemporaryDirectory(prefix="autograder-") as own, contextlib.closing(sandbox):
            try:
                examination.start()
                sandbox.preflight(SECRETS, Path(own) / "results.json", unsafe=unsafe_local)
                yield Session(examination, trainers)
            finally:
                examination.stop()


def message_of(error: WorkerError) -> str:
    """All that is known about a worker's error, nothing cut."""
    trace = f"\n{error.trace}" if isinstance(error, IndigestibleReply) else ""
    return f"{type(error).__name__} while {error.doing}: {vars(error)}{trace}"
