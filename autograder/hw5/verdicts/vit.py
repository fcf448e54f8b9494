"""From evidence to verdict, for the Vision Transformer.

Each function returns the feedback for full points, or raises Rejected.
"""

from __future__ import annotations

from dataclasses import replace

from autograder.hw5.assignment import Assignment
from autograder.hw5.mistakes import layer as known
from autograder.hw5.mistakes.models import WEIGHTS_MISSING
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.probes.vit import SIZES, Judgement, TransformerRun, WeightsProblem
from autograder.hw5.verdicts import numbers
from autograder.hw5.verdicts.models import points_of
from autograder.hw5.verdicts.pictures import attention_picture, step_picture
from autograder.rubric.comparison import well_formed
from autograder.rubric.feedback import Feedback, Picture, Rejected, reject
from autograder.rubric.mistake import hinted
from autograder.sandbox.errors import WorkerError
from provided.mnist import CLASSES

MIN_MAP_SPREAD = 1e-6  # maps of a trained model are not all the same number


def judge_brief_training(run: TransformerRun, assignment: Assignment) -> Feedback:
    """Above the calibrated bar after the grader's short training."""
    check_losses(run)
    brief = assignment.transformer.brief
    pictures: tuple[Picture, ...] = ()
    if assignment.pictures:
        title = f"Vision Transformer, {brief.steps} steps by the grader"
        pictures = (step_picture(run.losses, title),)
    got = f"{run.accuracy:.1%} of {brief.test_images:,} test images after {brief.steps} steps"
    if run.accuracy >= brief.accuracy:
        return Feedback(f"It learns: {got}.", pictures=pictures)
    raise Rejected(
        Feedback(
            f"It hardly learns: {got}.",
            expected=f"at least {brief.accuracy:.0%}; guessing gives {1 / CLASSES:.0%}",
            likely="a missing residual connection, a softmax over the wrong axis, or a part of the "
            "layer that no gradient reaches",
            next_step="Start with the lines of 3a and 3b: what they say is wrong shows here too.",
            pictures=pictures,
        )
    )


def check_losses(run: TransformerRun) -> None:
    """The brief training had a finite loss at each step."""
    if run.losses_problem:
        raise reject(
            "The loss became NaN or infinite in the grader's brief training.",
            got=f"the list of losses {run.losses_problem}",
            expected="a finite loss at each step",
            likely="a division by zero, or a softmax that overflows",
            next_step="Start with the lines of 3a and 3b; then print the largest number behind "
            "each step of your layer.",
        )


def judge_weights(judgement: Judgement | WeightsProblem, assignment: Assignment) -> Feedback:
    """Accuracy of the submitted weights, with and without noise on the images."""
    if isinstance(judgement, WeightsProblem):
        raise _no_weights(judgement)
    rules = assignment.transformer
    reached = judgement.accuracy >= rules.accuracy
    points = points_of(judgement.accuracy, rules.partial)
    lost = judgement.plain_accuracy - judgement.perturbed_accuracy
    if (reached or points > 0) and lost > rules.max_perturbed_loss:
        raise reject(
            "The predictions fall apart under noise that no eye sees.",
            got=f"{judgement.plain_accuracy:.2%} on {rules.perturbed_images:,} test images, "
            f"{judgement.perturbed_accuracy:.2%} on the same with {rules.perturbation} of 255 gray "
            "levels of noise",
            expected="about the same on both, as a trained network gives",
            likely="the predictions hang on exact pixel values, as with a table of stored answers",
            next_step="Train the given Vision Transformer on the training images: "
            "python train.py vit.",
        )
    text = f"Test accuracy {judgement.accuracy:.2%}"
    if reached:
        return Feedback(
            f"{text}: the {rules.accuracy:.1%} are reached.",
            notes=(
                f"On {rules.perturbed_images:,} of them {judgement.plain_accuracy:.2%}, with faint "
                f"noise {judgement.perturbed_accuracy:.2%}.",
            ),
        )
    near = judgement.accuracy > 0.5
    raise Rejected(
        Feedback(
            f"{text}: below the {rules.accuracy:.1%} asked for.",
            likely="" if near else "the weights were trained with other code than you submit",
            next_step="Train longer: python train.py vit, all ten epochs."
            if near
            else "Run python train.py vit with the code as it is now, and submit both together.",
        ),
        points,
    )


def check_attention_maps(judged: Judgement | TransformerRun, assignment: Assignment) -> Feedback:
    """A square map for each head with rows that sum to one, drawn in the feedback."""
    if isinstance(judged, TransformerRun):
        check_losses(judged)
    if isinstance(judged.attention, WorkerError):
        feedback = of_error(judged.attention)
        raise Rejected(replace(feedback, **hinted(known.MAPS_NOT_RETURNED)))
    maps, heads, tokens = judged.attention, SIZES.heads, SIZES.tokens
    problem = well_formed(maps, (1, heads, tokens, tokens))
    if problem is not None and tuple(maps.shape) == (heads, 1, tokens, tokens):
        maps = maps.transpose(0, 1)
        problem = well_formed(maps, (1, heads, tokens, tokens))
    if problem is not None:
        raise reject(
            "The last layer's attention maps don't have the right shape.",
            got=f"a tensor that {problem.text}",
            expected=f"(B, {heads}, {tokens}, {tokens}) for {heads} heads and {tokens} tokens",
            likely="something else than the maps of the given Attention is returned",
            next_step="Print the shape of each result of Attention inside your layer.",
        )
    weights = (
        "submitted weights" if isinstance(judged, Judgement) else "after the grader's training"
    )
    title = f"Last layer, first validation image ({weights})"
    try:
        numbers.check_rows(maps, "the attention maps")
    except Rejected as rejected:
        if not assignment.pictures:
            raise
        shown = rejected.feedback.showing(attention_picture(maps[0], title))
        raise Rejected(shown, rejected.points) from None
    if float(maps.max()) - float(maps.min()) < MIN_MAP_SPREAD:
        raise reject(
            "All attention weights are the same number.",
            expected="maps in which tokens look more at some tokens than at others",
            likely="the maps are not those of the attention, or queries and keys are all zero",
            next_step="Print the scores before the softmax: do they differ from each other?",
        )
    pictures = (attention_picture(maps[0], title),) if assignment.pictures else ()
    return Feedback(
        f"Right: {heads} maps of {tokens} by {tokens} tokens, each row sums to one.",
        pictures=pictures,
    )


def _no_weights(problem: WeightsProblem) -> Rejected:
    if not problem.unreadable:
        return reject(
            "No trained weights were submitted: artifacts/vit/weights.safetensors is missing.",
            next_step="Run: python train.py vit, and submit the artifacts folder.",
            diagnosis=WEIGHTS_MISSING.id,
        )
    return reject(
        "artifacts/vit/weights.safetensors can't be read.",
        got=problem.unreadable,
        expected="the file that train.py writes",
        next_step="Run: python train.py vit, and submit the file as it is.",
    )
