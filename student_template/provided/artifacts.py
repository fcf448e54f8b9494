"""What a training leaves behind in artifacts/: history, weights, pictures, how it was run."""

from __future__ import annotations

import csv
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from provided.plots import attention_maps, loss_curves
from provided.training import Epoch, Training

EXPERIMENTS = "experiments.csv"
EXPERIMENT_COLUMNS = (
    "model", "seed", "epochs", "learning_rate", "schedule", "weight_decay", "parameters",
    "train_loss", "validation_loss", "validation_accuracy", "test_accuracy", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """The artifacts of one model: artifacts/fc, artifacts/cnn or artifacts/vit."""

    path: Path

    @property
    def history(self) -> Path:
        """One row per epoch: both losses, both accuracies."""
        return self.path / "history.csv"

    @property
    def weights(self) -> Path:
        """The parameters after the last finished epoch."""
        return self.path / "weights.safetensors"

    @property
    def optimizer(self) -> Path:
        """What --resume needs besides the weights; you don't submit it."""
        return self.path / "optimizer.pt"

    def save_epoch(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, epochs: Sequence[Epoch]
    ) -> None:
        """Keep a finished epoch, so that an interruption loses nothing before it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_history(self.history, epochs)
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()},
            self.weights,
        )
        torch.save(optimizer.state_dict(), self.optimizer)

    def load_epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Epoch]:
        """Go on from the last finished epoch; returns the epochs so far.

        Raises FileNotFoundError where there is nothing to go on from.
        """
        epochs = read_history(self.history)
        model.load_state_dict(load_file(self.weights))
        optimizer.load_state_dict(torch.load(self.optimizer, weights_only=True))
        return epochs

    def save_pictures(self, epochs: Sequence[Epoch], title: str) -> None:
        """The loss curves."""
        loss_curves(epochs, title).savefig(self.path / "loss.png")

    def save_attention(self, maps: Tensor, title: str) -> None:
        """Attention maps (heads, T, T) as a picture and as numbers."""
        attention_maps(maps, title).savefig(self.path / "attention.png")
        np.savez_compressed(self.path / "attention.npz", attention=maps.numpy())

    def save_run(
        self, model: nn.Module, settings: Training, seed: int, seconds: float, test_accuracy: float
    ) -> None:
        """How the run was made: architecture, settings, versions, result."""
        content = {
            "architecture": str(model).splitlines(),
            "parameters": count_parameters(model),
            "settings": {
                **asdict(settings),
                "layer_weight_decay": dict(settings.layer_weight_decay),
            },
            "seed": seed,
            "seconds": round(seconds, 1),
            "test_accuracy": round(test_accuracy, 4),
            "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        }
        (self.path / "run.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def write_history(file: Path, epochs: Sequence[Epoch]) -> None:
    """history.csv, a row per epoch."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(
            stream, [field.name for field in fields(Epoch)], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in epochs)


def read_history(file: Path) -> list[Epoch]:
    """The epochs in a history.csv."""
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            Epoch(int(row.pop("epoch")), **{name: float(value) for name, value in row.items()})
            for row in csv.DictReader(stream)
        ]


def add_experiment(folder: Path, row: dict[str, object]) -> None:
    """Append a run to experiments.csv, the list of what you tried."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / EXPERIMENTS
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, EXPERIMENT_COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def read_experiments(folder: Path) -> list[dict[str, str]]:
    """All runs so far, oldest first."""
    file = folder / EXPERIMENTS
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def count_parameters(model: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in model.parameters())
