"""What a training leaves behind in artifacts/: history, weights, pictures, how it was run."""

from __future__ import annotations

import io
import pickle
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from provided.architecture import in_short
from provided.history import Epoch, write_history
from provided.mnist import TRAINING_IMAGES
from provided.run_notes import read_notes, whole, write_notes
from provided.settings import Training


class CannotResume(Exception):
    """There is no run to go on with, or one of another kind; says which."""


@dataclass(frozen=True)
class Run:
    """What tells one training from another. A run is resumed with the same of everything."""

    name: str
    seed: int
    settings: Training
    images: int
    code: str | None = None  # a digest of your Transformer's code, which weights belong to

    def differs_from(self, other: Mapping[str, Any]) -> list[str]:
        """What another run, written down by `as_plain`, had otherwise."""
        return [name for name, value in self.as_plain().items() if other.get(name) != value]

    def as_plain(self) -> dict[str, Any]:
        """All of it as numbers and words."""
        given = {name: value for name, value in vars(self.settings).items() if value is not None}
        given["layer_weight_decay"] = dict(self.settings.layer_weight_decay)
        given.pop("unknown")
        return {"model": self.name, "seed": self.seed, "images": self.images, **given}


@dataclass
class Progress:
    """How far a run has come: its epochs, the test accuracy (0 to 1) after each, the seconds."""

    epochs: list[Epoch] = field(default_factory=list)
    tests: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    first_steps: int | None = None  # done in a training that ended within its first epoch

    @property
    def done(self) -> int:
        """How many epochs were trained to their end."""
        return len(self.epochs) if self.first_steps is None else 0

    @property
    def best_test(self) -> tuple[int, float]:
        """The epoch with the best test accuracy, and that accuracy."""
        epoch = max(self.tests, key=lambda number: (self.tests[number], -number))
        return epoch, self.tests[epoch]


@dataclass(frozen=True)
class Folder:
    """The files of one run: of artifacts/runs/003-fc, or of artifacts/fc, which shows a run."""

    path: Path

    @property
    def number(self) -> int:
        """The run's number, by which its folder is named."""
        return int(self.path.name.partition("-")[0])

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

    @property
    def notes(self) -> Path:
        """How the run was made, and how it ended."""
        return self.path / "run.yaml"

    @property
    def losses(self) -> Path:
        """The loss curves."""
        return self.path / "loss.png"

    def save_epoch(
        self,
        run: Run,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        progress: Progress,
        device: str,
    ) -> None:
        """Keep a finished epoch, so that an interruption loses nothing before it."""
        state = {
            "run": run.as_plain(),
            "epochs": [asdict(epoch) for epoch in progress.epochs],
            "tests": progress.tests,
            "seconds": progress.seconds,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": random_state(),
        }
        content = io.BytesIO()  # where a disk is full, torch and safetensors raise errors of theirs
        torch.save(state, content)
        with whole(self.state) as file:
            file.write_bytes(content.getbuffer())
        self.save_results(run, model, progress, device)

    def save_results(self, run: Run, model: nn.Module, progress: Progress, device: str) -> None:
        """The weights, the history and the notes."""
        tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
        content = save({name: value.contiguous() for name, value in tensors.items()})
        with whole(self.weights) as file:
            file.write_bytes(content)
        with whole(self.history) as file:
            write_history(file, progress.epochs)
        self.write_notes({"run": self.number, **notes_of(run, model, progress, device)})

    def continues(self, run: Run, model: nn.Module) -> int | None:
        """How many epochs are done of this very run; None where another or none is here."""
        state = self._read_state()
        if state is None or run.differs_from(state["run"]) or sizes(model) != sizes(state["model"]):
            return None
        return len(state["epochs"])

    def load_epoch(self, run: Run, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Go on from the last finished epoch.

        The model, the optimizer and the random numbers stand where they stood, so a run that
        was interrupted ends as one that was not. Raises CannotResume.
        """
        state = self._read_state()
        if state is None:
            raise CannotResume(f"There is no run to continue in {self.path}.")
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
        epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        return Progress(epochs, dict(state.get("tests", {})), float(state["seconds"]))

    def _read_state(self) -> dict[str, Any] | None:
        if not self.state.exists():
            return None
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            return None  # a file that is damaged continues nothing
        return state if isinstance(state, dict) else None

    def read_notes(self) -> dict[str, Any]:
        """The notes; nothing where they can't be read."""
        return read_notes(self.notes) or {}

    def write_notes(self, content: Mapping[str, Any]) -> None:
        """Write the notes, or replace them."""
        write_notes(self.notes, content)

    def save_losses(self, epochs: Sequence[Epoch], title: str) -> None:
        """The loss curves as a picture."""
        from provided.plots import loss_curves  # matplotlib takes a second to import

        with whole(self.losses) as file:
            loss_curves(epochs, title).savefig(file, format="png")

    def save_attention(self, maps: Tensor, title: str) -> None:
        """Attention maps (heads, T, T) as a picture and as numbers."""
        from provided.plots import attention_maps

        with whole(self.path / "attention.png") as file:
            attention_maps(maps, title).savefig(file, format="png")
        with whole(self.path / "attention.npz") as file, file.open("wb") as stream:
            np.savez_compressed(stream, attention=maps.numpy())


def notes_of(run: Run, model: nn.Module, progress: Progress, device: str) -> dict[str, Any]:
    """How a run was made and how it ended: architecture, every setting, versions, results."""
    best = min(progress.epochs, key=lambda epoch: epoch.validation_loss)
    last = progress.epochs[-1]
    best_test_epoch, best_test = progress.best_test
    return {
        **run.as_plain(),
        **({} if run.code is None else {"code": run.code}),
        **trial_notes(progress.done, run.settings.epochs, run.images, progress.first_steps),
        "loss": "cross entropy",
        "epochs_done": progress.done,
        **({} if progress.first_steps is None else {"steps_done": progress.first_steps}),
        "best_epoch": best.epoch,
        "best_validation_loss": round(best.validation_loss, 5),
        "validation_accuracy": round(last.validation_accuracy, 5),
        "test_accuracy": round(progress.tests[last.epoch], 5),
        "best_test_accuracy": round(best_test, 5),
        "best_test_epoch": best_test_epoch,
        "weights_epoch": last.epoch,
        "finished": datetime.now().isoformat(sep=" ", timespec="minutes"),
        "seconds": round(progress.seconds, 1),
        "device": device,
        "threads": torch.get_num_threads(),
        "parameters": count_parameters(model),
        "layers": in_short(model),
        "architecture": str(model).splitlines(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
        "system": platform.platform(terse=True),
    }


def trial_notes(
    epochs_done: int, epochs: int, images: int, first_steps: int | None
) -> dict[str, Any]:
    """Whether a run is a trial, and why: fewer images than there are, or fewer epochs than set."""
    reasons = []
    if images < TRAINING_IMAGES:
        reasons.append(f"{images:,} of {TRAINING_IMAGES:,} training images")
    if first_steps is not None:
        reasons.append("stopped in its first epoch")
    elif epochs_done < epochs:
        reasons.append(f"{epochs_done} of {epochs} epochs")
    if not reasons:
        return {"trial": False}
    return {"trial": True, "trial_because": ", ".join(reasons)}


def sizes(model: nn.Module | Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The name and the shape of each tensor in a model, or in what was stored of one."""
    tensors = model.state_dict() if isinstance(model, nn.Module) else model
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


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
