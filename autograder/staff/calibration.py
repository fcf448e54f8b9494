"""How often chance alone would change a verdict, measured: trainings over many seeds.

Many are under way at once (`executor`), each a run of the grader. Every one is kept as a line of
JSON, so an interrupted calibration goes on where it was, and the report is computed from the lines
alone (calibration_report.py).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from autograder.homework import VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5 import mnist
from autograder.hw5.assignment import Assignment, TrainingRules
from autograder.hw5.described import Model
from autograder.hw5.examination import Examination
from autograder.hw5.probes.given_model import SIZES
from autograder.hw5.probes.vit import train_briefly
from autograder.rubric.evidence import Kept
from autograder.staff.classroom.records import write_text
from autograder.staff.executor.cluster import ClusterError
from autograder.staff.executor.one_core import SLACK_SECONDS
from autograder.staff.executor.task import Executor, Run
from autograder.staff.grader import Grader
from autograder.staff.solutions import Kind, Solution, placed
from autograder.training.job import TrainingJob
from autograder.training.trainer import Trainers
from provided.mnist import CHECKSUMS

UNREACHABLE = 1.01  # an accuracy that no model reaches: every epoch is trained
RUN_SECONDS = 3_600
KINDS = ("fc", "cnn", "vit")
DIGEST_LENGTH = 12

Say = Callable[[str], None]


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


@dataclass(frozen=True)
class Calibration:
    """What is to be measured, and where that is written.

    folder:  a new one, for all that is made on the way; every worker has to see it
    record:  a line for each run that was measured
    files:   assignment.yaml and homework.yaml
    """

    folder: Path
    record: Path
    files: tuple[Path, Path] = (assignments.FILE, VALUES_FILE)

    def runs(
        self, solutions: Iterable[Solution], kinds: Iterable[str], seeds: range
    ) -> Iterator[tuple[Run, CalibrationRun]]:
        """What the record lacks: the runs that measure it, and what will be known of each."""
        assignment = assignments.load(*self.files)
        digests = {kind: digest_of(assignment, kind) for kind in kinds}
        done = {
            (run.submission, run.kind, run.seed)
            for run in read_record(self.record)
            if run.settings == digests.get(run.kind)
        }
        options: list[str] = []
        for option, file in zip(("--assignment", "--homework"), self.files, strict=True):
            copy = self.folder / file.name
            shutil.copyfile(file, copy)
            options += [option, str(copy)]
        for solution in solutions:
            wanted = [(kind, seed) for kind in digests for seed in seeds]
            missing = [one for one in wanted if (solution.name, *one) not in done]
            place = placed(solution, self.folder) if missing else self.folder
            for kind, seed in missing:
                told = ("measure", str(place), "--kind", kind, "--seed", str(seed), *options)
                name = f"{place.name}-{kind}-{seed}"
                run = Run(name, str(self.folder), told, RUN_SECONDS + SLACK_SECONDS)
                yield run, CalibrationRun(solution.name, kind, seed, [], digests[kind])

    def measure_all(
        self, runs: Iterable[tuple[Run, CalibrationRun]], executor: Executor, say: Say
    ) -> list[str]:
        """Append each run to the record as it comes; a sentence for each that failed.

        At the end the record has them in their own order, whatever came first. Raises
        ClusterError.
        """
        before = _lines(self.record)
        known: dict[str, CalibrationRun] = {}
        measured: dict[str, str] = {}
        troubles: list[str] = []

        def told() -> Iterator[Run]:
            for run, empty in runs:
                known[run.id] = empty
                yield run

        try:
            for ended in executor.run(told()):
                if ended.stop:
                    raise ClusterError(f"Stopped. {ended.stop} Then run the same command again.")
                one = known[ended.id]
                where = f"{one.submission} {one.kind} seed {one.seed}"
                if ended.trouble:
                    troubles.append(f"{where} could not be measured: {ended.trouble}")
                    say(troubles[-1])
                    continue
                content = json.loads((self.folder / f"{ended.id}.json").read_bytes())
                run = replace(one, **content)
                measured[ended.id] = json.dumps(asdict(run))
                with self.record.open("a", encoding="utf-8") as file:
                    file.write(measured[ended.id] + "\n")
                say(f"{where}: best {run.best:.4f}")
        finally:
            in_order = [measured[name] for name in known if name in measured]
            write_text(self.record, (f"{line}\n" for line in (*before, *in_order)))
        return troubles


def measure(source: Path, kind: str, seed: int, assignment: Assignment) -> dict[str, list[float]]:
    """One training of a submission's model, in this process: what a record has of it."""
    grader = Grader(None, assignment)
    try:
        with grader.examine(Solution(Kind.REFERENCE, source.name, source)) as examination:
            accuracies, losses = _one_run(examination, grader.trainers, kind, seed)
    finally:
        grader.close()
    return {"test_accuracy": accuracies, "validation_loss": losses}


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
    return [CalibrationRun(**json.loads(line)) for line in _lines(record)]


def _lines(record: Path) -> list[str]:
    if not record.exists():
        return []
    return [line for line in record.read_text(encoding="utf-8").splitlines() if line]


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
