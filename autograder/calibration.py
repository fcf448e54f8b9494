"""How often chance alone would fail correct work, measured: trainings over many seeds.

Every run is kept as a line of JSON, so an interrupted calibration goes on where it was, and
the report is computed from the lines alone. A verdict fails by chance where the best epoch
of the first seed misses the bar and the retries miss it too.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autograder import mnist
from autograder.assignment import Assignment, TrainingRules
from autograder.examination import Examination, Kept, Model
from autograder.intake import take
from autograder.sandbox.client import Sandbox
from autograder.sandbox.confine import Limits
from autograder.solutions import Solution
from autograder.training import Trainers, TrainingJob
from autograder.transformer import DATA_FILES, train_briefly

CONFIDENCE = 0.95
UNREACHABLE = 1.01  # an accuracy that no model reaches: every epoch is trained
RUN_SECONDS = 3_600
KINDS = ("fc", "cnn", "vit")


@dataclass(frozen=True)
class CalibrationRun:
    """One seed of one submission's model: test accuracy after each epoch, or at the end."""

    submission: str
    kind: str
    seed: int
    test_accuracy: list[float]

    @property
    def best(self) -> float:
        """The best epoch, which is what a verdict looks at."""
        return max(self.test_accuracy, default=0.0)

    def epochs_to(self, accuracy: float) -> int | None:
        """The first epoch that reaches an accuracy."""
        return next((i for i, a in enumerate(self.test_accuracy, 1) if a >= accuracy), None)


def calibrate(
    solutions: Iterable[Solution],
    kinds: Iterable[str],
    seeds: range,
    record: Path,
    assignment: Assignment,
    workspace: Path,
    say: Callable[[str], None],
) -> None:
    """Train each solution's models with each seed; append what is missing to the record."""
    workspace.chmod(0o711)  # the workers' user has to pass through
    done = {(run.submission, run.kind, run.seed) for run in read_record(record)}
    for solution in solutions:
        whole = solution.assemble(workspace / f"{solution.name}-whole")
        submission = take(whole, workspace / solution.name)
        limits = Limits(**assignment.worker.model_dump())
        sandbox = Sandbox(submission.folder, limits, DATA_FILES)
        examination = Examination(submission, assignment, sandbox)
        try:
            for kind in kinds:
                for seed in seeds:
                    if (solution.name, kind, seed) in done:
                        continue
                    accuracies = _one_run(examination, kind, seed)
                    run = CalibrationRun(solution.name, kind, seed, accuracies)
                    with record.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(run)) + "\n")
                    say(f"{solution.name} {kind} seed {seed}: best {run.best:.4f}")
        finally:
            sandbox.close()


def _one_run(examination: Examination, kind: str, seed: int) -> list[float]:
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
        return [run.accuracy]
    model: Kept[Model] = examination.cnn if kind == "cnn" else examination.fully_connected
    described = model.get()
    if described.settings is None:
        raise ValueError(described.settings_problem)
    job = TrainingJob.of(
        described.layers,
        described.settings,
        data=str(mnist.DATA),
        accuracy=UNREACHABLE,
        retry_margin=0.0,
        seeds=[seed],
        training_images=rules_of(assignment, kind).training_images,
    )
    result = Trainers().train(job, RUN_SECONDS, lambda event: None)
    return result.best.test_accuracy


def read_record(record: Path) -> list[CalibrationRun]:
    """The runs that were measured so far."""
    if not record.exists():
        return []
    lines = record.read_text(encoding="utf-8").splitlines()
    return [CalibrationRun(**json.loads(line)) for line in lines if line]


def rules_of(assignment: Assignment, kind: str) -> TrainingRules:
    """The rules that a kind of model is judged by."""
    return (assignment.cnn if kind == "cnn" else assignment.fully_connected).training


def bar_of(assignment: Assignment, kind: str) -> float:
    """The accuracy that gives full points."""
    if kind == "vit":
        return assignment.transformer.brief.accuracy
    return rules_of(assignment, kind).accuracy


def tries_of(assignment: Assignment, kind: str) -> int:
    """How many seeds a near miss is given."""
    return 1 if kind == "vit" else len(rules_of(assignment, kind).seeds)


def upper_bound(failures: int, runs: int, confidence: float = CONFIDENCE) -> float:
    """The highest failure probability that still explains so few failures.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of
    the binomial" (Biometrika 1934), one-sided, by bisection.
    """
    if failures >= runs:
        return 1.0
    low, high = failures / runs, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        at_most = sum(
            math.comb(runs, k) * middle**k * (1 - middle) ** (runs - k) for k in range(failures + 1)
        )
        low, high = (middle, high) if at_most > 1 - confidence else (low, middle)
    return high


def normal_tail(values: list[float], bar: float) -> float:
    """Probability below the bar under a normal distribution with the values' mean and spread."""
    spread = statistics.stdev(values)
    if spread == 0:
        return float(statistics.fmean(values) < bar)
    return 0.5 * math.erfc((statistics.fmean(values) - bar) / (spread * math.sqrt(2)))


def report(runs: list[CalibrationRun], assignment: Assignment) -> Iterator[str]:
    """The record as Markdown: a table of what was measured, and what follows for a verdict."""
    yield "# Calibration"
    yield ""
    yield (
        "Measured by `autograder calibrate`, which writes this page; each run stands in "
        "`calibration.jsonl`. *Best* is the best epoch's accuracy on the 10,000 test images (for "
        "`vit`: after the grader's brief training, on the images that it uses). *Misses* counts "
        "runs below the bar with a single seed; the bound beside it is the highest probability "
        f"that explains so few at {CONFIDENCE:.0%} confidence (Clopper and Pearson, one-sided). "
        "*Verdict* is that bound when each near miss is tried with the further seeds of "
        "`assignment.yaml`. *Tail* is the same probability for one seed if accuracies are normally "
        "distributed."
    )
    yield ""
    yield (
        "| submission | model | seeds | best, mean ± sd | lowest | epochs to bar | bar | misses "
        "| ≤ per seed | ≤ verdict | tail |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    groups: dict[tuple[str, str], list[CalibrationRun]] = {}
    for run in runs:
        groups.setdefault((run.submission, run.kind), []).append(run)
    for (submission, kind), group in sorted(groups.items()):
        if len(group) > 1:
            yield _row(submission, kind, group, assignment)


def _row(submission: str, kind: str, group: list[CalibrationRun], assignment: Assignment) -> str:
    bar = bar_of(assignment, kind)
    best = [run.best for run in group]
    misses = sum(value < bar for value in best)
    bound = upper_bound(misses, len(best))
    epochs = sorted(epoch for run in group if (epoch := run.epochs_to(bar)) is not None)
    cells: list[Any] = [
        submission,
        kind,
        len(group),
        f"{statistics.fmean(best):.4f} ± {statistics.stdev(best):.4f}",
        f"{min(best):.4f}",
        f"{epochs[0]} to {epochs[-1]}, median {statistics.median(epochs):g}"
        if epochs and kind != "vit"
        else "-",
        f"{bar:g}",
        misses,
        f"{bound:.3f}",
        f"{bound ** tries_of(assignment, kind):.1e}",
        f"{normal_tail(best, bar):.1e}",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
