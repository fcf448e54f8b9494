"""Mistakes in an encoder layer's MLP that keep its ReLU, as variants of the layer's steps."""

from __future__ import annotations

from autograder.hw5.mistakes.layer_steps import applied
from autograder.rubric.mistake import Variant

ONE_HINT = "The question's MLP has one activation, between its two Linear layers. Count yours."

# After a ReLU, a LeakyReLU or ELU changes nothing, as a second ReLU doesn't.
BESIDE_RELU = {
    "GELU": "gelu",
    "GELU (tanh form)": "tanh-gelu",
    "SiLU": "silu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
}
AT_THE_END = {"GELU": "gelu", "Tanh": "tanh", "Sigmoid": "sigmoid"}

SECOND_ACTIVATIONS: tuple[Variant, ...] = (
    *(
        Variant(
            id=f"{word}-beside-relu",
            line="3b.4",
            explanation=f"the MLP applies {name} as well as ReLU between its two Linear layers",
            hint=ONE_HINT,
            steps=applied(name, "activated"),
        )
        for name, word in BESIDE_RELU.items()
    ),
    *(
        Variant(
            id=f"{word}-at-the-end",
            line="3b.4",
            explanation=f"a {name} also follows the MLP's last Linear",
            hint=ONE_HINT,
            steps=applied(name, "branch"),
        )
        for name, word in AT_THE_END.items()
    ),
    Variant(
        id="relu-before-mlp-too",
        line="3b.4",
        explanation="a ReLU also comes before the MLP's first Linear",
        hint=ONE_HINT,
        steps=applied("ReLU", "mlp_input"),
    ),
)
