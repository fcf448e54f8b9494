"""The Vision Transformer: trained briefly, and judged with the weights that were submitted.

Both run in a worker, since the model is made of the student's modules. Test labels never
go there: images are sent in an order drawn for this run, and what comes back is counted
here. Images are judged once more with noise too weak to see, under which answers that were
looked up instead of computed fall apart.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from autograder.confined import wire
from autograder.homework import GIVEN_CODE
from autograder.hw5 import mnist
from autograder.hw5.assignment import Assignment
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.head import HeadProbe
from autograder.hw5.probes.roles import HeadRoles
from autograder.rubric.comparison import well_formed
from autograder.sandbox.client import Sandbox, Worker
from autograder.sandbox.errors import StudentCodeRaised, WorkerError
from autograder.sandbox.replies import EmptyReply
from provided.mnist import CLASSES, IMAGE_SIZE, Mnist, Split

REQUEST_IMAGES = 2_500  # images per question, so that no single answer is long

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Sizes:
    """The given Vision Transformer's own sizes, read off its constructor's defaults.

    Its text is parsed and not imported, since importing it imports a student's layer.
    """

    patch_size: int
    dim: int
    depth: int
    heads: int
    mlp_dim: int
    dim_head: int

    @classmethod
    def of_given_model(cls, source: str) -> Sizes:
        """From the text of vision_transformer.py. Raises KeyError where one has no default."""
        (init,) = (
            method
            for node in ast.parse(source).body
            if isinstance(node, ast.ClassDef) and node.name == "VisionTransformer"
            for method in node.body
            if isinstance(method, ast.FunctionDef) and method.name == "__init__"
        )
        names = [argument.arg for argument in init.args.args][-len(init.args.defaults) :]
        defaults = dict(zip(names, map(ast.literal_eval, init.args.defaults), strict=True))
        return cls(**{one.name: defaults[one.name] for one in fields(cls)})

    @property
    def patches(self) -> int:
        """How many squares an image is cut into."""
        return int((IMAGE_SIZE // self.patch_size) ** 2)

    @property
    def tokens(self) -> int:
        """The patches and the class token."""
        return self.patches + 1


SIZES = Sizes.of_given_model((GIVEN_CODE / "vision_transformer.py").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class TransformerRun:
    """The brief training: the loss of every step, accuracy on test images, attention maps.

    losses_problem: what is wrong with the losses, such as NaN; then the rest was not asked
    """

    losses: list[float]
    accuracy: float
    attention: Tensor | WorkerError
    heads: Heads
    losses_problem: str = ""


@dataclass(frozen=True)
class Judgement:
    """The submitted weights: accuracy on all test images, on some of them and on the same with
    noise (0 to 1), and attention maps."""

    accuracy: float
    plain_accuracy: float
    perturbed_accuracy: float
    attention: Tensor | WorkerError
    heads: Heads


@dataclass(frozen=True)
class WeightsProblem:
    """Submitted weights that can't be judged: not there (an empty text), or unreadable."""

    unreadable: str = ""


def train_briefly(
    sandbox: Sandbox,
    assignment: Assignment,
    data: Mnist,
    heads: Heads,
    say: Say,
    seed: int = 0,
) -> TransformerRun:
    """Train the student's Vision Transformer for some steps in a worker. Raises WorkerError."""
    brief = assignment.transformer.brief
    with sandbox.worker(*mnist.TRAINING_FILES) as worker:
        _, tensors = worker.ask(
            "train_transformer",
            EmptyReply,
            seconds=assignment.seconds.brief_training,
            doing=f"training the Vision Transformer for {brief.steps} steps",
            on_progress=lambda event: say(
                "vit", f"step {_whole(event.get('step'))} of {brief.steps}"
            ),
            heads=heads,
            seed=seed,
            steps=brief.steps,
            learning_rate=brief.learning_rate,
            training_images=brief.training_images,
        )
        losses = tensors.get("losses", torch.empty(0))
        problem = well_formed(losses, (brief.steps,))
        if problem is not None:
            return TransformerRun([], 0.0, torch.empty(0), heads, losses_problem=problem.text)
        accuracy = _share(_right(worker, assignment, data.test.first(brief.test_images), None))
        attention = _last_attention(worker, assignment, data)
    say("vit", f"learned: {accuracy:.3f}")
    return TransformerRun([float(loss) for loss in losses], accuracy, attention, heads)


def judge_weights(
    sandbox: Sandbox,
    assignment: Assignment,
    data: Mnist,
    weights: bytes | None,
    own_head: HeadProbe | None,
    generator: torch.Generator,
    say: Say,
) -> Judgement | WeightsProblem:
    """Judge the submitted weights in a worker. Raises WorkerError.

    They run with the student's own head; where that is wrong, also with the harness's, and
    the better result counts: weights can have been trained with either.
    """
    if weights is None:
        return WeightsProblem()
    try:
        state = wire.decode_tensors(weights)
    except wire.WireError as problem:
        return WeightsProblem(unreadable=str(problem) or "not a safetensors file")
    if own_head is not None and own_head.can_stand:
        return _judge(sandbox, assignment, data, state, Heads.STUDENT, generator, say)
    results: list[Judgement] = []
    problem_kept: WorkerError | None = None
    renamed = _for_harness_heads(state, own_head)
    for heads, these in ((Heads.HARNESS, renamed), (Heads.STUDENT, state)):
        try:
            results.append(_judge(sandbox, assignment, data, these, heads, generator, say))
        except WorkerError as problem:
            problem_kept = problem
        if results and results[-1].accuracy >= assignment.transformer.accuracy:
            break
    if not results:
        assert problem_kept is not None
        raise problem_kept
    return max(results, key=lambda result: result.accuracy)


def _judge(
    sandbox: Sandbox,
    assignment: Assignment,
    data: Mnist,
    state: dict[str, Tensor],
    heads: Heads,
    generator: torch.Generator,
    say: Say,
) -> Judgement:
    with sandbox.worker() as worker:
        worker.ask(
            "load_transformer",
            EmptyReply,
            seconds=assignment.seconds.question,
            doing="loading artifacts/vit/weights.safetensors",
            tensors=state,
            heads=heads,
        )
        say("vit weights", "judging")
        right = _right(worker, assignment, data.test, generator)
        count = assignment.transformer.perturbed_images
        rows = torch.randperm(len(data.test), generator=generator)[:count]
        some = data.test.part(rows)
        noisy = Split.of(perturbed(some.images, assignment, generator), some.labels)
        still_right = _right(worker, assignment, noisy, generator)
        attention = _last_attention(worker, assignment, data)
    accuracy, plain, with_noise = (_share(one) for one in (right, right[rows], still_right))
    say("vit weights", f"{accuracy:.4f}")
    return Judgement(accuracy, plain, with_noise, attention, heads)


def perturbed(images: Tensor, assignment: Assignment, generator: torch.Generator) -> Tensor:
    """The images with a few gray levels of noise on every pixel, (N, 28, 28) uint8."""
    most = assignment.transformer.perturbation
    noise = torch.randint(-most, most + 1, images.shape, generator=generator)
    return (images.long() + noise).clamp_(0, 255).to(torch.uint8)


def _right(
    worker: Worker, assignment: Assignment, images: Split, generator: torch.Generator | None
) -> Tensor:
    """For which images (N,) the worker's highest logit is the label. They are sent shuffled."""
    order = torch.randperm(len(images), generator=generator)
    right = torch.zeros(len(images), dtype=torch.bool)
    for rows in order.split(REQUEST_IMAGES):
        part = images.part(rows)
        _, tensors = worker.ask(
            "predict",
            EmptyReply,
            seconds=assignment.seconds.predictions,
            doing="running the Vision Transformer on test images",
            tensors={"images": part.images},
        )
        logits = tensors.get("logits", torch.empty(0))
        problem = well_formed(logits, (len(rows), CLASSES))
        if problem is not None:
            raise worker.refuse(
                f"the tensor of logits {problem.text}", "running the Vision Transformer"
            )
        right[rows] = logits.double().argmax(dim=1) == part.labels.long()
    return right


def _share(right: Tensor) -> float:
    return int(right.sum()) / len(right)


def _last_attention(worker: Worker, assignment: Assignment, data: Mnist) -> Tensor | WorkerError:
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


def _for_harness_heads(state: dict[str, Tensor], own_head: HeadProbe | None) -> dict[str, Tensor]:
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


def _whole(value: object) -> str:
    return str(value) if isinstance(value, int) else "?"
