"""Training a layer list to a verdict, in a process of its own that runs no student code.

A zygote forks the process; it reads one job as JSON from its standard input and writes
events, a line of JSON each, to its standard output: every epoch, and at last the end. It
stops at the first epoch whose test accuracy meets the bar, and tries further seeds after a near
miss of this or of a lower bar.

What goes wrong, and what comes of it:

    a loss that is NaN or infinite   that seed ends; the history so far stands
    no gradient can come any more    that seed ends (see `is_dead`)
    more work than allowed           fewer epochs or images, decided by count before the first step
    out of processor or wall time    the process is killed; the best epoch so far stands
    out of memory                    training ends; the best epoch so far stands
    a layer raises                   IndigestibleReply: the model can't be trained
    the process dies                 TrainerFault: not the student's fault
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn
from torch.nn import functional

from autograder.confined.confine import (
    address_space_bytes,
    close_to_others,
    die_with_parent,
    offer_to_oom_killer,
)
from autograder.sandbox.errors import GraderFault, IndigestibleReply
from autograder.sandbox.fork_server import ForkServer, ForkServerError
from autograder.training.gradient_steps import train
from autograder.training.job import Ending, TrainingJob, TrainingResult, Trial
from autograder.training.layer_list import LayerList
from autograder.training.work import fitted
from provided.mnist import Mnist, Split
from provided.settings import initialise
from provided.training import (
    BATCH_SIZE,
    EVALUATION_BATCH,
    Epoch,
    evaluate,
    flush_denormals,
)

MAX_STDERR_BYTES = 64 << 10
DEAD_FOR = 2048  # training images that a model must not tell apart to be dead
DEAD_EPOCHS = 2  # at the end of so many epochs in a row; after one, Adam may still hold momentum
# Numbers of a layer's input and output, of all images judged at once: 256 MB of float32.
EVALUATION_NUMBERS = 64_000_000
# Of images; each divides both sets that are judged, so that no image is left alone. Even the
# last needs no more memory than a training batch of 32 with its gradients.
EVALUATION_BATCHES = (EVALUATION_BATCH, 250, 125, 100, 50, 40)
MEMORY_MIB = 1536  # the largest model that is trained takes 700
NO_MEMORY = "can't allocate memory"  # how torch's allocator says so
CPU_SLACK = 2.0  # a processor may be so much slower than the one that work is counted for


class TrainerFault(GraderFault):
    """The training process ended without a result; carries what it printed."""


class Trainers:
    """Has training processes forked, and can end all of them."""

    def __init__(self) -> None:
        self._zygote = ForkServer("trainer")
        self._stopped = False

    def start(self) -> None:
        """Start what will fork them, without waiting until it is ready."""
        self._zygote.start()

    def train(
        self, job: TrainingJob, seconds: float, on_event: Callable[[dict[str, Any]], None]
    ) -> TrainingResult:
        """Run a job in a process of its own and collect its trials. Raises TrainerFault.

        seconds: of wall time, for a machine that is too busy; the job's own limit is of
                 processor time
        """
        with tempfile.TemporaryFile() as errors:
            pid, events_read = self._start(job, errors)
            timer = threading.Timer(seconds, _kill, [pid])
            timer.start()
            try:
                trials, ended, shortened, failed = _follow(events_read, on_event)
            finally:
                out_of_time = not timer.is_alive()
                timer.cancel()
                process = self._end(pid)
            if failed:
                raise IndigestibleReply(failed)
            out_of_time = out_of_time or process.get("signal") == signal.SIGXCPU
            if not ended and not out_of_time:
                errors.seek(0)
                text = errors.read(MAX_STDERR_BYTES).decode(errors="replace")
                raise TrainerFault(f"the training process ended early: {process}\n{text}")
        ending = Ending(ended) if ended else Ending.OUT_OF_TIME
        return TrainingResult(list(trials.values()), ending, shortened, process=process)

    def stop(self) -> None:
        """Kill every training process; no further one is started."""
        self._stopped = True
        self._zygote.close()

    def _start(self, job: TrainingJob, errors: IO[bytes]) -> tuple[int, IO[bytes]]:
        if self._stopped:
            raise TrainerFault("the run is over")
        read, write = os.pipe()
        try:
            with tempfile.TemporaryFile() as told:
                told.write(job.model_dump_json().encode())
                told.flush()
                descriptors = [told.fileno(), write, errors.fileno()]
                pid = int(self._zygote.request({"do": "start"}, descriptors)["pid"])
        except ForkServerError as problem:
            os.close(read)
            raise TrainerFault(str(problem)) from problem
        finally:
            os.close(write)
        return pid, os.fdopen(read, "rb")

    def _end(self, pid: int) -> dict[str, Any]:
        try:
            return self._zygote.request(
                {"do": "end", "pid": pid, "user": None, "grace": True}, [], restart=False
            )
        except ForkServerError:
            return {}


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _follow(
    events_read: IO[bytes], on_event: Callable[[dict[str, Any]], None]
) -> tuple[dict[int, Trial], str, str, str]:
    """Collect a training process's events until it ends."""
    trials: dict[int, Trial] = {}
    ended = shortened = failed = ""
    with events_read:
        for line in events_read:
            try:
                event = json.loads(line)
            except ValueError:
                break  # killed in the middle of a line
            ended = event.get("ended", ended)
            shortened = event.get("shortened", shortened)
            failed = event.get("failed", failed)
            _collect(trials, event)
            on_event(event)
    return trials, ended, shortened, failed


def _collect(trials: dict[int, Trial], event: dict[str, Any]) -> None:
    if "epoch" in event:
        trial = trials.setdefault(event["seed"], Trial(event["seed"]))
        trial.epochs.append(Epoch(**event["epoch"]))
        trial.test_accuracy.append(event["test_accuracy"])


def events(job: TrainingJob, data: Mnist) -> Iterator[dict[str, Any]]:
    """Train as the job says; yields an event after each epoch and one at the very end."""
    job, why = fitted(job, len(data.validation) + len(data.test))
    if why:
        yield {"shortened": why}
    best = 0.0
    ended = Ending.MISSED
    for seed in job.seeds:
        accuracy = 0.0
        ended = Ending.MISSED
        for epoch, accuracy_now, dead in _epochs(job, data, seed):
            if not (math.isfinite(epoch.train_loss) and math.isfinite(epoch.validation_loss)):
                ended = Ending.DIVERGED
                break
            accuracy = max(accuracy, accuracy_now)
            yield {"seed": seed, "epoch": asdict(epoch), "test_accuracy": accuracy_now}
            if accuracy >= job.accuracy:
                yield {"ended": Ending.REACHED}
                return
            if dead:
                ended = Ending.DEAD
                break
        best = max(best, accuracy)
        if not job.nearly_reached(best):
            break
    yield {"ended": ended}


def guarded(told: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events of a training; what goes wrong with its model is one of them."""
    try:
        yield from told
    except (OSError, GeneratorExit):  # the machine's, or the caller's
        raise
    except Exception as problem:  # noqa: BLE001  the boundary: the model is of a submission's layers
        if isinstance(problem, MemoryError) or NO_MEMORY in str(problem):
            yield {"ended": Ending.OUT_OF_MEMORY}
        else:
            yield {"failed": traceback.format_exc()}


def limit_memory(mib: int) -> None:
    """Let this process use so much memory on top of what it has, and no more (Linux)."""
    if sys.platform == "linux":
        most = address_space_bytes() + (mib << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _epochs(job: TrainingJob, data: Mnist, seed: int) -> Iterator[tuple[Epoch, float, bool]]:
    """Each epoch, the test accuracy after it, and whether the model can't learn any more."""
    torch.manual_seed(seed)
    model = rebuild(job.layer_list())
    settings = job.training(flattened=len(model) - len(job.layers))
    initialise(model, settings)
    train_images = data.train.first(job.training_images)
    decays = any([settings.weight_decay, *settings.layer_weight_decay.values()])
    each_digit = data.test.labels.bincount().tolist()  # what one answer for all gets right
    dead_epochs, at_once = 0, evaluation_batch(job.layer_list())
    for epoch in train(
        model, train_images, data.validation, settings, seed=seed, evaluation_batch=at_once
    ):
        _, accuracy = evaluate(model, data.test, batch_size=at_once)
        same_for_all = round(accuracy * len(data.test)) in each_digit and not decays
        dead_epochs = dead_epochs + 1 if same_for_all and is_dead(model, train_images) else 0
        yield epoch, accuracy, dead_epochs == DEAD_EPOCHS


def is_dead(model: nn.Sequential, images: Split) -> bool:
    """Whether no gradient comes to the model's first weights, and all images look alike to it.

    This is so where the ReLUs of a layer are off for every image: what stands before them
    stays as it is, and what stands behind them sees no image. Nothing changes that but a
    weight decay, or the momentum that an optimizer holds for some hundred steps after.
    """
    model = copy.deepcopy(model).train()  # as it learns: batches have statistics of their own
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    first = next(model.parameters())
    for start in range(0, min(len(images), DEAD_FOR), BATCH_SIZE):
        batch, labels = images.batch(slice(start, start + BATCH_SIZE))
        logits = model(batch)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, labels), first)
        if (logits != logits[0]).any() or gradient.any():
            return False
    return True


def evaluation_batch(layers: LayerList) -> int:
    """How many images are judged at once: as many as usual, fewer where a layer puts out much."""
    most = EVALUATION_NUMBERS // layers.work().at_once
    return next((size for size in EVALUATION_BATCHES if size <= most), EVALUATION_BATCHES[-1])


def rebuild(layers: LayerList) -> nn.Sequential:
    """The model as it is trained: a list that wants flat images gets a flattening in front."""
    model = layers.build()
    if layers.takes_flat_images():
        return nn.Sequential(nn.Flatten(), *model)
    if layers.of_kind("Conv2d"):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def limit_processor(job: TrainingJob) -> None:
    """End the calling process once it has used the time that its job may take."""
    if job.cpu_seconds is not None:
        used = math.ceil(time.process_time() + CPU_SLACK * job.cpu_seconds)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (used, used + 1))


def serve(request: dict[str, Any], descriptors: list[int], load: Callable[[Path], Mnist]) -> None:
    """Be a training process: a job on standard input, events on standard output.

    load: reads the data set in a folder
    """
    os.setsid()
    die_with_parent()
    offer_to_oom_killer()
    close_to_others()
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    torch.set_num_threads(1)
    flush_denormals()
    # Not torch.use_deterministic_algorithms, which does the same and imports torch's compiler.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    warnings.simplefilter("ignore")  # torch warns of a Softmax without dim, per batch
    with os.fdopen(0, "rb") as told, os.fdopen(1, "w", buffering=1) as said:
        try:
            told.seek(0)
            job = TrainingJob.model_validate_json(told.read())
            limit_processor(job)
            data = load(Path(job.data))
            limit_memory(MEMORY_MIB)
            start = time.monotonic()
            for event in guarded(events(job, data)):
                seconds = round(time.monotonic() - start, 2)
                said.write(json.dumps({**event, "seconds": seconds}) + "\n")
        except Exception:  # the boundary of the process: the grader reads what happened
            os.write(2, traceback.format_exc().encode())
            raise
