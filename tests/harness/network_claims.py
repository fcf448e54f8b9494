"""What makes each sentence of feedback on the networks true.

A claim is a sentence with gaps, and a function that holds it against a reading of the model
which knows nothing of the grader's (network_evidence.py). A sentence that no claim covers is
taken for false: whoever writes a new one says here what makes it true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from autograder.hw5.mistakes import networks as known
from autograder.rubric.feedback import Feedback
from autograder.training.job import TrainingResult

from .network_evidence import Evidence, is_own

LIMITS = {"units": 200, "parameters": 50_000, "small": 10_000}
ALLOWED = {
    "2b": ("Linear", "ReLU", "Softmax", "Dropout", "Flatten"),
    "2c": (
        "Linear", "Conv2d", "MaxPool2d", "BatchNorm2d", "Dropout", "ReLU", "Softmax", "Flatten",
    ),
}  # fmt: skip
LAYER = r"([\w.]+)(?: \(layer ([\w.]+)\))?"
SHAPE = r"\(B(?:, [\d, ]+|,)\)"


@dataclass(frozen=True)
class Said:
    """What a sentence is about: the network, its part, its training."""

    network: Evidence
    part: str
    training: TrainingResult | None

    def layer(self, name: str, path: str | None) -> nn.Module | None:
        return self.network.named(name, path or "")


Claim = Callable[..., bool]
CLAIMS: list[tuple[re.Pattern[str], Claim]] = []


def claim(pattern: str) -> Callable[[Claim], Claim]:
    """What makes a sentence of this form true: a function of what it is about and of its gaps."""

    def listed(check: Claim) -> Claim:
        CLAIMS.append((re.compile(pattern), check))
        return check

    return listed


def number(text: str) -> int:
    return int(text.replace(",", ""))


def names_of(said: Said) -> list[str]:
    return [type(layer).__name__ for layer in said.network.layers.values()]


def mentioned(text: str) -> list[tuple[str, str]]:
    """The layers in a sentence, each with its path."""
    return [
        (name, path or "") for name, path in re.findall(LAYER, re.sub(r",? and |, ", " ", text))
    ]


def is_allowed(layer: nn.Module, part: str) -> bool:
    name = type(layer).__name__.removeprefix("Lazy")
    return not is_own(layer) and name in ALLOWED[part]


@claim(r"Correct: ([\w, ]+)\.")
def _(said, names):
    layers = said.network.layers.values()
    return names.split(", ") == names_of(said) and all(is_allowed(one, said.part) for one in layers)


@claim(r"(.+) (is|are) not on the list of allowed layers\.")
def _(said, names, verb):
    outside = {
        (type(one).__name__, path): one
        for path, one in said.network.layers.items()
        if not is_allowed(one, said.part)
    }
    for (name, path), one in outside.items():
        place = f"{name} (layer {path})" if path else name
        if isinstance(one, nn.Sequential):
            form = f"our nn.Sequential {place}, which has a forward of its own,"
        else:
            form = f"our own class {place}" if is_own(one) else place
        if form not in names:
            return False
    found = re.findall(r"\(layer ([\w.]+)\)", names) or [""]
    return sorted(found) == sorted(path for _, path in outside) and (len(outside) == 1) is (
        verb == "is"
    )


@claim(r"The model has no Linear and no Conv2d layer\.")
def _(said):
    return not any(said.network.has(kind, inside=True) for kind in ("Linear", "Conv2d"))


@claim(r"Correct: ([\d ,+×=]+) hidden units \(limit: 200\)\.")
def _(said, units):
    *_, total = units.split(" = ") if "=" in units else (units,)
    return number(total) == sum(said.network.hidden) <= LIMITS["units"]


@claim(r"This is without (.+), which the grader can't see into\.")
def _(said, layers):
    return {path: name for name, path in mentioned(layers)} == {
        path: type(one).__name__ for path, one in said.network.foreign.items()
    }


@claim(r"([\d,]+) hidden units? too many\.")
def _(said, units):
    return sum(said.network.hidden) - LIMITS["units"] == number(units) > 0


@claim(r"(?:Outside (.+), the|The) network has no (\w+)(?: and no (\w+))?\.")
def _(said, outside, *kinds):
    missing = {
        kind for kind in ("Dropout", "BatchNorm2d") if not said.network.has(kind, inside=False)
    }
    unseen = {path for _, path in mentioned(outside)} if outside else set()
    hidden = any(said.network.has(kind, inside=True) for kind in missing)
    return {*filter(None, kinds)} == missing and (
        unseen == said.network.foreign.keys() if outside else not hidden
    )


@claim(r"Correct\.")
def _(said):
    """Of line 2c.2, which says nothing else."""
    shares = [one.p for one in said.network.layers.values() if type(one) is nn.Dropout]
    return said.network.has("BatchNorm2d", inside=False) and max(shares) >= 0.001


@claim(r"The network's Dropout drops nothing: its probability is ([\d.e-]+)\.")
def _(said, probability):
    shares = [one.p for one in said.network.layers.values() if type(one) is nn.Dropout]
    return float(probability) == max(shares) < 0.001


@claim(r"Correct: ([\d,]+) parameters \(limit: under 50,000\)\.")
def _(said, count):
    return number(count) == said.network.all_parameters < LIMITS["parameters"] and (
        not said.network.foreign
    )


@claim(r"That is even under 10,000: well done!")
def _(said):
    return said.network.all_parameters < LIMITS["small"]


@claim(r"([\d,]+) parameters? too many\.")
def _(said, count):
    return said.network.all_parameters - LIMITS["parameters"] + 1 == number(count) > 0


@claim(r"The count of (.+) is your code's own\.")
def _(said, layers):
    return all(
        is_own(said.layer(name, path)) or path in said.network.foreign
        for name, path in mentioned(layers)
    )


def is_as_described(said: Said, name: str, path: str | None, described: str) -> bool:
    layer = said.layer(name, path)
    sequence, own = isinstance(layer, nn.Sequential), layer is not None and is_own(layer)
    if described.startswith("an nn.Sequential"):
        return sequence
    if described.startswith("a class of your own"):
        like_torchs = isinstance(getattr(nn, name, None), type)
        return (
            own and not sequence and (f"named {name}, not torch.nn's" in described) is like_torchs
        )
    return not own and (path or "") in said.network.foreign


DESCRIBED = (
    r"(an nn\.Sequential with a forward of its own"
    r"|a class of your own(?: named \w+, not torch\.nn's)?"
    r"|not a layer that the grader can rebuild)"
)


@claim(
    r"The grader can't count the (hidden units|parameters) of your model: "
    rf"{LAYER} is {DESCRIBED}\."
)
def _(said, what, name, path, described):
    hides = what == "parameters" or said.network.parameters(path or "") > 0
    return hides and is_as_described(said, name, path, described)


@claim(rf"{LAYER} is {DESCRIBED}(?:: the grader can't rebuild it)?\.")
def _(said, name, path, described):
    return is_as_described(said, name, path, described)


@claim(
    rf"(?:The (?:hidden units|parameters) can't be counted: )?{LAYER} takes its size from what it "
    r"gets first, and a batch of zeros didn't get there\."
)
def _(said, name, path):
    return nn.parameter.is_lazy(next(said.layer(name, path).parameters()))


@claim(r"The model can't be trained\.")
def _(said):
    network = said.network
    return (
        network.working is None
        or bool(network.foreign)
        or any(
            (
                network.all_parameters > 5_000_000,
                network.numbers_between > 2_000_000,
                network.multiplications > 200_000_000,
                any(one.out_features > 100_000 for one in linear_layers(said)),
            )
        )
    )


def linear_layers(said: Said) -> list[nn.Linear]:
    return [one for one in said.network.layers.values() if isinstance(one, nn.Linear)]


@claim(r"It has no layers\.")
def _(said):
    return not said.network.layers


@claim(r"It has ([\d,]+) parameters; the limit for training here is 5,000,000\.")
def _(said, count):
    return number(count) == said.network.all_parameters > 5_000_000


@claim(
    r"One image takes ([\d,]+) million multiplications and ([\d,]+) intermediate numbers: too much "
    r"to train here in time \(limits: 200 million and 2,000,000\)\."
)
def _(said, multiplications, numbers):
    outputs = said.network.working.outputs
    between = sum(torch.Size(shape[1:]).numel() for shape in outputs)
    return between == number(numbers) and (between > 2_000_000 or number(multiplications) >= 200)


def as_shape(shape: tuple[int, ...]) -> str:
    return f"(B, {', '.join(map(str, shape[1:]))})" if len(shape) > 1 else "(B,)"


def stops(said: Said, path: str | None, shape: str) -> list[str]:
    """What a layer says where it gets an input of this shape and stops there."""
    place = list(said.network.layers).index(path or "")
    return [
        one.problem
        for one in said.network.attempts
        if one.problem and len(one.inputs) == place + 1 and as_shape(one.inputs[-1]) == shape
    ]


@claim(
    rf"{LAYER} can't take its input of shape ({SHAPE}): it expects (\d+) (input|channel)s? and "
    r"gets (\d+)"
)
def _(said, name, path, shape, expects, what, gets):
    layer = said.layer(name, path)
    made_for = (
        layer.in_features
        if isinstance(layer, nn.Linear)
        else getattr(layer, "in_channels", getattr(layer, "num_features", None))
    )
    sizes = [int(size) for size in re.findall(r"\d+", shape)]
    got = sizes[-1] if isinstance(layer, nn.Linear) else sizes[0]
    is_linear = isinstance(layer, nn.Linear) is (what == "input")
    return bool(stops(said, path, shape)) and is_linear and (made_for, got) == (
        int(expects), int(gets)
    )  # fmt: skip


@claim(rf"{LAYER} can't take its input of shape ({SHAPE}): .+")
def _(said, name, path, shape):
    return bool(stops(said, path, shape))


@claim(
    rf"For images of shape ({SHAPE}) it returns ({SHAPE}); expected \(B, 10\), "
    r"one logit per digit\."
)
def _(said, images, returns):
    return any(
        not one.problem
        and (as_shape(one.inputs[0]), as_shape(one.outputs[-1])) == (images, returns)
        for one in said.network.attempts
    )


@claim(rf"{LAYER} has (\w+) = (.+), which can't be rebuilt here\.")
def _(said, name, path, argument, value):
    return str(getattr(said.layer(name, path), argument)).startswith(value.removesuffix(" …"))


@claim(rf"{LAYER} can't be created: .+")
def _(said, name, path):
    return said.layer(name, path) is not None


@claim(
    r"Test accuracy ([\d.]+%) after epoch (\d+), the best one \(validation accuracy ([\d.]+%)\)"
    r"(, best of \d+ seeds)?: (meets|below) the ([\d.]+%) threshold\."
)
def _(said, accuracy, epoch, validation, seeds, verb, bar):
    best = said.training.best
    reached = float(accuracy[:-1]) >= float(bar[:-1])
    return (
        f"{best.test_accuracy[int(epoch) - 1]:.2%}" == accuracy
        and f"{best.epochs[int(epoch) - 1].validation_accuracy:.2%}" == validation
        and max(best.test_accuracy) == best.test_accuracy[int(epoch) - 1]
        and reached is (verb == "meets")
    )


@claim(r"Your code raised (\w+) while calling (\w+)\(\)(?: \(models\.py, line \d+\))?\.")
def _(said, kind, builder):
    return builder == said.network.builder and raised(said) == kind


@claim(r"Not done yet \(models\.py, line \d+\): this function still raises NotImplementedError\.")
def _(said):
    return raised(said) == "NotImplementedError"


@claim(r"(\w+)\(\) returned an? (\w+), not an nn\.Sequential\.")
def _(said, builder, kind):
    model = said.network.fresh
    return type(model).__name__ == kind and not isinstance(model, nn.Sequential)


def raised(said: Said) -> str:
    try:
        _ = said.network.fresh
    except Exception as problem:  # noqa: BLE001  whatever it is, its type is wanted
        return type(problem).__name__
    return ""


# What stands behind the labels. Expected and Next are the homework's own rules and advice.


@claim(r"Got: ((?:[A-Z]\w*(?: \(layer [\w.]+\))?(?:, )?)+|an empty nn\.Sequential|no layers)")
def _(said, names):
    return re.findall(r"([A-Z]\w*)(?: \(|,|$)", names) == names_of(said)


@claim(r"Got: ([\d ,+×=]+)")
def _(said, units):
    *_, total = units.split(" = ") if "=" in units else (units,)
    return number(total) == sum(said.network.hidden)


@claim(rf"Got: ([\d,]+), of which ([\d,]+) are in {LAYER}")
def _(said, total, most, name, path):
    counts = [said.network.parameters(one) for one in said.network.layers]
    return (number(total), number(most)) == (sum(counts), max(counts)) and (
        said.network.parameters(path or "") == max(counts)
    )


@claim(r"Got: ([\d,]+) parameters? in (.+), by your code's own count")
def _(said, count, layers):
    paths = [path for _, path in mentioned(layers)]
    return sum(map(said.network.parameters, paths)) == number(count)


@claim(r"Got: ((?:Runtime|Value|Type|Index|Attribute|Name|NotImplemented|Import|Syntax)Error: .+)")
def _(said, problem):
    problems = [one.problem for one in said.network.attempts] if not raised(said) else []
    return bool(raised(said)) or any(problem[:60] in one for one in problems)


@claim(
    r"Expected: (?:only [\w, ]+, each from torch\.nn|at most 200 in all hidden layers together"
    r"|fewer than 50,000|at least one (?:Dropout|BatchNorm2d) and one \w+"
    r"|at least one Linear or Conv2d|layers of torch\.nn that the grader can rebuild"
    r"|a Dropout with a probability of at least 0\.001)"
)
def _(said):
    return True


ADVICE = {
    "Compare with the template, or run: python check.py",
    "Replace it with your code; the docstring says what goes in and comes out.",
    "Try it on your machine: python check.py",
    "Try a learning rate ten times smaller.",
    "Use fewer or smaller layers, or shrink the image earlier.",
    "Compare both losses: a validation loss far above the training loss means overfitting; if both "
    "are high, the network may be too small, or the learning rate too small or large.",
    *(mistake.hint for mistake in known.ALL),
}


@claim(r"Next: (.+)")
def _(said, advice):
    for one in sorted(ADVICE, key=len, reverse=True):
        advice = advice.replace(one, "")
    return not advice.strip()


@claim(r"Course staff are told, and can give the points\.")
def _(said):
    return bool(said.network.foreign)


def inputs_of(said: Said, kind: type[nn.Module]) -> Iterator[tuple[int, ...]]:
    for one in said.network.attempts:
        for layer, shape in zip(said.network.layers.values(), one.inputs, strict=False):
            if isinstance(layer, kind):
                yield shape


def last(said: Said) -> str:
    return names_of(said)[-1]


WEIGHTS = ("Linear", "Conv2d")
FLAT_THROUGH = ("Linear", "Conv2d", "Dropout", "BatchNorm2d", "Flatten", "AvgPool2d", "Identity")


def bare(said: Said) -> bool:
    """Whether two layers with weights have nothing but linear ones between them."""
    names = names_of(said)
    places = [index for index, name in enumerate(names) if name in WEIGHTS]
    return any(all(name in FLAT_THROUGH for name in names[a + 1 : b]) for a, b in pairwise(places))


def softmax_over_batch(said: Said) -> bool:
    if said.network.working is None:
        return False
    return any(
        isinstance(layer, nn.Softmax)
        and (layer.dim or 0) % len(shape) == 0
        and layer.dim is not None
        for layer, shape in zip(
            said.network.layers.values(), said.network.working.inputs, strict=True
        )
    )


def by_sgd(said):
    return said.network.settings.optimizer == "sgd"


def rate_of(said):
    """The rate of a step; of gradient descent with momentum, what its steps add up to."""
    settings = said.network.settings
    rates = settings.schedule if not isinstance(settings.schedule, str) else ()
    return max([settings.learning_rate or 0, *rates]) / (1 - settings.momentum)


@claim(r"\w+_TRAINING\.layer_weight_decay names layer ('?)(\w+)\1, which doesn't exist\.")
def _(said, quote, name):
    names = list(said.network.fresh._modules)
    return name not in names and (bool(quote) or int(name) >= len(names))


@claim(r"\w+_TRAINING has no setting (\w+)(?:; did you mean (\w+)\?|\.)")
def _(said, name, meant):
    return not hasattr(said.network.settings, name) and (
        meant is None or hasattr(said.network.settings, meant)
    )


@claim(r"\w+_TRAINING\.optimizer = '(\w+)' is not one of ([\w, ]+)( \(did you mean \w+\?\))?\.")
def _(said, name, listed, meant):
    return said.network.settings.optimizer == name and name not in listed.split(", ")


@claim(r"Your code sets the first weights of layers? ([\w, .]+) itself\.")
def _(said, paths):
    return all(
        is_set_by_hand(said.network.fresh.get_submodule(path))
        for path in re.split(", | and ", paths)
    )


def is_set_by_hand(layer):
    """Whether numbers of a layer lie where torch never draws them."""
    bound = 1 / layer.weight[0].numel() ** 0.5
    return bool(layer.weight.abs().max() > bound or (layer.weight.abs() < bound / 2).all()) or (
        layer.bias is not None and not layer.bias.any()
    )


@claim(
    r"The grader makes layers anew and begins with torch's usual weights; for another way set init "
    r"in Training\(\.\.\.\) to one of ([\w, ]+)\."
)
def _(said, listed):
    return all(hasattr(nn.init, f"{name}_") for name in listed.split(", "))


LIKELY: dict[str, Callable[[Said], bool]] = {
    known.NOT_SEQUENTIAL.explanation: lambda said: (
        not isinstance(said.network.fresh, nn.Sequential)
    ),
    known.MISSING_FLATTEN.explanation: lambda said: any(
        len(shape) > 2 for shape in inputs_of(said, nn.Linear)
    ),
    known.SIZES_DONT_FIT.explanation: lambda said: all(
        one.problem for one in said.network.attempts
    ),
    known.WRONG_OUTPUT_COUNT.explanation: lambda said: all(
        one.problem or one.outputs[-1][1:] != (10,) for one in said.network.attempts
    ),
    known.SOFTMAX_BEFORE_LOSS.explanation: lambda said: last(said) == "Softmax",
    known.SOFTMAX_OVER_IMAGES.explanation: softmax_over_batch,
    known.RELU_LAST.explanation: lambda said: last(said) == "ReLU",
    known.NO_NONLINEARITY.explanation: bare,
    known.RATE_TOO_LARGE.explanation: lambda said: rate_of(said) > (2 if by_sgd(said) else 0.02),
    known.RATE_TOO_SMALL.explanation: lambda said: rate_of(said) < (5e-3 if by_sgd(said) else 2e-5),
    known.TOO_FEW_STEPS.explanation: lambda said: (
        said.network.settings.epochs * 48_000 / said.network.settings.batch_size < 2_000
    ),
    known.TOO_FEW_EPOCHS.explanation: lambda said: said.network.settings.epochs < 5,
    known.TOO_MUCH_DROPOUT.explanation: lambda said: any(
        isinstance(one, nn.Dropout) and one.p > 0.7 for one in said.network.layers.values()
    ),
    known.TOO_SMALL.explanation: lambda said: min(said.network.hidden) < 10,
}


@claim(r"Likely mistake: (.+)")
def _(said, likely):
    return likely in LIKELY and LIKELY[likely](said)


SENTENCE = re.compile(r"(?<=[.!]) (?=[A-Z])")


def sentences(feedback: Feedback) -> list[str]:
    """What a feedback says, a claim each: headline and notes by sentence, the rest by label."""
    free = (feedback.headline, *feedback.notes)
    return [
        *(sentence for text in free for sentence in SENTENCE.split(text)),
        *(f"{label}: {text}" for label, text in feedback.labelled),
    ]


def false_sentences(said: Said, feedback: Feedback) -> list[str]:
    """The sentences that nothing makes true."""
    found = []
    for sentence in sentences(feedback):
        fitting = [(p.fullmatch(sentence), check) for p, check in CLAIMS if p.fullmatch(sentence)]
        holds = [check(said, *match.groups()) for match, check in fitting[:1] if match]
        if not any(holds):
            found.append(f"{'false' if fitting else 'no claim covers'}: {sentence}")
    return [*found, *wrong_rows(said, feedback)]


def wrong_rows(said: Said, feedback: Feedback) -> list[str]:
    """The rows of a table of parameters that are wrong."""
    if not feedback.table or feedback.table[0] != ("layer", "parameters"):
        return []
    *rows, (_, total) = feedback.table[1:]
    counted = {path: said.network.parameters(path) for path in said.network.layers}
    claimed = {(re.findall(r"\(layer ([\w.]+)\)", one) or [""])[0]: number(n) for one, n in rows}
    wrong = [f"row of {path}: {n}" for path, n in claimed.items() if counted[path] != n]
    return wrong + ([] if number(total) == sum(counted.values()) else [f"row of all: {total}"])
