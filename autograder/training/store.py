"""Trainings that the gradings of a class share through a folder: equal ones are done once.

A file stands for a model, its settings and data, and holds how each seed went, epoch by epoch.
Training is deterministic, so that a job with another bar, another margin or other seeds can be
answered from it by going through those epochs again: where the old trainings decide the new
job, nothing is trained. While one grading trains, others that need the same wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

import autograder
import provided
from autograder import HOMEWORK
from autograder.training.carry_over import FINAL, CarryOver
from autograder.training.job import Ending, TrainingJob, TrainingResult, Trial
from autograder.training.work import fitted
from provided.mnist import CHECKSUMS, VALIDATION_IMAGES
from provided.training import Epoch

WAIT_SECONDS = 900.0  # for another grading's training; then this one trains on its own
LOOK_SECONDS = 0.2
TEST_IMAGES = 10_000
# What an epoch's numbers come from. Verdicts are left out: they are made anew each time.
SOURCES = ("training", f"{HOMEWORK}/mnist.py")


class TrainingStore(CarryOver):
    """Looks trainings up in a folder, then among an earlier submission's signed results."""

    def __init__(self, folder: Path, earlier: CarryOver) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._earlier = earlier
        self._locked: dict[
            Path, int
        ] = {}  # descriptors: a lock ends with its process at the latest
        self.entries = earlier.entries

    def find(self, topic: str, job: TrainingJob) -> TrainingResult | None:
        """The result that training would have; None where the caller is to train."""
        file = self._file(topic, job)
        found = _result(file, job)
        if found is None and self._lock(file):
            found = _result(file, job)  # trained while this grading waited
        signed = self._earlier.find(topic, job) if found is None else None
        if signed is not None:
            found = TrainingResult(signed.trials, signed.ended)
            _keep(file, job, found)
        if found is not None:
            self._release(file)
            self._earlier.keep(topic, job, found)
        return found

    def keep(self, topic: str, job: TrainingJob, result: TrainingResult) -> None:
        """Leave a training for the others, unless time or memory ended it."""
        file = self._file(topic, job)
        if result.ended in FINAL:
            with contextlib.suppress(OSError):  # no room: others will train again
                _keep(file, job, result)
        self._release(file)
        self._earlier.keep(topic, job, result)

    def release(self) -> None:
        """Give up trainings that failed, for others to try."""
        for file in list(self._locked):
            self._release(file)

    def _file(self, topic: str, job: TrainingJob) -> Path:
        job, _ = fitted(job, VALIDATION_IMAGES + TEST_IMAGES)
        parts = [
            topic,
            {"layers": job.layers, "settings": job.settings, "images": job.training_images},
            CHECKSUMS,
            _sources(),
            torch.__version__,
        ]
        text = json.dumps(parts, sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()}.json"

    def _lock(self, file: Path) -> bool:
        """Wait until no other grading trains the same; whether this one has the lock."""
        lock = os.open(file.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(LOOK_SECONDS)
                continue
            self._locked[file] = lock
            return True
        os.close(lock)
        return False

    def _release(self, file: Path) -> None:
        with contextlib.suppress(KeyError):
            os.close(self._locked.pop(file))


def _result(file: Path, job: TrainingJob) -> TrainingResult | None:
    fitting, why = fitted(job, VALIDATION_IMAGES + TEST_IMAGES)
    found = replayed(_read(file), fitting)
    return None if found is None else TrainingResult(found.trials, found.ended, why)


def replayed(known: list[tuple[Trial, Ending | None]], job: TrainingJob) -> TrainingResult | None:
    """What a job comes to by trainings that are known; None where they don't decide it.

    known: trials, and why each ended; None where that isn't known
    """
    by_seed = {trial.seed: (trial, ended) for trial, ended in known}
    trials: list[Trial] = []
    best, last = 0.0, None
    for seed in job.seeds:
        trial, last = by_seed.get(seed, (Trial(seed), Ending.REACHED))
        passed = [accuracy >= job.accuracy for accuracy in trial.test_accuracy]
        if True in passed:
            stop = passed.index(True) + 1
            trials.append(Trial(seed, trial.epochs[:stop], trial.test_accuracy[:stop]))
            return TrainingResult(trials, Ending.REACHED)
        if last is Ending.REACHED:  # it met a lower bar, and was stopped there
            return None
        trials += [trial] if trial.epochs else []
        best = max(best, trial.best)
        if not job.nearly_reached(best):
            break
    return None if last is None else TrainingResult(trials, last)


def tried(job: TrainingJob, result: TrainingResult) -> Iterator[tuple[Trial, Ending | None]]:
    """Each seed's training, and why it ended; the result itself says so of the last alone."""
    trials = {trial.seed: trial for trial in result.trials}
    best = 0.0
    for seed in job.seeds:
        trial = trials.get(seed, Trial(seed))
        best = max(best, trial.best)
        reached = trial.best >= job.accuracy
        last = reached or not job.nearly_reached(best) or seed == job.seeds[-1]
        whole = len(trial.epochs) == job.training().epochs
        yield trial, result.ended if last else Ending.MISSED if whole else None
        if last:
            return


def _keep(file: Path, job: TrainingJob, result: TrainingResult) -> None:
    """Add a result to what is known; of two trials with one seed, the longer says more."""
    job, _ = fitted(job, VALIDATION_IMAGES + TEST_IMAGES)
    known = {trial.seed: (trial, ended) for trial, ended in _read(file)}
    for trial, ended in tried(job, result):
        before, why = known.get(trial.seed, (Trial(trial.seed), None))
        if why is None or len(trial.epochs) > len(before.epochs):
            known[trial.seed] = (trial, ended)
    content = [
        {**asdict(trial), "ended": None if ended is None else ended.value}
        for trial, ended in known.values()
    ]
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(file: Path) -> list[tuple[Trial, Ending | None]]:
    """What a file says; nothing where there is none, or none that can be read."""
    try:
        return [
            (
                Trial(
                    int(one["seed"]),
                    [Epoch(**epoch) for epoch in one["epochs"]],
                    [float(accuracy) for accuracy in one["test_accuracy"]],
                ),
                None if one["ended"] is None else Ending(one["ended"]),
            )
            for one in json.loads(file.read_bytes())
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return []


@cache
def _sources() -> str:
    """Stands for the code that trains."""
    package, given = (Path(one.__file__ or "").parent for one in (autograder, provided))
    files: list[Any] = [*given.rglob("*.py")]
    for name in SOURCES:
        files += (package / name).rglob("*.py") if (package / name).is_dir() else [package / name]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sorted(files))).hexdigest()
