"""From evidence to verdict, for the networks of question 2.

Each function returns or leaves the feedback for full points, or raises Rejected.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

from autograder.hw5.assignment import Assignment, Bar, Cnn, TrainingRules
from autograder.hw5.described import Model
from autograder.hw5.examination import Untrainable
from autograder.hw5.mistakes import networks as known
from autograder.hw5.network_figures import count_of_parameters
from autograder.hw5.verdicts.pictures import loss_picture
from autograder.hw5.verdicts.run_record import beside_ours
from autograder.rubric.feedback import (
    Feedback,
    Named,
    Picture,
    Rejected,
    Table,
    counted,
    joined,
    reject,
)
from autograder.rubric.mistake import hinted, named
from autograder.training.job import Ending, TrainingResult
from autograder.training.layer import Layer, ModelProblem, Reason
from autograder.training.layer_list import LayerList
from provided.mnist import CLASSES
from provided.training import LEAST_DROPOUT


def check_layers(layers: LayerList, allowed: Collection[str]) -> None:
    """Only layers on the list, and at least one that learns."""
    outside = layers.outside(allowed)
    if outside:
        names = joined(dict.fromkeys(map(_called, outside)))
        raise reject(
            f"{names[0].upper()}{names[1:]} {'is' if len(outside) == 1 else 'are'} not on the list "
            "of allowed layers.",
            expected=f"only {', '.join(allowed)}, each from torch.nn",
            **hinted(known.outside_of_list(outside)),
        )
    check_has_weights(layers)


def _called(layer: Layer) -> str:
    """A layer in a sentence, a student's own as such."""
    if layer.own_forward:
        return f"your nn.Sequential {layer}, which has a forward of its own,"
    return f"your own class {layer}" if layer.is_own else str(layer)


def check_has_weights(layers: LayerList) -> None:
    """The model isn't an empty shell: something in it learns, or may learn unseen."""
    if not layers.foreign and not layers.of_kind("Linear") and not layers.of_kind("Conv2d"):
        raise reject(
            "The model has no Linear and no Conv2d layer.",
            got=", ".join(str(layer) for layer in layers.layers) or "an empty nn.Sequential",
            expected="at least one Linear or Conv2d",
            **hinted(known.NOTHING_LEARNS),
        )


def check_countable(layers: LayerList, what: str, unseen: Sequence[Layer]) -> None:
    """What is to be counted doesn't stand in layers that the grader can't see into."""
    lazy = [layer for layer in layers.foreign if layer.is_lazy]
    if lazy:
        raise reject(
            f"The {what} can't be counted: {lazy[0]} takes its size from what it gets first, and a "
            "batch of zeros didn't get there.",
            got=layers.lazy_problem,
            **hinted(known.LAZY_WITHOUT_SIZE),
        )
    if unseen:
        raise reject(
            f"The grader can't count the {what} of your model: {unseen[0]} is "
            f"{unseen[0].described}.",
            got=f"{counted(sum(layer.parameters for layer in unseen), 'parameter')} in "
            f"{joined(map(str, unseen))}, by your code's own count",
            expected="layers of torch.nn that the grader can rebuild",
            **hinted(known.outside_of_list(unseen)),
            notes=("Course staff are told, and can give the points.",),
        )


def check_hidden_units(layers: LayerList, most: int) -> Feedback:
    """All hidden layers together stay within the limit."""
    check_has_weights(layers)
    unseen = [one for one in layers.foreign if one.parameters and (one.is_own or one.own_forward)]
    check_countable(layers, "hidden units", unseen)
    try:
        shapes = layers.hidden_shapes()
    except ModelProblem as problem:
        raise reject(f"The hidden units can't be counted. {problem}") from None
    total = sum(map(prod, shapes))
    sum_of = " + ".join(_product(shape) for shape in shapes) or "0"
    if sum_of != str(total):
        sum_of += f" = {total:,}"
    if total > most:
        rows = any(len(shape) > 1 for shape in shapes)
        raise reject(
            f"{counted(total - most, 'hidden unit')} too many.",
            got=sum_of,
            expected=f"at most {most} in all hidden layers together",
            **hinted(known.UNITS_FOR_EACH_ROW if rows else known.TOO_MANY_UNITS),
        )
    foreign = joined(map(str, layers.foreign)) if layers.foreign else ""
    besides = f" This is without {foreign}, which the grader can't see into." if foreign else ""
    return Feedback(f"Correct: {sum_of} hidden units (limit: {most}).{besides}")


def _product(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape if size > 1) or "1"


def check_required_layers(layers: LayerList, required: Sequence[str]) -> None:
    """At least one layer of each required kind, and a Dropout that drops something."""
    present = {layer.becomes for layer in layers.layers if layer.known or layer.is_lazy}
    missing = [kind for kind in required if kind not in present]
    try:
        shares = layers.dropout_shares()
    except ModelProblem as problem:
        raise reject(f"The network's Dropout can't be read. {problem}") from None
    if "Dropout" in required and not missing and max(shares) < LEAST_DROPOUT:
        raise reject(
            f"The network's Dropout drops nothing: its probability is {max(shares):g}.",
            expected=f"a Dropout with a probability of at least {LEAST_DROPOUT:g}",
            **hinted(known.IDLE_DROPOUT),
        )
    if missing:
        unseen = [str(layer) for layer in layers.foreign if not layer.is_lazy]
        outside = f"Outside {joined(unseen)}, the" if unseen else "The"
        raise reject(
            f"{outside} network has no {' and no '.join(missing)}.",
            expected=f"at least one {' and one '.join(required)}",
            got=", ".join(layer.name for layer in layers.layers) or "no layers",
            **hinted(known.missing_kinds(missing)),
        )


def check_parameters(layers: LayerList, rules: Cnn) -> Feedback:
    """Fewer parameters than the limit; by how many and where, if not.

    What a student's own class says of itself can cost the points, and can't earn them.
    """
    check_has_weights(layers)
    try:
        counts = [(layer, count) for layer, count in layers.parameter_counts() if count]
    except ModelProblem as problem:
        raise reject(f"The parameters can't be counted. {problem}") from None
    total, limit = sum(count for _, count in counts), rules.max_parameters
    if total >= limit:
        largest, most = max(counts, key=lambda pair: pair[1])
        unseen = [str(layer) for layer, _ in counts if not layer.known]
        raise reject(
            f"{counted(total - limit + 1, 'parameter')} too many.",
            got=f"{total:,}, of which {most:,} are in {largest}",
            expected=f"fewer than {limit:,}",
            table=(
                ("layer", "parameters"),
                *((str(layer), f"{count:,}") for layer, count in counts),
                ("all", f"{total:,}"),
            ),
            notes=(f"The count of {joined(unseen)} is your code's own.",) if unseen else (),
            **hinted(known.TOO_MANY_PARAMETERS),
        )
    check_countable(layers, "parameters", layers.foreign)
    small = total < rules.small_parameters
    praise = f" That is even under {rules.small_parameters:,}: well done!" if small else ""
    return Feedback(f"Correct: {total:,} parameters (limit: under {limit:,}).{praise}")


def judge_training(
    result: TrainingResult | Untrainable,
    rules: TrainingRules,
    title: str,
    assignment: Assignment,
    model: Model,
    record: bytes | None = None,
) -> Feedback:
    """Full points at the bar, the table's points below it. The best epoch of any seed counts.

    record: the run.yaml that was submitted, whose figures are shown and don't count
    """
    if isinstance(result, Untrainable):
        raise _untrainable(result)
    trial, notes = result.best, model.notes
    assert model.settings is not None
    finding = known.why_inaccurate(model.layers, model.settings, result)
    if result.shortened:
        notes = (result.shortened, *notes)
    if result.carried_over:
        notes = ("Carried over from your previous submission: this model is unchanged.", *notes)
    if not trial.epochs:
        reason = {
            Ending.DIVERGED: "The loss became NaN or infinite in the first epoch.",
            Ending.OUT_OF_TIME: "No epoch was finished in the time allowed.",
            Ending.OUT_OF_MEMORY: "Training it takes more memory than is available.",
        }.get(result.ended, "No epoch was trained.")
        raise reject(
            f"{title}: no result. {reason}",
            notes=notes,
            **(
                named(finding)
                or Named(
                    next_step="Try a learning rate ten times smaller."
                    if result.ended is Ending.DIVERGED
                    else "Use fewer or smaller layers, or shrink the image earlier."
                )
            ),
        )
    best = trial.test_accuracy.index(trial.best)
    headline = (
        f"Test accuracy {trial.best:.2%} after epoch {best + 1}, the best one "
        f"(validation accuracy {trial.epochs[best].validation_accuracy:.2%})"
    )
    met = trial.best >= rules.accuracy
    parameters = count_of_parameters(model.layers)
    notes = (*notes, *beside_ours(record, trial.best, parameters, stopped=met))
    pictures: tuple[Picture, ...] = ()
    if assignment.pictures:
        pictures = (loss_picture(trial.epochs, f"{title}, trained by the grader"),)
    history = _history_table(result)
    if met:
        text = f"{headline}: meets the {rules.accuracy:.1%} threshold."
        return Feedback(text, table=history, notes=notes, pictures=pictures)
    points = points_of(trial.best, rules.partial)
    ended = {
        Ending.DIVERGED: " The loss became NaN or infinite afterwards.",
        Ending.DEAD: " Training stopped early: the network gives every image the same output.",
        Ending.OUT_OF_TIME: " Training was stopped because its time was up; course staff can "
        "train it to the end.",
        Ending.OUT_OF_MEMORY: " Training was stopped because it takes more memory than is "
        "available.",
    }.get(result.ended, "")
    tries = f", best of {len(result.trials)} seeds" if len(result.trials) > 1 else ""
    raise Rejected(
        Feedback(
            f"{headline}{tries}: below the {rules.accuracy:.1%} threshold.{ended}",
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


def _untrainable(model: Untrainable) -> Rejected:
    if model.settings_problem:
        return reject(model.settings_problem)
    finding = known.why_untrainable(model.layers, model.reason)
    said = model.reason in (Reason.FOREIGN, Reason.LAZY, Reason.TOO_BIG)
    mistake = hinted(finding) if said else named(finding)
    return reject(
        f"The model can't be trained. {model.layers_problem}",
        got=model.layers.lazy_problem if model.reason is Reason.LAZY else "",
        **(mistake or Named(next_step=known.SHAPES_HINT)),
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
    if result.ended is Ending.DEAD:
        return {
            "likely": "no gradient reaches the first layer, as when ReLUs are off for every image",
            "next_step": "Try a smaller learning rate: each step changes the weights less.",
        }
    if accuracy < 2 / CLASSES:
        return {
            "likely": "the network hardly learns, as with a far too large or small learning rate",
            "next_step": "Compare the losses of the first epochs with ln 10 = 2.30, the loss of "
            "guessing. Then try a learning rate ten times smaller, and one ten times larger.",
        }
    hint = (
        "Compare both losses: a validation loss far above the training loss means overfitting; "
        "if both are high, the network may be too small, or the learning rate too small or large."
    )
    last = result.best.epochs[-1]
    overfits = last.validation_loss > 2 * last.train_loss and last.validation_loss > 0.05
    likely = "overfitting: the validation loss is far above the training loss" if overfits else ""
    return {"likely": likely, "next_step": hint}
