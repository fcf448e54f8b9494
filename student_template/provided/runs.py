"""All of your runs in artifacts/runs, and the best of each model in artifacts/fc, cnn and vit.

A run is never written over. What artifacts/fc shows, and what you submit, is a copy of one run:

1. a full run (all images, all epochs of its settings) before a trial;
2. for the Vision Transformer, one made with the attention.py and encoder.py that you have now,
   as other code can't use its weights;
3. the one with the highest validation accuracy: at its best epoch for fc and cnn, as the grader
   counts; after its last epoch for vit, as those weights are submitted.

A copy is finished in artifacts/runs before it and the old one change places, so a crash leaves
one of them. Whatever else stood under the name of one of its files is kept in
artifacts/runs/set-aside-fc.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import itertools
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from provided.artifacts import CannotResume, Folder, Run, trial_notes
from provided.experiments import row_of, table
from provided.history import Epoch, read_history
from provided.homework import HEAD, LAYER, TRANSFORMER
from provided.mnist import TRAINING_IMAGES
from provided.run_notes import HALF_WRITTEN, whole
from provided.settings import EPOCHS
from provided.slots import HERE

RUNS = "runs"
COPIES = "copies-{model}.txt"  # digests of the files that were put into artifacts/fc
PREVIOUS = "previous"  # where an earlier train.py kept the run before
STALE = 600  # seconds, in which any file is written
NOT_SHOWN = ("resume.pt",)  # it is large, and stays with the run
TRANSFORMER_CODE = (HEAD.file, LAYER.file)
GIVEN_CODE = "provided/vision_transformer.py"  # which is built on them
OURS = {"history.csv", "weights.safetensors", "run.yaml", "loss.png", "attention.png"}
OURS |= {"attention.npz", *NOT_SHOWN}


@dataclass(frozen=True)
class Kept:
    """A run on disk: its folder, its notes and its epochs."""

    folder: Folder
    notes: Mapping[str, Any]
    epochs: list[Epoch]

    @property
    def number(self) -> int:
        """Counted over all models."""
        return self.folder.number

    @property
    def model(self) -> str:
        """ "fc", "cnn", "vit" or "sample"."""
        return str(self.notes["model"])

    @property
    def trial(self) -> bool:
        """Whether it is anything less than a full run."""
        return bool(self.notes.get("trial", True))

    @property
    def validation(self) -> tuple[float, float]:
        """Accuracy (0 to 1), and loss, by which runs are compared."""
        if self.model == TRANSFORMER:
            epoch = self.epochs[-1]
        else:
            epoch = max(
                self.epochs, key=lambda one: (one.validation_accuracy, -one.validation_loss)
            )
        return epoch.validation_accuracy, epoch.validation_loss

    @property
    def noted(self) -> bool:
        """Whether its notes say how it was made; those of a history alone don't."""
        return {"seed", "parameters", "test_accuracy"} <= self.notes.keys()

    def row(self) -> dict[str, str]:
        """Its row in experiments.csv."""
        return row_of(self.notes, self.epochs[-1].train_loss, self.epochs[-1].validation_loss)

    def rank(self, code: str | None) -> tuple[Any, ...]:
        """Greater for the run that is to be shown."""
        accuracy, loss = self.validation
        same_code = self.notes.get("code") == code
        images = int(self.notes.get("images", TRAINING_IMAGES))
        return not self.trial, same_code, images, accuracy, -loss, self.number


@dataclass(frozen=True)
class Runs:
    """The artifacts folder."""

    path: Path

    def all(self, model: str | None = None) -> list[Kept]:
        """Every run, or every run of a model, the oldest first."""
        found = [kept for folder in self._folders() if (kept := kept_in(folder)) is not None]
        return [kept for kept in found if model in (None, kept.model)]

    def of(self, model: str) -> list[Folder]:
        """The folders of a model's runs, the oldest first."""
        return [one for one in self._folders() if one.path.name.partition("-")[2] == model]

    def new(self, model: str) -> Folder:
        """An empty folder with the next number, also where two trainings ask at once.

        Raises OSError where there can be none.
        """
        home = self._home()
        while True:
            number = max((folder.number for folder in self._folders()), default=0) + 1
            mine = home / f"{number:03}-{model}"
            try:
                mine.mkdir()
            except FileExistsError:
                continue
            if [one.path for one in self._folders() if one.number == number] == [mine]:
                return Folder(mine)
            mine.rmdir()
            time.sleep(random.random() / 100)

    def try_out(self, model: str, folder: Folder | None) -> None:
        """See whether a run can be kept, in this folder or else in a new one, and leave nothing.

        Raises OSError where it can't.
        """
        tried = folder or self.new(model)
        try:
            with tempfile.TemporaryFile(dir=tried.path):
                pass
        finally:
            if folder is None:
                tried.path.rmdir()

    def to_continue(self, run: Run, model: nn.Module) -> Folder:
        """The last run like this one that isn't finished, or else the last that is.

        Where there is none like it, the last one of the model, which `load_epoch` tells apart.
        Raises CannotResume where there is none at all.
        """
        folders = [folder for folder in reversed(self.of(run.name)) if folder.state.exists()]
        if not folders:
            raise CannotResume(f"There is no run to continue in {self.path / RUNS}.")
        done = {folder: folder.continues(run, model) for folder in folders}
        same = [folder for folder in folders if done[folder] is not None]
        unfinished = [one for one in same if done[one] != run.settings.epochs]
        return next(iter([*unfinished, *same, *folders]))

    def show(self, model: str, code: str | None) -> Kept | None:
        """Let artifacts/fc show the best run; returns it. Raises OSError where it can't."""
        self.settle(model)
        kept = self.all(model)
        if not kept:
            return None
        best = max(kept, key=lambda one: one.rank(code))
        if not self._shows(model, best):
            self._set_aside(model, self.path / model)
            self._switch(model, best)
        return best

    def settle(self, model: str) -> None:
        """Finish what a crash interrupted, and take over runs of an earlier train.py.

        Raises OSError where it can't.
        """
        shown, old, new = self._places(model)
        if old.exists() and not shown.exists():
            old.replace(shown)
        if old.exists():
            self._set_aside(model, old)
        for left in (old, new):
            shutil.rmtree(left, ignore_errors=True)
        for folder in self.of(model):
            for file in half_written(folder.path):
                with suppress(FileNotFoundError):
                    if time.time() - file.stat().st_mtime > STALE:  # else a training writes it now
                        file.unlink()
        for folder in (Folder(shown / PREVIOUS), Folder(shown)):
            if readable(folder) and not self._known(folder, model):
                self._take_over(folder, model)

    def _home(self) -> Path:
        """The folder of all runs, made where it isn't there. Raises OSError where it can't be."""
        home = self.path / RUNS
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _folders(self) -> list[Folder]:
        places = (self.path / RUNS).glob("[0-9]*-*")
        return sorted(
            (Folder(one) for one in places if one.name.partition("-")[0].isdigit()),
            key=lambda folder: folder.number,
        )

    def _places(self, model: str) -> tuple[Path, Path, Path]:
        """What is shown, and where it and its successor stand while they change places.

        The latter two are among the runs, where every name is train.py's: a folder of your own in
        artifacts, such as vit.old, is none of its business.
        """
        home = self.path / RUNS
        return self.path / model, home / f"{model}-shown-before", home / f"{model}-shown-next"

    def _shows(self, model: str, kept: Kept) -> bool:
        """Whether artifacts/fc is a copy of that run, and of nothing more."""
        shown = self.path / model
        names = {file.name for file in files_to_show(kept.folder)}
        there = {file.name for file in shown.glob("*")} & ({PREVIOUS} | OURS)
        return names == there and all(
            (shown / name).read_bytes() == (kept.folder.path / name).read_bytes() for name in names
        )

    def _switch(self, model: str, kept: Kept) -> None:
        """Make the copy, then let the two folders change places."""
        shown, old, new = self._places(model)
        new.mkdir(parents=True)
        try:
            for file in files_to_show(kept.folder):
                shutil.copy2(file, new / file.name)
            self._note_copies(model, new.iterdir())
            for file in shown.iterdir() if shown.exists() else ():  # whatever you have put there
                if file.name not in OURS | {PREVIOUS}:
                    copy = shutil.copytree if file.is_dir() else shutil.copy2
                    copy(file, new / file.name)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)  # a full disk needs the room
            raise
        if shown.exists():
            shown.replace(old)
        new.replace(shown)
        shutil.rmtree(old, ignore_errors=True)

    def _set_aside(self, model: str, place: Path) -> None:
        """Copy what a switch would destroy, and is in no run, to a folder of its own."""
        found = [place / name for name in sorted(OURS)]
        found += sorted((place / PREVIOUS).rglob("*"))
        there = {file: digest_of(file) for file in found if file.is_file()}
        known = self._copies(model)
        for folder in [*self.of(model), *map(Folder, self._home().glob(f"set-aside-{model}*"))]:
            known |= {digest_of(file) for file in folder.path.rglob("*") if file.is_file()}
        lost = [file for file, digest in there.items() if digest not in known]
        if not lost:
            return
        aside = self._fresh(f"set-aside-{model}")
        for file in lost:
            copy = aside / file.relative_to(place)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
        names = ", ".join(file.relative_to(place).as_posix() for file in lost)
        print(f"Of {place}, {names} belonged to no run: kept in {aside}.")

    def _fresh(self, name: str) -> Path:
        """A new folder of this name among the runs, or of the name and a number."""
        for number in itertools.count(1):
            fresh = self._home() / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                fresh.mkdir()
                break
        return fresh

    def _copies(self, model: str) -> set[str]:
        """Digests of the files that were copied from a run, which may have gone on since."""
        try:
            text = (self.path / RUNS / COPIES.format(model=model)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return set()
        return set(text.split())

    def _note_copies(self, model: str, files: Iterable[Path]) -> None:
        digests = self._copies(model) | {digest_of(file) for file in files}
        with whole(self._home() / COPIES.format(model=model)) as new:
            new.write_text("\n".join(sorted(digests)) + "\n", encoding="utf-8")

    def _known(self, folder: Folder, model: str) -> bool:
        """Whether a shown history is that of a run, which may have gone on since."""
        text = folder.history.read_bytes()
        return any(one.folder.history.read_bytes().startswith(text) for one in self.all(model))

    def _take_over(self, folder: Folder, model: str) -> None:
        """Copy a run of an earlier train.py; its notes last, which make it one of the runs."""
        new = self.new(model)
        for file in folder.path.iterdir():
            if file.name in OURS - {"run.yaml"}:
                shutil.copy2(file, new.path / file.name)
        epochs, old = read_history(folder.history), folder.read_notes()
        notes = notes_taken_over(new.number, model, epochs, old)
        if not _compares(Kept(new, notes, epochs)):  # else it would be taken over every time
            notes = notes_taken_over(new.number, model, epochs, {})
        elif folder.notes.exists():
            self._note_copies(model, [folder.notes])
        new.write_notes(notes)


def notes_taken_over(
    number: int, model: str, epochs: list[Epoch], old: Mapping[str, Any]
) -> dict[str, Any]:
    """The notes of a run, from those that an earlier train.py wrote."""
    numbers = {name: value for name, value in old.items() if isinstance(value, int)}
    steps, done = numbers.get("steps_done"), numbers.get("epochs_done", len(epochs))
    images = numbers.get("images", TRAINING_IMAGES)
    notes = {
        **old,
        "run": number,
        "model": model,
        **trial_notes(done, numbers.get("epochs", EPOCHS), images, steps),
        "epochs_done": done,
        "weights_epoch": epochs[-1].epoch,
    }
    return {name: value for name, value in notes.items() if value is not None}


def _goodness(epoch: Epoch) -> tuple[float, float]:
    return epoch.validation_accuracy, -epoch.validation_loss


def kept_in(folder: Folder) -> Kept | None:
    """The run in a folder; None for a folder where none came to the end of an epoch."""
    notes = folder.read_notes()
    if "model" not in notes or not readable(folder):
        return None
    kept = Kept(folder, notes, read_history(folder.history))
    return kept if _compares(kept) else None


def _compares(kept: Kept) -> bool:
    """Whether its notes can be compared with those of other runs, and be shown in the table."""
    try:
        kept.rank(None)
        if kept.noted:
            row = kept.row()
            table([row])
            int(row["run"] or 0)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False
    return True


def readable(folder: Folder) -> bool:
    """Whether its history can be read, and has an epoch."""
    try:
        return bool(read_history(folder.history))
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return False


def half_written(folder: Path) -> Iterator[Path]:
    """Files of a run that a crash kept from getting their name, or that are being written."""
    for file in folder.glob("*.new"):
        if any(re.fullmatch(HALF_WRITTEN.format(name=re.escape(name)), file.name) for name in OURS):
            yield file


def digest_of(file: Path) -> str:
    """Tells one file's content from another's."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def files_to_show(folder: Folder) -> Iterator[Path]:
    """What is copied of a run."""
    for name in sorted(OURS - {*NOT_SHOWN}):
        if (folder.path / name).exists():
            yield folder.path / name


def code_of(model: str, code: Mapping[str, str]) -> str | None:
    """A digest of the code that a Transformer's weights belong to; comments don't count.

    code: your files' texts, as they are taken for training, also out of a notebook

    None for the other models, and an empty text where the code can't be read.
    """
    if model != TRANSFORMER:
        return None
    digest = hashlib.sha256()
    try:
        texts = [code[name] for name in TRANSFORMER_CODE]
        for text in [*texts, (HERE / GIVEN_CODE).read_text(encoding="utf-8")]:
            digest.update(ast.dump(ast.parse(text.removeprefix("\ufeff"))).encode())
    except (KeyError, OSError, SyntaxError, ValueError):
        return ""
    return digest.hexdigest()[:16]
