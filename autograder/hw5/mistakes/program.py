"""The given Vision Transformer as a program of the grader's own.

A reading says how a submission's encoder layer computes, mistakes included, and which of its
parameters plays which role; another says so of its attention head. Put into the given model
they make a program that comes to the same numbers from the same weights, and that the grader
runs itself: no code of the submission is needed for them.

B images, T tokens, I numbers per token, H heads of D numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder.hw5.mistakes import (
    head_precision,
    head_search,
    head_steps,
    layer_precision,
    layer_search,
)
from autograder.hw5.mistakes import layer_steps as known
from autograder.hw5.mistakes.head_search import HeadReading, read_head
from autograder.hw5.mistakes.layer_search import LayerReading, read_layer
from autograder.hw5.mistakes.reading import same
from autograder.hw5.probes.given_model import GIVEN_SHAPES, SIZES, State, classified, tokens
from autograder.hw5.probes.head import HeadProbe
from autograder.hw5.probes.layer import HARNESS_HEAD, LayerProbe
from autograder.hw5.probes.reference import Folded, HeadParameters, LayerParameters
from autograder.hw5.probes.roles import LayerRoles, below
from autograder.rubric.mistake import DoesNotApply, Pass, Variant, run
from provided.mnist import Split
from provided.training import (
    Training,
    flush_denormals,
    learn_batch,
    make_optimizer,
    set_learning_rate,
)

PREDICTION_BATCH = 100  # images; the fastest measured
MOST_HIDDEN = 1024  # hidden units of an MLP: what wider ones need is not allocated here
# How far a layer's first weights may be from what nn.Linear draws, to count as usual: with
# weights times or by so much the reference still learns in its first steps.
USUAL_FACTOR = 4.0


class Stopped(Exception):
    """The run is over; nobody waits for the result."""


@dataclass(frozen=True)
class Program:
    """A Vision Transformer whose layers and heads compute as two readings say.

    layer: its roles name all heads of the model, with the head's own roles
    """

    layer: LayerReading
    head: HeadReading

    @classmethod
    def of(cls, layer: LayerReading, head: HeadReading) -> Program | None:
        """The program of two readings; None where the names of the heads don't go on."""
        roles: LayerRoles | None = layer.roles.with_heads(SIZES.heads, head.roles)
        return None if roles is None else cls(replace(layer, roles=roles), head)

    @property
    def is_reference(self) -> bool:
        """Whether there is no mistake in it."""
        return not self.layer.variants and not self.head.variants

    def fits(self, state: State) -> bool:
        """Whether these are weights for it: all it needs, of the shapes that it needs."""
        try:
            layers = self._layers(state)
            given = {name: tuple(state[name].shape) for name in GIVEN_SHAPES}
        except (KeyError, IndexError, RuntimeError):  # a name is missing, or a part of it
            return False
        return given == GIVEN_SHAPES and all(map(_fits, layers))

    def logits(self, state: State, images: Tensor) -> Tensor:
        """Logits (B, 10) for images (B, 1, 28, 28); gradients flow back to the weights."""
        x = tokens(state, images)
        for parameters in self._layers(state):
            x = self._layer(x, parameters)
        return classified(state, x[:, 0])

    @torch.inference_mode()
    def right(self, state: State, images: Split, stopped: Callable[[], bool]) -> Tensor:
        """For which images (N,) the highest logit is the label. Raises Stopped."""
        predict = self._predictor(state)
        found = []
        for start in range(0, len(images), PREDICTION_BATCH):
            if stopped():
                raise Stopped
            batch, labels = images.batch(slice(start, start + PREDICTION_BATCH))
            logits = predict(batch)
            found.append((logits.argmax(dim=1) == labels) & logits.isfinite().all(dim=1))
        return torch.cat(found)

    def starts_as_usual(self, state: State) -> bool:
        """Whether a model's first weights are about as large as torch's layers draw them."""
        return all(map(_usual, self._layers(state)))

    def _predictor(self, state: State) -> Callable[[Tensor], Tensor]:
        """What gives logits for images, in the fastest way that is right for it."""
        layers = self._layers(state)
        biased = any(
            bias is not None
            for one in layers[0].heads
            for bias in (one.query_bias, one.key_bias, one.value_bias)
        )
        if not self.is_reference or biased:
            return partial(self.logits, state)
        return partial(_folded_logits, state, [Folded.of(one) for one in layers])

    def _layers(self, state: State) -> list[LayerParameters]:
        layers = [self._cut_off(below(state, f"layers.{i}.")) for i in range(SIZES.depth)]
        return [self.layer.roles.parameters(layer) for layer in layers]

    def _cut_off(self, layer: State) -> State:
        """A layer's parameters, with those cut off that get no gradient in the submission."""
        frozen = {name for variant in self.layer.variants for name in variant.frozen}
        frozen |= {
            f"{prefix}{name}"
            for variant in self.head.variants
            for name in variant.frozen
            for prefix, _ in self.layer.roles.heads
        }
        return {name: one.detach() if name in frozen else one for name, one in layer.items()}

    def _layer(self, x: Tensor, parameters: LayerParameters) -> Tensor:
        steps = {**known.STEPS, "heads": self._heads}
        return run(steps, self.layer.variants, Pass(x, parameters))["out"]

    def _heads(self, p: known.Layer) -> Tensor:
        """All heads' outputs side by side (B, T, H·D)."""
        x, heads = p["normed"], p.parameters.heads
        if not any(variant.steps for variant in self.head.variants):
            return _side_by_side(x, heads)
        passes = [run(head_steps.STEPS, self.head.variants, Pass(x, one)) for one in heads]
        return torch.cat([one["out"] for one in passes], dim=-1)


def with_harness_heads(probe: LayerProbe | None) -> Program | None:
    """The program of a layer over the grader's own heads; None where nothing explains it."""
    reading = _layer_reading(probe)
    return None if reading is None else Program.of(reading, HeadReading(HARNESS_HEAD, ()))


def with_own_heads(layer: LayerProbe | None, head: HeadProbe | None) -> list[Program]:
    """Programs of a layer over the submission's own heads, the likeliest first.

    Where the head has a mistake, there is also one without: a number that is written into the
    code may be right at the Vision Transformer's sizes and wrong at those of question 3a.
    """
    layer_reading, reading = _layer_reading(layer), None if head is None else read_head(head)
    if layer_reading is None or head is None or reading is None or head.trained:
        return []
    settled = _settled(reading, head)
    readings = [settled] if not settled.variants else [settled, HeadReading(reading.roles, ())]
    programs = [Program.of(layer_reading, one) for one in readings]
    return [program for program in programs if program is not None]


def _layer_reading(probe: LayerProbe | None) -> LayerReading | None:
    reading = None if probe is None or probe.trained else read_layer(probe)
    if reading is not None:
        kept = tuple(one for one in reading.variants if one.id not in LEFT_OUT)
        reading = replace(reading, variants=kept)
    if (
        probe is None
        or reading is None
        or same(probe.base.gradients, reading.gradients(probe.base))
    ):
        return reading
    found = layer_search.find_in_gradients(reading, probe.base)
    return reading if found is None else replace(reading, variants=_joined(reading, found))


def _settled(reading: HeadReading, probe: HeadProbe) -> HeadReading:
    """A head's reading that needs no numbers of the student's any more.

    Dropout is gone, since the Vision Transformer is built without, and so is rounding, whose
    gradient nothing can learn from; a factor that was fitted to the student's numbers stands as
    it was found.
    """
    steps = reading.steps(probe.base)
    reading = replace(
        reading,
        variants=tuple(
            _with_fixed_factor(one, steps) for one in reading.variants if one.id not in LEFT_OUT
        ),
    )
    try:
        if same(probe.base.gradients, reading.gradients(probe.base)):
            return reading
        found = head_search.find_in_gradients(reading, probe.base)
    except (DoesNotApply, RuntimeError):
        return reading
    return reading if found is None else replace(reading, variants=_joined(reading, found))


LEFT_OUT = {
    "dropout-alive-in-eval",
    "weights-dropout-alive-in-eval",
    *(one.id for one in (*head_precision.ALL, *layer_precision.ALL)),
}
FITTED = {"scale-by-constant": ("scores", "scaled"), "constant-factor": ("mixed", "out")}


def _with_fixed_factor(variant: Variant, steps: head_steps.Head) -> Variant:
    if variant.id not in FITTED:
        return variant
    before, after = FITTED[variant.id]
    factor = float((steps[after] / steps[before]).median())
    return replace(variant, steps={after: lambda p: p[before] * factor})


def _joined(reading: LayerReading | HeadReading, found: object) -> tuple[Variant, ...]:
    more: Sequence[Variant] = getattr(found, "mistakes", ())
    return (*reading.variants, *more)


class Weights(nn.Module):
    """A program's weights as a module that can be trained."""

    def __init__(self, program: Program, state: State) -> None:
        super().__init__()
        self._program = program
        self._names = list(state)
        self._values = nn.ParameterList(value.clone() for value in state.values())

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10) for images (B, 1, 28, 28)."""
        return self._program.logits(self._named(), images)

    @property
    def state(self) -> dict[str, Tensor]:
        """The weights as they are now."""
        return {name: value.detach() for name, value in self._named().items()}

    def _named(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self._values, strict=True))


def take_steps(model: Weights, batches: Split, batch: int, learning_rate: float) -> Tensor:
    """Some plain gradient steps; the logits (N, 10) that each batch had before its step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    return torch.cat(
        [
            learn_batch(model, optimizer, *batches.batch(slice(start, start + batch)))
            for start in range(0, len(batches), batch)
        ]
    )


def train(
    model: Weights, images: Split, settings: Training, steps: int, stopped: Callable[[], bool]
) -> Iterator[float]:
    """Train for some steps of a schedule; yields each step's loss. Raises Stopped."""
    optimizer = make_optimizer(model, settings)
    flush_denormals()
    try:
        for step in range(steps):
            if stopped():
                raise Stopped
            set_learning_rate(optimizer, settings, step / steps)
            start = (step * settings.batch_size) % (len(images) - settings.batch_size)
            batch, labels = images.batch(slice(start, start + settings.batch_size))
            logits = learn_batch(model, optimizer, batch, labels)
            yield float(functional.cross_entropy(logits, labels))
    finally:
        torch.set_flush_denormal(False)


def _folded_logits(state: State, layers: Sequence[Folded], images: Tensor) -> Tensor:
    x = tokens(state, images)
    for layer in layers[:-1]:
        x = layer.out(x, x.shape[1])
    return classified(state, layers[-1].out(x, 1)[:, 0])  # the class token alone is read


def _side_by_side(x: Tensor, heads: Sequence[HeadParameters]) -> Tensor:
    """The outputs of right heads (B, T, H·D), computed together."""
    images, tokens, _ = x.shape
    query, key, value = (
        functional.linear(
            x,
            torch.cat([getattr(one, name) for one in heads]),
            None
            if getattr(heads[0], f"{name}_bias") is None
            else torch.cat([getattr(one, f"{name}_bias") for one in heads]),
        )
        .view(images, tokens, len(heads), -1)
        .transpose(1, 2)  # (B, H, T, D)
        for name in ("query", "key", "value")
    )
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    mixed = torch.softmax(scores, dim=-1) @ value  # (B, H, T, D)
    return mixed.transpose(1, 2).flatten(2)


def _fits(layer: LayerParameters) -> bool:
    dim, inner = SIZES.dim, SIZES.heads * SIZES.dim_head
    hidden = layer.first.shape[0]
    head = {(SIZES.dim_head, dim)}
    vectors = [
        (layer.output_bias, dim),
        (layer.first_bias, hidden),
        (layer.second_bias, dim),
        *((value, dim) for norm in layer.norms for value in (norm.weight, norm.bias)),
        *(
            (bias, SIZES.dim_head)
            for one in layer.heads
            for bias in (one.query_bias, one.key_bias, one.value_bias)
        ),
    ]
    return (
        all({one.query.shape, one.key.shape, one.value.shape} == head for one in layer.heads)
        and layer.output.shape == (dim, inner)
        and layer.first.shape == (hidden, dim)
        and layer.second.shape == (dim, hidden)
        and hidden <= MOST_HIDDEN
        and all(value is None or value.shape == (size,) for value, size in vectors)
    )


def _usual(layer: LayerParameters) -> bool:
    heads = [weight for one in layer.heads for weight in (one.query, one.key, one.value)]
    scales = [norm.weight for norm in layer.norms if norm.weight is not None]
    return all(
        1 / USUAL_FACTOR < float(weight.std()) * math.sqrt(3 * weight.shape[1]) < USUAL_FACTOR
        for weight in (*heads, layer.output, layer.first, layer.second)
    ) and all(1 / USUAL_FACTOR < float(scale.mean()) < USUAL_FACTOR for scale in scales)
