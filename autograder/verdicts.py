"""From evidence to verdict, for models, loss histories and the Vision Transformer.

Each function returns or leaves the feedback for full points, or raises Rejected.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from autograder.assignment import Assignment, Bar, Cnn, TrainingRules
from autograder.comparison import well_formed
from autograder.diagnosis import encoder
from autograder.diagnosis import models as known
from autograder.diagnosis.errors import of_error
from autograder.diagnosis.mistake import named
from autograder.examination import Model
from autograder.feedback import Feedback, Named, Picture, Rejected, reject
from autograder.layers import LayerList, ModelProblem
from autograder.report import attention_picture, loss_picture, step_picture
from autograder.sandbox.errors import WorkerError
from autograder.training import TrainingResult
from autograder.transformer import Judgement, TransformerRun
from provided.mnist import CLASSES, IMAGE_SIZE
from provided.training import EPOCHS

HEADS = 8  # of the given Vision Transformer
TOKENS = (IMAGE_SIZE // 7) ** 2 + 1  # its patches of 7 by 7 pixels and the class token

HISTORY_COLUMNS = ("epoch", "train_loss", "validation_loss")
MAX_HISTORY_ROWS = 1_000
ROW_SUM_TOLERANCE = 1e-3  # float32 rows of attention weights, summed
MIN_MAP_SPREAD = 1e-6  # maps of a trained model are not all the same number


def check_layers(layers: LayerList, allowed: frozenset[str]) -> None:
    """Only layers on the list, and at least one that learns."""
    outside = layers.outside(allowed)
    if outside:
        raise reject(
            f"{_and(dict.fromkeys(str(layer) for layer in outside))} "
            f"{'is' if len(outside) == 1 else 'are'} not on the list of allowed layers.",
            expected=f"only {', '.join(sorted(allowed))}",
            **named(known.FORBIDDEN_LAYER),
        )
    check_has_weights(layers)


def check_has_weights(layers: LayerList) -> None:
    """The model isn't an empty shell: something in it learns."""
    if not layers.of_kind("Linear") and not layers.of_kind("Conv2d"):
        raise reject(
            "The model has no layer that learns.",
            got=", ".join(str(layer) for layer in layers.layers) or "an empty nn.Sequential",
            expected="at least one Linear or Conv2d",
            **named(known.NOTHING_LEARNS),
        )


def check_hidden_units(layers: LayerList, most: int) -> Feedback:
    """All hidden layers together stay within the limit."""
    check_has_weights(layers)
    try:
        units = layers.hidden_units()
    except ModelProblem as problem:
        raise reject(f"The hidden units can't be counted. {problem}") from None
    counted = f"{' + '.join(str(count) for count in units) or '0'} = {sum(units)}"
    if sum(units) > most:
        raise reject(
            f"{sum(units) - most} hidden units too many.",
            got=counted,
            expected=f"at most {most}",
            **named(known.TOO_MANY_UNITS),
        )
    return Feedback(f"Right: {counted} hidden units of at most {most}.")


def check_required_layers(layers: LayerList) -> None:
    """At least one Dropout and one BatchNorm2d."""
    missing = [kind for kind in ("Dropout", "BatchNorm2d") if not layers.of_kind(kind)]
    if missing:
        raise reject(
            f"The network has no {' and no '.join(missing)}.",
            expected="at least one of each",
            got=", ".join(layer.kind for layer in layers.layers) or "no layers",
            **named(known.missing_kinds(missing)),
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
            f"{total - limit + 1:,} parameters too many.",
            got=f"{total:,}; {largest} alone has {most:,}",
            expected=f"fewer than {limit:,}",
            **named(known.TOO_MANY_PARAMETERS),
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
    if not trial.epochs:
        reason = {
            "diverged": "The loss became NaN or infinite in the first epoch.",
            "out of time": f"Not one epoch was done within {rules.seconds:g} seconds.",
        }.get(result.ended, "No epoch was trained.")
        raise reject(
            f"{title}: no result. {reason}",
            **(
                named(finding)
                or Named(
                    next_step="Try a smaller learning rate."
                    if result.ended == "diverged"
                    else "Use fewer or smaller layers."
                )
            ),
        )
    best_epoch = trial.test_accuracy.index(trial.best) + 1
    headline = f"Test accuracy {trial.best:.2%} after epoch {best_epoch}"
    if result.shortened:
        notes = (result.shortened, *notes)
    if result.carried_over:
        notes = ("Carried over from your previous submission: this model is unchanged.", *notes)
    pictures: tuple[Picture, ...] = ()
    if assignment.pictures:
        pictures = (loss_picture(trial.epochs, f"{title}, trained by the grader"),)
    history = _history_table(result)
    if trial.best >= rules.accuracy:
        text = f"{headline}: the {rules.accuracy:.1%} are reached."
        return Feedback(text, notes=(*notes, *history), pictures=pictures)
    points = points_of(trial.best, rules.partial)
    ended = {
        "diverged": " The loss became NaN or infinite afterwards.",
        "out of time": f" Training was stopped after {rules.seconds:g} seconds.",
    }.get(result.ended, "")
    tries = f", best of {len(result.trials)} seeds" if len(result.trials) > 1 else ""
    raise Rejected(
        Feedback(
            f"{headline}{tries}: below the {rules.accuracy:.1%} asked for.{ended}",
            **(named(finding) or _why_low(trial.best, result)),
            notes=(*notes, *history),
            pictures=pictures,
        ),
        points,
    )


def points_of(accuracy: float, partial: Sequence[Bar]) -> float:
    """The points of the highest bar that an accuracy reaches."""
    return next((bar.points for bar in partial if accuracy >= bar.accuracy), 0.0)


def check_history(content: bytes | None, model: str) -> Feedback:
    """A readable history.csv with finite losses of both sets for each epoch."""
    name = f"artifacts/{model}/history.csv"
    if content is None:
        raise reject(
            f"{name} was not submitted.",
            next_step=f"Run: python train.py {model}, and submit the artifacts folder.",
            diagnosis=known.HISTORY_MISSING.id,
        )
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))[:MAX_HISTORY_ROWS]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise reject(f"{name} can't be read.", got=str(problem)[:200]) from None
    missing = [column for column in HISTORY_COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise reject(
            f"{name} has no {_and(missing)}." if rows else f"{name} has no epochs.",
            expected=f"a row per epoch with at least {', '.join(HISTORY_COLUMNS)}",
            **named(known.HISTORY_INCOMPLETE),
        )
    for number, row in enumerate(rows, start=1):
        for column in HISTORY_COLUMNS:
            if not _is_loss(row[column]):
                raise reject(
                    f"{name}, row {number}: {column} is not a number.",
                    got=str(row[column])[:60],
                    **named(known.HISTORY_INCOMPLETE),
                )
    if [int(float(row["epoch"])) for row in rows] != list(range(1, len(rows) + 1)):
        raise reject(f"{name}: epochs are not numbered 1, 2, 3, ….")
    first, last = rows[0], rows[-1]
    shorter = f" (shorter than {EPOCHS} epochs: fine)" if len(rows) < EPOCHS else ""
    return Feedback(
        f"Right: {len(rows)} epochs{shorter}; the training loss goes from "
        f"{float(first['train_loss']):.3f} to {float(last['train_loss']):.3f}, the validation loss "
        f"from {float(first['validation_loss']):.3f} to {float(last['validation_loss']):.3f}."
    )


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
            "layer that is cut off from the gradient",
            next_step="Question 3b's lines say what is wrong with the encoder layer.",
            pictures=pictures,
        )
    )


def judge_weights(judgement: Judgement, assignment: Assignment) -> Feedback:
    """Accuracy of the submitted weights, with and without noise on the images."""
    rules = assignment.transformer
    if judgement.perturbed_accuracy < judgement.accuracy - rules.max_perturbed_loss:
        raise reject(
            "The predictions fall apart under noise that no eye sees.",
            got=f"{judgement.accuracy:.2%} on the test images, {judgement.perturbed_accuracy:.2%} "
            f"with {rules.perturbation} of 255 gray levels of noise",
            expected="about the same on both, as a trained network gives",
        )
    text = f"Test accuracy {judgement.accuracy:.2%}"
    if judgement.accuracy >= rules.accuracy:
        return Feedback(
            f"{text}: the {rules.accuracy:.1%} are reached.",
            notes=(f"With faint noise on the images: {judgement.perturbed_accuracy:.2%}.",),
        )
    raise Rejected(
        Feedback(
            f"{text}: below the {rules.accuracy:.1%} asked for.",
            likely=""
            if judgement.accuracy > 0.5
            else "the weights were trained with other code than what was submitted",
            next_step="Train longer: python train.py vit, all ten epochs.",
        ),
        points_of(judgement.accuracy, rules.partial),
    )


def check_attention_maps(judged: Judgement | TransformerRun, assignment: Assignment) -> Feedback:
    """Eight square maps with rows that sum to one, drawn in the feedback."""
    if isinstance(judged.attention, WorkerError):
        feedback = of_error(judged.attention)
        raise Rejected(replace(feedback, **named(encoder.MAPS_NOT_RETURNED)))
    maps = judged.attention
    problem = well_formed(maps, (1, HEADS, TOKENS, TOKENS))
    if problem is not None and tuple(maps.shape) == (HEADS, 1, TOKENS, TOKENS):
        maps = maps.transpose(0, 1)
        problem = well_formed(maps, (1, HEADS, TOKENS, TOKENS))
    if problem is not None:
        raise reject(
            "The last layer's attention maps have not the right form.",
            got=f"a tensor that {problem.text}",
            expected=f"(B, {HEADS}, {TOKENS}, {TOKENS}) for {HEADS} heads and {TOKENS} tokens",
            next_step="Return the second result of Attention from your layer.",
        )
    check_rows(maps, "the attention maps")
    if float(maps.max() - maps.min()) < MIN_MAP_SPREAD:
        raise reject("All attention weights are the same number.", expected="maps that differ")
    weights = "submitted weights" if isinstance(judged, Judgement) else "weights after a moment"
    title = f"Last layer, first validation image ({weights})"
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
            likely="scores are returned where the weights after the softmax are asked for",
        )
    sums = weights.sum(dim=-1)
    worst = float((sums - 1).abs().max())
    if worst > ROW_SUM_TOLERANCE:
        columns = float((weights.sum(dim=-2) - 1).abs().max()) <= ROW_SUM_TOLERANCE
        raise reject(
            f"The rows of {what} don't sum to one.",
            got=f"sums from {float(sums.min()):.3g} to {float(sums.max()):.3g}",
            likely="the softmax runs over the queries; it belongs over the keys, the last axis"
            if columns
            else "no softmax, or one over other axes than the keys",
        )


def _history_table(result: TrainingResult) -> list[str]:
    """Each epoch's losses and accuracy as lines of text."""
    lines = []
    for trial in result.trials:
        if len(result.trials) > 1:
            lines.append(f"Seed {trial.seed}:")
        lines += [
            f"epoch {epoch.epoch:2}: loss {epoch.train_loss:.4f} training, "
            f"{epoch.validation_loss:.4f} validation; test accuracy {accuracy:.2%}"
            for epoch, accuracy in zip(trial.epochs, trial.test_accuracy, strict=True)
        ]
    return lines


def _why_low(accuracy: float, result: TrainingResult) -> Named:
    """What the losses alone say."""
    if accuracy < 2 / CLASSES:
        return {"likely": "it doesn't learn at all: look at the learning rate and the last layers"}
    hint = (
        "Compare both losses: far apart means overfitting, both high means that the learning rate "
        "or the network is too small."
    )
    last = result.best.epochs[-1]
    overfits = last.validation_loss > 2 * last.train_loss and last.validation_loss > 0.05
    likely = "overfitting: the validation loss is far above the training loss" if overfits else ""
    return {"likely": likely, "next_step": hint}


def _is_loss(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False


def _and(parts: Sequence[str] | dict[str, None]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
