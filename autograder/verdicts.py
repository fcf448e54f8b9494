"""From evidence to verdict, for models and the Vision Transformer.

Each function returns or leaves the feedback for full points, or raises Rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from autograder.assignment import Assignment, Bar, Cnn, TrainingRules
from autograder.comparison import well_formed
from autograder.diagnosis import encoder
from autograder.diagnosis import models as known
from autograder.diagnosis.errors import of_error
from autograder.diagnosis.mistake import hinted, named
from autograder.examination import Model
from autograder.feedback import (
    Feedback,
    Named,
    Picture,
    Rejected,
    Table,
    counted,
    joined,
    reject,
)
from autograder.layers import LayerList, ModelProblem
from autograder.report import attention_picture, loss_picture, step_picture
from autograder.sandbox.errors import WorkerError
from autograder.training import TrainingResult
from autograder.transformer import Judgement, TransformerRun
from provided.mnist import CLASSES, IMAGE_SIZE

HEADS = 8  # of the given Vision Transformer
TOKENS = (IMAGE_SIZE // 7) ** 2 + 1  # its patches of 7 by 7 pixels and the class token

ROW_SUM_TOLERANCE = 1e-3  # float32 rows of attention weights, summed
ROWS_EXPECTED = "no number below 0, and a sum of 1 in each row"
ROWS_HINT = "Print the smallest weight, and the sums along each axis: which should be all ones?"
MIN_MAP_SPREAD = 1e-6  # maps of a trained model are not all the same number


def check_layers(layers: LayerList, allowed: frozenset[str]) -> None:
    """Only layers on the list, and at least one that learns."""
    outside = layers.outside(allowed)
    if outside:
        raise reject(
            f"{joined(dict.fromkeys(str(layer) for layer in outside))} "
            f"{'is' if len(outside) == 1 else 'are'} not on the list of allowed layers.",
            expected=f"only {', '.join(sorted(allowed))}",
            **hinted(known.FORBIDDEN_LAYER),
        )
    check_has_weights(layers)


def check_has_weights(layers: LayerList) -> None:
    """The model isn't an empty shell: something in it learns."""
    if not layers.of_kind("Linear") and not layers.of_kind("Conv2d"):
        raise reject(
            "The model has no layer with weights, so nothing in it learns.",
            got=", ".join(str(layer) for layer in layers.layers) or "an empty nn.Sequential",
            expected="at least one Linear or Conv2d",
            **hinted(known.NOTHING_LEARNS),
        )


def check_hidden_units(layers: LayerList, most: int) -> Feedback:
    """All hidden layers together stay within the limit."""
    check_has_weights(layers)
    try:
        units = layers.hidden_units()
    except ModelProblem as problem:
        raise reject(f"The hidden units can't be counted. {problem}") from None
    sum_of = " + ".join(str(count) for count in units) or "0"
    if len(units) > 1:
        sum_of += f" = {sum(units)}"
    if sum(units) > most:
        raise reject(
            f"{counted(sum(units) - most, 'hidden unit')} too many.",
            got=sum_of,
            expected=f"at most {most} in all hidden layers together",
            **hinted(known.TOO_MANY_UNITS),
        )
    return Feedback(f"Right: {sum_of} hidden units of at most {most}.")


def check_required_layers(layers: LayerList) -> None:
    """At least one Dropout and one BatchNorm2d."""
    missing = [kind for kind in ("Dropout", "BatchNorm2d") if not layers.of_kind(kind)]
    if missing:
        raise reject(
            f"The network has no {' and no '.join(missing)}.",
            expected="at least one Dropout and one BatchNorm2d",
            got=", ".join(layer.kind for layer in layers.layers) or "no layers",
            **hinted(known.missing_kinds(missing)),
        )


def check_parameters(layers: LayerList, rules: Cnn) -> Feedback:
    """Fewer parameters than the limit; by how many and where, if not."""
    check_has_weights(layers)
    try:
        counts = [(layer, count) for layer, count in layers.parameter_counts() if count]
    except ModelProblem as problem:
        raise reject(f"The parameters can't be counted. {problem}") from None
    total, limit = sum(count for _, count in counts), rules.max_parameters
    largest, most = max(counts, key=lambda pair: pair[1])
    if total >= limit:
        raise reject(
            f"{counted(total - limit + 1, 'parameter')} too many.",
            got=f"{total:,}; the largest share, {most:,}, in {largest}",
            expected=f"fewer than {limit:,}",
            table=(
                ("layer", "parameters"),
                *((str(layer), f"{count:,}") for layer, count in counts),
                ("all", f"{total:,}"),
            ),
            **hinted(known.TOO_MANY_PARAMETERS),
        )
    small = total < rules.small_parameters
    praise = f" Even fewer than {rules.small_parameters:,}: well done!" if small else ""
    return Feedback(f"Right: {total:,} parameters of fewer than {limit:,}.{praise}")


def judge_training(
    result: TrainingResult,
    rules: TrainingRules,
    title: str,
    assignment: Assignment,
    model: Model,
) -> Feedback:
    """Full points at the bar, the table's points below it. The best epoch of any seed counts."""
    trial, notes = result.best, model.notes
    assert model.settings is not None
    finding = known.why_inaccurate(model.layers, model.settings, result)
    if result.shortened:
        notes = (result.shortened, *notes)
    if result.carried_over:
        notes = ("Carried over from your previous submission: this model is unchanged.", *notes)
    if not trial.epochs:
        reason = {
            "diverged": "The loss became NaN or infinite in the first epoch.",
            "out of time": f"Not one epoch was done within {rules.seconds:g} seconds.",
        }.get(result.ended, "No epoch was trained.")
        raise reject(
            f"{title}: no result. {reason}",
            notes=notes,
            **(
                named(finding)
                or Named(
                    next_step="Try a learning rate ten times smaller."
                    if result.ended == "diverged"
                    else "Use fewer or smaller layers, or halve the image's sides earlier."
                )
            ),
        )
    best_epoch = trial.test_accuracy.index(trial.best) + 1
    headline = f"Test accuracy {trial.best:.2%} after epoch {best_epoch}"
    pictures: tuple[Picture, ...] = ()
    if assignment.pictures:
        pictures = (loss_picture(trial.epochs, f"{title}, trained by the grader"),)
    history = _history_table(result)
    if trial.best >= rules.accuracy:
        text = f"{headline}: the {rules.accuracy:.1%} are reached."
        return Feedback(text, table=history, notes=notes, pictures=pictures)
    points = points_of(trial.best, rules.partial)
    ended = {
        "diverged": " The loss became NaN or infinite afterwards.",
        "dead": " Training was ended there: no image makes a difference to this network any more.",
        "out of time": f" Training was stopped after {rules.seconds:g} seconds.",
    }.get(result.ended, "")
    tries = f", best of {len(result.trials)} seeds" if len(result.trials) > 1 else ""
    raise Rejected(
        Feedback(
            f"{headline}{tries}: below the {rules.accuracy:.1%} asked for.{ended}",
            **(named(finding) or _why_low(trial.best, result)),
            table=history,
            notes=notes,
            pictures=pictures,
        ),
        points,
    )


def points_of(accuracy: float, partial: Sequence[Bar]) -> float:
    """The points of the highest bar that an accuracy reaches."""
    return next((bar.points for bar in partial if accuracy >= bar.accuracy), 0.0)


def judge_brief_training(run: TransformerRun, assignment: Assignment) -> Feedback:
    """Above the calibrated bar after the grader's short training."""
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


def judge_weights(judgement: Judgement, assignment: Assignment) -> Feedback:
    """Accuracy of the submitted weights, with and without noise on the images."""
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
    """Eight square maps with rows that sum to one, drawn in the feedback."""
    if isinstance(judged.attention, WorkerError):
        feedback = of_error(judged.attention)
        raise Rejected(replace(feedback, **hinted(encoder.MAPS_NOT_RETURNED)))
    maps = judged.attention
    problem = well_formed(maps, (1, HEADS, TOKENS, TOKENS))
    if problem is not None and tuple(maps.shape) == (HEADS, 1, TOKENS, TOKENS):
        maps = maps.transpose(0, 1)
        problem = well_formed(maps, (1, HEADS, TOKENS, TOKENS))
    if problem is not None:
        raise reject(
            "The last layer's attention maps don't have the right shape.",
            got=f"a tensor that {problem.text}",
            expected=f"(B, {HEADS}, {TOKENS}, {TOKENS}) for {HEADS} heads and {TOKENS} tokens",
            likely="something else than the maps of the given Attention is returned",
            next_step="Print the shape of each result of Attention inside your layer.",
        )
    weights = (
        "submitted weights" if isinstance(judged, Judgement) else "after the grader's training"
    )
    title = f"Last layer, first validation image ({weights})"
    try:
        check_rows(maps, "the attention maps")
    except Rejected as rejected:
        if not assignment.pictures:
            raise
        shown = rejected.feedback.showing(attention_picture(maps[0], title))
        raise Rejected(shown, rejected.points) from None
    if float(maps.max() - maps.min()) < MIN_MAP_SPREAD:
        raise reject(
            "All attention weights are the same number.",
            expected="maps in which tokens look more at some tokens than at others",
            likely="the maps are not those of the attention, or queries and keys are all zero",
            next_step="Print the scores before the softmax: do they differ from each other?",
        )
    pictures = (attention_picture(maps[0], title),) if assignment.pictures else ()
    return Feedback(
        f"Right: {HEADS} maps of {TOKENS} by {TOKENS} tokens, each row sums to one.",
        pictures=pictures,
    )


def check_rows(weights: Tensor, what: str) -> None:
    """Rows of attention weights are probabilities: none negative, sums of one."""
    if bool((weights < -ROW_SUM_TOLERANCE).any()):
        raise reject(
            f"Some of {what} are negative.",
            got=f"lowest {float(weights.min()):.3g}",
            expected=ROWS_EXPECTED,
            likely="scores are returned where the weights after the softmax are asked for",
            next_step=ROWS_HINT,
        )
    sums = weights.sum(dim=-1)
    worst = float((sums - 1).abs().max())
    if worst > ROW_SUM_TOLERANCE:
        columns = float((weights.sum(dim=-2) - 1).abs().max()) <= ROW_SUM_TOLERANCE
        raise reject(
            f"The rows of {what} don't sum to one.",
            got=f"sums from {float(sums.min()):.3g} to {float(sums.max()):.3g}",
            expected=ROWS_EXPECTED,
            next_step=ROWS_HINT,
            likely="the softmax runs over the queries; it belongs over the keys, the last axis"
            if columns
            else "no softmax, or one over other axes than the keys",
        )


def _history_table(result: TrainingResult) -> Table:
    """Each epoch's losses and accuracy; with the seed, where there were several trials."""
    rows = [("seed", "epoch", "training loss", "validation loss", "test accuracy")]
    for trial in result.trials:
        rows += [
            (
                str(trial.seed),
                str(epoch.epoch),
                f"{epoch.train_loss:.4f}",
                f"{epoch.validation_loss:.4f}",
                f"{accuracy:.2%}",
            )
            for epoch, accuracy in zip(trial.epochs, trial.test_accuracy, strict=True)
        ]
    return tuple(row if len(result.trials) > 1 else row[1:] for row in rows)


def _why_low(accuracy: float, result: TrainingResult) -> Named:
    """What the losses alone say."""
    if result.ended == "dead":
        return {
            "likely": "a layer's ReLUs are off for every image, so that no gradient comes through",
            "next_step": "Which learning rate would move the weights less at each step?",
        }
    if accuracy < 2 / CLASSES:
        return {
            "likely": "it doesn't learn at all, as with a learning rate that is far off",
            "next_step": "Compare the first epochs' losses with ln 10 = 2.30, which guessing "
            "gives. Then try a learning rate ten times smaller, and one ten times larger.",
        }
    hint = (
        "Compare both losses: a validation loss far above the training loss means overfitting; "
        "if both are high, the network is too small, or the learning rate too small or too large."
    )
    last = result.best.epochs[-1]
    overfits = last.validation_loss > 2 * last.train_loss and last.validation_loss > 0.05
    likely = "overfitting: the validation loss is far above the training loss" if overfits else ""
    return {"likely": likely, "next_step": hint}
