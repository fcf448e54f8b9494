"""What train.py wrote down: run.yaml of each model, its losses, and everything that was tried."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provided.experiments import EXPERIMENTS, read_lines
from provided.history import read_rows
from provided.homework import ARTIFACTS_FOLDER, HISTORY, RUN
from provided.run_notes import read_notes
from provided.writeup.problem import CannotBuild, counted

LOSSES = "loss.png"
MAPS = "attention.png"
SETTINGS = (  # name in run.yaml, as it is called in the write-up
    ("optimizer", "Optimizer"),
    ("learning_rate", "Learning rate"),
    ("schedule", "Schedule"),
    ("momentum", "Momentum"),
    ("nesterov", "Nesterov"),
    ("weight_decay", "Weight decay"),
    ("layer_weight_decay", "Weight decay of layers"),
    ("batch_size", "Batch size"),
    ("epochs", "Epochs asked for"),
    ("epochs_done", "Epochs done"),
    ("loss", "Loss"),
    ("init", "First weights"),
    ("seed", "Seed"),
    ("images", "Training images"),
    ("parameters", "Parameters"),
    ("device", "Device"),
    ("seconds", "Seconds"),
)
COLUMNS = (  # of experiments.csv, and their titles
    ("run", "run"),
    ("epochs", "epochs"),
    ("optimizer", "optimizer"),
    ("batch_size", "batch"),
    ("learning_rate", "rate"),
    ("schedule", "schedule"),
    ("weight_decay", "decay"),
    ("parameters", "parameters"),
    ("validation_accuracy", "validation"),
    ("test_accuracy", "test"),
    ("best_test_accuracy", "best test"),
    ("architecture", "network"),
)
WORDS = ("optimizer", "schedule", "architecture")  # set to the left; numbers to the right
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # that networks are called by
NOTHING = ("", "none", "false", "0", "0.0", "{}", "[]")
ALWAYS = ("Seed", "Epochs done")  # where 0 says something


@dataclass(frozen=True)
class Run:
    """The run that artifacts/<kind> shows; `content` is its run.yaml."""

    kind: str
    folder: Path
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """'Run 3' where runs have numbers, else 'The run in artifacts/fc'."""
        number = self.content.get("run")
        return (
            f"Run {number}"
            if isinstance(number, int)
            else f"The run in {ARTIFACTS_FOLDER}/{self.kind}"
        )

    @property
    def is_trial(self) -> bool:
        """Whether it stopped early, or saw only some of the images."""
        if "trial" in self.content:
            return bool(self.content["trial"])
        done, asked = self.content.get("epochs_done"), self.content.get("epochs")
        return not (isinstance(done, int) and isinstance(asked, int) and done >= asked)

    @property
    def test_accuracy(self) -> float | None:
        """The best that it reached on the test images, or that after its last epoch."""
        best = self.share("best_test_accuracy")
        return self.share("test_accuracy") if best is None else best

    def share(self, name: str) -> float | None:
        """A number from 0 to 1; None where there is none."""
        value = self.content.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value) if 0 <= value <= 1 else None

    @property
    def trial_because(self) -> str:
        """Why it is a trial, in brackets; empty where nothing is said about it."""
        because = self.content.get("trial_because")
        return f" ({because})" if because else ""

    def accuracies(self) -> list[str]:
        """What it reached, a sentence each."""
        best, last = self.share("best_test_accuracy"), self.share("test_accuracy")
        validation = self.share("validation_accuracy")
        epoch = self.content.get("best_test_epoch")
        told = []
        if best is not None:
            after = f" after epoch {epoch}" if isinstance(epoch, int) else ""
            told.append(f"Best accuracy on the test images: {best:.2%}{after}.")
        if last is not None:
            told.append(f"Accuracy on the test images after the last epoch: {last:.2%}.")
        if validation is not None:
            told.append(
                f"Accuracy on the validation images after the last epoch: {validation:.2%}."
            )
        return told

    def settings(self) -> list[tuple[str, str]]:
        """Hyperparameters by name, those left out that say nothing."""
        found = [(title, self.content.get(name)) for name, title in SETTINGS]
        return [
            (title, _shown(value))
            for title, value in found
            if title in ALWAYS or str(value).lower() not in NOTHING
        ]

    @property
    def is_recorded(self) -> bool:
        """Whether it is known how it was made; not of one of which only the history is left."""
        return "seed" in self.content and "optimizer" in self.content

    def architecture(self) -> str:
        """The model as PyTorch prints it; empty where that isn't recorded."""
        lines = self.content.get("architecture")
        return "\n".join(str(line) for line in lines) if isinstance(lines, list) else ""

    def in_short(self) -> str:
        """Which run it is, for the line under a figure."""
        if not self.is_recorded:
            return f"{self.name}: how it was trained isn't recorded"
        rate, schedule = self.content.get("learning_rate"), self.content.get("schedule")
        rate = f"rate {rate:g}" if isinstance(rate, (int, float)) else "a rate for each epoch"
        schedule = schedule.replace("_", " ") if isinstance(schedule, str) else "set by epoch"
        done = self.content.get("epochs_done")
        facts = [
            f"seed {self.content.get('seed')}",
            f"{self.content.get('optimizer', 'adam')}, {rate}, {schedule}",
            *([counted(done, "epoch")] if isinstance(done, int) else []),
            *([f"{self.test_accuracy:.2%} of the test images"] if self.test_accuracy else []),
        ]
        return f"{self.name}: {', '.join(facts)}"


def read_run(root: Path, kind: str) -> Run | None:
    """The run that artifacts/<kind> shows; None where there is none. Raises CannotBuild."""
    folder = root / ARTIFACTS_FOLDER / kind
    file = folder / RUN
    name = f"{ARTIFACTS_FOLDER}/{kind}/{RUN}"
    if not file.is_file():
        return None
    content = read_notes(file)
    if content is None:
        raise CannotBuild(f"{name} can't be read: train again with python train.py {kind}.")
    return Run(kind, folder, content)


def read_losses(run: Run) -> list[tuple[float, float]]:
    """Training and validation loss of each epoch; nothing where history.csv can't be read."""
    try:
        rows = read_rows(run.folder / HISTORY)
        losses = [(float(row["train_loss"]), float(row["validation_loss"])) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError):
        return []
    return losses if all(math.isfinite(loss) for pair in losses for loss in pair) else []


def read_tried(root: Path, kind: str) -> list[dict[str, str]]:
    """The runs of a model in experiments.csv, oldest first. Raises CannotBuild.

    A run has the number that train.py gave it, else that of its line.
    """
    try:
        lines = read_lines(root / ARTIFACTS_FOLDER)
    except OSError:
        name = f"{ARTIFACTS_FOLDER}/{EXPERIMENTS}"
        raise CannotBuild(f"{name} can't be read: is it open in another program?") from None
    rows = [line.row for line in lines]
    return [
        {**row, "run": row.get("run") or str(number)}
        for number, row in enumerate(rows, start=1)
        if row.get("model") == kind
    ]


def networks_of(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The architectures that were tried, each with the letter that the table calls it by."""
    different = dict.fromkeys(row.get("architecture", "") for row in rows)
    return {
        architecture: LETTERS[index] if index < len(LETTERS) else f"{index + 1}"
        for index, architecture in enumerate(different)
    }


def columns_of(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """The columns that say something of any of the runs, by name and title."""
    return [column for column in COLUMNS if any(row.get(column[0]) for row in rows)]


def cell_of(name: str, row: Mapping[str, str], networks: Mapping[str, str]) -> str:
    """What a run has in a column of the table."""
    text = row.get(name, "")
    if name.endswith("_accuracy"):
        return _percent(text)
    if name == "parameters":
        return f"{int(text):,}" if text.isdecimal() else text
    if name == "schedule":
        return text.replace("_", " ")
    if name == "architecture":
        return networks.get(text, text)
    if name == "epochs" and row.get("trial", "").lower() == "true":
        return f"{text} (trial)"
    return text


def losses_in_words(losses: Sequence[tuple[float, float]]) -> str:
    """What a loss plot shows, for those who can't see it."""
    if not losses:
        return "Training and validation loss of each epoch."
    (first, first_other), (last, last_other) = losses[0], losses[-1]
    validation = [other for _, other in losses]
    lowest = min(validation)
    return (
        f"Mean cross entropy over {counted(len(losses), 'epoch')}. Training: from {first:.3f} to "
        f"{last:.3f}. Validation: from {first_other:.3f} to {last_other:.3f}, lowest with "
        f"{lowest:.3f} after epoch {validation.index(lowest) + 1}."
    )


def _percent(text: str) -> str:
    try:
        return f"{float(text):.2%}"
    except ValueError:
        return text


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(_shown(one) for one in value)
    return str(value).replace("_", " ")
