"""The attention head and the encoder layer that submissions are compared with.

Both are plain functions of their parameters that return every named step, so that a wrong
answer can be placed at the first step that differs. The head is Vaswani et al., "Attention
Is All You Need" (2017), equation 1; the layer is the pre-norm one of Dosovitskiy et al.
(2021), equations 2 and 3.

B images, T tokens, I numbers per token, D numbers per head, H heads, M hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LAYER_NORM_EPS = 1e-5  # torch's default, which every nn.LayerNorm(dim) has

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": functional.relu,
    "GELU": functional.gelu,
    "GELU (tanh form)": lambda x: functional.gelu(x, approximate="tanh"),
    "SiLU": functional.silu,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "LeakyReLU": functional.leaky_relu,
    "ELU": functional.elu,
    "no activation": lambda x: x,
}


@dataclass(frozen=True)
class HeadParameters:
    """Projections (D, I) of one head, with biases (D,) where a submission has them."""

    query: Tensor
    key: Tensor
    value: Tensor
    query_bias: Tensor | None = None
    key_bias: Tensor | None = None
    value_bias: Tensor | None = None


@dataclass(frozen=True)
class HeadSteps:
    """Every step of an attention head, in order."""

    query: Tensor  # (B, T, D)
    key: Tensor  # (B, T, D)
    value: Tensor  # (B, T, D)
    scores: Tensor  # (B, T, T), scaled
    attention: Tensor  # (B, T, T), rows sum to one
    out: Tensor  # (B, T, D)


@dataclass(frozen=True)
class NormParameters:
    """Scale and shift (I,) of a layer normalisation."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float = LAYER_NORM_EPS


@dataclass(frozen=True)
class LayerParameters:
    """An encoder layer: heads, W_O (I, H·D), the MLP's (M, I) and (I, M), two norms."""

    heads: tuple[HeadParameters, ...]
    output: Tensor
    output_bias: Tensor | None
    norms: tuple[NormParameters, NormParameters]
    first: Tensor
    first_bias: Tensor | None
    second: Tensor
    second_bias: Tensor | None


@dataclass(frozen=True)
class LayerSteps:
    """Every step of an encoder layer, in order."""

    normed: Tensor  # (B, T, I)
    attention: Tensor  # (B, H, T, T)
    heads: Tensor  # (B, T, H·D)
    projected: Tensor  # (B, T, I)
    middle: Tensor  # (B, T, I), after the first residual
    mlp: Tensor  # (B, T, I)
    out: Tensor  # (B, T, I)


def head(x: Tensor, parameters: HeadParameters) -> HeadSteps:
    """softmax(Q Kᵀ / √D) V for x (B, T, I)."""
    query = functional.linear(x, parameters.query, parameters.query_bias)
    key = functional.linear(x, parameters.key, parameters.key_bias)
    value = functional.linear(x, parameters.value, parameters.value_bias)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    attention = torch.softmax(scores, dim=-1)
    return HeadSteps(query, key, value, scores, attention, attention @ value)


def encoder_layer(x: Tensor, parameters: LayerParameters, activation: str = "ReLU") -> LayerSteps:
    """x + W_O·heads(norm(x)), then that + MLP(norm(that)), for x (B, T, I)."""
    normed = layer_norm(x, parameters.norms[0])
    steps = [head(normed, one) for one in parameters.heads]
    heads = torch.cat([step.out for step in steps], dim=-1)
    projected = functional.linear(heads, parameters.output, parameters.output_bias)
    middle = x + projected
    branch = mlp(layer_norm(middle, parameters.norms[1]), parameters, activation)
    return LayerSteps(
        normed=normed,
        attention=torch.stack([step.attention for step in steps], dim=1),
        heads=heads,
        projected=projected,
        middle=middle,
        mlp=branch,
        out=middle + branch,
    )


def mlp(x: Tensor, parameters: LayerParameters, activation: str = "ReLU") -> Tensor:
    """Linear, activation, Linear on x (B, T, I)."""
    hidden = functional.linear(x, parameters.first, parameters.first_bias)  # (B, T, M)
    return functional.linear(
        ACTIVATIONS[activation](hidden), parameters.second, parameters.second_bias
    )


def layer_norm(x: Tensor, parameters: NormParameters) -> Tensor:
    """Each token normalised over its I numbers, then scaled and shifted."""
    return functional.layer_norm(
        x, x.shape[-1:], parameters.weight, parameters.bias, eps=parameters.eps
    )


@dataclass(frozen=True)
class Folded:
    """A reference layer for inference, with two products of its weights taken beforehand.

    A head's scores are (x W_Qᵀ)(x W_Kᵀ)ᵀ = x (W_Qᵀ W_K) xᵀ, and what it adds is
    A (x W_Vᵀ) W_Oᵀ = (A x)(W_Vᵀ W_Oᵀ): so a head needs two products with its tokens and not
    four, and the whole a third of the time that the given loop over heads takes.
    """

    asks: Tensor  # (H·I, I): W_Kᵀ W_Q / √D of each head
    adds: Tensor  # (I, H·I): W_O W_V of each head
    layer: LayerParameters

    @classmethod
    def of(cls, layer: LayerParameters) -> Folded:
        """From a layer's parameters; the products are taken in float64."""
        query, key, value = (
            torch.stack([getattr(one, name) for one in layer.heads]).double()  # (H, D, I)
            for name in ("query", "key", "value")
        )
        heads, size, dim = query.shape
        output = layer.output.double().view(-1, heads, size)  # (I, H, D)
        asks = key.transpose(1, 2) @ query / math.sqrt(size)  # (H, I, I)
        adds = torch.einsum("ohd,hdi->ohi", output, value)  # (I, H, I)
        dtype = layer.output.dtype
        return cls(asks.reshape(-1, dim).to(dtype), adds.flatten(1).to(dtype), layer)

    def out(self, x: Tensor, asking: int) -> Tensor:
        """The layer's output (B, asking, I) for the first `asking` of the tokens x (B, T, I)."""
        normed = layer_norm(x, self.layer.norms[0])
        images, _, dim = x.shape
        asks = functional.linear(normed[:, :asking], self.asks)  # (B, asking, H·I)
        scores = asks.view(images, -1, dim) @ normed.transpose(1, 2)  # (B, asking·H, T)
        mixed = torch.softmax(scores, dim=-1) @ normed  # (B, asking·H, I)
        added = functional.linear(mixed.view(images, asking, -1), self.adds, self.layer.output_bias)
        middle = x[:, :asking] + added
        hidden = functional.linear(
            layer_norm(middle, self.layer.norms[1]), self.layer.first, self.layer.first_bias
        )
        return middle + functional.linear(
            torch.relu(hidden), self.layer.second, self.layer.second_bias
        )
