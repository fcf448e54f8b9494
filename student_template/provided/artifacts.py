"""What a training leaves behind in artifacts/: history, weights, pictures, how it was run."""

from __future__ import annotations

import csv
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from provided.training import Epoch, Training


class CannotResume(Exception):
    """There is no run to go on with, or one of another kind; says which."""


@dataclass(frozen=True)
class Run:
    """What tells one training from another. A run is resumed with the same of everything."""

    name: str
    seed: int
    settings: Training
    images: int

    def differs_from(self, other: Mapping[str, Any]) -> list[str]:
        """What another run, written down by `as_plain`, had otherwise."""
        return [name for name, value in self.as_plain().items() if other.get(name) != value]

    def as_plain(self) -> dict[str, Any]:
        """All of it as numbers and words."""
        given = {name: value for name, value in vars(self.settings).items() if value is not None}
        given["layer_weight_decay"] = dict(self.settings.layer_weight_decay)
        given.pop("unknown")
        return {"model": self.name, "seed": self.seed, "images": self.images, **given}


@dataclass(frozen=True)
class Folder:
    """The artifacts of one model: artifacts/fc, artifacts/cnn or artifacts/vit."""

    path: Path

    @property
    def history(self) -> Path:
        """A row per epoch: both losses, both accuracies."""
        return self.path / "history.csv"

    @property
    def weights(self) -> Path:
        """The parameters after the last finished epoch."""
        return self.path / "weights.safetensors"

    @property
    def state(self) -> Path:
        """What --resume needs besides the weights; you don't submit it."""
        return self.path / "resume.pt"

    def set_aside(self) -> None:
        """Keep the run that is here in previous/, as the next one starts from nothing."""
        if self.history.exists():
            previous = self.path / "previous"
            shutil.rmtree(previous, ignore_errors=True)
            previous.mkdir()
            for file in self.path.iterdir():
                if file != previous:
                    file.replace(previous / file.name)

    def save_epoch(
        self,
        run: Run,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        epochs: Sequence[Epoch],
        seconds: float,
    ) -> None:
        """Keep a finished epoch, so that an interruption loses nothing before it."""
        self.path.mkdir(parents=True, exist_ok=True)
        state = {
            "run": run.as_plain(),
            "epochs": [asdict(epoch) for epoch in epochs],
            "seconds": seconds,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": random_state(),
        }
        with whole(self.state) as file:
            torch.save(state, file)
        self.save_results(model, epochs)

    def save_results(self, model: nn.Module, epochs: Sequence[Epoch]) -> None:
        """The history and the weights."""
        tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
        with whole(self.weights) as file:
            save_file({name: value.contiguous() for name, value in tensors.items()}, file)
        with whole(self.history) as file:
            write_history(file, epochs)

    def load_epoch(
        self, run: Run, model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[list[Epoch], float]:
        """Go on from the last finished epoch: the epochs so far, and the seconds they took.

        The model, the optimizer and the random numbers stand where they stood, so a run that
        was interrupted ends as one that was not. Raises CannotResume.
        """
        if not self.state.exists():
            raise CannotResume(f"There is no run to continue in {self.path}.")
        state = torch.load(self.state, map_location="cpu", weights_only=True)
        different = run.differs_from(state["run"])
        if different:
            raise CannotResume(
                f"The run in {self.path} differs in {', '.join(different)}: "
                "start a new one without --resume."
            )
        try:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError):
            raise CannotResume(
                f"The run in {self.path} was made with another architecture: "
                "start a new one without --resume."
            ) from None
        set_random_state(state["random"])
        return [Epoch(**epoch) for epoch in state["epochs"]], float(state["seconds"])

    def save_losses(self, epochs: Sequence[Epoch], title: str) -> None:
        """The loss curves as a picture."""
        from provided.plots import loss_curves  # matplotlib takes a second to import

        loss_curves(epochs, title).savefig(self.path / "loss.png")

    def save_attention(self, maps: Tensor, title: str) -> None:
        """Attention maps (heads, T, T) as a picture and as numbers."""
        from provided.plots import attention_maps

        attention_maps(maps, title).savefig(self.path / "attention.png")
        np.savez_compressed(self.path / "attention.npz", attention=maps.numpy())

    def save_run(
        self,
        run: Run,
        model: nn.Module,
        epochs: Sequence[Epoch],
        *,
        device: str,
        seconds: float,
        test_accuracy: float,
        epochs_done: int,
        first_steps: int | None,
    ) -> None:
        """How the run was made: architecture, every setting, versions, result.

        first_steps: how many steps were done where the training ended within its first epoch
        """
        best = min(epochs, key=lambda epoch: epoch.validation_loss)
        content = {
            **run.as_plain(),
            "loss": "cross entropy",
            "epochs_done": epochs_done,
            **({} if first_steps is None else {"steps_done": first_steps}),
            "best_epoch": best.epoch,
            "best_validation_loss": round(best.validation_loss, 5),
            "validation_accuracy": round(epochs[-1].validation_accuracy, 5),
            "test_accuracy": round(test_accuracy, 5),
            "seconds": round(seconds, 1),
            "device": device,
            "parameters": count_parameters(model),
            "architecture": str(model).splitlines(),
            "versions": {
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "numpy": np.__version__,
            },
            "system": platform.platform(terse=True),
        }
        text = yaml.safe_dump(content, sort_keys=False, width=100)
        (self.path / "run.yaml").write_text(text, encoding="utf-8")


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A place to write to; what was written then takes the file's place in one go."""
    new = file.with_name(f"{file.name}.new")
    yield new
    new.replace(file)


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
    names = [field.name for field in fields(Epoch)][1:]
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            Epoch(int(row["epoch"]), **{name: float(row[name]) for name in names})
            for row in csv.DictReader(stream)
        ]


def count_parameters(model: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in model.parameters())


def random_state() -> dict[str, Tensor]:
    """Where torch's random numbers stand, on the processor and on a GPU."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    elif torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor]) -> None:
    """Let torch's random numbers go on from there."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
