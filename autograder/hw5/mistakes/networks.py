"""Known mistakes in the two networks of question 2, read off their layers and trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autograder.rubric.mistake import Finding, Mistake
from autograder.training.job import TrainingResult
from autograder.training.layer import Layer, ModelProblem, Reason
from autograder.training.layer_list import LayerList
from provided.mnist import CLASSES, TRAINING_IMAGES
from provided.training import EPOCHS, Training

LEARNS = frozenset({"Linear", "Conv2d"})
BENDS = frozenset(
    {
        "ReLU",
        "ReLU6",
        "SELU",
        "SiLU",
        "Sigmoid",
        "Tanh",
        "Softplus",
        "Hardswish",
        "Mish",
        "LeakyReLU",
        "ELU",
        "GELU",
        "Softmax",
        "LogSoftmax",
        "MaxPool2d",
    }
)
# Rates far below and far above what an optimizer usually takes. Plain gradient descent's is
# that of a single step; a momentum m adds 1/(1-m) of them up.
UNUSUAL_RATES = {
    "adam": (2e-5, 0.02),
    "adamw": (2e-5, 0.02),
    "nadam": (2e-5, 0.02),
    "radam": (2e-5, 0.02),
    "adamax": (5e-5, 0.05),
    "rmsprop": (2e-5, 0.02),
    "adagrad": (5e-4, 0.5),
    "sgd": (3e-3, 3.0),
}
FEW_STEPS = 2_000  # of all epochs; ten epochs with batches of 32 are 15,000
LARGE_SHARE = 0.7  # of numbers that a Dropout takes away

SHAPES_HINT = "Pass a batch of zeros through the model, layer by layer, and print each shape."

NOT_SEQUENTIAL = Mistake(
    id="not-sequential",
    line="2b.1",
    explanation="the function returns something other than an nn.Sequential",
    hint=(
        "The grader rebuilds your model from its list of layers: put them all into one "
        "nn.Sequential."
    ),
)
FORBIDDEN_LAYER = Mistake(
    id="forbidden-layer",
    line="2b.1",
    explanation="a layer is used that is not on the question's list",
    hint=(
        "Replace it with a layer from the list. It costs no other line, as long as the grader can "
        "train the model."
    ),
)
OWN_CLASS = Mistake(
    id="own-class",
    line="2b.1",
    explanation="a layer is of a class of your own, which the grader can't rebuild",
    hint=(
        "The grader trains a model that it rebuilds from torch.nn's own layers. Which of them do "
        "what your class does?"
    ),
)
OWN_FORWARD = Mistake(
    id="own-forward",
    line="2b.1",
    explanation=(
        "an nn.Sequential has a forward of its own, so its layers alone don't say what it computes"
    ),
    hint=(
        "An nn.Sequential passes its input from layer to layer without a forward. Which layers "
        "would do what yours does?"
    ),
)
NOTHING_LEARNS = Mistake(
    id="nothing-learns",
    line="2b.1",
    explanation="the model has no Linear and no Conv2d layer",
    hint="Which layers could turn the pixels of an image into ten logits?",
)
TOO_MANY_UNITS = Mistake(
    id="too-many-units",
    line="2b.2",
    explanation="the hidden layers together have too many units",
    hint=(
        "Every Linear layer except the last counts with its outputs; together they share the limit."
    ),
)
UNITS_FOR_EACH_ROW = Mistake(
    id="units-for-each-row",
    line="2b.2",
    explanation="a Linear layer before Flatten puts out its units for every row of the image",
    hint=(
        "A Linear layer works on the last axis alone: of an image that isn't flattened it makes "
        "28 rows of units, and each number counts. Where does Flatten belong?"
    ),
)
TOO_MANY_PARAMETERS = Mistake(
    id="too-many-parameters",
    line="2c.3",
    explanation="the model has too many parameters",
    hint=(
        "Find the largest number: a Linear layer has inputs times outputs weights, so a smaller "
        "image or fewer channels before Flatten saves the most."
    ),
)
NO_DROPOUT = Mistake(
    id="no-dropout",
    line="2c.2",
    explanation="the network has no Dropout",
    hint=(
        "Dropout works against overfitting: which of your layers has the most weights to overfit "
        "with?"
    ),
)
IDLE_DROPOUT = Mistake(
    id="idle-dropout",
    line="2c.2",
    explanation="the Dropout's probability is 0, so it drops nothing",
    hint=(
        "Dropout works against overfitting only if it drops something: try a probability such "
        "as 0.1 or 0.2, and compare the accuracies."
    ),
)
NO_BATCH_NORM = Mistake(
    id="no-batch-norm",
    line="2c.2",
    explanation="the network has no BatchNorm2d",
    hint=(
        "BatchNorm2d normalises each channel of a convolution's output: where does "
        "it belong, and how many channels are there?"
    ),
)
MISSING_FLATTEN = Mistake(
    id="missing-flatten",
    line="2c.4",
    explanation="a Linear layer gets an image that is not flattened",
    hint=(
        "A Linear layer works only on the last axis, so it takes an image row by row. Which shape "
        "should it get instead?"
    ),
)
SIZES_DONT_FIT = Mistake(
    id="sizes-dont-fit",
    line="2b.3",
    explanation="a layer is made for a different number of inputs than it gets",
    hint=SHAPES_HINT,
)
LAZY_WITHOUT_SIZE = Mistake(
    id="lazy-layer-without-size",
    line="2b.3",
    explanation="a batch of zeros doesn't get as far as a lazy layer, which so has no size",
    hint=SHAPES_HINT,
)
TOO_BIG_TO_TRAIN = Mistake(
    id="too-big-to-train",
    line="2b.3",
    explanation="the model is bigger than any that the grader trains",
    hint=(
        "Which layer has the most weights, or puts out the most numbers? A model far smaller can "
        "meet the goal."
    ),
)
WRONG_OUTPUT_COUNT = Mistake(
    id="wrong-output-count",
    line="2b.3",
    explanation="the last layer doesn't give one number per digit",
    hint="Cross entropy needs one logit for each class. How many classes are there?",
)
SOFTMAX_BEFORE_LOSS = Mistake(
    id="softmax-before-loss",
    line="2b.3",
    explanation=(
        "the model ends in a Softmax, and cross entropy applies another one: the loss can't fall "
        "below 1.46, and the gradients are small"
    ),
    hint="What does nn.CrossEntropyLoss expect as its input? See torch's documentation.",
)
SOFTMAX_OVER_IMAGES = Mistake(
    id="softmax-over-images",
    line="2b.3",
    explanation=(
        "a Softmax runs over the images of a batch, so what comes out for one image depends on the "
        "others"
    ),
    hint="Which axis of (B, 10) belongs to the digits? Sum the model's output over each of them.",
)
RELU_LAST = Mistake(
    id="relu-last",
    line="2b.3",
    explanation=(
        "the model ends in a ReLU: a digit whose logit is below zero for every image "
        "gets no gradient and is never learned"
    ),
    hint="Which values may a logit have? Print the model's output for a few images.",
)
NO_NONLINEARITY = Mistake(
    id="no-nonlinearity",
    line="2b.3",
    explanation="two layers with weights follow each other with nothing nonlinear in between",
    hint="Two linear maps in a row are just one linear map: what must stand between them?",
)
RATE_TOO_LARGE = Mistake(
    id="learning-rate-too-large",
    line="2b.3",
    explanation="the learning rate is far larger than usual for this optimizer",
    hint="Try a rate a hundred times smaller for one epoch, and compare the loss.",
)
RATE_TOO_SMALL = Mistake(
    id="learning-rate-too-small",
    line="2b.3",
    explanation="the learning rate is far smaller than usual for this optimizer",
    hint="Try a rate a hundred times larger for one epoch, and compare the loss.",
)
TOO_FEW_EPOCHS = Mistake(
    id="too-few-epochs",
    line="2b.3",
    explanation="training ends after less than half of the allowed epochs",
    hint="Look at the loss curves: are they still falling when training ends?",
)
TOO_FEW_STEPS = Mistake(
    id="too-few-steps",
    line="2b.3",
    explanation="large batches leave few steps of training",
    hint=(
        "The weights change once for each batch. How many steps do your epochs make, and how does "
        "the loss look with smaller batches, a larger rate, or more epochs?"
    ),
)
TOO_MUCH_DROPOUT = Mistake(
    id="too-much-dropout",
    line="2b.3",
    explanation="dropout removes most of what the network sees",
    hint="Compare the two losses: is the training loss far above the validation loss?",
)
TOO_SMALL = Mistake(
    id="too-small",
    line="2b.3",
    explanation="a hidden layer has fewer units than there are digits",
    hint="How many numbers pass through the narrowest layer of your network?",
)
HISTORY_MISSING = Mistake(
    id="history-missing",
    line="2b.4",
    explanation="the loss history was not submitted",
    hint="Run train.py for this model and submit the artifacts folder.",
)
HISTORY_INCOMPLETE = Mistake(
    id="history-incomplete",
    line="2b.4",
    explanation="the history lacks the losses of one set, or a single number",
    hint=(
        "Compare the first line of your file with the columns above; train.py writes all of them."
    ),
)
WEIGHTS_MISSING = Mistake(
    id="weights-missing",
    line="3c.2",
    explanation="the Vision Transformer's weights were not submitted",
    hint=("Run train.py for the Vision Transformer and submit the artifacts folder."),
)

ALL: tuple[Mistake, ...] = (
    NOT_SEQUENTIAL,
    FORBIDDEN_LAYER,
    OWN_CLASS,
    OWN_FORWARD,
    NOTHING_LEARNS,
    TOO_MANY_UNITS,
    UNITS_FOR_EACH_ROW,
    TOO_MANY_PARAMETERS,
    NO_DROPOUT,
    IDLE_DROPOUT,
    NO_BATCH_NORM,
    MISSING_FLATTEN,
    SIZES_DONT_FIT,
    LAZY_WITHOUT_SIZE,
    TOO_BIG_TO_TRAIN,
    WRONG_OUTPUT_COUNT,
    SOFTMAX_BEFORE_LOSS,
    SOFTMAX_OVER_IMAGES,
    RELU_LAST,
    NO_NONLINEARITY,
    RATE_TOO_LARGE,
    RATE_TOO_SMALL,
    TOO_FEW_EPOCHS,
    TOO_FEW_STEPS,
    TOO_MUCH_DROPOUT,
    TOO_SMALL,
    HISTORY_MISSING,
    HISTORY_INCOMPLETE,
    WEIGHTS_MISSING,
)


BY_REASON = {
    Reason.LAZY: LAZY_WITHOUT_SIZE,
    Reason.TOO_BIG: TOO_BIG_TO_TRAIN,
    Reason.SIZE: SIZES_DONT_FIT,
    Reason.ROWS: MISSING_FLATTEN,
}


def why_untrainable(layers: LayerList, reason: Reason) -> Finding | None:
    """Why a list of layers can't be trained, or doesn't turn images into ten logits."""
    if reason is Reason.FOREIGN:
        return outside_of_list([layer for layer in layers.foreign if not layer.is_lazy])
    linear = layers.of_kind("Linear")
    if reason is Reason.OUTPUT and linear:
        found = WRONG_OUTPUT_COUNT if linear[-1].arguments["out_features"] != CLASSES else None
    else:
        found = BY_REASON.get(reason)
    return Finding((found,)) if found else None


def outside_of_list(layers: Sequence[Layer]) -> Finding:
    """Why layers aren't allowed: classes of a student's own, forwards of their own, the list."""
    found = (
        OWN_FORWARD if layer.own_forward else OWN_CLASS if layer.is_own else FORBIDDEN_LAYER
        for layer in layers
    )
    return Finding(tuple(dict.fromkeys(found)))


def why_inaccurate(layers: LayerList, settings: Training, result: TrainingResult) -> Finding | None:
    """What, of all that can be seen, most likely keeps a model from being accurate."""
    kinds = [layer.kind for layer in layers.layers]
    epochs = len(result.best.epochs)
    shares = layers.dropout_shares()
    narrowest = min(layers.hidden_units(), default=CLASSES)
    low, high = UNUSUAL_RATES[settings.optimizer]
    rate = settings.highest_rate
    if settings.optimizer == "sgd":
        rate /= 1 - (settings.momentum or 0.0)
    steps = epochs * math.ceil(TRAINING_IMAGES / settings.batch_size)
    signs = (
        (_softmax_over_images(layers), SOFTMAX_OVER_IMAGES),
        (bool(kinds) and kinds[-1] == "ReLU", RELU_LAST),
        (rate > high, RATE_TOO_LARGE),
        (rate < low, RATE_TOO_SMALL),
        (bool(kinds) and kinds[-1] == "Softmax", SOFTMAX_BEFORE_LOSS),
        (_bare_pairs(kinds), NO_NONLINEARITY),
        (settings.epochs < EPOCHS // 2 and epochs == settings.epochs, TOO_FEW_EPOCHS),
        (steps < FEW_STEPS and epochs == settings.epochs, TOO_FEW_STEPS),
        (max(shares, default=0.0) > LARGE_SHARE, TOO_MUCH_DROPOUT),
        (narrowest < CLASSES, TOO_SMALL),
    )
    return next((Finding((mistake,)) for holds, mistake in signs if holds), None)


def _softmax_over_images(layers: LayerList) -> bool:
    try:
        return bool(layers.over_batch())
    except ModelProblem:
        return False


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
