"""Known mistakes in an encoder layer's forward pass, as variants of its steps."""

from __future__ import annotations

from collections.abc import Callable

import torch

from autograder.hw5.mistakes import layer_axes, layer_mlp, layer_precision
from autograder.hw5.mistakes.layer_steps import (
    Layer,
    activation,
    applied,
    both_norms,
    by_hand,
    by_hand_under_root,
    first_norm,
    over_both,
    over_tokens,
    second_norm,
    with_epsilon,
)
from autograder.rubric.mistake import Behind, Variant

RESIDUAL_HINT = (
    "If a sub-layer's weights were all zero, the layer should pass its input through unchanged. "
    "Follow x in that case."
)
NORM_HINT = (
    "Draw the layer as boxes: in a pre-norm layer each sub-layer begins with its own norm, and the "
    "path of x from bottom to top meets no norm."
)
AXES_HINT = (
    "Each token is normalised by itself: with scale 1 and shift 0, the numbers of each token have "
    "mean 0 after the norm. Do yours?"
)
MLP_HINT = "Compare your MLP with the question, part by part."
EPSILON_HINT = (
    "The second argument of nn.LayerNorm is eps, which only guards against a division by zero. "
    "Which number does yours get?"
)
SAMPLE_HINT = "std() and var() estimate from a sample. What does nn.LayerNorm's formula divide by?"

RESIDUALS: tuple[Variant, ...] = (
    Variant(
        id="missing-first-residual",
        line="3b.1",
        explanation="the residual connection around the attention is missing",
        hint=RESIDUAL_HINT,
        steps={"middle": lambda p: p["projected"]},
    ),
    Variant(
        id="missing-second-residual",
        line="3b.1",
        explanation="the residual connection around the MLP is missing",
        hint=RESIDUAL_HINT,
        steps={"out": lambda p: p["branch"]},
    ),
    Variant(
        id="first-residual-from-norm",
        line="3b.1",
        explanation=(
            "the first residual connection adds the normalised input instead of the input itself"
        ),
        hint=RESIDUAL_HINT,
        steps={"middle": lambda p: p["normed"] + p["projected"]},
    ),
    Variant(
        id="second-residual-from-norm",
        line="3b.1",
        explanation="the second residual connection adds the norm's output instead of its input",
        hint=RESIDUAL_HINT,
        steps={"out": lambda p: p["mlp_normed"] + p["branch"]},
    ),
    Variant(
        id="first-residual-twice",
        line="3b.1",
        explanation="the input is added twice around the attention",
        hint=RESIDUAL_HINT,
        steps={"middle": lambda p: p.x + p.x + p["projected"]},
    ),
    Variant(
        id="second-residual-twice",
        line="3b.1",
        explanation="the input is added twice around the MLP",
        hint=RESIDUAL_HINT,
        steps={"out": lambda p: p["middle"] + p["middle"] + p["branch"]},
    ),
    Variant(
        id="extra-residual",
        line="3b.1",
        explanation="the layer's input is added once more at the end",
        hint=RESIDUAL_HINT,
        steps={"out": lambda p: p.x + p["middle"] + p["branch"]},
    ),
)

# What is given to nn.LayerNorm as its second argument, which is eps.
TAKEN_FOR_EPSILON: dict[str, Callable[[Layer], float]] = {
    "heads": lambda p: len(p.parameters.heads),
    "dim": lambda p: p.x.shape[-1],
    "dim_head": lambda p: p.parameters.heads[0].query.shape[0],
    "mlp_dim": lambda p: p.parameters.first.shape[0],
    "1": lambda p: 1.0,
    "0.1": lambda p: 0.1,
    "0.01": lambda p: 0.01,
}
NORM_EPSILON = Variant(
    id="norm-epsilon-too-large",
    line="3b.2",
    explanation="the norms add a far larger eps under their root than the usual 1e-5",
    hint=EPSILON_HINT,
    steps=with_epsilon(TAKEN_FOR_EPSILON["heads"]),
)

VALUES: tuple[Variant, ...] = (
    Variant(
        id="class-token-alone",
        line="3b.1",
        explanation="only the first token is returned",
        hint="The next layer needs all tokens. Who reads the class token, and where?",
        steps={"out": Behind(lambda p, out: out[:, 0])},
    ),
    Variant(
        id="post-norm",
        line="3b.2",
        explanation="the norms come after the residual sums (post-norm)",
        hint=NORM_HINT,
        steps={
            "normed": lambda p: p.x,
            "middle": lambda p: first_norm(p, p.x + p["projected"]),
            "mlp_normed": lambda p: p["middle"],
            "out": lambda p: second_norm(p, p["middle"] + p["branch"]),
        },
    ),
    Variant(
        id="norm-behind-sub-layers",
        line="3b.2",
        explanation="the norms come after attention and MLP instead of before them",
        hint=NORM_HINT,
        steps={
            "normed": lambda p: p.x,
            "middle": lambda p: p.x + first_norm(p, p["projected"]),
            "mlp_normed": lambda p: p["middle"],
            "out": lambda p: p["middle"] + second_norm(p, p["branch"]),
        },
    ),
    Variant(
        id="shared-norm",
        line="3b.2",
        explanation="both sub-layers share one LayerNorm",
        hint=(
            "Scale and shift are learned: should both places learn the same ones? Count the norms."
        ),
        steps={"mlp_normed": lambda p: first_norm(p, p["middle"])},
    ),
    Variant(
        id="attention-on-unnormed",
        line="3b.2",
        explanation="the attention gets its input without the norm",
        hint=NORM_HINT,
        steps={"normed": lambda p: p.x},
    ),
    Variant(
        id="mlp-on-unnormed",
        line="3b.2",
        explanation="the MLP gets its input without the norm",
        hint=NORM_HINT,
        steps={"mlp_input": lambda p: p["middle"]},
    ),
    Variant(
        id="residual-from-layer-input",
        line="3b.2",
        explanation=(
            "the second residual connection adds the layer's input, so the attention's result is "
            "lost"
        ),
        hint=(
            "Think of an MLP that outputs zeros: what should the layer then return, and what does "
            "yours?"
        ),
        steps={"out": lambda p: p.x + p["branch"]},
    ),
    Variant(
        id="parallel-sub-layers",
        line="3b.2",
        explanation=(
            "the MLP starts from the layer's input, in parallel with the attention instead of "
            "after it"
        ),
        hint=(
            "The MLP works on the result of the first residual connection: which variable goes "
            "into its norm?"
        ),
        steps={"mlp_normed": lambda p: second_norm(p, p.x)},
    ),
    *layer_axes.ALL,
    Variant(
        id="mlp-without-attention",
        line="3b.2",
        explanation="the attention's result is never used",
        hint="Follow the attention's result line by line: where does it go into the output?",
        steps={"middle": lambda p: p.x},
    ),
    Variant(
        id="norm-over-tokens",
        line="3b.2",
        explanation="the norm runs over the tokens instead of the numbers of each token",
        hint=AXES_HINT,
        steps=both_norms(over_tokens),
    ),
    Variant(
        id="norm-over-tokens-and-numbers",
        line="3b.2",
        explanation=(
            "the norm runs over all tokens of a sequence together instead of each token by itself"
        ),
        hint=AXES_HINT,
        steps=both_norms(over_both),
    ),
    Variant(
        id="norm-with-sample-deviation",
        line="3b.2",
        explanation="the norm divides by std(), which averages over one number too few",
        hint=SAMPLE_HINT,
        steps=both_norms(by_hand),
    ),
    Variant(
        id="norm-with-sample-variance",
        line="3b.2",
        explanation=(
            "the norm divides by the root of var(), which averages over one number too few"
        ),
        hint=SAMPLE_HINT,
        steps=both_norms(by_hand_under_root),
    ),
    NORM_EPSILON,
    *layer_precision.ALL,
)

NO_ACTIVATION = Variant(
    id="no-activation",
    line="3b.4",
    explanation="there is no activation between the MLP's two Linear layers",
    hint="Two linear maps in a row are just one linear map. " + MLP_HINT,
    steps=activation("no activation"),
)
FOR_RELU = {
    "GELU": "gelu",
    "GELU (tanh form)": "tanh-gelu",
    "SiLU": "silu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "LeakyReLU": "leaky-relu",
    "ELU": "elu",
}
OTHER_ACTIVATIONS: dict[str, Variant] = {
    "no activation": NO_ACTIVATION,
    **{
        name: Variant(
            id=f"{word}-for-relu",
            line="3b.4",
            explanation=f"the MLP uses {name} where this homework asks for ReLU",
            hint=MLP_HINT,
            steps=activation(name),
        )
        for name, word in FOR_RELU.items()
    },
}

STRUCTURE: tuple[Variant, ...] = (
    *OTHER_ACTIVATIONS.values(),
    Variant(
        id="relu-at-the-end",
        line="3b.4",
        explanation="a ReLU also follows the MLP's last Linear",
        hint="An MLP that ends in a ReLU can only add to x, never take away. " + MLP_HINT,
        steps=applied("ReLU", "branch"),
    ),
    *layer_mlp.SECOND_ACTIVATIONS,
    Variant(
        id="relu-only-at-the-end",
        line="3b.4",
        explanation="the ReLU comes after the second Linear instead of between the two",
        hint="Two linear maps in a row are just one linear map. " + MLP_HINT,
        steps={
            "activated": lambda p: p["hidden"],
            "branch": lambda p: torch.relu(p["second"]),
        },
    ),
    Variant(
        id="relu-before-mlp",
        line="3b.4",
        explanation="the ReLU comes before the first Linear instead of between the two",
        hint="Two linear maps in a row are just one linear map. " + MLP_HINT,
        steps={
            "mlp_input": lambda p: torch.relu(p["mlp_normed"]),
            "activated": lambda p: p["hidden"],
        },
    ),
)

# Mistakes that fail with an error; the message is compared.
ERRORS: tuple[Variant, ...] = (
    Variant(
        id="output-projection-missing",
        line="3b.4",
        explanation="W_O is missing, so the heads' output doesn't fit the residual stream",
        hint=(
            "The heads give heads * dim_head numbers for each token: what maps them back to dim?"
        ),
        steps={"middle": lambda p: p.x + p["heads"]},
    ),
)

# All mistakes that show in the output, likeliest first.
OUTPUT: tuple[Variant, ...] = (*VALUES, *RESIDUALS, *STRUCTURE)
