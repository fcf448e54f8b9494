"""What is asked of one submission, and the evidence that comes back.

Each piece of evidence is gathered once, by a worker of its own, and kept; where a worker
fails, its error is kept instead and raised for every rubric line that needs that evidence.
Which points follow from it is for the tests in tests/grading to say.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch

from autograder.homework import ARTIFACTS_FOLDER, HEAD, LAYER, WEIGHTS
from autograder.hw5 import made_with, mnist, transformer
from autograder.hw5.assignment import UNHURRIED_SECONDS, Assignment, TrainingRules
from autograder.hw5.described import Model, read_settings
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.head import HeadProbe, probe_head
from autograder.hw5.probes.layer import LayerProbe, probe_layer
from autograder.hw5.probes.vit import Judgement, TransformerRun, WeightsProblem
from autograder.intake.submission import Submission
from autograder.rubric.answers import Answers, read_answers
from autograder.rubric.digesting import digesting
from autograder.rubric.evidence import Kept
from autograder.sandbox.budget import Budget
from autograder.sandbox.client import Sandbox
from autograder.sandbox.errors import IndigestibleReply, WorkerError
from autograder.sandbox.refusals import is_ours
from autograder.sandbox.replies import ModelReply
from autograder.training.carry_over import CarryOver
from autograder.training.job import TrainingJob, TrainingResult
from autograder.training.layer import ModelProblem, Reason
from autograder.training.layer_list import LayerList
from autograder.training.trainer import Trainers
from provided.homework import CNN, FULLY_CONNECTED, Network
from provided.mnist import CLASSES, IMAGE_SIZE, Mnist

IN_WORDS = "q1d"  # read by a person
IMAGES = ((1, IMAGE_SIZE, IMAGE_SIZE), (IMAGE_SIZE**2,))  # shapes in which a model may want one

Say = Callable[[str, str], None]
KEPT_TO_JUDGE = 0.02  # of a run's time: what is there by then is judged, and no more is asked
KEPT_TO_END = 0.04  # by then trainings end, and say how far they came
LEAST_SECONDS = 1.0

Found = TypeVar("Found")


@dataclass(frozen=True)
class Untrainable:
    """A model that can't be trained, and why: its settings, or its list of layers."""

    layers: LayerList
    settings_problem: str = ""
    layers_problem: str = ""
    reason: Reason = Reason.OTHER


class Examination:
    """All evidence about one submission.

    say:     told what goes on in the background, as (topic, text), for the progress line
    ends_at: when the whole run has to be over, in time.monotonic's seconds; None for never
    """

    def __init__(
        self,
        submission: Submission,
        assignment: Assignment,
        sandbox: Sandbox,
        *,
        say: Say = lambda topic, text: None,
        seed: int | None = None,
        carry_over: CarryOver | None = None,
        trainers: Trainers | None = None,
        ends_at: float | None = None,
    ) -> None:
        self.submission = submission
        self.assignment = assignment
        self.sandbox = sandbox
        self.seed = secrets.randbits(48) if seed is None else seed
        self._say = say
        self._ends_at = ends_at
        self._stopped = threading.Event()
        self._trainers = trainers or Trainers()
        self.carry_over = carry_over or CarryOver()
        seconds = assignment.seconds
        self._of_networks, self._of_head, self._of_layer = (
            self._budget(part) for part in (math.inf, seconds.part, seconds.part)
        )
        self._of_transformer = self._budget(seconds.brief_training + seconds.predictions)
        self.fully_connected = self._kept(lambda: self._model(FULLY_CONNECTED))
        self.cnn = self._kept(lambda: self._model(CNN))
        self.fully_connected_training = self._kept(
            lambda: self._train(
                FULLY_CONNECTED, self.fully_connected, assignment.fully_connected.training
            )
        )
        self.cnn_training = self._kept(lambda: self._train(CNN, self.cnn, assignment.cnn.training))
        self.head: Kept[HeadProbe] = self._kept(self._probe_head)
        self.layer: Kept[LayerProbe] = self._kept(self._probe_layer)
        self.transformer_training: Kept[TransformerRun] = self._kept(self._train_transformer)
        self.transformer_weights: Kept[Judgement | WeightsProblem] = self._kept(self._judge_weights)

    @cached_property
    def data(self) -> Mnist:
        """MNIST, mapped from disk."""
        return mnist.load()

    @cached_property
    def made_with(self) -> dict[str, Any]:
        """Digests of what it is judged with."""
        return made_with.made_with(self.assignment)

    @cached_property
    def answers(self) -> Answers:
        """What answers.yaml says."""
        return read_answers(self.submission.answers, in_words=IN_WORDS)

    def generator(self, purpose: str) -> torch.Generator:
        """Random numbers for one purpose: fresh for every run, the same within it."""
        number = sum(ord(letter) << (8 * place) for place, letter in enumerate(purpose[:6]))
        return torch.Generator().manual_seed((self.seed ^ number) & (2**63 - 1))

    def own_head(self) -> HeadProbe | None:
        """The probe of the student's own head where it is right, else None."""
        probe = self.own_head_or_none()
        return probe if probe is not None and probe.is_right else None

    def own_head_or_none(self) -> HeadProbe | None:
        """The probe of the student's own head, right or wrong; None where it can't run."""
        try:
            return self.head.get()
        except WorkerError:
            return None

    def heads(self) -> Heads:
        """Whose heads the Vision Transformer is built on."""
        own = self.own_head_or_none()
        return Heads.STUDENT if own is not None and own.can_stand else Heads.HARNESS

    def head_note(self) -> str:
        """A sentence for lines that stand on the harness's head, else nothing."""
        if self.heads() is Heads.STUDENT:
            return ""
        return (
            "Your SingleHeadAttention doesn't match the reference yet (see question 3a), so this "
            "line was graded with the grader's own attention head: mistakes in 3a cost nothing "
            "here."
        )

    def seconds_left(self, kept: float = KEPT_TO_JUDGE) -> float:
        """Wall time that is left if a share of the run's is kept back; may be negative."""
        if self._ends_at is None:
            return UNHURRIED_SECONDS
        return self._ends_at - time.monotonic() - kept * self.assignment.seconds.total

    def _kept(self, compute: Callable[[], Found]) -> Kept[Found]:
        return Kept(compute, self.seconds_left)

    def _budget(self, processor: float) -> Budget:
        waiting = self.assignment.seconds.waiting
        return Budget(processor, waiting * processor, waiting, self.seconds_left)

    def start(self) -> None:
        """Start the processes that fork trainings and workers, without waiting."""
        self._trainers.start()
        self.sandbox.start()

    def stop(self) -> None:
        """End the trainings that are under way."""
        self._stopped.set()
        self._trainers.stop()

    def _probe_head(self) -> HeadProbe:
        with digesting(f"asking your {HEAD.name}"):
            return probe_head(
                self.sandbox.within(self._of_head),
                self.generator("head"),
                self.assignment.seconds.question,
            )

    def _probe_layer(self) -> LayerProbe:
        own_head = self.own_head()
        with digesting(f"asking your {LAYER.name}"):
            return probe_layer(
                self.sandbox.within(self._of_layer),
                self.generator("layer"),
                self.assignment.seconds.question,
                own_head,
            )

    def _train_transformer(self) -> TransformerRun:
        case = self._transformer_case()
        with digesting("training the Vision Transformer briefly"):
            return transformer.learn(case, self.generator("steps"))

    def _judge_weights(self) -> Judgement | WeightsProblem:
        case, weights = self._transformer_case(), self.submission.artifacts.get(WEIGHTS)
        with digesting(f"judging {ARTIFACTS_FOLDER}/{WEIGHTS}"):
            return transformer.judge(case, weights, self.generator("weights"))

    def _transformer_case(self) -> transformer.Case:
        try:
            layer = self.layer.get()
        except WorkerError:
            layer = None
        return transformer.Case(
            sandbox=self.sandbox.within(self._of_transformer),
            assignment=self.assignment,
            data=self.data,
            layer=layer,
            head=self.own_head_or_none(),
            heads=self.heads(),
            say=self._say,
            stopped=self._stopped.is_set,
        )

    def _model(self, network: Network) -> Model:
        with digesting(f"reading what {network.builder}() returned"):
            return self._described(network)

    def _described(self, network: Network) -> Model:
        with self.sandbox.within(self._of_networks).worker() as worker:
            reply, _ = worker.ask(
                "describe_model",
                ModelReply,
                seconds=self.assignment.seconds.question,
                doing=f"calling {network.builder}()",
                file=network.file,
                builder=network.builder,
                settings=network.settings,
                inputs=IMAGES,
                outputs=CLASSES,
            )
        layers = LayerList.from_replies(reply.layers, reply.lazy_problem)
        if reply.settings is None:
            said = reply.settings_problem or ""
            problem = f"{said}." if is_ours(said) else f"{network.settings} can't be read."
            return Model(layers, None, problem)
        return read_settings(layers, reply, network, self.assignment)

    def _train(
        self, network: Network, model: Kept[Model], rules: TrainingRules
    ) -> TrainingResult | Untrainable:
        described, topic = model.get(), network.kind
        if described.settings is None:
            return Untrainable(described.layers, settings_problem=described.settings_problem)
        with digesting(f"rebuilding the model of {network.builder}()"):
            try:
                described.layers.build()
            except ModelProblem as problem:
                return Untrainable(
                    described.layers, layers_problem=str(problem), reason=problem.reason
                )
        job = TrainingJob.of(
            described.layers,
            described.settings,
            data=str(mnist.DATA),
            accuracy=rules.accuracy,
            bars=[bar.accuracy for bar in rules.partial],
            retry_margin=rules.retry_margin,
            seeds=rules.seeds,
            training_images=rules.training_images,
            cpu_seconds=rules.cpu_seconds,
            shorten=self.assignment.seconds.when_short == "shorten",
        )
        earlier = self.carry_over.find(topic, job)
        if earlier is not None:
            return earlier
        try:
            result = self._trainers.train(
                job,
                max(self.seconds_left(KEPT_TO_END), LEAST_SECONDS),
                lambda event: self._say(topic, progress(event)),
            )
        except IndigestibleReply as problem:
            problem.doing = f"training the model of {network.builder}()"
            raise
        self.carry_over.keep(topic, job, result)
        return result


def progress(event: dict[str, Any]) -> str:
    """A training event as a few words for the progress line."""
    if "epoch" in event:
        again = f"seed {event['seed']}, " if event["seed"] else ""
        return f"{again}epoch {event['epoch']['epoch']}: {event['test_accuracy']:.4f}"
    return str(event.get("ended", ""))
