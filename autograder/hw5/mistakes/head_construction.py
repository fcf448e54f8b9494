"""Known mistakes in how an attention head is built, in what it returns and in what it takes.

They are seen in the source, in shapes and in dtypes, not in a variant's numbers.
"""

from __future__ import annotations

from autograder.rubric.mistake import Mistake

PROJECTION_BIAS = Mistake(
    id="projection-bias",
    line="3a.2",
    explanation="the projections have biases",
    hint=(
        "Does an nn.Linear have a bias by default? It costs no other line: the others compare with "
        "your biases included."
    ),
)
TRAINED_SCALE = Mistake(
    id="trained-scale",
    line="3a.2",
    explanation="a single number that training changes, such as a learned scale, is among the "
    "parameters",
    hint=(
        "The scale follows from inner_dim and never changes: which of your parameters is a single "
        "number? It costs no other line."
    ),
)
FOREIGN_LAYER = Mistake(
    id="foreign-layer",
    line="3a.2",
    explanation="a layer or function of torch is used that is not on the question's list",
    hint=(
        "The head needs three projections, one softmax and one dropout; matrix products do the "
        "rest."
    ),
)
BUILT_IN_ATTENTION = Mistake(
    id="built-in-attention",
    line="3a.2",
    explanation="torch's ready-made attention is used",
    hint=(
        "Write the formula yourself: two matrix products, with a scale and a softmax between them."
    ),
)
WEIGHTS_NOT_RETURNED = Mistake(
    id="weights-not-returned",
    line="3a.3",
    explanation="the head returns only its output",
    hint=("The weights are a step on the way to your output: return them as a second result."),
)
RESULTS_SWAPPED = Mistake(
    id="results-swapped",
    line="3a.1",
    explanation="the weights are returned first and the output second",
    hint="The caller takes the first result as the output: see forward's docstring.",
)
CAST_TO_FLOAT32 = Mistake(
    id="cast-to-float32",
    line="3a.6",
    explanation="a tensor on the way is created as float32, or cast to it",
    hint=(
        "Look for float(), dtype=... and newly created tensors: which dtype do they have if x is "
        "float64?"
    ),
)
IN_PLACE_HINT = (
    "Autograd keeps numbers for backward, and +=, masked_fill_ and other names that end in _ write "
    "over them. Which of your lines could make a new tensor instead?"
)
HEAD_IN_PLACE = Mistake(
    id="head-in-place",
    line="3a.5",
    explanation="a tensor that backward still needs is changed in place",
    hint=IN_PLACE_HINT,
)
FIXED_SIZE = Mistake(
    id="fixed-size",
    line="3a.1",
    explanation="a number of tokens, images or features is written into the code",
    hint="Take every size from x.shape or from the arguments of the constructor.",
)

ALL: tuple[Mistake, ...] = (
    PROJECTION_BIAS,
    TRAINED_SCALE,
    FOREIGN_LAYER,
    BUILT_IN_ATTENTION,
    WEIGHTS_NOT_RETURNED,
    RESULTS_SWAPPED,
    CAST_TO_FLOAT32,
    FIXED_SIZE,
    HEAD_IN_PLACE,
)
