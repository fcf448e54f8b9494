"""A training under way: epoch by epoch, kept on disk, stopped and continued."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from provided import mnist
from provided.artifacts import Folder, Progress, Run
from provided.progress import Bar
from provided.runs import RUNS, Runs
from provided.training import Epoch, Step, evaluate, run_epochs


class TrainingProblem(Exception):
    """Why nothing can be trained; one sentence for you."""


@dataclass
class Session:
    """What is trained on what, how far it is, and where it is kept."""

    run: Run
    runs: Runs
    model: nn.Module
    optimizer: torch.optim.Optimizer
    sets: mnist.Mnist
    device: str
    progress: Progress = field(default_factory=Progress)
    folder: Folder | None = None  # made when there is something to keep

    def resume(self) -> None:
        """Go on with the last run like this one. Raises CannotResume or TrainingProblem."""
        self.folder = self.runs.to_continue(self.run, self.model)
        with told_if_not_kept(self.runs.path):
            self.runs.try_out(self.run.name, self.folder)
        self.progress = self.folder.load_epoch(self.run, self.model, self.optimizer)

    def learn(self, last: int) -> None:
        """Train up to the `last` epoch; each finished one is kept on disk.

        Ctrl-C ends it with what was learned. Raises KeyboardInterrupt where that is nothing, and
        TrainingProblem where it could not be kept.
        """
        started = time.monotonic() - self.progress.seconds
        first_steps: list[Step] = []
        try:
            self._learn(last, started, first_steps)
        except KeyboardInterrupt:
            if self.folder is None:
                self.progress.seconds = time.monotonic() - started
                self._keep_first_steps(first_steps)
            else:
                self.resume_here()
                done = self.progress.done
                print(f"\nStopped; epoch {done} was the last to finish. Continue with --resume.")

    def resume_here(self) -> None:
        """Go back to the last finished epoch, and write what was kept from being written."""
        assert self.folder is not None
        self.progress = self.folder.load_epoch(self.run, self.model, self.optimizer)
        self.complete()

    def complete(self) -> None:
        """Write of the last finished epoch what a stop or a crash kept from being written."""
        assert self.folder is not None
        last = self.progress.epochs[-1].epoch
        if last not in self.progress.tests:  # a run of an earlier train.py
            self.progress.tests[last] = self.test()
        if self.folder.read_notes().get("weights_epoch") != last:
            with told_if_not_kept(self.runs.path):
                self.folder.save_results(self.run, self.model, self.progress, self.device)

    def test(self) -> float:
        """The model's accuracy (0 to 1) on the test images, dropout off."""
        return evaluate(self.model, self.sets.test, device=self.device)[1]

    def _learn(self, last: int, started: float, first_steps: list[Step]) -> None:
        """Train; steps of the first epoch are added to `first_steps`, `started` is a clock's."""
        progress, sets = self.progress, self.sets
        first = len(progress.epochs) + 1
        steps = math.ceil(len(sets.train) / self.run.settings.batch_size)

        def on_step(step: Step) -> None:
            if not progress.epochs:
                first_steps.append(step)
            bar.show(step)

        with Bar(steps, first, last) as bar:
            for epoch in run_epochs(
                self.model,
                sets.train,
                sets.validation,
                self.run.settings,
                seed=self.run.seed,
                device=self.device,
                first_epoch=first,
                optimizer=self.optimizer,
                on_step=on_step,
            ):
                check_finite(epoch)
                accuracy = self.test()
                try:
                    self._keep(epoch, accuracy, time.monotonic() - started)
                except KeyboardInterrupt:  # the epoch is whole: it isn't given up
                    self._keep(epoch, accuracy, time.monotonic() - started)
                    raise
                bar.write(describe(epoch))
                if epoch.epoch >= last:
                    break

    def _keep(self, epoch: Epoch, accuracy: float, seconds: float) -> None:
        """Keep a finished epoch, with its accuracy on the test images."""
        progress = self.progress
        if epoch not in progress.epochs:
            progress.epochs.append(epoch)
        progress.tests[epoch.epoch] = accuracy
        progress.seconds = seconds
        with told_if_not_kept(self.runs.path):
            self.folder = self.folder or self.runs.new(self.run.name)
            self.folder.save_epoch(self.run, self.model, self.optimizer, progress, self.device)

    def _keep_first_steps(self, steps: Sequence[Step]) -> None:
        """Keep what was learned until the first epoch was stopped, as an epoch of its own.

        Raises KeyboardInterrupt where that is nothing.
        """
        if not steps:
            raise KeyboardInterrupt
        print(
            f"\nStopped after {len(steps)} steps of the first epoch. Measuring what was learned; "
            "Ctrl-C once more leaves without it."
        )
        loss, accuracy = evaluate(self.model, self.sets.validation, device=self.device)
        train_loss = statistics.fmean(step.loss for step in steps)
        train_accuracy = statistics.fmean(step.accuracy for step in steps)
        epoch = Epoch(1, train_loss, loss, train_accuracy, accuracy)
        check_finite(epoch)
        tests = {1: self.test()}
        self.progress = Progress([epoch], tests, self.progress.seconds, len(steps))
        with told_if_not_kept(self.runs.path):
            self.folder = self.runs.new(self.run.name)
            self.folder.save_results(self.run, self.model, self.progress, self.device)
        print(describe(epoch))


@contextmanager
def told_if_not_kept(artifacts: Path) -> Iterator[None]:
    """Turn an OSError, such as that of a full disk, into a TrainingProblem."""
    try:
        yield
    except OSError as problem:
        raise TrainingProblem(
            f"What is learned can't be kept in {artifacts / RUNS}: {problem}\n"
            "Make that a folder that you may write to, with room on its disk."
        ) from problem


def check_finite(epoch: Epoch) -> None:
    """Raises TrainingProblem where the loss became NaN or infinite."""
    if not math.isfinite(epoch.train_loss):
        raise TrainingProblem(
            f"The loss became {epoch.train_loss} in epoch {epoch.epoch}: "
            "try a smaller learning rate."
        )


def describe(epoch: Epoch) -> str:
    """One finished epoch in a line."""
    return (
        f"epoch {epoch.epoch:2}: loss {epoch.train_loss:.4f} training, "
        f"{epoch.validation_loss:.4f} validation; accuracy {epoch.train_accuracy:.2%}, "
        f"{epoch.validation_accuracy:.2%}"
    )
