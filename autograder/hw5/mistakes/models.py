"""Known mistakes in the two networks of question 2, read off their layers and trainings."""

from __future__ import annotations

from autograder.rubric.mistake import Finding, Mistake
from autograder.training.job import TrainingResult
from autograder.training.layer_list import LayerList
from provided.mnist import CLASSES
from provided.training import EPOCHS, Training

LEARNS = frozenset({"Linear", "Conv2d"})
BENDS = frozenset(
    {"ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Tanh", "Softplus", "Hardswish", "Mish",
     "LeakyReLU", "ELU", "GELU", "Softmax", "LogSoftmax", "MaxPool2d"}
)  # fmt: skip
LARGE_RATE = 0.02  # Adam's usual rates lie between 1e-4 and 5e-3
SMALL_RATE = 2e-5
LARGE_SHARE = 0.7  # of numbers that a Dropout takes away

NOT_SEQUENTIAL = Mistake(
    "not-sequential", "2b.1", "the function returns something else than an nn.Sequential",
    "The grader rebuilds your model from its list of layers: put them into one nn.Sequential.",
)  # fmt: skip
FORBIDDEN_LAYER = Mistake(
    "forbidden-layer", "2b.1", "a layer is used that the question's list doesn't name",
    "Put a layer from the list in its place. It costs no other line, as long as the grader "
    "can train the model.",
)  # fmt: skip
NOTHING_LEARNS = Mistake(
    "nothing-learns", "2b.1", "no layer of the model has weights",
    "Which of these layers have weights that training could change?",
)  # fmt: skip
TOO_MANY_UNITS = Mistake(
    "too-many-units", "2b.2", "the hidden layers together have too many units",
    "Each Linear layer but the last counts with its outputs; all of them together share the limit.",
)  # fmt: skip
TOO_MANY_PARAMETERS = Mistake(
    "too-many-parameters", "2c.3", "the model has too many parameters",
    "Look for the largest number: a Linear layer has inputs times outputs, so a smaller image or "
    "fewer channels before Flatten saves most.",
)  # fmt: skip
NO_DROPOUT = Mistake(
    "no-dropout", "2c.2", "the network has no Dropout",
    "Dropout works against memorising: which of your layers has the most weights to memorise with?",
)  # fmt: skip
NO_BATCH_NORM = Mistake(
    "no-batch-norm", "2c.2", "the network has no BatchNorm2d",
    "BatchNorm2d normalises each channel of a convolution's output: where does it belong, and how "
    "many channels are there?",
)  # fmt: skip
MISSING_FLATTEN = Mistake(
    "missing-flatten", "2c.4", "an image meets a Linear layer without having been flattened",
    "A Linear layer works on the last axis alone, so it takes an image row by row. Which shape "
    "should it get instead?",
)  # fmt: skip
SIZES_DONT_FIT = Mistake(
    "sizes-dont-fit", "2b.3", "a layer expects another number of inputs than it gets",
    "Pass a batch of zeros through the model, layer by layer, and print each shape.",
)  # fmt: skip
WRONG_OUTPUT_COUNT = Mistake(
    "wrong-output-count", "2b.3", "the last layer doesn't give one number per digit",
    "Cross entropy wants one logit for each class. How many classes are there?",
)  # fmt: skip
SOFTMAX_BEFORE_LOSS = Mistake(
    "softmax-before-loss", "2b.3",
    "the model ends in a Softmax, and cross entropy applies one more: the loss can't fall below "
    "1.46, and the gradients are small",
    "Read in torch's documentation what nn.CrossEntropyLoss expects as its input.",
)  # fmt: skip
RELU_LAST = Mistake(
    "relu-last", "2b.3",
    "the model ends in a ReLU: a digit whose logit is below zero for every image gets no gradient "
    "and is never learned",
    "Which values may a logit have? Print the model's output for a few images.",
)  # fmt: skip
NO_NONLINEARITY = Mistake(
    "no-nonlinearity", "2b.3",
    "two layers with weights follow each other with nothing non-linear in between",
    "Two linear maps in a row are no more than one: what must stand between them?",
)  # fmt: skip
RATE_TOO_LARGE = Mistake(
    "learning-rate-too-large", "2b.3", "the learning rate is far larger than is usual with Adam",
    "Try a rate a hundred times smaller for one epoch, and compare the loss.",
)  # fmt: skip
RATE_TOO_SMALL = Mistake(
    "learning-rate-too-small", "2b.3", "the learning rate is far smaller than is usual with Adam",
    "Try a rate a hundred times larger for one epoch, and compare the loss.",
)  # fmt: skip
TOO_FEW_EPOCHS = Mistake(
    "too-few-epochs", "2b.3", "training ends after less than half of the epochs that are allowed",
    "Look at the loss curves: do they still fall when the training ends?",
)  # fmt: skip
TOO_MUCH_DROPOUT = Mistake(
    "too-much-dropout", "2b.3", "dropout takes away most of what the network sees",
    "Compare both losses: is the training loss far above the validation loss?",
)  # fmt: skip
TOO_SMALL = Mistake(
    "too-small", "2b.3", "a hidden layer has fewer units than there are digits",
    "How many numbers pass through the narrowest place of your network?",
)  # fmt: skip
HISTORY_MISSING = Mistake(
    "history-missing", "2b.4", "the loss history was not submitted",
    "Run train.py for this model and submit the artifacts folder.",
)  # fmt: skip
HISTORY_INCOMPLETE = Mistake(
    "history-incomplete", "2b.4", "the history lacks the losses of one set, or a number",
    "Compare the first line of your file with the columns above; train.py writes them all.",
)  # fmt: skip
WEIGHTS_MISSING = Mistake(
    "weights-missing", "3c.2", "the Vision Transformer's weights were not submitted",
    "Run train.py for the Vision Transformer and submit the artifacts folder.",
)  # fmt: skip

ALL: tuple[Mistake, ...] = (
    NOT_SEQUENTIAL, FORBIDDEN_LAYER, NOTHING_LEARNS, TOO_MANY_UNITS, TOO_MANY_PARAMETERS,
    NO_DROPOUT, NO_BATCH_NORM, MISSING_FLATTEN, SIZES_DONT_FIT, WRONG_OUTPUT_COUNT,
    SOFTMAX_BEFORE_LOSS, RELU_LAST, NO_NONLINEARITY, RATE_TOO_LARGE, RATE_TOO_SMALL, TOO_FEW_EPOCHS,
    TOO_MUCH_DROPOUT, TOO_SMALL, HISTORY_MISSING, HISTORY_INCOMPLETE, WEIGHTS_MISSING,
)  # fmt: skip


def why_untrainable(layers: LayerList) -> Mistake | None:
    """Why a list of layers doesn't turn images into ten logits."""
    known = [layer for layer in layers.layers if layer.known]
    linear = layers.of_kind("Linear")
    if len(known) < len(layers.layers) or not linear:
        return None
    before = known[: known.index(linear[0])]
    flat = any(layer.kind == "Flatten" for layer in before)
    if not flat and (any(layer.kind == "Conv2d" for layer in before)):
        return MISSING_FLATTEN
    if linear[-1].arguments.get("out_features") != CLASSES:
        return WRONG_OUTPUT_COUNT
    return SIZES_DONT_FIT


def why_inaccurate(layers: LayerList, settings: Training, result: TrainingResult) -> Finding | None:
    """What, of all that can be seen, most likely keeps a model from being accurate."""
    kinds = [layer.kind for layer in layers.layers]
    epochs = len(result.best.epochs)
    shares = [float(layer.arguments["p"]) for layer in layers.of_kind("Dropout")]
    narrowest = min(layers.hidden_units(), default=CLASSES)
    signs = (
        (bool(kinds) and kinds[-1] == "ReLU", RELU_LAST),
        (settings.learning_rate > LARGE_RATE, RATE_TOO_LARGE),
        (settings.learning_rate < SMALL_RATE, RATE_TOO_SMALL),
        (bool(kinds) and kinds[-1] == "Softmax", SOFTMAX_BEFORE_LOSS),
        (_bare_pairs(kinds), NO_NONLINEARITY),
        (settings.epochs < EPOCHS // 2 and epochs == settings.epochs, TOO_FEW_EPOCHS),
        (max(shares, default=0.0) > LARGE_SHARE, TOO_MUCH_DROPOUT),
        (narrowest < CLASSES, TOO_SMALL),
    )
    return next((Finding((mistake,)) for holds, mistake in signs if holds), None)


def missing_kinds(kinds: list[str]) -> Finding | None:
    """The finding for a convolutional network without layers that are asked for."""
    by_kind = {"Dropout": NO_DROPOUT, "BatchNorm2d": NO_BATCH_NORM}
    known = tuple(by_kind[kind] for kind in kinds if kind in by_kind)
    return Finding(known) if known else None


def _bare_pairs(kinds: list[str]) -> bool:
    """Whether two layers with weights follow each other without anything that bends."""
    since: list[str] | None = None
    for kind in kinds:
        if kind in LEARNS:
            if since is not None and not BENDS & set(since):
                return True
            since = []
        elif since is not None:
            since.append(kind)
    return False
