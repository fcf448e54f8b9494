"""What a training is told, and what it comes to: both are JSON between processes and runs."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from autograder.training.layer import Layer
from autograder.training.layer_list import LayerList
from provided.settings import Training, in_epochs
from provided.training import Epoch


class Ending(str, enum.Enum):
    """Why a model's trainings ended."""

    REACHED = "reached"  # an epoch met the bar
    MISSED = "missed"  # every epoch of every seed stayed below it
    DIVERGED = "diverged"  # the loss became NaN or infinite
    DEAD = "dead"  # no gradient can come any more
    OUT_OF_TIME = "out of time"
    OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Trial:
    """One seed's training: each epoch's losses, and test accuracy after each (0 to 1)."""

    seed: int
    epochs: list[Epoch] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The best test accuracy of any epoch, 0 before the first."""
        return max(self.test_accuracy, default=0.0)


@dataclass(frozen=True)
class TrainingResult:
    """All trials of one model, why there were no more, and whether they had to be shortened."""

    trials: list[Trial]
    ended: Ending
    shortened: str = ""
    process: dict[str, Any] = field(default_factory=dict)  # its memory and CPU time
    carried_over: bool = False  # taken from the previous submission, where nothing has changed

    @property
    def best(self) -> Trial:
        """The trial with the best accuracy."""
        return max(self.trials, key=lambda trial: trial.best, default=Trial(0))

    def written(self) -> dict[str, Any]:
        """The verdict as JSON has it; `read` gives it back."""
        return {"ended": self.ended.value, "trials": [asdict(trial) for trial in self.trials]}

    @classmethod
    def read(cls, content: Mapping[str, Any], carried_over: bool = False) -> TrainingResult:
        """A verdict that `written` put down. Raises KeyError, TypeError, ValueError for others."""
        trials = [
            Trial(
                trial["seed"],
                [Epoch(**epoch) for epoch in trial["epochs"]],
                list(trial["test_accuracy"]),
            )
            for trial in content["trials"]
        ]
        return cls(trials, Ending(content["ended"]), carried_over=carried_over)


class TrainingJob(BaseModel):
    """What the training process is told."""

    model_config = ConfigDict(frozen=True)

    layers: list[dict[str, Any]]
    settings: dict[str, Any]
    data: str
    accuracy: float
    bars: list[float] = []  # lower accuracies that give points
    retry_margin: float
    seeds: list[int]
    training_images: int
    cpu_seconds: float | None = None  # processor time that the trainings may take in all
    shorten: bool = False  # whether to make them fit, rather than to stop them

    @classmethod
    def of(cls, layers: LayerList, settings: Training, **rest: Any) -> TrainingJob:
        """A job for a model and its settings."""
        return cls(
            layers=[asdict(layer) for layer in layers.layers],
            settings={**asdict(settings), "layer_weight_decay": dict(settings.layer_weight_decay)},
            **rest,
        )

    def nearly_reached(self, accuracy: float) -> bool:
        """Whether the next bar above an accuracy is so near that another seed may reach it."""
        above = [bar for bar in (self.accuracy, *self.bars) if bar > accuracy]
        return bool(above) and accuracy >= min(above) - self.retry_margin

    def layer_list(self) -> LayerList:
        """The model."""
        return LayerList(tuple(Layer(**layer) for layer in self.layers))

    def training(self, flattened: int = 0) -> Training:
        """The settings. `flattened` is how many layers were put in front of the model."""
        decay = {
            int(layer) + flattened: value
            for layer, value in self.settings["layer_weight_decay"].items()
        }
        return Training(**{**self.settings, "layer_weight_decay": decay})

    def in_epochs(self, epochs: int) -> TrainingJob:
        """The same with fewer epochs, its schedule compressed."""
        return TrainingJob.of(
            self.layer_list(),
            in_epochs(self.training(), epochs),
            **self.model_dump(exclude={"layers", "settings"}),
        )
