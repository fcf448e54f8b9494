"""How often chance alone would change a verdict, measured: trainings over many seeds.

Every run is kept as a line of JSON, so an interrupted calibration goes on where it was, and
the report is computed from the lines alone (calibration_report.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from autograder.hw5 import mnist
from autograder.hw5.assignment import Assignment, TrainingRules
from autograder.hw5.described import Model
from autograder.hw5.examination import Examination
from autograder.hw5.probes.given_model import SIZES
from autograder.hw5.probes.vit import train_briefly
from autograder.rubric.evidence import Kept
from autograder.staff.solutions import Solution
from autograder.staff.validation import Grader
from autograder.training.job import TrainingJob
from autograder.training.trainer import Trainers
from provided.mnist import CHECKSUMS

UNREACHABLE = 1.01  # an accuracy that no model reaches: every epoch is trained
RUN_SECONDS = 3_600
KINDS = ("fc", "cnn", "vit")
DIGEST_LENGTH = 12


@dataclass(frozen=True)
class CalibrationRun:
    """One seed of one submission's model: test accuracy after each epoch, or at the end.

    settings:        stands for all that it was trained with beside its own code, see `digest_of`
    validation_loss: after each epoch too; none of it in older records, nor of a brief training
    """

    submission: str
    kind: str
    seed: int
    test_accuracy: list[float]
    settings: str
    validation_loss: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The best epoch, which is what a verdict looks at."""
        return max(self.test_accuracy, default=0.0)

    @property
    def by_validation(self) -> float | None:
        """The test accuracy after the epoch with the lowest validation loss; None if unknown."""
        if not self.validation_loss:
            return None
        return self.test_accuracy[self.validation_loss.index(min(self.validation_loss))]

    def epochs_to(self, accuracy: float) -> int | None:
        """The first epoch that reaches an accuracy."""
        return next((i for i, a in enumerate(self.test_accuracy, 1) if a >= accuracy), None)


def calibrate(
    solutions: Iterable[Solution],
    kinds: Iterable[str],
    seeds: range,
    record: Path,
    assignment: Assignment,
    say: Callable[[str], None],
) -> None:
    """Train each solution's models with each seed; append what is missing to the record."""
    done = {
        (run.submission, run.kind, run.seed)
        for run in read_record(record)
        if run.settings == digest_of(assignment, run.kind)
    }
    grader = Grader(None, assignment)
    try:
        for solution in solutions:
            with grader.examine(solution) as examination:
                for kind in kinds:
                    for seed in seeds:
                        if (solution.name, kind, seed) in done:
                            continue
                        accuracies, losses = _one_run(examination, grader.trainers, kind, seed)
                        digest = digest_of(assignment, kind)
                        run = CalibrationRun(solution.name, kind, seed, accuracies, digest, losses)
                        with record.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(asdict(run)) + "\n")
                        say(f"{solution.name} {kind} seed {seed}: best {run.best:.4f}")
    finally:
        grader.close()


def _one_run(
    examination: Examination, trainers: Trainers, kind: str, seed: int
) -> tuple[list[float], list[float]]:
    """Test accuracy and validation loss after each epoch."""
    assignment = examination.assignment
    if kind == "vit":
        run = train_briefly(
            examination.sandbox,
            assignment,
            examination.data,
            examination.heads(),
            lambda topic, text: None,
            seed=seed,
        )
        return [run.accuracy], []
    model: Kept[Model] = examination.cnn if kind == "cnn" else examination.fully_connected
    job = seed_job(model.get(), rules_of(assignment, kind), seed)
    trial = trainers.train(job, RUN_SECONDS, lambda event: None).best
    return trial.test_accuracy, [round(one.validation_loss, 5) for one in trial.epochs]


def seed_job(model: Model, rules: TrainingRules, seed: int, **limits: Any) -> TrainingJob:
    """A training with one seed that goes on to the last epoch, whatever it reaches.

    limits: what the job may take, as a verdict's job has it; without them it may take any time
    """
    if model.settings is None:
        raise ValueError(model.settings_problem)
    return TrainingJob.of(
        model.layers,
        model.settings,
        data=str(mnist.DATA),
        accuracy=UNREACHABLE,
        retry_margin=0.0,
        seeds=[seed],
        training_images=rules.training_images,
        **limits,
    )


def read_record(record: Path) -> list[CalibrationRun]:
    """The runs that were measured so far."""
    if not record.exists():
        return []
    lines = record.read_text(encoding="utf-8").splitlines()
    return [CalibrationRun(**json.loads(line)) for line in lines if line]


def digest_of(assignment: Assignment, kind: str) -> str:
    """Stands for the settings that a training of this kind depends on, its bar aside."""
    depends_on: dict[str, Any] = {"training": assignment.training.model_dump(), "data": CHECKSUMS}
    if kind == "vit":
        depends_on["brief"] = assignment.transformer.brief.model_dump(exclude={"accuracy"})
        depends_on["sizes"] = asdict(SIZES)
    else:
        depends_on["images"] = rules_of(assignment, kind).training_images
    text = json.dumps(depends_on, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def rules_of(assignment: Assignment, kind: str) -> TrainingRules:
    """The rules that a kind of model is judged by."""
    return (assignment.cnn if kind == "cnn" else assignment.fully_connected).training
