"""The steps of an encoder layer, and what mistakes put in their place.

B sequences, T tokens, I numbers per token, H heads of D numbers, M hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autograder.hw5.probes.reference import (
    ACTIVATIONS,
    LAYER_NORM_EPS,
    LayerParameters,
    NormParameters,
    head,
    layer_norm,
)
from autograder.rubric.mistake import Behind, Pass, Step

Layer = Pass[LayerParameters]


def first_norm(p: Layer, x: Tensor) -> Tensor:
    """Normalised by the norm before the attention (B, T, I)."""
    return layer_norm(x, replace(p.parameters.norms[0], eps=float(p["eps"])))


def second_norm(p: Layer, x: Tensor) -> Tensor:
    """Normalised by the norm before the MLP (B, T, I)."""
    return layer_norm(x, replace(p.parameters.norms[1], eps=float(p["eps"])))


def attended(p: Layer, x: Tensor) -> Tensor:
    """What the heads make of their input (B, T, I), concatenated (B, T, H·D)."""
    return torch.cat([head(x, one).out for one in p.parameters.heads], dim=-1)


def projected(p: Layer) -> Tensor:
    """W_O applied to the heads (B, T, I)."""
    return functional.linear(p["heads"], p.parameters.output, p.parameters.output_bias)


def _hidden(p: Layer) -> Tensor:
    return functional.linear(p["mlp_input"], p.parameters.first, p.parameters.first_bias)


def _second_linear(p: Layer) -> Tensor:
    return functional.linear(p["activated"], p.parameters.second, p.parameters.second_bias)


STEPS: dict[str, Step] = {
    "eps": lambda p: torch.tensor(p.parameters.norms[0].eps, dtype=torch.float64),  # of both norms
    "normed": lambda p: first_norm(p, p.x),  # (B, T, I)
    "heads": lambda p: attended(p, p["normed"]),  # (B, T, H·D)
    "projected": projected,  # (B, T, I)
    "middle": lambda p: p.x + p["projected"],  # (B, T, I)
    "mlp_normed": lambda p: second_norm(p, p["middle"]),  # (B, T, I)
    "mlp_input": lambda p: p["mlp_normed"],  # (B, T, I)
    "hidden": _hidden,  # (B, T, M)
    "activated": lambda p: torch.relu(p["hidden"]),  # (B, T, M)
    "second": _second_linear,  # (B, T, I)
    "branch": lambda p: p["second"],  # (B, T, I)
    "out": lambda p: p["middle"] + p["branch"],  # (B, T, I)
}


def over_tokens(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised over the tokens (T), number by number."""
    normed = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    return _affine(normed, norm)


def over_both(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised over tokens and numbers together (T, I)."""
    return _affine(functional.layer_norm(x, x.shape[-2:], eps=LAYER_NORM_EPS), norm)


def by_hand(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised with std(), which divides by I - 1."""
    centred = x - x.mean(-1, keepdim=True)
    return _affine(centred / (x.std(-1, keepdim=True) + LAYER_NORM_EPS), norm)


def by_hand_under_root(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised with var(), which divides by I - 1."""
    centred = x - x.mean(-1, keepdim=True)
    return _affine(centred / (x.var(-1, keepdim=True) + LAYER_NORM_EPS).sqrt(), norm)


def _affine(x: Tensor, norm: NormParameters) -> Tensor:
    scaled = x if norm.weight is None else x * norm.weight
    return scaled if norm.bias is None else scaled + norm.bias


def both_norms(norm: Any) -> dict[str, Step]:
    """Both norms computed by another function of the input and the norm."""
    return {
        "normed": lambda p: norm(p.x, p.parameters.norms[0]),
        "mlp_normed": lambda p: norm(p["middle"], p.parameters.norms[1]),
    }


def with_epsilon(eps: Callable[[Layer], float]) -> dict[str, Step]:
    """Both norms with another number under their root."""
    return {"eps": lambda p: torch.tensor(float(eps(p)), dtype=torch.float64)}


def applied(name: str, step: str) -> dict[str, Behind]:
    """An activation, by its name in the reference's list, behind a step."""
    return {step: Behind(lambda p, x: ACTIVATIONS[name](x))}


def activation(name: str) -> dict[str, Step]:
    """Another activation inside the MLP, by its name in the reference's list."""
    return {"activated": lambda p: ACTIVATIONS[name](p["hidden"])}
