"""The steps of an attention head, and what mistakes put in their place.

B sequences, T tokens, I numbers per token, D numbers per head.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from autograder.hw5.probes.reference import HeadParameters
from autograder.rubric.mistake import DoesNotApply, Pass, Step

Head = Pass[HeadParameters]

NORMALISED = ((-1,), (-2,), (0,), (-2, -1))  # axes that a softmax may run over
SMALLEST_FACTOR = 1e-4  # smaller ones, and zero, would make a right answer of an empty one
LEAST_KEPT = 0.4  # of the numbers that dropout of a quarter leaves
FEW = 40  # so many numbers that dropout of a quarter leaves no zero in 1 of 100,000 of them


def query(p: Head) -> Tensor:
    """The queries (B, T, D)."""
    return functional.linear(p["input"], p.parameters.query, p.parameters.query_bias)


def key(p: Head) -> Tensor:
    """The keys (B, T, D)."""
    return functional.linear(p["input"], p.parameters.key, p.parameters.key_bias)


def value(p: Head) -> Tensor:
    """The values (B, T, D)."""
    return functional.linear(p["input"], p.parameters.value, p.parameters.value_bias)


STEPS: dict[str, Step] = {
    "input": lambda p: p.x,  # (B, T, I)
    "query": query,  # (B, T, D)
    "key": key,  # (B, T, D)
    "value": value,  # (B, T, D)
    "scores": lambda p: p["query"] @ p["key"].transpose(-2, -1),  # (B, T, T)
    "scaled": lambda p: p["scores"] / math.sqrt(p["query"].shape[-1]),  # (B, T, T)
    "masked": lambda p: p["scaled"],  # (B, T, T)
    "softmax": lambda p: torch.softmax(p["masked"], dim=-1),  # (B, T, T), rows sum to one
    "weights": lambda p: p["softmax"],  # (B, T, T), what the values are mixed with
    "mixed": lambda p: p["weights"] @ p["value"],  # (B, T, D)
    "out": lambda p: p["mixed"],  # (B, T, D)
    "returned": lambda p: p["weights"],  # (B, T, T), the second result
}


def divided_by(divisor: Callable[[Head], float]) -> dict[str, Step]:
    """Scores scaled by another divisor."""
    return {"scaled": lambda p: p["scores"] / divisor(p)}


def fitted_scale(p: Head) -> Tensor:
    """The scores times the factor that the student's attention weights show.

    Within what a softmax normalises, its logarithms differ as the scores do, times the factor.
    """
    seen = p.seen.attention if p.seen is not None else None
    if seen is None or seen.shape != p["scores"].shape or bool((seen < 0).any()):
        raise DoesNotApply
    shown = seen > 0  # the rest is masked
    logs, scores = seen.log(), p["scores"].detach()
    if not bool(_centred(scores, shown, (-1,)).any()):
        return p["scores"]  # a single token, whose scores show nothing
    fits = []
    for axes in NORMALISED:
        mine, theirs = _centred(logs, shown, axes), _centred(scores, shown, axes)
        factor = (mine * theirs).sum() / (theirs * theirs).sum()
        fits.append((float((mine - factor * theirs).abs().max()), factor))
    _, factor = min(fits, key=lambda fit: fit[0])
    return p["scores"] * _usable(factor)


def _centred(x: Tensor, shown: Tensor, axes: tuple[int, ...]) -> Tensor:
    """What is shown of x, less its mean over some axes; zero elsewhere."""
    kept = torch.where(shown, x, torch.zeros_like(x))
    count = shown.sum(axes, keepdim=True).clamp(min=1)
    return torch.where(shown, x - kept.sum(axes, keepdim=True) / count, torch.zeros_like(x))


def fitted_factor(p: Head, out: Tensor) -> Tensor:
    """The output times the one number that brings it closest to the student's."""
    if p.seen is None or p.seen.out.shape != out.shape:
        raise DoesNotApply
    fixed = out.detach()
    return out * _usable((p.seen.out * fixed).sum() / (fixed * fixed).sum())


def _usable(factor: Tensor) -> Tensor:
    """A fitted factor, unless it explains everything away."""
    if not SMALLEST_FACTOR <= float(factor.abs()) <= 1 / SMALLEST_FACTOR:
        raise DoesNotApply
    return factor


def seen_weights(p: Head) -> Tensor | None:
    """The student's attention weights (B, T, T), where they returned any."""
    return None if p.seen is None else p.seen.attention


def causal(p: Head) -> Tensor:
    """Scores with those of later tokens at minus infinity."""
    future = torch.ones_like(p["scaled"], dtype=torch.bool).triu(diagonal=1)
    return p["scaled"].masked_fill(future, -math.inf)


def over_everything(p: Head) -> Tensor:
    """A softmax over the whole matrix at once."""
    return torch.softmax(p["masked"].flatten(1), dim=-1).view_as(p["masked"])


def normalised_without_exp(p: Head) -> Tensor:
    """Rows divided by their sum."""
    return p["masked"] / p["masked"].sum(-1, keepdim=True)


def plain_softmax(p: Head) -> Tensor:
    """A softmax that overflows: nothing is subtracted before exp."""
    powers = torch.exp(p["masked"])
    return torch.div(powers, powers.sum(-1, keepdim=True))


def across_batch(p: Head) -> Tensor:
    """All tokens of all sequences as one long sequence (B·T, B·T)."""
    query, key = p["query"].flatten(0, 1), p["key"].flatten(0, 1)
    return query @ key.T


def dropped(value: Tensor, seen: Tensor | None) -> Tensor:
    """A step's result with the zeros that dropout left in what the student returned."""
    if seen is None or seen.shape != value.shape:
        raise DoesNotApply
    kept = seen != 0
    if kept.numel() > FEW and not LEAST_KEPT <= float(kept.double().mean()) < 1:
        raise DoesNotApply
    ratio = (seen / value.detach())[kept].nanmedian()  # 1/(1-p)
    return torch.where(kept, value * ratio, torch.zeros_like(value))


def rectified(p: Head, x: Tensor) -> Tensor:
    """A ReLU behind a step."""
    return torch.relu(x)


def along_batch(p: Head) -> Tensor:
    """Scores between the same tokens of different sequences (T, B, B)."""
    return p["query"].transpose(0, 1) @ p["key"].transpose(0, 1).transpose(-2, -1)


def viewed(*shape: str) -> dict[str, Step]:
    """Query, key and value cut out of their joint projection (B, T, 3·D), viewed as a shape.

    shape: its axes in order, of "B", "T", "D" and the "3" that should tell the three apart
    """

    def part(index: int) -> Step:
        def cut(p: Head) -> Tensor:
            joint = torch.cat([query(p), key(p), value(p)], dim=-1)
            batch, tokens, numbers = joint.shape
            sizes = {"B": batch, "T": tokens, "D": numbers // 3, "3": 3}
            return joint.reshape([sizes[axis] for axis in shape]).select(shape.index("3"), index)

        return cut

    return {"query": part(0), "key": part(1), "value": part(2)}
