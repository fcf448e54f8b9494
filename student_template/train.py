"""Train your models and keep what the write-up needs.

    python train.py fc              the fully connected network of question 2b
    python train.py cnn             the convolutional network of question 2c
    python train.py vit             the Vision Transformer of question 3c
    python train.py sample          the small network of samples.py, to try things out
    python train.py compare         what you have tried so far, as a table and a picture

Every run is kept in artifacts/runs. The best full one of each model is shown in artifacts/fc, cnn
and vit, from where it is submitted; a trial (--images, fewer epochs, stopped early) never takes
its place. Ctrl-C stops. What was learned is kept, and --resume continues after the last finished
epoch.
"""

from __future__ import annotations

import provided.names_in_the_way  # noqa: F401  before any import that they could spoil

# isort: split
import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from provided import heat_maps, mnist
from provided.artifacts import CannotResume, Folder, Run, count_parameters
from provided.conditions import Problem, attribute, student_module
from provided.experiments import left_out, table, update_experiments
from provided.homework import CNN, FULLY_CONNECTED, HEAD, LAYER, TRANSFORMER
from provided.notebook import located
from provided.run_notes import whole
from provided.runs import Kept, Runs, code_of
from provided.session import Session, TrainingProblem, told_if_not_kept
from provided.session import describe as describe
from provided.settings import in_words, initialise, layer_names
from provided.settings_rules import as_graded, bounds_of, problem_of
from provided.slots import place_of, still_to_write, what_was_raised
from provided.submission import imported_as_taken, take
from provided.terminal import positive, replace_unknown_letters, seed
from provided.training import Epoch, Training, flush_denormals, make_optimizer

HERE = Path(__file__).resolve().parent
ARTIFACTS = HERE / "artifacts"
TITLES = {
    "fc": "Fully connected network",
    "cnn": "Convolutional network",
    "vit": "Vision Transformer",
    "sample": "Sample: convolutional network",
}
THREADS = 1  # of torch; with more, steps as small as these wait for each other on a busy machine
MAPS_TITLE = heat_maps.TITLE


@dataclass(frozen=True)
class Result:
    """A training's end: the model, each epoch, the test accuracy (0 to 1) after each.

    folder: where the run is kept
    shown:  the run that artifacts/fc, cnn or vit shows, this one or a better one
    trial:  why this is no full run; empty for a full one
    """

    model: nn.Module
    epochs: list[Epoch]
    tests: dict[int, float]
    device: str
    folder: Folder
    shown: Kept | None = None
    trial: str = ""

    @property
    def test_accuracy(self) -> float:
        """That of the last epoch, whose weights are kept."""
        return self.tests[self.epochs[-1].epoch]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = parse(arguments)
    replace_unknown_letters()
    try:
        if options.model == "compare":
            with told_if_closed("experiments.csv"):
                print(compare())
            return 0
        with imported_as_taken(take(HERE)):  # as the grader takes them, also from a notebook
            result = train_model(
                options.model,
                seed=options.seed,
                epochs=options.epochs,
                device=options.device,
                resume=options.resume,
                data=options.data,
                images=options.images,
                threads=options.threads,
            )
    except (TrainingProblem, CannotResume, Problem) as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped before anything was learned: nothing has changed.", file=sys.stderr)
        return 1
    except BaseException as problem:
        if not place_of(problem):  # else it is your code's own
            raise
        slot = still_to_write(problem)
        said = f"To do before this can train: {slot}." if slot else what_was_raised(problem)
        print(located(said, take(HERE).spans), file=sys.stderr)
        return 1
    print(outcome(result))
    return 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=[*TITLES, "compare"])
    parser.add_argument(
        "--seed", type=seed, default=0, help="other initial weights and another order of images"
    )
    parser.add_argument("--epochs", type=positive, help="stop after this many epochs")
    parser.add_argument("--device", help="cpu, cuda or mps; by default the fastest available")
    parser.add_argument(
        "--resume", action="store_true", help="continue after the last finished epoch"
    )
    parser.add_argument(
        "--data",
        help="folder with the four files of MNIST, packed (.gz) or not, at any depth; "
        "by default HW5_DATA or data/, where they are downloaded to",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        default=THREADS,
        help=f"of the processor (default: {THREADS}); more may help where nothing else runs",
    )
    parser.add_argument(
        "--images", type=positive, help="use only this many of each set, to try things out"
    )
    return parser.parse_args(arguments)


def train_model(
    name: str,
    *,
    seed: int = 0,
    epochs: int | None = None,
    device: str | None = None,
    resume: bool = False,
    data: str | Path | None = None,
    images: int | None = None,
    threads: int = THREADS,
) -> Result:
    """Train one of your models ("fc", "cnn", "vit"), or "sample", and write its artifacts.

    A learning rate that falls does so over all ten epochs, also where `epochs` stops earlier.
    Raises TrainingProblem, CannotResume, or Problem where a file or a slot is missing.
    """
    device = device_of(device)
    torch.set_num_threads(threads)
    flush_denormals()
    torch.manual_seed(seed)
    model, settings = make_model(name)
    settings = settled(name, model, settings)
    initialise(model, settings)
    sets = load_data(data, images)
    model.to(device)
    run = Run(name, seed, settings, len(sets.train), code_of(name, take(HERE).code))
    runs = Runs(ARTIFACTS)
    with told_if_not_kept(ARTIFACTS):  # before the time is spent
        runs.try_out(name, None)
    with told_if_closed(name):
        runs.settle(name)
    session = Session(run, runs, model, make_optimizer(model, settings), sets, device)
    if resume:
        session.resume()
    last = min(epochs or settings.epochs, settings.epochs)
    print(f"{TITLES[name]}: {count_parameters(model):,} parameters, on {device}")
    if session.progress.done < last:
        if name == TRANSFORMER:
            heat_maps.tell_if_there_are_none(model, sets.validation.batch(slice(2))[0].to(device))
        session.learn(last)
    else:
        print(f"Nothing to do: {session.progress.done} of {last} epochs are done.")
        session.complete()
    try:
        with told_if_closed(name):
            return write_up(session)
    except KeyboardInterrupt:
        raise TrainingProblem(
            "Stopped while the pictures were drawn. The run is kept; python train.py compare "
            "brings the rest up to date."
        ) from None


def load_data(root: str | Path | None, images: int | None = None) -> mnist.Mnist:
    """The three sets, or so many images of each. Raises TrainingProblem."""
    own = root or os.environ.get("HW5_DATA") or HERE / "data"
    try:
        sets = mnist.load(own, download_missing=not root)
    except (OSError, RuntimeError, ValueError) as problem:
        reason = str(problem).splitlines()[0]
        advice = "" if root else "\nIf you have it, name its folder with --data."
        raise TrainingProblem(f"The data set can't be loaded: {reason}{advice}") from problem
    if images is None:
        return sets
    return mnist.Mnist(*(part.first(images) for part in (sets.train, sets.validation, sets.test)))


def make_model(name: str) -> tuple[nn.Module, Training]:
    """One of your models, untrained, and its settings. Raises TrainingProblem or Problem."""
    if name == "vit":
        for slot in (HEAD, LAYER):
            own_module(slot.file)
        from provided.vision_transformer import VIT_TRAINING, VisionTransformer

        return VisionTransformer(), VIT_TRAINING
    if name == "sample":
        import samples

        model, settings = samples.build_sample(), samples.SAMPLE_TRAINING
    else:
        network = {FULLY_CONNECTED.kind: FULLY_CONNECTED, CNN.kind: CNN}[name]
        models = own_module(network.file)
        model = attribute(network.builder, models)()
        settings = attribute(network.settings, models)
        if not isinstance(model, nn.Module):
            what = f"{network.builder} returns {type(model).__name__}, not a network"
            raise TrainingProblem(f"{what}: is a return missing?")
    try:
        with torch.no_grad():  # a lazy layer gets parameters here that are to be trained
            shape = tuple(model.eval()(torch.zeros(2, 1, mnist.IMAGE_SIZE, mnist.IMAGE_SIZE)).shape)
    except (RuntimeError, ValueError, IndexError) as problem:
        text = str(problem).splitlines()[0]
        raise TrainingProblem(f"The model can't process images (B, 1, 28, 28): {text}") from problem
    if shape != (2, mnist.CLASSES):
        raise TrainingProblem(f"For 2 images the model returns {shape}, not (2, {mnist.CLASSES}).")
    return model, settings


def own_module(file: str) -> ModuleType:
    """One of your files, imported. Raises Problem where it is missing."""
    return student_module(file.removesuffix(".py"), take(HERE).notes)


def settled(name: str, model: nn.Module, settings: object) -> Training:
    """The settings, where they can be trained with, as the homework allows them.

    Raises TrainingProblem.
    """
    network = next((one for one in (FULLY_CONNECTED, CNN) if one.kind == name), None)
    called = network.settings if network else f"{name.upper()}_TRAINING"
    bounds = bounds_of(FULLY_CONNECTED.kind if name == "sample" else name)
    if not isinstance(settings, Training):
        raise TrainingProblem(f"{called} should be a Training(...).")
    problem = problem_of(settings, called, bounds, layer_names(model))
    if problem is not None:
        raise TrainingProblem(problem)
    settings, notes = as_graded(settings, bounds)
    print("\n".join([f"Settings: {in_words(settings)}", *notes]))
    return settings


def write_up(session: Session) -> Result:
    """Write the pictures of a run, add it to what was tried, and show the best run."""
    folder, run, progress = session.folder, session.run, session.progress
    assert folder is not None
    folder.save_losses(progress.epochs, TITLES[run.name])
    result = Result(session.model, progress.epochs, progress.tests, session.device, folder)
    if run.name == TRANSFORMER:
        try:
            folder.save_attention(last_attention(result, session.sets.validation), MAPS_TITLE)
        except Problem as problem:
            print(problem)
    shown = show_best(run.name, run.code)
    update_experiments(ARTIFACTS, [kept.row() for kept in Runs(ARTIFACTS).all() if kept.noted])
    trial = folder.read_notes().get("trial_because", "")
    return replace(result, shown=shown, trial=trial)


def show_best(name: str, code: str | None) -> Kept | None:
    """Let artifacts/fc, cnn or vit show the best run of the model; returns it.

    Raises TrainingProblem where another program keeps the folder from being replaced.
    """
    runs = Runs(ARTIFACTS)
    with told_if_closed(name):
        runs.settle(name)
        for kept in runs.all(name):
            if not kept.folder.losses.exists():  # it was killed before it could be drawn
                kept.folder.save_losses(kept.epochs, TITLES[name])
        return runs.show(name, code)


@contextmanager
def told_if_closed(name: str) -> Iterator[None]:
    """Turn an OSError, such as that of a file open in another program, into a TrainingProblem."""
    try:
        yield
    except OSError as problem:
        raise TrainingProblem(
            f"{ARTIFACTS / name} can't be brought up to date: {problem}\nEvery run is kept in "
            f"{ARTIFACTS / 'runs'}. Close what has a file of that folder open, make room on the "
            "disk, then run python train.py compare."
        ) from problem


def outcome(result: Result) -> str:
    """How a training ended, where it is kept, and which run is submitted."""
    number, where = result.folder.number, ARTIFACTS / result.folder.path.name.partition("-")[2]
    last = result.epochs[-1].epoch
    best = max(result.tests, key=lambda epoch: (result.tests[epoch], -epoch))
    lines = [
        f"Test accuracy {result.test_accuracy:.2%} after epoch {last}"
        + (f"; best {result.tests[best]:.2%}, after epoch {best}." if best != last else ".")
    ]
    lines.append(
        f"Run {number} is a trial ({result.trial}), kept in {result.folder.path}."
        if result.trial
        else f"Run {number} is kept in {result.folder.path}."
    )
    if result.shown is not None:
        lines.append(f"{where} shows {in_a_phrase(result.shown, number)}.")
        if result.shown.number != number and not result.trial:
            lines.append(f"What run {result.shown.number} was stands in {where / 'run.yaml'}.")
    return "\n".join(lines)


def in_a_phrase(shown: Kept, number: int | None = None) -> str:
    """The run that is shown, in words; `number` is that of the run just trained."""
    which = "it" if shown.number == number else f"run {shown.number}"
    kind = "the best trial, as there is no full run" if shown.trial else "the best full run"
    return f"{which}: {kind}, with {shown.validation[0]:.2%} of the validation images"


def last_attention(result: Result, validation: mnist.Split) -> torch.Tensor:
    """The last layer's attention weights (heads, T, T) for the first validation image.

    Raises Problem where there are none.
    """
    return heat_maps.last_attention(
        result.model, validation.batch(slice(0, 1))[0].to(result.device)
    )


def compare() -> str:
    """Every run so far as a table; also drawn to artifacts/experiments.png."""
    from provided.plots import experiments_plot  # matplotlib takes a second to import

    runs = Runs(ARTIFACTS)
    code, shown = take(HERE).code, []
    for name in TITLES:
        best = show_best(name, code_of(name, code))
        shown += [f"{ARTIFACTS / name} shows {in_a_phrase(best)}."] if best else []
    rows = update_experiments(ARTIFACTS, [kept.row() for kept in runs.all() if kept.noted])
    notes = left_out(ARTIFACTS)
    if not rows:
        raise TrainingProblem("\n".join([*notes, "Nothing to show yet: run python train.py fc"]))
    picture = ARTIFACTS / "experiments.png"
    with whole(picture) as new:
        experiments_plot(rows).savefig(new, format="png")
    return "\n".join([table(rows), "", *notes, *shown, f"See {picture}"])


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


if __name__ == "__main__":
    sys.exit(main())
