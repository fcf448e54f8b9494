"""Known mistakes in an attention head's forward pass, as variants of its steps."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from autograder.hw5.mistakes import head_axes, head_precision
from autograder.hw5.mistakes.head_steps import (
    across_batch,
    causal,
    divided_by,
    dropped,
    fitted_factor,
    fitted_scale,
    normalised_without_exp,
    over_everything,
    plain_softmax,
    query,
    rectified,
    seen_weights,
)
from autograder.hw5.mistakes.rounding import seen_out
from autograder.rubric.mistake import Behind, Variant

SCALE_HINT = (
    "Take random queries and keys of D numbers each: how large is a typical score, and how does "
    "that grow with D? The scale brings it back to about 1."
)
AXIS_HINT = (
    "Row t says how much token t takes from each token. Print weights.sum(dim=...) for each axis: "
    "which one must be all ones?"
)
VALUE_HINT = (
    "Work through a tiny case by hand, two tokens of two numbers each, and compare each step with "
    "your code."
)

RETURNED_HINT = (
    "Each row of an attention map holds shares: which of your tensors has rows that sum to one?"
)
EVAL_HINT = "Call the head twice with the same input after eval(): why do the results differ?"

# Mistakes in the output's values, likeliest first.
VALUES: tuple[Variant, ...] = (
    Variant(
        id="no-scale",
        line="3a.4",
        explanation="the scores are not scaled before the softmax",
        hint=SCALE_HINT,
        steps=divided_by(lambda p: 1.0),
    ),
    Variant(
        id="scale-by-inner-dim",
        line="3a.4",
        explanation="the scores are divided by inner_dim itself, or by its root twice",
        hint=SCALE_HINT,
        steps=divided_by(lambda p: p["query"].shape[-1]),
    ),
    Variant(
        id="scale-by-root-input-dim",
        line="3a.4",
        explanation=(
            "the scores are divided by the root of input_dim, the size of a token, instead of the "
            "root of the size of a query"
        ),
        hint=SCALE_HINT,
        steps=divided_by(lambda p: math.sqrt(p.x.shape[-1])),
    ),
    Variant(
        id="scale-by-input-dim",
        line="3a.4",
        explanation="the scores are divided by input_dim, the size of a token",
        hint=SCALE_HINT,
        steps=divided_by(lambda p: p.x.shape[-1]),
    ),
    Variant(
        id="scale-by-root-tokens",
        line="3a.4",
        explanation="the scores are divided by the root of the number of tokens",
        hint=SCALE_HINT,
        steps=divided_by(lambda p: math.sqrt(p.x.shape[-2])),
    ),
    Variant(
        id="scale-multiplied",
        line="3a.4",
        explanation="the scores are multiplied where they should be divided",
        hint=SCALE_HINT,
        steps=divided_by(lambda p: 1 / math.sqrt(p["query"].shape[-1])),
    ),
    Variant(
        id="scale-after-softmax",
        line="3a.4",
        explanation="the scale is applied after the softmax",
        hint="Which numbers grow too large, those that go into the softmax or those that come out?",
        steps={
            "scaled": lambda p: p["scores"],
            "weights": Behind(lambda p, weights: weights / math.sqrt(p["query"].shape[-1])),
        },
    ),
    Variant(
        id="softmax-over-queries",
        line="3a.4",
        explanation="the softmax runs over the queries, so columns sum to one instead of rows",
        hint=AXIS_HINT,
        steps={"softmax": lambda p: torch.softmax(p["masked"], dim=-2)},
    ),
    Variant(
        id="softmax-over-batch",
        line="3a.4",
        explanation="the softmax runs over the batch",
        hint=AXIS_HINT,
        steps={"softmax": lambda p: torch.softmax(p["masked"], dim=0)},
    ),
    Variant(
        id="softmax-over-matrix",
        line="3a.4",
        explanation="the softmax runs over the whole matrix at once, so all of it sums to one",
        hint=AXIS_HINT,
        steps={"softmax": over_everything},
    ),
    Variant(
        id="softmax-absent",
        line="3a.4",
        explanation="the values are mixed with the scores; there is no softmax",
        hint=("Mixing needs shares: what turns any numbers into positive ones with a sum of one?"),
        steps={"softmax": lambda p: p["masked"]},
    ),
    Variant(
        id="softmax-twice",
        line="3a.4",
        explanation="the softmax is applied twice",
        hint=(
            "A second softmax makes the shares nearly equal. Follow the scores through your code: "
            "where do they first sum to one?"
        ),
        steps={"softmax": lambda p: torch.softmax(torch.softmax(p["masked"], dim=-1), dim=-1)},
    ),
    Variant(
        id="log-softmax",
        line="3a.4",
        explanation="the logarithm of the softmax is used",
        hint=(
            "Shares lie between 0 and 1. Print the output of your softmax: which numbers do you "
            "see?"
        ),
        steps={"softmax": lambda p: torch.log_softmax(p["masked"], dim=-1)},
    ),
    Variant(
        id="sigmoid-for-softmax",
        line="3a.4",
        explanation="a sigmoid is used instead of the softmax",
        hint="A sigmoid squashes each score by itself: what makes the shares of one row compete?",
        steps={"softmax": lambda p: torch.sigmoid(p["masked"])},
    ),
    Variant(
        id="no-exponential",
        line="3a.4",
        explanation="the scores are divided by their sum, without the exponential",
        hint="What happens to a row whose scores sum to almost zero, or to a negative score?",
        steps={"softmax": normalised_without_exp},
    ),
    Variant(
        id="causal-mask",
        line="3a.4",
        explanation="a causal mask hides the later tokens",
        hint=("A text model must not look ahead. Do the patches of an image have such an order?"),
        steps={"masked": causal},
    ),
    Variant(
        id="mask-after-softmax",
        line="3a.4",
        explanation="the weights of later tokens are cut off after the softmax",
        hint=("A text model must not look ahead. Do the patches of an image have such an order?"),
        steps={"weights": Behind(lambda p, weights: weights.tril())},
    ),
    Variant(
        id="transposed-value-product",
        line="3a.4",
        explanation="the weights are transposed in the product with the values",
        hint=VALUE_HINT,
        steps={"mixed": lambda p: p["weights"].transpose(-2, -1) @ p["value"]},
    ),
    Variant(
        id="attention-over-features",
        line="3a.4",
        explanation=(
            "the numbers of a token attend to each other (D by D) instead of tokens (T by T)"
        ),
        hint=("Write down the shape after each product: which axis disappears, which two remain?"),
        steps={
            "scores": lambda p: p["query"].transpose(-2, -1) @ p["key"],
            "mixed": lambda p: p["value"] @ p["weights"],
        },
    ),
    Variant(
        id="attention-across-batch",
        line="3a.4",
        explanation="all sequences of the batch are joined, so images attend to each other",
        hint=(
            "Change one image of a batch: should the output for another image change? Which axes "
            "does your product mix?"
        ),
        steps={
            "scores": across_batch,
            "mixed": lambda p: (p["weights"] @ p["value"].flatten(0, 1)).view_as(p["value"]),
        },
    ),
    *head_axes.RESHAPED,
    *head_axes.EXCHANGED,
    Variant(
        id="shared-projections",
        line="3a.4",
        explanation="query, key and value share one projection",
        hint="How many matrices does the formula name, and what does each of them do?",
        steps={
            "key": query,
            "value": query,
        },
    ),
    Variant(
        id="shared-query-key",
        line="3a.4",
        explanation="query and key share one projection",
        hint="Asking and being found are different roles: how many matrices does the formula name?",
        steps={
            "key": lambda p: functional.linear(
                p["input"], p.parameters.query, p.parameters.query_bias
            )
        },
    ),
    Variant(
        id="shared-key-value",
        line="3a.4",
        explanation="key and value share one projection",
        hint="Being found and what is passed on are different roles: how many matrices are there?",
        steps={
            "value": lambda p: functional.linear(
                p["input"], p.parameters.key, p.parameters.key_bias
            )
        },
    ),
    Variant(
        id="shared-query-value",
        line="3a.4",
        explanation="query and value share one projection",
        hint="Asking and what is passed on are different roles: how many matrices are there?",
        steps={
            "value": lambda p: functional.linear(
                p["input"], p.parameters.query, p.parameters.query_bias
            )
        },
    ),
    Variant(
        id="value-not-projected",
        line="3a.4",
        explanation="the tokens themselves are mixed, not their values",
        hint="How many numbers does a token have in the output, and how many in the input?",
        steps={"value": lambda p: p["input"]},
    ),
    Variant(
        id="activation-on-projections",
        line="3a.4",
        explanation="a ReLU follows the projections",
        hint="Can a score still be negative? The projections are purely linear.",
        steps={name: Behind(rectified) for name in ("query", "key", "value")},
    ),
    Variant(
        id="dropout-alive-in-eval",
        line="3a.4",
        explanation="dropout on the output stays active in evaluation mode",
        hint=EVAL_HINT,
        steps={"out": Behind(lambda p, out: dropped(out, seen_out(p)))},
    ),
    Variant(
        id="weights-dropout-alive-in-eval",
        line="3a.4",
        explanation="dropout on the attention weights stays active in evaluation mode",
        hint=EVAL_HINT,
        steps={"weights": Behind(lambda p, weights: dropped(weights, seen_weights(p)))},
    ),
    *head_precision.ALL,
    Variant(
        id="scale-by-constant",
        line="3a.4",
        explanation="the scores are scaled by a fixed number",
        hint=SCALE_HINT,
        steps={"scaled": fitted_scale},
    ),
    Variant(
        id="constant-factor",
        line="3a.4",
        explanation="the output is right up to a constant factor",
        hint=(
            "All of your output is scaled alike: which factor or division in your code is not in "
            "the formula?"
        ),
        steps={"out": Behind(fitted_factor)},
    ),
)

# Mistakes in the second result alone.
RETURNED: tuple[Variant, ...] = (
    Variant(
        id="scores-returned",
        line="3a.3",
        explanation="the scores are returned instead of the weights after the softmax",
        hint=RETURNED_HINT,
        steps={"returned": lambda p: p["scaled"]},
    ),
    Variant(
        id="raw-scores-returned",
        line="3a.3",
        explanation="the unscaled scores are returned instead of the weights",
        hint=RETURNED_HINT,
        steps={"returned": lambda p: p["scores"]},
    ),
    Variant(
        id="weights-transposed",
        line="3a.3",
        explanation="the weights are returned transposed",
        hint=AXIS_HINT,
        steps={"returned": lambda p: p["weights"].transpose(-2, -1)},
    ),
)

# Mistakes that only large scores show.
LARGE_SCORES: tuple[Variant, ...] = (
    Variant(
        id="softmax-overflow",
        line="3a.6",
        explanation="exp overflows where scores are large",
        hint=(
            "What is exp(1000) on your machine? A softmax doesn't change when one number is "
            "subtracted from the whole row."
        ),
        steps={"softmax": plain_softmax},
    ),
)

# Mistakes that fail with an error; the message is compared.
ERRORS: tuple[Variant, ...] = (
    Variant(
        id="key-not-transposed",
        line="3a.4",
        explanation="the key is not transposed before the product",
        hint="Write both shapes side by side: a matrix product needs equal inner sizes.",
        steps={"scores": lambda p: p["query"] @ p["key"]},
    ),
    Variant(
        id="batch-transposed",
        line="3a.4",
        explanation=".T reverses all three axes, the batch axis too",
        hint=("Which two of the three axes should be swapped? Name them, counting from the end."),
        steps={"scores": lambda p: p["query"] @ p["key"].permute(2, 1, 0)},
    ),
    Variant(
        id="batch-and-tokens-exchanged",
        line="3a.4",
        explanation="transpose(0, 1) swaps images and tokens",
        hint=("Which two of the three axes should be swapped? Name them, counting from the end."),
        steps={"scores": lambda p: p["query"] @ p["key"].transpose(0, 1)},
    ),
)
