"""Known mistakes in how an encoder layer is built and in what it returns.

They are seen in the source, in shapes and in where numbers are dropped, not in a variant's numbers.
"""

from __future__ import annotations

from autograder.rubric.mistake import Mistake

DROPOUT_HINT = "Give your layer's `dropout` to each of the three places that the question names."

OUTPUT_BIAS = Mistake(
    id="output-bias",
    line="3b.4",
    explanation="W_O has a bias",
    hint="Does an nn.Linear have a bias when you don't say so?",
)
BUILT_IN_LAYER = Mistake(
    id="built-in-layer",
    line="3b.4",
    explanation="torch's ready-made attention or encoder layer is used",
    hint=("Build the layer from the given Attention, two norms, W_O and an MLP of your own."),
)
WRONG_HIDDEN_SIZE = Mistake(
    id="mlp-dim-ignored",
    line="3b.4",
    explanation="the MLP has another number of hidden units than mlp_dim",
    hint=(
        "Make the layer with mlp_dim=20 and print the shapes of the MLP's weights: where is the 20?"
    ),
)
LAYER_RESULTS_SWAPPED = Mistake(
    id="layer-results-swapped",
    line="3b.1",
    explanation="the attention maps are returned first, the tokens second",
    hint=(
        "Whoever calls the layer takes the first result for its output: see forward's docstring."
    ),
)
NO_ATTENTION_DROPOUT = Mistake(
    id="no-dropout-after-attention",
    line="3b.5",
    explanation="dropout is missing after the attention",
    hint=DROPOUT_HINT,
)
NO_HIDDEN_DROPOUT = Mistake(
    id="no-dropout-inside-mlp",
    line="3b.5",
    explanation="dropout is missing inside the MLP",
    hint=DROPOUT_HINT,
)
NO_LAST_DROPOUT = Mistake(
    id="no-dropout-after-mlp",
    line="3b.5",
    explanation="dropout is missing after the MLP",
    hint=DROPOUT_HINT,
)
DROPOUT_ON_RESIDUAL = Mistake(
    id="dropout-on-residual",
    line="3b.5",
    explanation="dropout also falls on the residual stream",
    hint=(
        "What is dropped from x is lost for every later layer: drop from the "
        "branch, before the sum."
    ),
)
LAYER_DROPOUT_ALIVE = Mistake(
    id="layer-dropout-alive-in-eval",
    line="3b.5",
    explanation="dropout stays on in evaluation",
    hint=("Call the layer twice with the same input after eval(): why do the results differ?"),
)
RESULTS_NOT_UNPACKED = Mistake(
    id="results-not-unpacked",
    line="3b.1",
    explanation=("the result of the given Attention is used whole, though it is a pair"),
    hint=(
        "Attention returns its output and the maps, as a pair: what do you do with each of them?"
    ),
)
MAPS_NOT_RETURNED = Mistake(
    id="maps-not-returned",
    line="3c.4",
    explanation="no attention maps come out of the encoder layer",
    hint=(
        "Your head's weights become the second result of the given Attention: "
        "follow them from there to the return of your layer."
    ),
)

ALL: tuple[Mistake, ...] = (
    OUTPUT_BIAS,
    BUILT_IN_LAYER,
    WRONG_HIDDEN_SIZE,
    LAYER_RESULTS_SWAPPED,
    NO_ATTENTION_DROPOUT,
    NO_HIDDEN_DROPOUT,
    NO_LAST_DROPOUT,
    DROPOUT_ON_RESIDUAL,
    LAYER_DROPOUT_ALIVE,
    RESULTS_NOT_UNPACKED,
    MAPS_NOT_RETURNED,
)
