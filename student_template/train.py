"""Train your models and keep what the write-up needs.

    python train.py fc              the fully connected network of question 2b
    python train.py cnn             the convolutional network of question 2c
    python train.py vit             the Vision Transformer of question 3c
    python train.py compare         what you have tried so far, as a table and a picture

Ctrl-C stops after the step under way; what the finished epochs gave is kept, and --resume
goes on from there. Everything lands in artifacts/.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from provided import mnist
from provided.artifacts import (
    Folder,
    add_experiment,
    count_parameters,
    read_experiments,
)
from provided.plots import experiments_plot
from provided.training import Epoch, Step, Training, evaluate, make_optimizer, run_epochs

HERE = Path(__file__).resolve().parent
ARTIFACTS = HERE / "artifacts"
TITLES = {
    "fc": "Fully connected network",
    "cnn": "Convolutional network",
    "vit": "Vision Transformer",
}


@dataclass(frozen=True)
class Result:
    """A training's end: the model, each epoch, and the accuracy on the test images."""

    model: nn.Module
    epochs: list[Epoch]
    test_accuracy: float


def main() -> None:
    """The command line."""
    options = arguments()
    if options.model == "compare":
        compare()
        return
    result = train_model(
        options.model,
        seed=options.seed,
        epochs=options.epochs,
        device=options.device,
        resume=options.resume,
        data=options.data,
        images=options.images,
    )
    print(f"Test accuracy {result.test_accuracy:.2%}; see {ARTIFACTS / options.model}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=[*TITLES, "compare"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="stop after so many; at most 10")
    parser.add_argument("--device", help="cpu, cuda or mps; the fastest there is if not given")
    parser.add_argument("--resume", action="store_true", help="go on from the last finished epoch")
    parser.add_argument("--data", default=os.environ.get("HW5_DATA", str(HERE / "data")))
    parser.add_argument("--images", type=int, help="train on so many images alone, to try things")
    return parser.parse_args()


def train_model(
    name: str,
    *,
    seed: int = 0,
    epochs: int | None = None,
    device: str | None = None,
    resume: bool = False,
    data: str | Path = HERE / "data",
    images: int | None = None,
) -> Result:
    """Train one of your models ("fc", "cnn", "vit") and write its artifacts."""
    device = device or fastest_device()
    sets = mnist.load(data)
    train, validation, test = sets.train, sets.validation, sets.test
    if images is not None:
        train, validation, test = train.first(images), validation.first(images), test.first(images)
    torch.manual_seed(seed)
    model, settings = make_model(name)
    model.to(device)
    optimizer = make_optimizer(model, settings)
    folder = Folder(ARTIFACTS / name)
    history = folder.load_epoch(model, optimizer) if resume else []
    last = min(epochs or settings.epochs, settings.epochs)
    started = time.monotonic()
    print(f"{TITLES[name]}: {count_parameters(model):,} parameters, on {device}")
    try:
        with tqdm(unit="step", dynamic_ncols=True) as bar:
            for epoch in run_epochs(
                model,
                train,
                validation,
                settings,
                seed=seed,
                device=device,
                first_epoch=len(history) + 1,
                optimizer=optimizer,
                on_step=lambda step: show_step(bar, step),
            ):
                history.append(epoch)
                folder.save_epoch(model, optimizer, history)
                tqdm.write(describe(epoch))
                if epoch.epoch >= last:
                    break
    except KeyboardInterrupt:
        print(f"\nStopped after {len(history)} finished epochs; --resume goes on from there.")
        if not history:
            raise SystemExit(1) from None
        folder.load_epoch(model, optimizer)
    _, accuracy = evaluate(model, test, device=device)
    seconds = time.monotonic() - started
    finish(name, model, settings, folder, history, seed, seconds, accuracy)
    if name == "vit":
        folder.save_attention(
            last_attention(model, sets.validation, device), "Last layer, first validation image"
        )
    return Result(model, history, accuracy)


def make_model(name: str) -> tuple[nn.Module, Training]:
    """One of your models, untrained, and its settings."""
    if name == "vit":
        from provided.vision_transformer import VIT_TRAINING, VisionTransformer

        return VisionTransformer(), VIT_TRAINING
    import models

    if name == "fc":
        return models.build_fully_connected(), models.FULLY_CONNECTED_TRAINING
    return models.build_cnn(), models.CNN_TRAINING


def finish(
    name: str,
    model: nn.Module,
    settings: Training,
    folder: Folder,
    history: list[Epoch],
    seed: int,
    seconds: float,
    accuracy: float,
) -> None:
    """Write the pictures and notes of a training, and add it to what was tried."""
    folder.save_pictures(history, TITLES[name])
    folder.save_run(model, settings, seed, seconds, accuracy)
    end = history[-1]
    add_experiment(
        ARTIFACTS,
        {
            "model": name,
            "seed": seed,
            "epochs": len(history),
            "learning_rate": settings.learning_rate,
            "schedule": settings.schedule,
            "weight_decay": settings.weight_decay,
            "parameters": count_parameters(model),
            "train_loss": round(end.train_loss, 5),
            "validation_loss": round(end.validation_loss, 5),
            "validation_accuracy": round(end.validation_accuracy, 5),
            "test_accuracy": round(accuracy, 5),
            "seconds": round(seconds, 1),
        },
    )


@torch.inference_mode()
def last_attention(
    model: nn.Module, validation: mnist.Split, device: torch.device | str
) -> torch.Tensor:
    """The last layer's attention weights (heads, T, T) for the first validation image."""
    model.eval()
    image, _ = validation.batch(slice(0, 1))
    _, attention = model(image.to(device), return_attention=True)
    if attention is None:
        raise SystemExit("Your ViTLayer returns no attention weights: return x, attention")
    return attention[0].cpu()


def compare() -> None:
    """Print and plot every run so far."""
    rows = read_experiments(ARTIFACTS)
    if not rows:
        raise SystemExit("Nothing tried yet: run python train.py fc")
    columns = ("model", "epochs", "learning_rate", "schedule", "parameters", "test_accuracy")
    print("  ".join(f"{column:>13}" for column in columns))
    for row in rows:
        print("  ".join(f"{row[column]:>13}" for column in columns))
    file = ARTIFACTS / "experiments.png"
    experiments_plot(rows).savefig(file)
    print(f"See {file}")


def fastest_device() -> str:
    """A GPU where there is one."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def show_step(bar: tqdm, step: Step) -> None:
    """Move the bar; the loss is shown now and then, as showing it takes time."""
    bar.total = step.total
    bar.update(step.number - bar.n)
    if step.number % 50 == 0:
        bar.set_postfix(loss=f"{step.loss:.3f}", refresh=False)


def describe(epoch: Epoch) -> str:
    """One finished epoch in a line."""
    return (
        f"epoch {epoch.epoch:2}: loss {epoch.train_loss:.4f} training, "
        f"{epoch.validation_loss:.4f} validation; accuracy {epoch.train_accuracy:.2%}, "
        f"{epoch.validation_accuracy:.2%}"
    )


if __name__ == "__main__":
    main()
