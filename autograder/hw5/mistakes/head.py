"""Known mistakes in an attention head, as variants of its steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from autograder.hw5.mistakes.head_steps import (
    across_batch,
    causal,
    detached,
    divided_by,
    dropped,
    fitted_factor,
    fitted_scale,
    key,
    normalised_without_exp,
    over_everything,
    plain_softmax,
    query,
    rectified,
    value,
)
from autograder.rubric.mistake import Mistake, Variant


def _variant(id: str, line: str, explanation: str, hint: str, /, **steps: Any) -> Variant:
    return Variant(id, line, explanation, hint, steps)


SCALE_HINT = (
    "Take random queries and keys of D numbers each: how large is a typical score, and how does "
    "that grow with D? The scale brings it back to about 1."
)
AXIS_HINT = (
    "Row t says how much token t takes from each token. Print weights.sum(dim=...) for each axis: "
    "which one must be all ones?"
)
DETACH_HINT = (
    "Forward numbers don't show this: call backward() and look at .grad of each projection. "
    "detach(), .data, .item(), numpy and no_grad all cut the graph."
)
VALUE_HINT = (
    "Work a tiny case by hand, two tokens of two numbers each, and compare it with your code step "
    "by step."
)

RETURNED_HINT = "A map is read as shares: which of your tensors has rows that sum to one?"
EVAL_HINT = "Call the head twice with the same input after eval(): why do the results differ?"

# Mistakes in the output's values, likeliest first.
VALUES: tuple[Variant, ...] = (
    _variant(
        "no-scale", "3a.4", "the scores are not scaled before the softmax", SCALE_HINT,
        **divided_by(lambda p: 1.0),
    ),
    _variant(
        "scale-by-inner-dim", "3a.4",
        "the scores are divided by inner_dim itself, or twice by its root", SCALE_HINT,
        **divided_by(lambda p: p["query"].shape[-1]),
    ),
    _variant(
        "scale-by-root-input-dim", "3a.4",
        "the scores are divided by the root of input_dim, the size of a token, where the size of a "
        "query counts", SCALE_HINT, **divided_by(lambda p: math.sqrt(p.x.shape[-1])),
    ),
    _variant(
        "scale-by-input-dim", "3a.4",
        "the scores are divided by input_dim, the size of a token", SCALE_HINT,
        **divided_by(lambda p: p.x.shape[-1]),
    ),
    _variant(
        "scale-by-root-tokens", "3a.4",
        "the scores are divided by the root of the number of tokens", SCALE_HINT,
        **divided_by(lambda p: math.sqrt(p.x.shape[-2])),
    ),
    _variant(
        "scale-multiplied", "3a.4",
        "the scores are multiplied where they should be divided", SCALE_HINT,
        **divided_by(lambda p: 1 / math.sqrt(p["query"].shape[-1])),
    ),
    _variant(
        "scale-after-softmax", "3a.4", "the scale is applied after the softmax",
        "Which numbers grow too large, those that go into the softmax or those that come out?",
        scaled=lambda p: p["scores"],
        weights=lambda p: p["softmax"] / math.sqrt(p["query"].shape[-1]),
    ),
    _variant(
        "softmax-over-queries", "3a.4",
        "the softmax runs over the queries, so columns sum to one and not rows", AXIS_HINT,
        softmax=lambda p: torch.softmax(p["masked"], dim=-2),
    ),
    _variant(
        "softmax-over-batch", "3a.4", "the softmax runs over the batch", AXIS_HINT,
        softmax=lambda p: torch.softmax(p["masked"], dim=0),
    ),
    _variant(
        "softmax-over-matrix", "3a.4",
        "the softmax runs over the whole matrix at once, so all of it sums to one", AXIS_HINT,
        softmax=over_everything,
    ),
    _variant(
        "softmax-absent", "3a.4", "the values are mixed with the scores; there is no softmax",
        "A mix needs shares: what makes any numbers positive, with a sum of one?",
        softmax=lambda p: p["masked"],
    ),
    _variant(
        "softmax-twice", "3a.4", "the softmax is applied twice",
        "A softmax of shares makes them nearly equal. Follow the scores through your code: where "
        "do they first sum to one?",
        softmax=lambda p: torch.softmax(torch.softmax(p["masked"], dim=-1), dim=-1),
    ),
    _variant(
        "log-softmax", "3a.4", "the logarithm of the softmax is taken",
        "Shares lie between 0 and 1. Print what your softmax puts out: which numbers do you see?",
        softmax=lambda p: torch.log_softmax(p["masked"], dim=-1),
    ),
    _variant(
        "sigmoid-for-softmax", "3a.4", "a sigmoid stands where the softmax belongs",
        "A sigmoid squashes each score by itself: what makes the shares of one row compete?",
        softmax=lambda p: torch.sigmoid(p["masked"]),
    ),
    _variant(
        "no-exponential", "3a.4", "the scores are divided by their sum, without the exponential",
        "What happens to a row whose scores sum to almost zero, or to a negative score?",
        softmax=normalised_without_exp,
    ),
    _variant(
        "causal-mask", "3a.4", "a causal mask hides the later tokens",
        "A text model must not look ahead. Is there an order in which patches are seen?",
        masked=causal,
    ),
    _variant(
        "mask-after-softmax", "3a.4", "the weights of later tokens are cut off after the softmax",
        "A text model must not look ahead. Is there an order in which patches are seen?",
        weights=lambda p: p["softmax"].tril(),
    ),
    _variant(
        "transposed-value-product", "3a.4",
        "the weights are transposed where they meet the values", VALUE_HINT,
        mixed=lambda p: p["weights"].transpose(-2, -1) @ p["value"],
    ),
    _variant(
        "attention-over-features", "3a.4",
        "numbers of a token attend to each other (D by D), not tokens (T by T)",
        "Write the shape behind each product: which axis disappears, which two are left?",
        scores=lambda p: p["query"].transpose(-2, -1) @ p["key"],
        mixed=lambda p: p["value"] @ p["weights"],
    ),
    _variant(
        "attention-across-batch", "3a.4",
        "all sequences of the batch are joined, so images attend to each other",
        "Change one image of a batch: may the output for another image change? Which axes "
        "does your product mix?",
        scores=across_batch,
        mixed=lambda p: (p["weights"] @ p["value"].flatten(0, 1)).view_as(p["value"]),
    ),
    _variant(
        "shared-projections", "3a.4", "query, key and value share one projection",
        "How many matrices does the formula name, and what does each of them do?",
        key=query, value=query,
    ),
    _variant(
        "shared-query-key", "3a.4", "query and key share one projection",
        "Asking and being found are different roles: how many matrices does the formula name?",
        key=lambda p: functional.linear(p.x, p.parameters.query, p.parameters.query_bias),
    ),
    _variant(
        "shared-key-value", "3a.4", "key and value share one projection",
        "Being found and what is passed on are different roles: how many matrices are there?",
        value=lambda p: functional.linear(p.x, p.parameters.key, p.parameters.key_bias),
    ),
    _variant(
        "shared-query-value", "3a.4", "query and value share one projection",
        "Asking and what is passed on are different roles: how many matrices are there?",
        value=lambda p: functional.linear(p.x, p.parameters.query, p.parameters.query_bias),
    ),
    _variant(
        "value-not-projected", "3a.4", "the tokens themselves are mixed, not their values",
        "How many numbers has a token of the output, and how many has one of the input?",
        value=lambda p: p.x,
    ),
    _variant(
        "activation-on-projections", "3a.4", "a ReLU follows the projections",
        "Can a score still be negative? The projections are linear and nothing else.",
        query=rectified(query), key=rectified(key), value=rectified(value),
    ),
    _variant(
        "dropout-alive-in-eval", "3a.4", "dropout on the output stays on in evaluation",
        EVAL_HINT,
        out=lambda p: dropped(p, "mixed", p.seen.out if p.seen is not None else None),
    ),
    _variant(
        "weights-dropout-alive-in-eval", "3a.4",
        "dropout on the attention weights stays on in evaluation",
        EVAL_HINT,
        weights=lambda p: dropped(
            p, "softmax", p.seen.attention if p.seen is not None else None
        ),
    ),
    _variant(
        "scale-by-constant", "3a.4", "the scores are scaled by a fixed number", SCALE_HINT,
        scaled=fitted_scale,
    ),
    _variant(
        "constant-factor", "3a.4", "the output is right up to a constant factor",
        "All of your output is scaled alike: which factor or division in your code does the "
        "formula not have?",
        out=fitted_factor,
    ),
)  # fmt: skip

# Mistakes that only gradients show.
GRADIENTS: tuple[Variant, ...] = (
    _variant(
        "detached-query", "3a.5", "the query is cut off from the gradient", DETACH_HINT,
        **detached("query"),
    ),
    _variant(
        "detached-key", "3a.5", "the key is cut off from the gradient", DETACH_HINT,
        **detached("key"),
    ),
    _variant(
        "detached-value", "3a.5", "the value is cut off from the gradient", DETACH_HINT,
        **detached("value"),
    ),
    _variant(
        "detached-weights", "3a.5", "the attention weights are cut off from the gradient",
        DETACH_HINT, **detached("weights"),
    ),
    _variant(
        "detached-input", "3a.5", "the input is cut off from the gradient", DETACH_HINT,
        query=lambda p: functional.linear(
            p.x.detach(), p.parameters.query, p.parameters.query_bias
        ),
        key=lambda p: functional.linear(p.x.detach(), p.parameters.key, p.parameters.key_bias),
        value=lambda p: functional.linear(
            p.x.detach(), p.parameters.value, p.parameters.value_bias
        ),
    ),
)  # fmt: skip

# Mistakes in the second result alone.
RETURNED: tuple[Variant, ...] = (
    _variant(
        "scores-returned", "3a.3", "the scores are returned, not the weights behind the softmax",
        RETURNED_HINT,
        returned=lambda p: p["scaled"],
    ),
    _variant(
        "raw-scores-returned", "3a.3", "the unscaled scores are returned, not the weights",
        RETURNED_HINT,
        returned=lambda p: p["scores"],
    ),
    _variant(
        "weights-transposed", "3a.3", "the weights are returned transposed", AXIS_HINT,
        returned=lambda p: p["weights"].transpose(-2, -1),
    ),
)  # fmt: skip

# Mistakes that only large scores show.
LARGE_SCORES: tuple[Variant, ...] = (
    _variant(
        "softmax-overflow", "3a.6", "exp overflows where scores are large",
        "What is exp(1000) on your machine? A softmax doesn't change when one number is "
        "subtracted from the whole row.",
        softmax=plain_softmax,
    ),
)  # fmt: skip

# Mistakes that fail with an error; the message is compared.
ERRORS: tuple[Variant, ...] = (
    _variant(
        "key-not-transposed", "3a.4", "the key is not transposed before the product",
        "Write both shapes side by side: a product of matrices needs equal inner sizes.",
        scores=lambda p: p["query"] @ p["key"],
    ),
    _variant(
        "batch-transposed", "3a.4", ".T turns all three axes round, the batch too",
        "Which two of the three axes should change places? Name them, counted from the end.",
        scores=lambda p: p["query"] @ p["key"].permute(2, 1, 0),
    ),
    _variant(
        "batch-and-tokens-exchanged", "3a.4",
        "transpose(0, 1) exchanges images and tokens",
        "Which two of the three axes should change places? Name them, counted from the end.",
        scores=lambda p: p["query"] @ p["key"].transpose(0, 1),
    ),
)  # fmt: skip

# Mistakes that are seen in other ways than by numbers.
PROJECTION_BIAS = Mistake(
    "projection-bias", "3a.2", "the projections have biases",
    "Does an nn.Linear have a bias when you don't say so? It costs no other line: the others "
    "compare with your biases included.",
)  # fmt: skip
FOREIGN_LAYER = Mistake(
    "foreign-layer",
    "3a.2",
    "a layer or function of torch is used that the question's list doesn't name",
    "The head needs three projections, one softmax and one dropout; matrix products do the rest.",
)
BUILT_IN_ATTENTION = Mistake(
    "built-in-attention",
    "3a.2",
    "torch's ready-made attention is used",
    "Write the formula yourself: two products of matrices, a scale and a softmax between them.",
)
WEIGHTS_NOT_RETURNED = Mistake(
    "weights-not-returned",
    "3a.3",
    "the head returns its output alone",
    "The weights are a step on the way to your output: hand them on as a second result.",
)
RESULTS_SWAPPED = Mistake(
    "results-swapped",
    "3a.1",
    "the weights are returned first and the output second",
    "Whoever calls the head takes the first result for its output: see forward's docstring.",
)
CAST_TO_FLOAT32 = Mistake(
    "cast-to-float32",
    "3a.6",
    "a tensor on the way is made as float32, or cast to it",
    "Look for float(), dtype=... and tensors made anew: which dtype do they have if x is float64?",
)
FIXED_SIZE = Mistake(
    "fixed-size",
    "3a.1",
    "a number of tokens, images or features is written into the code",
    "Take every size from x.shape or from the arguments of the constructor.",
)

SEEN: tuple[Mistake, ...] = (
    PROJECTION_BIAS, FOREIGN_LAYER, BUILT_IN_ATTENTION, WEIGHTS_NOT_RETURNED, RESULTS_SWAPPED,
    CAST_TO_FLOAT32, FIXED_SIZE,
)  # fmt: skip
