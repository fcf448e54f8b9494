"""From evidence to verdict, for the Vision Transformer.

Each function returns the feedback for full points, or raises Rejected.
"""

from __future__ import annotations

from dataclasses import replace

from autograder.hw5.assignment import Assignment
from autograder.hw5.mistakes import layer_construction as known
from autograder.hw5.mistakes.networks import WEIGHTS_MISSING
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.probes.given_model import SIZES
from autograder.hw5.probes.vit import JudgedBy, Judgement, TransformerRun, WeightsProblem
from autograder.hw5.verdicts import numbers
from autograder.hw5.verdicts.networks import points_of
from autograder.hw5.verdicts.pictures import attention_picture, step_picture
from autograder.hw5.verdicts.run_record import of_weights
from autograder.rubric.comparison import well_formed
from autograder.rubric.feedback import Feedback, Picture, Rejected, reject
from autograder.rubric.mistake import hinted
from autograder.sandbox.errors import WorkerError
from provided.mnist import CLASSES

MIN_MAP_SPREAD = 1e-6  # maps of a trained model are not all the same number


SAME_STEPS = (
    "It learns: your model takes the same training steps as the grader's, from its first weights "
    "to those after each batch."
)
BY_A_PERSON = "Your own code answered here, and not a program of the grader's: staff will look."


def judge_learning(run: TransformerRun, assignment: Assignment) -> Feedback:
    """The same steps as the grader's program, or above the bar after a short training."""
    if run.by is JudgedBy.STEPS:
        return Feedback(SAME_STEPS)
    check_losses(run)
    rules, brief = assignment.transformer, assignment.transformer.brief
    if run.untrained > rules.max_unlearned:
        raise _not_from_weights(
            f"{run.untrained:.1%} of {brief.test_images:,} test images before any training to "
            "speak of"
        )
    pictures: tuple[Picture, ...] = ()
    if assignment.pictures:
        title = f"Vision Transformer, {brief.steps} steps by the grader"
        pictures = (step_picture(run.losses, title),)
    got = (
        f"accuracy {run.accuracy:.1%} on {brief.test_images:,} test images after "
        f"{brief.steps} steps"
    )
    if run.accuracy >= brief.accuracy:
        notes = (BY_A_PERSON,) if run.for_a_person else ()
        return Feedback(f"It learns: {got}.", notes=notes, pictures=pictures)
    raise Rejected(
        Feedback(
            f"It hardly learns: {got}.",
            expected=f"at least {brief.accuracy:.0%}; guessing gives {1 / CLASSES:.0%}",
            likely="a missing residual connection, a softmax over the wrong axis, or a part of the "
            "layer that gets no gradient",
            next_step="Start with the lines of 3a and 3b: a mistake they name can show here too.",
            pictures=pictures,
        )
    )


def check_losses(run: TransformerRun) -> None:
    """The brief training had a finite loss at each step."""
    if run.losses_problem:
        raise reject(
            "The loss became NaN or infinite in the grader's brief training.",
            got=f"a list of losses that {run.losses_problem}",
            expected="a finite loss at each step",
            likely="a division by zero, or a softmax that overflows",
            next_step="Start with the lines of 3a and 3b; then print the largest number after "
            "each step of your layer.",
        )


def judge_weights(
    judgement: Judgement | WeightsProblem, assignment: Assignment, record: bytes | None = None
) -> Feedback:
    """Accuracy of the submitted weights; where the submission's code gave it, no doubts.

    record: the run.yaml that was submitted, whose figures are shown and don't count
    """
    if isinstance(judgement, WeightsProblem):
        raise _no_weights(judgement)
    rules = assignment.transformer
    reached = judgement.accuracy >= rules.accuracy
    points = points_of(judgement.accuracy, rules.partial)
    if reached or points > 0:
        _check_doubts(judgement, assignment)
    text = f"Test accuracy {judgement.accuracy:.2%}"
    claimed = of_weights(record, judgement.accuracy)
    if reached:
        notes = (*claimed, BY_A_PERSON) if judgement.by is JudgedBy.SUBMISSION else claimed
        return Feedback(f"{text}: meets the {rules.accuracy:.1%} threshold.", notes=notes)
    if judgement.for_a_person and judgement.by is JudgedBy.GRADER:
        likely = "in the Vision Transformer your layer computes something else than in 3a and 3b"
        next_step = "Look for numbers in your code that depend on a size, or on who calls it."
    elif judgement.accuracy > 0.5:
        likely, next_step = "", "Train for all the epochs: python train.py vit."
    else:
        likely = "the weights were trained with different code from what you submitted"
        next_step = "Run python train.py vit with your current code; submit code and weights."
    feedback = Feedback(
        f"{text}: below the {rules.accuracy:.1%} threshold.",
        likely=likely,
        next_step=next_step,
        notes=claimed,
    )
    raise Rejected(feedback, points)


def _check_doubts(judgement: Judgement, assignment: Assignment) -> None:
    """What the submission's own code answered doesn't look stored."""
    rules, doubts = assignment.transformer, judgement.doubts
    if doubts is None:
        return
    if doubts.plain - doubts.noisy > rules.max_perturbed_loss:
        raise reject(
            "The accuracy drops under noise that is too faint to see.",
            got=f"{doubts.plain:.2%} on {rules.perturbed_images:,} test images, "
            f"{doubts.noisy:.2%} on the same with {rules.perturbation} of 255 gray "
            "levels of noise",
            expected="about the same accuracy on both, as trained networks have",
            likely="the predictions depend on exact pixel values, as a table of answers does",
            next_step="Train the given Vision Transformer on the training images: "
            "python train.py vit.",
        )
    if doubts.scrambled > rules.max_unlearned:
        raise _not_from_weights(
            f"{doubts.scrambled:.2%} on {rules.perturbed_images:,} test images with your weights "
            "in a random order"
        )


def _not_from_weights(got: str) -> Rejected:
    return reject(
        "The predictions don't come from the model's weights.",
        got=got,
        expected=f"about {1 / CLASSES:.0%}, as a network that has learned nothing guesses",
        likely="answers, or a network that was trained before, are stored in the code",
        next_step="Train the given model, and submit the weights that training gives.",
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
            "The last layer's attention maps have the wrong shape.",
            got=f"a tensor that {problem.text}",
            expected=f"(B, {heads}, {tokens}, {tokens}) for {heads} heads and {tokens} tokens",
            likely="something other than the maps of the given Attention is returned",
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
            "All attention weights are practically the same number.",
            expected="maps in which tokens look more at some tokens than at others",
            likely="the maps are not those of the attention, or all scores are equal",
            next_step="Print the scores before the softmax: do they differ?",
        )
    pictures = (attention_picture(maps[0], title),) if assignment.pictures else ()
    return Feedback(
        f"Correct: {heads} maps of {tokens} by {tokens} tokens, and each row sums to one.",
        pictures=pictures,
    )


def _no_weights(problem: WeightsProblem) -> Rejected:
    if not problem.unreadable:
        return reject(
            "There are no trained weights: artifacts/vit/weights.safetensors was not submitted.",
            next_step="Run python train.py vit and submit the artifacts folder.",
            diagnosis=WEIGHTS_MISSING.id,
        )
    return reject(
        "artifacts/vit/weights.safetensors can't be read.",
        got=problem.unreadable,
        expected="the file that train.py writes",
        next_step="Run python train.py vit and submit the file as it is.",
    )
