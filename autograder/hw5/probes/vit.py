"""Questions to a worker about the Vision Transformer that is made of a submission's modules.

Labels of test images never go there: images are sent in an order drawn for this run, and what
comes back is counted here. Where a submission's own code must answer for test images, it is
asked twice more: with noise too weak to see, under which answers that were looked up fall
apart; and with the same weights in a random order, which know nothing any more.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autograder.confined import wire
from autograder.hw5 import mnist
from autograder.hw5.assignment import Assignment
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.given_model import State
from autograder.hw5.probes.head import HeadProbe
from autograder.hw5.probes.roles import HeadRoles
from autograder.rubric.comparison import well_formed
from autograder.sandbox.client import Workers
from autograder.sandbox.errors import StudentCodeRaised, WorkerError
from autograder.sandbox.replies import EmptyReply
from autograder.sandbox.worker import Worker
from provided.mnist import CLASSES, Mnist, Split

REQUEST_IMAGES = 2_500  # images per question, so that no single answer is long

Say = Callable[[str, str], None]


class JudgedBy(str, enum.Enum):
    """What the numbers behind a verdict come from."""

    STEPS = "the same training steps"
    GRADER = "the grader's program"
    SUBMISSION = "the submission's code"


@dataclass(frozen=True)
class TransformerRun:
    """How the Vision Transformer learns, and its attention maps then.

    losses, accuracy: of the brief training, on test images; none where `by` is STEPS
    losses_problem:   what is wrong with the losses, such as NaN; then the rest was not asked
    untrained:        where the submission's code answered, its accuracy before the training
    for_a_person:     why a person should look at it
    """

    losses: list[float]
    accuracy: float
    attention: Tensor | WorkerError
    heads: Heads
    losses_problem: str = ""
    by: JudgedBy = JudgedBy.SUBMISSION
    untrained: float = 0.0
    for_a_person: str = ""


@dataclass(frozen=True)
class Doubts:
    """Whether a submission's code computes its answers: accuracy (0 to 1) on some test images,
    on the same with faint noise, and on the same with the weights in a random order."""

    plain: float
    noisy: float
    scrambled: float


@dataclass(frozen=True)
class Judgement:
    """The submitted weights: accuracy on all test images (0 to 1), and attention maps.

    doubts:       where the submission's code answered, what speaks for it
    for_a_person: why a person should look at it
    """

    accuracy: float
    attention: Tensor | WorkerError
    heads: Heads
    doubts: Doubts | None = None
    for_a_person: str = ""

    @property
    def by(self) -> JudgedBy:
        """Whose numbers these are."""
        return JudgedBy.GRADER if self.doubts is None else JudgedBy.SUBMISSION


@dataclass(frozen=True)
class WeightsProblem:
    """Submitted weights that can't be judged: not there (an empty text), or unreadable.

    for_a_person: why a person should look at it
    """

    unreadable: str = ""
    for_a_person: str = ""


@dataclass(frozen=True)
class StepsTaken:
    """Some training steps: the weights before and after, the logits (N, 10) of each batch."""

    before: dict[str, Tensor]
    after: dict[str, Tensor]
    logits: Tensor


def take_steps(
    worker: Worker,
    assignment: Assignment,
    batches: Split,
    batch: int,
    learning_rate: float,
    heads: Heads,
    seed: int = 0,
) -> StepsTaken:
    """Have a worker make its Vision Transformer and take a plain gradient step on each batch."""
    _, tensors = worker.ask(
        "take_steps",
        EmptyReply,
        seconds=assignment.seconds.question,
        doing=f"training the Vision Transformer for {len(batches) // batch} steps",
        tensors={"images": batches.images, "labels": batches.labels},
        heads=heads,
        seed=seed,
        batch=batch,
        learning_rate=learning_rate,
    )

    def named(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    return StepsTaken(named("before:"), named("after:"), tensors.get("logits", torch.empty(0)))


def train_briefly(
    sandbox: Workers,
    assignment: Assignment,
    data: Mnist,
    heads: Heads,
    say: Say,
    seed: int = 0,
    *,
    untrained: float = 0.0,
    for_a_person: str = "",
) -> TransformerRun:
    """Train the student's Vision Transformer for some steps in a worker. Raises WorkerError."""
    brief = assignment.transformer.brief
    with sandbox.worker(*mnist.TRAINING_FILES) as worker:
        _, tensors = worker.ask(
            "train_transformer",
            EmptyReply,
            seconds=assignment.seconds.brief_training,
            doing=f"training the Vision Transformer for {brief.steps} steps",
            on_progress=lambda event: _say_step(say, event, brief.steps),
            heads=heads,
            seed=seed,
            steps=brief.steps,
            learning_rate=brief.learning_rate,
            training_images=brief.training_images,
        )
        losses = tensors.get("losses", torch.empty(0))
        problem = well_formed(losses, (brief.steps,))
        if problem is not None:
            nothing = torch.empty(0)
            return TransformerRun([], 0.0, nothing, heads, problem.text, for_a_person=for_a_person)
        accuracy = share(right_of(worker, assignment, data.test.first(brief.test_images), None))
        attention = last_attention(worker, assignment, data)
    say("vit", f"learned: {accuracy:.3f}")
    return TransformerRun(
        [float(loss) for loss in losses],
        accuracy,
        attention,
        heads,
        untrained=untrained,
        for_a_person=for_a_person,
    )


def read_weights(weights: bytes | None) -> dict[str, Tensor] | WeightsProblem:
    """The tensors of a submitted weights file."""
    if weights is None:
        return WeightsProblem()
    try:
        return wire.decode_tensors(weights)
    except wire.WireError as problem:
        return WeightsProblem(unreadable=str(problem) or "not a safetensors file")


def load(
    worker: Worker, assignment: Assignment, state: State, heads: Heads, submitted: bool = True
) -> None:
    """Have a worker make its Vision Transformer with these weights.

    submitted: whether they are a file's, which holds a model's buffers too
    """
    worker.ask(
        "load_transformer",
        EmptyReply,
        seconds=assignment.seconds.question,
        doing="loading artifacts/vit/weights.safetensors"
        if submitted
        else "loading trained weights",
        tensors=dict(state),
        heads=heads,
        buffers=submitted,
    )


def doubts_of(
    sandbox: Workers,
    assignment: Assignment,
    data: Mnist,
    state: State,
    heads: Heads,
    generator: torch.Generator,
    right: Tensor,
) -> Doubts:
    """Ask twice more for some test images, of which `right` (N,) says what was right before."""
    count = assignment.transformer.perturbed_images
    rows = torch.randperm(len(data.test), generator=generator)[:count]
    some = data.test.part(rows)
    noisy = Split.of(perturbed(some.images, assignment, generator), some.labels)
    with sandbox.worker() as worker:
        load(worker, assignment, state, heads)
        still_right = right_of(worker, assignment, noisy, generator)
    try:
        with sandbox.worker() as worker:
            load(worker, assignment, scrambled(state, generator), heads)
            by_chance = share(right_of(worker, assignment, some, generator))
    except WorkerError:  # weights without sense may well lead to NaN
        by_chance = 0.0
    return Doubts(share(right[rows]), share(still_right), by_chance)


def scrambled(state: State, generator: torch.Generator) -> dict[str, Tensor]:
    """The weights with each tensor's numbers in a random order: as large as before, unlearned."""
    return {
        name: value.flatten()[torch.randperm(value.numel(), generator=generator)].view(value.shape)
        for name, value in state.items()
    }


def perturbed(images: Tensor, assignment: Assignment, generator: torch.Generator) -> Tensor:
    """The images with a few gray levels of noise on every pixel, (N, 28, 28) uint8."""
    most = assignment.transformer.perturbation
    noise = torch.randint(-most, most + 1, images.shape, generator=generator)
    return (images.long() + noise).clamp_(0, 255).to(torch.uint8)


def right_of(
    worker: Worker, assignment: Assignment, images: Split, generator: torch.Generator | None
) -> Tensor:
    """For which images (N,) the worker's highest logit is the label. They are sent shuffled."""
    order = torch.randperm(len(images), generator=generator)
    right = torch.zeros(len(images), dtype=torch.bool)
    for rows in order.split(REQUEST_IMAGES):
        part = images.part(rows)
        logits = logits_of(worker, assignment, part.images)
        right[rows] = logits.double().argmax(dim=1) == part.labels.long()
    return right


def share(right: Tensor) -> float:
    """The share of what is true."""
    return int(right.sum()) / len(right)


def logits_of(worker: Worker, assignment: Assignment, images: Tensor, doing: str = "") -> Tensor:
    """The worker's logits (N, 10) for images (N, 28, 28)."""
    doing = doing or "running the Vision Transformer on test images"
    _, tensors = worker.ask(
        "predict",
        EmptyReply,
        seconds=assignment.seconds.predictions,
        doing=doing,
        tensors={"images": images},
    )
    logits = tensors.get("logits", torch.empty(0))
    problem = well_formed(logits, (len(images), CLASSES))
    if problem is not None:
        raise worker.refuse(
            f"the tensor of logits {problem.text}", "running the Vision Transformer"
        )
    return logits


def last_attention(worker: Worker, assignment: Assignment, data: Mnist) -> Tensor | WorkerError:
    """The last layer's attention weights for the first validation image."""
    try:
        _, tensors = worker.ask(
            "last_attention",
            EmptyReply,
            seconds=assignment.seconds.question,
            doing="asking the Vision Transformer for its attention maps",
            tensors={"images": data.validation.first(1).images},
        )
    except StudentCodeRaised as problem:
        return problem
    return tensors.get("attention", torch.empty(0))


def for_harness_heads(state: dict[str, Tensor], own_head: HeadProbe | None) -> dict[str, Tensor]:
    """The weights under the names of the harness's heads, where the student's can be read."""
    if own_head is None or not own_head.candidates:
        return state
    roles = own_head.candidates[0]
    own_names = {parameter.name for parameter in own_head.parts.parameters}
    heads: dict[str, dict[str, Tensor]] = {}
    rest = {}
    for name, value in state.items():
        prefix, own = _in_a_head(name)
        if own in own_names:
            heads.setdefault(prefix, {})[own] = value
        else:
            rest[name] = value
    for prefix, values in heads.items():
        if not own_names <= values.keys():
            return state
        rest |= {
            f"{prefix}{role}.weight": weight.contiguous()
            for role, weight in _projections(roles, values).items()
        }
    return rest


def _in_a_head(name: str) -> tuple[str, str]:
    """A weight's name up to the last number between its dots, and what follows that."""
    parts = name.split(".")
    for place in range(len(parts) - 2, 0, -1):
        if parts[place].isdecimal():
            return ".".join(parts[: place + 1]) + ".", ".".join(parts[place + 1 :])
    return name, ""


def _projections(roles: HeadRoles, values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "query": roles.query.weight(values),
        "key": roles.key.weight(values),
        "value": roles.value.weight(values),
    }


def _say_step(say: Callable[[str, str], None], event: Mapping[str, Any], steps: int) -> None:
    """Pass on how far the training is; a worker also tells of other things."""
    if "step" in event:
        step = event["step"]
        say("vit", f"step {step if isinstance(step, int) else '?'} of {steps}")
