"""Train your models and keep what the write-up needs.

    python train.py fc              the fully connected network of question 2b
    python train.py cnn             the convolutional network of question 2c
    python train.py vit             the Vision Transformer of question 3c
    python train.py compare         what you have tried so far, as a table and a picture

Ctrl-C stops. Finished epochs are kept, and --resume continues from there. If you stop within the
first epoch, what was learned so far is kept, unless an earlier run is there.
Everything is saved in artifacts/.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch
from torch import nn
from tqdm import TqdmWarning

from provided import mnist
from provided.artifacts import (
    CannotResume,
    Folder,
    Run,
    count_parameters,
)
from provided.experiments import add_experiment, in_short, read_experiments, table
from provided.homework import CNN, FULLY_CONNECTED
from provided.settings import in_words, initialise, layer_names
from provided.settings_rules import as_graded, bounds_of, problem_of
from provided.slots import still_to_write
from provided.training import (
    Epoch,
    Step,
    Training,
    evaluate,
    flush_denormals,
    make_optimizer,
    run_epochs,
)

with warnings.catch_warnings():  # without ipywidgets the bar is one of text: fine
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

HERE = Path(__file__).resolve().parent
ARTIFACTS = HERE / "artifacts"
TITLES = {
    "fc": "Fully connected network",
    "cnn": "Convolutional network",
    "vit": "Vision Transformer",
}
RUNNING_MEAN = 100  # steps that loss and accuracy beside the bar look back, about
MAPS_TITLE = "Last layer's attention, first validation image"


class TrainingProblem(Exception):
    """Why nothing can be trained; one sentence for you."""


@dataclass(frozen=True)
class Result:
    """A training's end: the model, each epoch, and the accuracy on the test images.

    `first_steps` counts the steps of a training that ended within its first epoch, else None.
    """

    model: nn.Module
    epochs: list[Epoch]
    test_accuracy: float
    device: str
    first_steps: int | None = None

    @property
    def epochs_done(self) -> int:
        """How many epochs were trained to their end."""
        return len(self.epochs) if self.first_steps is None else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = parse(arguments)
    try:
        if options.model == "compare":
            print(compare())
            return 0
        result = train_model(
            options.model,
            seed=options.seed,
            epochs=options.epochs,
            device=options.device,
            resume=options.resume,
            data=options.data,
            images=options.images,
        )
    except (TrainingProblem, CannotResume) as problem:
        print(problem, file=sys.stderr)
        return 1
    except NotImplementedError as problem:
        slot = still_to_write(problem)
        if slot is None:
            raise
        print(f"To do before this can train: {slot}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped before the first epoch ended: nothing has changed.", file=sys.stderr)
        return 1
    print(f"Test accuracy {result.test_accuracy:.2%}; see {ARTIFACTS / options.model}")
    return 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=[*TITLES, "compare"])
    parser.add_argument(
        "--seed", type=int, default=0, help="other initial weights and another order of images"
    )
    parser.add_argument("--epochs", type=positive, help="stop after this many epochs")
    parser.add_argument("--device", help="cpu, cuda or mps; by default the fastest available")
    parser.add_argument(
        "--resume", action="store_true", help="continue after the last finished epoch"
    )
    parser.add_argument("--data", help="folder of the data set; by default HW5_DATA or data/")
    parser.add_argument(
        "--images", type=positive, help="use only this many of each set, to try things out"
    )
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """A number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give at least 1")
    return number


def train_model(
    name: str,
    *,
    seed: int = 0,
    epochs: int | None = None,
    device: str | None = None,
    resume: bool = False,
    data: str | Path | None = None,
    images: int | None = None,
) -> Result:
    """Train one of your models ("fc", "cnn", "vit") and write its artifacts.

    A learning rate that falls does so over all ten epochs, also where `epochs` stops earlier.
    Raises TrainingProblem or CannotResume.
    """
    device = device_of(device)
    flush_denormals()
    torch.manual_seed(seed)
    model, settings = make_model(name)
    settings = settled(name, model, settings)
    initialise(model, settings)
    sets = load_data(data, images)
    model.to(device)
    optimizer = make_optimizer(model, settings)
    run = Run(name, seed, settings, len(sets.train))
    folder = Folder(ARTIFACTS / name)
    history, before = folder.load_epoch(run, model, optimizer) if resume else ([], 0.0)
    last = min(epochs or settings.epochs, settings.epochs)
    print(f"{TITLES[name]}: {count_parameters(model):,} parameters, on {device}")
    if len(history) >= last:
        print(f"Nothing to do: {len(history)} of {last} epochs are done.")
        return Result(model, history, evaluate(model, sets.test, device=device)[1], device)
    started = time.monotonic()
    first_steps: list[Step] = []
    try:
        learn(run, folder, model, optimizer, sets, history, before, last, device, first_steps)
    except KeyboardInterrupt:
        if not history:
            history = [keep_first_steps(folder, model, sets, first_steps, device)]
        else:
            history, _ = folder.load_epoch(run, model, optimizer)
            folder.save_results(model, history)
            print(
                f"\nStopped; epoch {len(history)} was the last to finish. Continue with --resume."
            )
    seconds = before + time.monotonic() - started
    _, accuracy = evaluate(model, sets.test, device=device)
    result = Result(model, history, accuracy, device, len(first_steps) or None)
    write_up(run, folder, result, sets.validation, seconds)
    return result


def learn(
    run: Run,
    folder: Folder,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sets: mnist.Mnist,
    history: list[Epoch],
    before: float,
    last: int,
    device: str,
    first_steps: list[Step],
) -> None:
    """Train up to the `last` epoch; each finished one is kept on disk and added to `history`.

    Until the first one is finished, its steps are added to `first_steps`.
    """

    def on_step(step: Step) -> None:
        if not history:
            first_steps.append(step)
        bar.show(step)

    started = time.monotonic()
    first = len(history) + 1
    steps = math.ceil(len(sets.train) / run.settings.batch_size)
    with Bar(steps, first, last) as bar:
        for epoch in run_epochs(
            model,
            sets.train,
            sets.validation,
            run.settings,
            seed=run.seed,
            device=device,
            first_epoch=first,
            optimizer=optimizer,
            on_step=on_step,
        ):
            check_finite(epoch)
            if not history:
                folder.set_aside()
            seconds = before + time.monotonic() - started
            folder.save_epoch(run, model, optimizer, [*history, epoch], seconds)
            history.append(epoch)
            first_steps.clear()
            bar.write(describe(epoch))
            if epoch.epoch >= last:
                break


def keep_first_steps(
    folder: Folder, model: nn.Module, sets: mnist.Mnist, steps: Sequence[Step], device: str
) -> Epoch:
    """What was learned until the first epoch was stopped, as an epoch of its own.

    Raises KeyboardInterrupt where that is nothing, or an earlier run is there to be kept.
    """
    if not steps or folder.history.exists():
        raise KeyboardInterrupt
    print(
        f"\nStopped after {len(steps)} steps of the first epoch. Measuring what was learned; "
        "Ctrl-C once more leaves without it."
    )
    loss, accuracy = evaluate(model, sets.validation, device=device)
    train_loss = statistics.fmean(step.loss for step in steps)
    train_accuracy = statistics.fmean(step.accuracy for step in steps)
    epoch = Epoch(1, train_loss, loss, train_accuracy, accuracy)
    check_finite(epoch)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.save_results(model, [epoch])
    print(describe(epoch))
    return epoch


def check_finite(epoch: Epoch) -> None:
    """Raises TrainingProblem where the loss became NaN or infinite."""
    if not math.isfinite(epoch.train_loss):
        raise TrainingProblem(
            f"The loss became {epoch.train_loss} in epoch {epoch.epoch}: "
            "try a smaller learning rate."
        )


class Bar:
    """The progress bar: steps of all epochs, time left, loss and accuracy of late."""

    def __init__(self, steps_per_epoch: int, first: int, last: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.last = last
        self.loss = self.accuracy = 0.0
        self.seen = 0
        self.bar = tqdm(
            total=steps_per_epoch * last,
            initial=steps_per_epoch * (first - 1),
            unit="step",
            dynamic_ncols=True,
            disable=not (sys.stderr.isatty() or "ipykernel" in sys.modules),  # no bar in a log
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def show(self, step: Step) -> None:
        """Move on by a step; loss and accuracy are running means over the latest."""
        self.seen = min(self.seen + 1, RUNNING_MEAN)
        self.loss += (step.loss - self.loss) / self.seen
        self.accuracy += (step.accuracy - self.accuracy) / self.seen
        epoch = (step.number - 1) // self.steps_per_epoch + 1
        self.bar.set_description_str(f"epoch {epoch}/{self.last}", refresh=False)
        shown = f"loss {self.loss:.3f}, accuracy {self.accuracy:.1%}"
        self.bar.set_postfix_str(shown, refresh=False)
        self.bar.update()

    def write(self, line: str) -> None:
        """A line of text above the bar."""
        self.bar.write(line)


def load_data(root: str | Path | None, images: int | None = None) -> mnist.Mnist:
    """The three sets, or so many images of each. Raises TrainingProblem."""
    root = root or os.environ.get("HW5_DATA") or HERE / "data"
    try:
        sets = mnist.load(root)
    except (OSError, RuntimeError, ValueError) as problem:
        reason = str(problem).splitlines()[0]
        raise TrainingProblem(
            f"The data set can't be loaded: {reason}\nIf you have it, name its folder with --data."
        ) from problem
    if images is None:
        return sets
    return mnist.Mnist(*(part.first(images) for part in (sets.train, sets.validation, sets.test)))


def make_model(name: str) -> tuple[nn.Module, Training]:
    """One of your models, untrained, and its settings. Raises TrainingProblem."""
    if name == "vit":
        from provided.vision_transformer import VIT_TRAINING, VisionTransformer

        return VisionTransformer(), VIT_TRAINING
    import models

    build, settings = {
        "fc": (models.build_fully_connected, models.FULLY_CONNECTED_TRAINING),
        "cnn": (models.build_cnn, models.CNN_TRAINING),
    }[name]
    model = build()
    try:
        with torch.no_grad():  # a lazy layer gets parameters here that are to be trained
            shape = tuple(model.eval()(torch.zeros(2, 1, mnist.IMAGE_SIZE, mnist.IMAGE_SIZE)).shape)
    except (RuntimeError, ValueError, IndexError) as problem:
        text = str(problem).splitlines()[0]
        raise TrainingProblem(f"The model can't process images (B, 1, 28, 28): {text}") from problem
    if shape != (2, mnist.CLASSES):
        raise TrainingProblem(f"For 2 images the model returns {shape}, not (2, {mnist.CLASSES}).")
    return model, settings


def settled(name: str, model: nn.Module, settings: object) -> Training:
    """The settings, where they can be trained with, as the homework allows them.

    Raises TrainingProblem.
    """
    network = next((one for one in (FULLY_CONNECTED, CNN) if one.kind == name), None)
    called = network.settings if network else "VIT_TRAINING"
    if not isinstance(settings, Training):
        raise TrainingProblem(f"{called} should be a Training(...).")
    problem = problem_of(settings, called, bounds_of(name), layer_names(model))
    if problem is not None:
        raise TrainingProblem(problem)
    settings, notes = as_graded(settings, bounds_of(name))
    print("\n".join([f"Settings: {in_words(settings)}", *notes]))
    return settings


def write_up(
    run: Run, folder: Folder, result: Result, validation: mnist.Split, seconds: float
) -> None:
    """Write the pictures and notes of a training, and add it to what was tried."""
    folder.save_losses(result.epochs, TITLES[run.name])
    folder.save_run(
        run,
        result.model,
        result.epochs,
        device=result.device,
        seconds=seconds,
        test_accuracy=result.test_accuracy,
        epochs_done=result.epochs_done,
        first_steps=result.first_steps,
    )
    end, schedule = result.epochs[-1], run.settings.schedule
    add_experiment(
        ARTIFACTS,
        {
            "finished": datetime.now().isoformat(sep=" ", timespec="minutes"),
            "model": run.name,
            "seed": run.seed,
            "epochs": result.epochs_done,
            "images": run.images,
            "optimizer": run.settings.optimizer,
            "batch_size": run.settings.batch_size,
            "learning_rate": run.settings.highest_rate,
            "schedule": schedule if isinstance(schedule, str) else "per epoch",
            "weight_decay": run.settings.weight_decay,
            "parameters": count_parameters(result.model),
            "train_loss": round(end.train_loss, 5),
            "validation_loss": round(end.validation_loss, 5),
            "validation_accuracy": round(end.validation_accuracy, 5),
            "test_accuracy": round(result.test_accuracy, 5),
            "seconds": round(seconds, 1),
            "device": result.device,
            "architecture": in_short(result.model),
        },
    )
    if run.name == "vit":
        folder.save_attention(last_attention(result, validation), MAPS_TITLE)


@torch.inference_mode()
def last_attention(result: Result, validation: mnist.Split) -> torch.Tensor:
    """The last layer's attention weights (heads, T, T) for the first validation image."""
    result.model.eval()
    image, _ = validation.batch(slice(0, 1))
    _, attention = result.model(image.to(result.device), return_attention=True)
    if attention is None:
        raise TrainingProblem("Your ViTLayer returns no attention weights: return x, attention.")
    batch_axis = 1 if attention.shape[0] != 1 else 0  # heads may be stacked first
    return attention.select(batch_axis, 0).float().cpu()


def compare() -> str:
    """Every run so far as a table; also drawn to artifacts/experiments.png."""
    from provided.plots import experiments_plot  # matplotlib takes a second to import

    rows = read_experiments(ARTIFACTS)
    if not rows:
        raise TrainingProblem("Nothing has been tried yet: run python train.py fc")
    picture = ARTIFACTS / "experiments.png"
    experiments_plot(rows).savefig(picture)
    return f"{table(rows)}\n\nSee {picture}"


def device_of(name: str | None) -> str:
    """The device of this name, or the fastest there is. Raises TrainingProblem."""
    if name is None:
        return fastest_device()
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as problem:
        raise TrainingProblem(f"There is no device {name} here; try cpu.") from problem
    return name


def fastest_device() -> str:
    """A GPU where there is one."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def describe(epoch: Epoch) -> str:
    """One finished epoch in a line."""
    return (
        f"epoch {epoch.epoch:2}: loss {epoch.train_loss:.4f} training, "
        f"{epoch.validation_loss:.4f} validation; accuracy {epoch.train_accuracy:.2%}, "
        f"{epoch.validation_accuracy:.2%}"
    )


if __name__ == "__main__":
    sys.exit(main())
