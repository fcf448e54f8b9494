"""Question 3c, judged by the grader's own program wherever it knows one.

The submission's code takes a few training steps, and answers for a few validation images with
the submitted weights. A program that comes to the same numbers stands for it from then on, so
no code of a submission sees test images. What happens otherwise:

    no known computation explains the layer   the submission's code itself is trained briefly and
                                              answers for test images; a person is to look
    it computes something else here than in   weights are judged by the program of questions 3a
    questions 3a and 3b                       and 3b all the same; a person is to look
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from autograder.hw5.assignment import Assignment
from autograder.hw5.mistakes import program as programs
from autograder.hw5.mistakes.program import Program, Weights
from autograder.hw5.probes import vit
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.head import HeadProbe
from autograder.hw5.probes.layer import LayerProbe
from autograder.hw5.probes.vit import (
    JudgedBy,
    Judgement,
    Say,
    StepsTaken,
    TransformerRun,
    WeightsProblem,
)
from autograder.rubric.comparison import compare, well_formed
from autograder.sandbox.client import Workers
from autograder.sandbox.errors import WorkerError
from provided.mnist import Mnist, Split
from provided.training import BATCH_SIZE, Training, evaluate

STEPS = 4
STEP_RATE = 0.1  # of plain gradient descent: changes follow the gradient, rounding stays small
# Share of a tensor's largest change by which two correct ways to take the same steps may differ.
STEP_TOLERANCE = 1e-2
ROUNDING = 1e-6  # share of a tensor's largest number that float32 may round to and fro in STEPS
SAMPLE = 50  # validation images on which a program proves itself

UNEXPLAINED = (
    "no known computation explains the {what}, so the submission's own code answered: look "
    "whether {what} and weights are what they should be"
)
OTHERWISE = (
    "in the Vision Transformer the layer computes something else than in questions 3a and 3b: look "
    "what it hangs on"
)


@dataclass(frozen=True)
class Case:
    """A submission whose Vision Transformer is judged.

    layer, head: what questions 3b and 3a found out; None where the code can't run
    heads:       whose heads its model is built on for training
    stopped:     whether the run is over
    """

    sandbox: Workers
    assignment: Assignment
    data: Mnist
    layer: LayerProbe | None
    head: HeadProbe | None
    heads: Heads
    say: Say
    stopped: Callable[[], bool]

    def programs(self, heads: Heads) -> list[Program]:
        """What may compute the same as its layers over these heads, the likeliest first."""
        if heads is Heads.STUDENT:
            return programs.with_own_heads(self.layer, self.head)
        program = programs.with_harness_heads(self.layer)
        return [] if program is None else [program]

    def unexplained(self, heads: Heads) -> str:
        """Why a person should look at it where there is no program."""
        layer_is_known = programs.with_harness_heads(self.layer) is not None
        what = "attention head" if layer_is_known and heads is Heads.STUDENT else "encoder layer"
        return UNEXPLAINED.format(what=what)


def learn(case: Case, generator: torch.Generator) -> TransformerRun:
    """Whether the model learns: by equal steps, else by a brief training. Raises WorkerError."""
    data, rules = case.data, case.assignment.transformer
    order = torch.randperm(len(data.train), generator=generator)
    batches = data.train.part(order[: STEPS * BATCH_SIZE])
    known = case.programs(case.heads)
    with case.sandbox.worker() as worker:
        taken = vit.take_steps(worker, case.assignment, batches, BATCH_SIZE, STEP_RATE, case.heads)
        program = next((one for one in known if _same_steps(one, taken, batches)), None)
        if program is not None and program.is_reference and program.starts_as_usual(taken.before):
            attention = vit.last_attention(worker, case.assignment, data)
            case.say("vit", "the same steps as the grader's program")
            return TransformerRun([], 0.0, attention, case.heads, by=JudgedBy.STEPS)
        if program is None:
            some = data.test.first(rules.brief.test_images)
            untrained = vit.share(vit.right_of(worker, case.assignment, some, generator))
    if program is not None:
        return _trained_here(case, program, taken)
    return vit.train_briefly(
        case.sandbox,
        case.assignment,
        data,
        case.heads,
        case.say,
        untrained=untrained,
        for_a_person=OTHERWISE if known else case.unexplained(case.heads),
    )


def judge(
    case: Case, weights: bytes | None, generator: torch.Generator
) -> Judgement | WeightsProblem:
    """Judge the submitted weights. Raises WorkerError.

    They belong to the student's own head; where that is wrong, they are judged with the
    harness's too, and the better result counts: they can have been trained with either.
    """
    state = vit.read_weights(weights)
    if isinstance(state, WeightsProblem):
        return state
    if case.heads is Heads.STUDENT:
        return _judge(case, state, Heads.STUDENT, generator)
    results: list[Judgement] = []
    problem: WorkerError | WeightsProblem | None = None
    renamed = vit.for_harness_heads(state, case.head)
    for heads, these in ((Heads.HARNESS, renamed), (Heads.STUDENT, state)):
        try:
            result = _judge(case, these, heads, generator)
        except WorkerError as raised:
            problem = raised
            continue
        if isinstance(result, WeightsProblem):
            problem = result
            continue
        results.append(result)
        if result.accuracy >= case.assignment.transformer.accuracy:
            break
    if results:
        return max(results, key=lambda result: result.accuracy)
    if isinstance(problem, WorkerError):
        raise problem
    assert problem is not None
    return problem


def _judge(
    case: Case, state: dict[str, Tensor], heads: Heads, generator: torch.Generator
) -> Judgement | WeightsProblem:
    sample = case.data.validation.first(SAMPLE)
    known = case.programs(heads)
    fitting = [program for program in known if program.fits(state)]
    doing = "running the Vision Transformer with the submitted weights"
    with case.sandbox.worker() as worker:
        vit.load(worker, case.assignment, state, heads)
        case.say("vit weights", "judging")
        logits = vit.logits_of(worker, case.assignment, sample.images, doing)
        attention = vit.last_attention(worker, case.assignment, case.data)
        if not known:
            right = vit.right_of(worker, case.assignment, case.data.test, generator)
    if known and not fitting:
        return WeightsProblem("the layer's parameters are others than in question 3b", OTHERWISE)
    if not known:
        accuracy, why = vit.share(right), case.unexplained(heads)
        case.say("vit weights", f"{accuracy:.4f}")
        doubts = vit.doubts_of(
            case.sandbox, case.assignment, case.data, state, heads, generator, right
        )
        return Judgement(accuracy, attention, heads, doubts, why)
    proven = [program for program in fitting if _same_logits(program, state, sample, logits)]
    accuracy = max(
        vit.share(program.right(state, case.data.test, case.stopped))
        for program in proven[:1] or fitting
    )
    case.say("vit weights", f"{accuracy:.4f}")
    return Judgement(accuracy, attention, heads, for_a_person="" if proven else OTHERWISE)


def _same_steps(program: Program, taken: StepsTaken, batches: Split) -> bool:
    """Whether the program takes the steps that the submission's model took from its weights."""
    before, after = taken.before, taken.after
    if before.keys() != after.keys() or not _plain_weights(before, after):
        return False
    if not program.fits(before):
        return False
    model = Weights(program, before)
    try:
        logits = programs.take_steps(model, batches, BATCH_SIZE, STEP_RATE)
    except RuntimeError:  # a mistake that doesn't go with these sizes, or without a gradient
        return False
    return compare(taken.logits, logits) is None and all(
        _same_change(before[name], after[name], mine) for name, mine in model.state.items()
    )


def _plain_weights(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return all(
        well_formed(tensor, tuple(before[name].shape), torch.float32) is None
        for tensors in (before, after)
        for name, tensor in tensors.items()
    )


def _same_change(before: Tensor, theirs: Tensor, mine: Tensor) -> bool:
    if not before.numel():
        return True
    change = float((mine - before).abs().max())
    allowed = STEP_TOLERANCE * change + ROUNDING * float(before.abs().max())
    return float((theirs - mine).abs().max()) <= allowed


def _same_logits(program: Program, state: dict[str, Tensor], sample: Split, logits: Tensor) -> bool:
    with suppress(RuntimeError), torch.inference_mode():
        images, _ = sample.batch(slice(None))
        return compare(logits, program.logits(state, images)) is None
    return False


def _trained_here(case: Case, program: Program, taken: StepsTaken) -> TransformerRun:
    """The brief training by the grader's program, from the weights that the model began with."""
    brief = case.assignment.transformer.brief
    settings = Training(brief.learning_rate, schedule="one_cycle")
    model = Weights(program, taken.before)
    losses = []
    images = case.data.train.first(brief.training_images)
    for loss in programs.train(model, images, settings, brief.steps, case.stopped):
        losses.append(loss)
        case.say("vit", f"step {len(losses)} of {brief.steps}")
    problem = well_formed(torch.tensor(losses), (brief.steps,))
    if problem is not None:
        return TransformerRun([], 0.0, torch.empty(0), case.heads, problem.text, by=JudgedBy.GRADER)
    _, accuracy = evaluate(model, case.data.test.first(brief.test_images))
    with case.sandbox.worker() as worker:
        vit.load(worker, case.assignment, model.state, case.heads, submitted=False)
        attention = vit.last_attention(worker, case.assignment, case.data)
    case.say("vit", f"learned: {accuracy:.3f}")
    return TransformerRun(losses, accuracy, attention, case.heads, by=JudgedBy.GRADER)
