"""Known mistakes in an encoder layer, as variants of its steps.

B sequences, T tokens, I numbers per token, H heads of D numbers, M hidden units.
"""

from __future__ import annotations

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
from autograder.rubric.mistake import Mistake, Pass, Step, Variant

Layer = Pass[LayerParameters]


def _first_norm(p: Layer, x: Tensor) -> Tensor:
    return layer_norm(x, p.parameters.norms[0])


def _second_norm(p: Layer, x: Tensor) -> Tensor:
    return layer_norm(x, p.parameters.norms[1])


def _heads(p: Layer) -> Tensor:
    return torch.cat([head(p["normed"], one).out for one in p.parameters.heads], dim=-1)


def _projected(p: Layer) -> Tensor:
    return functional.linear(p["heads"], p.parameters.output, p.parameters.output_bias)


def _hidden(p: Layer) -> Tensor:
    return functional.linear(p["mlp_input"], p.parameters.first, p.parameters.first_bias)


def _second_linear(p: Layer) -> Tensor:
    return functional.linear(p["activated"], p.parameters.second, p.parameters.second_bias)


STEPS: dict[str, Step] = {
    "normed": lambda p: _first_norm(p, p.x),  # (B, T, I)
    "heads": _heads,  # (B, T, H·D)
    "projected": _projected,  # (B, T, I)
    "middle": lambda p: p.x + p["projected"],  # (B, T, I)
    "mlp_normed": lambda p: _second_norm(p, p["middle"]),  # (B, T, I)
    "mlp_input": lambda p: p["mlp_normed"],  # (B, T, I)
    "hidden": _hidden,  # (B, T, M)
    "activated": lambda p: torch.relu(p["hidden"]),  # (B, T, M)
    "second": _second_linear,  # (B, T, I)
    "branch": lambda p: p["second"],  # (B, T, I)
    "out": lambda p: p["middle"] + p["branch"],  # (B, T, I)
}


def _over_tokens(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised over the tokens (T), number by number."""
    normed = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    return _affine(normed, norm)


def _over_both(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised over tokens and numbers together (T, I)."""
    return _affine(functional.layer_norm(x, x.shape[-2:], eps=LAYER_NORM_EPS), norm)


def _by_hand(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised with std(), which divides by I - 1."""
    centred = x - x.mean(-1, keepdim=True)
    return _affine(centred / (x.std(-1, keepdim=True) + LAYER_NORM_EPS), norm)


def _by_hand_under_root(x: Tensor, norm: NormParameters) -> Tensor:
    """Normalised with var(), which divides by I - 1."""
    centred = x - x.mean(-1, keepdim=True)
    return _affine(centred / (x.var(-1, keepdim=True) + LAYER_NORM_EPS).sqrt(), norm)


def _affine(x: Tensor, norm: NormParameters) -> Tensor:
    scaled = x if norm.weight is None else x * norm.weight
    return scaled if norm.bias is None else scaled + norm.bias


def _both_norms(norm: Any) -> dict[str, Step]:
    return {
        "normed": lambda p: norm(p.x, p.parameters.norms[0]),
        "mlp_normed": lambda p: norm(p["middle"], p.parameters.norms[1]),
    }


def _activation(name: str) -> dict[str, Step]:
    return {"activated": lambda p: ACTIVATIONS[name](p["hidden"])}


def _variant(id: str, line: str, explanation: str, hint: str, /, **steps: Any) -> Variant:
    return Variant(id, line, explanation, hint, steps)


RESIDUAL_HINT = (
    "If a sub-layer's weights were all zero, the layer should hand its input through unchanged. "
    "Follow x in that case."
)
NORM_HINT = (
    "Draw the layer as boxes: in a pre-norm layer each sub-layer begins with its own norm, and the "
    "path of x from bottom to top meets no norm."
)
AXES_HINT = (
    "Each token is normalised by itself: with scale 1 and shift 0, each token's numbers have "
    "mean 0 behind the norm. Do yours?"
)
MLP_HINT = "Compare your MLP, part by part, with the three that the question names."
DROPOUT_HINT = "Give your layer's `dropout` to each of the three places that the question names."
SAMPLE_HINT = "std() and var() estimate from a sample. What does nn.LayerNorm's formula divide by?"
DETACH_HINT = (
    "Forward numbers don't show this: call backward() and look at .grad of each weight. detach(), "
    ".data, numpy and no_grad all cut the graph."
)

RESIDUALS: tuple[Variant, ...] = (
    _variant(
        "missing-first-residual", "3b.1", "the residual connection round the attention is missing",
        RESIDUAL_HINT, middle=lambda p: p["projected"],
    ),
    _variant(
        "missing-second-residual", "3b.1", "the residual connection round the MLP is missing",
        RESIDUAL_HINT, out=lambda p: p["branch"],
    ),
    _variant(
        "first-residual-from-norm", "3b.1",
        "the first residual adds the normalised input instead of the input itself", RESIDUAL_HINT,
        middle=lambda p: p["normed"] + p["projected"],
    ),
    _variant(
        "second-residual-from-norm", "3b.1",
        "the second residual adds what the norm gives instead of what goes into it", RESIDUAL_HINT,
        out=lambda p: p["mlp_normed"] + p["branch"],
    ),
    _variant(
        "first-residual-twice", "3b.1", "the input is added twice round the attention",
        RESIDUAL_HINT, middle=lambda p: p.x + p.x + p["projected"],
    ),
    _variant(
        "second-residual-twice", "3b.1", "what comes in is added twice round the MLP",
        RESIDUAL_HINT, out=lambda p: p["middle"] + p["middle"] + p["branch"],
    ),
    _variant(
        "extra-residual", "3b.1", "the layer's input is added once more at the end", RESIDUAL_HINT,
        out=lambda p: p.x + p["middle"] + p["branch"],
    ),
)  # fmt: skip

VALUES: tuple[Variant, ...] = (
    _variant(
        "class-token-alone", "3b.1", "only the first token is returned",
        "The next layer needs all tokens. Who reads the class token, and where?",
        out=lambda p: (p["middle"] + p["branch"])[:, 0],
    ),
    _variant(
        "post-norm", "3b.2", "the norms stand behind the residual sums (post-norm)", NORM_HINT,
        normed=lambda p: p.x,
        middle=lambda p: _first_norm(p, p.x + p["projected"]),
        mlp_normed=lambda p: p["middle"],
        out=lambda p: _second_norm(p, p["middle"] + p["branch"]),
    ),
    _variant(
        "norm-behind-sub-layers", "3b.2",
        "the norms stand behind attention and MLP instead of before them", NORM_HINT,
        normed=lambda p: p.x,
        middle=lambda p: p.x + _first_norm(p, p["projected"]),
        mlp_normed=lambda p: p["middle"],
        out=lambda p: p["middle"] + _second_norm(p, p["branch"]),
    ),
    _variant(
        "shared-norm", "3b.2", "both sub-layers share one LayerNorm",
        "Scale and shift are learned: should both places learn the same ones? Count the norms.",
        mlp_normed=lambda p: _first_norm(p, p["middle"]),
    ),
    _variant(
        "attention-on-unnormed", "3b.2", "the attention gets the input without its norm", NORM_HINT,
        normed=lambda p: p.x,
    ),
    _variant(
        "mlp-on-unnormed", "3b.2", "the MLP gets its input without the norm", NORM_HINT,
        mlp_input=lambda p: p["middle"],
    ),
    _variant(
        "residual-from-layer-input", "3b.2",
        "the second residual adds the layer's input, so what the attention gave is lost",
        "Think of an MLP that gives zeros: what should the layer then return, and what does yours?",
        out=lambda p: p.x + p["branch"],
    ),
    _variant(
        "parallel-sub-layers", "3b.2",
        "the MLP starts from the layer's input, beside the attention and not behind it",
        "The MLP works on what the first residual gives: which variable goes into its norm?",
        mlp_normed=lambda p: _second_norm(p, p.x),
    ),
    _variant(
        "mlp-without-attention", "3b.2", "what the attention gives is never used",
        "Follow the attention's result line by line: where does it go into the output?",
        middle=lambda p: p.x,
    ),
    _variant(
        "norm-over-tokens", "3b.2",
        "the norm runs over the tokens and not over the numbers of each token", AXES_HINT,
        **_both_norms(_over_tokens),
    ),
    _variant(
        "norm-over-tokens-and-numbers", "3b.2",
        "the norm runs over all tokens of a sequence together, and not over each token", AXES_HINT,
        **_both_norms(_over_both),
    ),
    _variant(
        "norm-with-sample-deviation", "3b.2",
        "the norm divides by std(), which takes its mean over one number too few",
        SAMPLE_HINT, **_both_norms(_by_hand),
    ),
    _variant(
        "norm-with-sample-variance", "3b.2",
        "the norm divides by the root of var(), which takes its mean over one number too few",
        SAMPLE_HINT, **_both_norms(_by_hand_under_root),
    ),
)  # fmt: skip

OTHER_ACTIVATIONS: dict[str, Variant] = {
    name: _variant(id, "3b.4", explanation, hint + MLP_HINT, **_activation(name))
    for name, id, explanation, hint in (
        (
            "no activation", "no-activation", "nothing stands between the MLP's two Linear layers",
            "Two linear maps in a row are one linear map. ",
        ),
        *(
            (
                name, f"{id}-for-relu",
                f"the MLP has {name} where this homework asks for a ReLU", "",
            )
            for name, id in (
                ("GELU", "gelu"), ("GELU (tanh form)", "tanh-gelu"), ("SiLU", "silu"),
                ("Tanh", "tanh"), ("Sigmoid", "sigmoid"), ("LeakyReLU", "leaky-relu"),
                ("ELU", "elu"),
            )
        ),
    )
}  # fmt: skip

STRUCTURE: tuple[Variant, ...] = (
    *OTHER_ACTIVATIONS.values(),
    _variant(
        "relu-at-the-end", "3b.4", "a ReLU follows the MLP's last Linear too",
        "An MLP that ends in a ReLU can only add to x, never take away. " + MLP_HINT,
        branch=lambda p: torch.relu(p["second"]),
    ),
    _variant(
        "relu-only-at-the-end", "3b.4", "the ReLU stands behind the second Linear, not between",
        "Two linear maps in a row are one linear map. " + MLP_HINT,
        activated=lambda p: p["hidden"], branch=lambda p: torch.relu(p["second"]),
    ),
    _variant(
        "relu-before-mlp", "3b.4", "the ReLU stands before the first Linear, not between the two",
        "Two linear maps in a row are one linear map. " + MLP_HINT,
        mlp_input=lambda p: torch.relu(p["mlp_normed"]), activated=lambda p: p["hidden"],
    ),
)  # fmt: skip

# Mistakes that fail with an error; the message is compared.
ERRORS: tuple[Variant, ...] = (
    _variant(
        "output-projection-missing", "3b.4",
        "W_O is missing, so the heads' numbers don't fit the residual stream",
        "The heads give heads * dim_head numbers for each token: what brings them back to dim?",
        middle=lambda p: p.x + p["heads"],
    ),
)  # fmt: skip

# All mistakes that show in the output, likeliest first.
OUTPUT: tuple[Variant, ...] = (*VALUES, *RESIDUALS, *STRUCTURE)

GRADIENTS: tuple[Variant, ...] = (
    _variant(
        "detached-attention", "3b.3", "the attention's branch is cut off from the gradient",
        DETACH_HINT, projected=lambda p: _projected(p).detach(),
    ),
    _variant(
        "detached-mlp", "3b.3", "the MLP's branch is cut off from the gradient", DETACH_HINT,
        branch=lambda p: p["second"].detach(),
    ),
    _variant(
        "detached-heads", "3b.3", "the heads are cut off from the gradient", DETACH_HINT,
        heads=lambda p: _heads(p).detach(),
    ),
    _variant(
        "detached-middle", "3b.3", "what follows the attention is cut off from what precedes it",
        DETACH_HINT, middle=lambda p: (p.x + p["projected"]).detach(),
    ),
)  # fmt: skip

# Mistakes that are seen in other ways than by numbers.
OUTPUT_BIAS = Mistake(
    "output-bias", "3b.4", "W_O has a bias",
    "Does an nn.Linear have a bias when you don't say so?",
)  # fmt: skip
BUILT_IN_LAYER = Mistake(
    "built-in-layer",
    "3b.4",
    "torch's ready-made attention or encoder layer is used",
    "Build the layer from the given Attention, two norms, W_O and an MLP of your own.",
)
WRONG_HIDDEN_SIZE = Mistake(
    "mlp-dim-ignored",
    "3b.4",
    "the MLP has another number of hidden units than mlp_dim",
    "Make the layer with mlp_dim=20 and print the shapes of the MLP's weights: where is the 20?",
)
LAYER_RESULTS_SWAPPED = Mistake(
    "layer-results-swapped",
    "3b.1",
    "the attention maps are returned first, the tokens second",
    "Whoever calls the layer takes the first result for its output: see forward's docstring.",
)
NO_ATTENTION_DROPOUT = Mistake(
    "no-dropout-after-attention",
    "3b.5",
    "dropout is missing after the attention",
    DROPOUT_HINT,
)
NO_HIDDEN_DROPOUT = Mistake(
    "no-dropout-inside-mlp",
    "3b.5",
    "dropout is missing inside the MLP",
    DROPOUT_HINT,
)
NO_LAST_DROPOUT = Mistake(
    "no-dropout-after-mlp",
    "3b.5",
    "dropout is missing after the MLP",
    DROPOUT_HINT,
)
DROPOUT_ON_RESIDUAL = Mistake(
    "dropout-on-residual",
    "3b.5",
    "dropout also falls on the residual stream",
    "What is dropped from x is lost for every later layer: drop from the branch, before the sum.",
)
LAYER_DROPOUT_ALIVE = Mistake(
    "layer-dropout-alive-in-eval",
    "3b.5",
    "dropout stays on in evaluation",
    "Call the layer twice with the same input after eval(): why do the results differ?",
)
RESULTS_NOT_UNPACKED = Mistake(
    "results-not-unpacked", "3b.1",
    "the result of the given Attention is used whole, though it is a pair",
    "Attention returns its output and the maps, as a pair: what do you do with each of them?",
)  # fmt: skip
MAPS_NOT_RETURNED = Mistake(
    "maps-not-returned",
    "3c.4",
    "no attention maps come out of the encoder layer",
    "Your head's weights become the second result of the given Attention: follow them from there "
    "to the return of your layer.",
)

SEEN: tuple[Mistake, ...] = (
    OUTPUT_BIAS, BUILT_IN_LAYER, WRONG_HIDDEN_SIZE, LAYER_RESULTS_SWAPPED, NO_ATTENTION_DROPOUT,
    NO_HIDDEN_DROPOUT, NO_LAST_DROPOUT, DROPOUT_ON_RESIDUAL, LAYER_DROPOUT_ALIVE,
    RESULTS_NOT_UNPACKED, MAPS_NOT_RETURNED,
)  # fmt: skip
