"""Known mistakes in how an encoder layer is built and in what it returns.

They are seen in the source, in shapes and in where numbers are dropped, not in a variant's numbers.
"""

from __future__ import annotations

from autograder.hw5.mistakes.head_construction import IN_PLACE_HINT
from autograder.rubric.mistake import Mistake

DROPOUT_HINT = "Pass your layer's `dropout` to all three places that the question names."

OUTPUT_BIAS = Mistake(
    id="output-bias",
    line="3b.4",
    explanation="W_O has a bias",
    hint="Does an nn.Linear have a bias by default?",
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
    explanation="the MLP's number of hidden units is not mlp_dim",
    hint=(
        "Build the layer with mlp_dim=20 and print the shapes of the MLP's weights: where is the "
        "20?"
    ),
)
TRAINED_FACTOR = Mistake(
    id="trained-factor",
    line="3b.4",
    explanation="a single number that training changes, such as a learned factor, is among the "
    "parameters",
    hint="Which of your parameters is a single number? The question's layer has none of its own.",
)
LAYER_RESULTS_SWAPPED = Mistake(
    id="layer-results-swapped",
    line="3b.1",
    explanation="the attention maps are returned first, the tokens second",
    hint="The caller takes the first result as the output: see forward's docstring.",
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
    explanation="dropout is also applied to the residual stream",
    hint=(
        "What is dropped from x is lost to every later layer: apply dropout to the branch, before "
        "the sum."
    ),
)
DROPOUT_NOT_CALLED = Mistake(
    id="dropout-not-called",
    line="3b.5",
    explanation="a Dropout is made in the constructor, but forward never calls it",
    hint="Go through the modules that your constructor makes: where does forward call each?",
)
DROPOUT_IGNORED = Mistake(
    id="dropout-ignored",
    line="3b.5",
    explanation="the constructor's dropout is ignored",
    hint="Which number do your Dropout layers get when the layer is made with dropout=0.5?",
)
DROPOUT_BEFORE = Mistake(
    id="dropout-before-sub-layer",
    line="3b.5",
    explanation="dropout is applied to what goes into a sub-layer instead of what comes out",
    hint="The question names three places. Which of your steps comes right before each Dropout?",
)
LAYER_DROPOUT_ALIVE = Mistake(
    id="layer-dropout-alive-in-eval",
    line="3b.5",
    explanation="dropout stays active in evaluation mode",
    hint=("Call the layer twice with the same input after eval(): why do the results differ?"),
)
LAYER_IN_PLACE = Mistake(
    id="layer-in-place",
    line="3b.3",
    explanation="a tensor that backward still needs is changed in place",
    hint=IN_PLACE_HINT,
)
NORM_EPSILON_DROPOUT = Mistake(
    id="norm-epsilon-from-dropout",
    line="3b.2",
    explanation="the norms get the dropout as their eps, so they change with it",
    hint="The second argument of nn.LayerNorm is eps. Which number does yours get?",
)
RESULTS_NOT_UNPACKED = Mistake(
    id="results-not-unpacked",
    line="3b.1",
    explanation="the given Attention returns a pair, but it is used as a single result",
    hint="Attention returns its output and the maps: what do you do with each of them?",
)
MAPS_NOT_RETURNED = Mistake(
    id="maps-not-returned",
    line="3c.4",
    explanation="the encoder layer returns no attention maps",
    hint=(
        "Your head's weights become the second result of the given Attention: "
        "follow them from there to the return of your layer."
    ),
)

ALL: tuple[Mistake, ...] = (
    OUTPUT_BIAS,
    BUILT_IN_LAYER,
    WRONG_HIDDEN_SIZE,
    TRAINED_FACTOR,
    LAYER_RESULTS_SWAPPED,
    NO_ATTENTION_DROPOUT,
    NO_HIDDEN_DROPOUT,
    NO_LAST_DROPOUT,
    DROPOUT_ON_RESIDUAL,
    DROPOUT_NOT_CALLED,
    DROPOUT_IGNORED,
    DROPOUT_BEFORE,
    LAYER_DROPOUT_ALIVE,
    LAYER_IN_PLACE,
    NORM_EPSILON_DROPOUT,
    RESULTS_NOT_UNPACKED,
    MAPS_NOT_RETURNED,
)
