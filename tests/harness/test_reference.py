"""The reference equals torch's own attention and encoder layer; comparing is strict."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from autograder.hw5.confined.questions import made
from autograder.hw5.probes import reference
from autograder.rubric.comparison import TOLERANCES, compare, well_formed

HEADS, DIM_HEAD, MLP = 3, 4, 10
DIM = HEADS * DIM_HEAD


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("bias", [False, True], ids=["without bias", "with bias"])
def test_the_head_is_torchs_scaled_dot_product_attention(bias):
    x = random(2, 7, 5)
    weights = [random(4, 5, seed=seed) for seed in (1, 2, 3)]
    biases = [random(4, seed=seed) if bias else None for seed in (4, 5, 6)]
    q, k, v = (functional.linear(x, w, b) for w, b in zip(weights, biases, strict=True))
    steps = reference.head(x, reference.HeadParameters(*weights, *biases))
    torch.testing.assert_close(steps.out, functional.scaled_dot_product_attention(q, k, v))
    weights_alone = functional.scaled_dot_product_attention(q, k, torch.eye(7).double())
    torch.testing.assert_close(steps.attention, weights_alone)
    torch.testing.assert_close(steps.attention.sum(-1), torch.ones(2, 7).double())
    torch.testing.assert_close(steps.scores, q @ k.mT / 2)


def torch_layer(activation) -> nn.TransformerEncoderLayer:
    torch.manual_seed(3)
    layer = nn.TransformerEncoderLayer(
        DIM, HEADS, MLP, dropout=0.0, activation=activation, norm_first=True, batch_first=True
    ).double()
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(random(*parameter.shape, seed=number))
    return layer


def parameters_of(layer: nn.TransformerEncoderLayer) -> reference.LayerParameters:
    query, key, value = layer.self_attn.in_proj_weight.chunk(3)
    biases = layer.self_attn.in_proj_bias.chunk(3)
    return reference.LayerParameters(
        heads=tuple(
            reference.HeadParameters(
                *(w[rows] for w in (query, key, value)), *(b[rows] for b in biases)
            )
            for rows in (slice(h * DIM_HEAD, (h + 1) * DIM_HEAD) for h in range(HEADS))
        ),
        output=layer.self_attn.out_proj.weight,
        output_bias=layer.self_attn.out_proj.bias,
        norms=(
            reference.NormParameters(layer.norm1.weight, layer.norm1.bias),
            reference.NormParameters(layer.norm2.weight, layer.norm2.bias),
        ),
        first=layer.linear1.weight,
        first_bias=layer.linear1.bias,
        second=layer.linear2.weight,
        second_bias=layer.linear2.bias,
    )


@pytest.mark.parametrize(
    ("name", "activation"), [("ReLU", functional.relu), ("GELU", functional.gelu)]
)
def test_the_encoder_layer_is_torchs_with_its_norm_first(name, activation):
    layer = torch_layer(activation)
    x = random(2, 6, DIM, seed=9)
    steps = reference.encoder_layer(x, parameters_of(layer), name)
    torch.testing.assert_close(steps.out, layer(x))
    normed = layer.norm1(x)
    _, maps = layer.self_attn(normed, normed, normed, average_attn_weights=False)
    torch.testing.assert_close(steps.attention, maps)
    torch.testing.assert_close(steps.out, steps.middle + steps.mlp)
    other = "GELU" if name == "ReLU" else "ReLU"
    wrong = reference.encoder_layer(x, parameters_of(layer), other).out
    assert compare(wrong.detach(), layer(x).detach()) is not None


def test_the_gradients_are_torchs_too():
    layer = torch_layer(functional.relu)
    x = random(2, 6, DIM, seed=9)
    upstream = random(2, 6, DIM, seed=10)
    theirs = torch.autograd.grad(layer(x), list(layer.parameters()), upstream)
    ours = torch.autograd.grad(
        reference.encoder_layer(x, parameters_of(layer)).out, list(layer.parameters()), upstream
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_each_activation_is_another_function(name):
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    values = reference.ACTIVATIONS[name](x)
    others = {other: f(x) for other, f in reference.ACTIVATIONS.items() if other != name}
    assert all(compare(values, other) is not None for other in others.values())


ONES = torch.ones(2, 3, dtype=torch.float64)
UNEQUAL = {
    "shape before dtype": (torch.ones(3, 2), "has shape (3, 2), expected (2, 3)"),
    "a shape that broadcasts": (torch.ones(3).double(), "has shape (3,), expected (2, 3)"),
    "one number": (torch.ones(()).double(), "has shape (), expected"),
    "one row": (torch.ones(1, 3).double(), "has shape (1, 3)"),
    "nothing": (torch.empty(0).double(), "has shape (0,)"),
    "dtype before values": (torch.full((2, 3), float("nan")), "has dtype float32"),
    "whole numbers": (torch.ones(2, 3, dtype=torch.int64), "has dtype int64"),
    "NaN everywhere": (ONES * float("nan"), "contains NaN or infinity"),
    "one NaN": (
        ONES.clone().index_put_((torch.tensor(0),), torch.tensor(torch.nan).double()),
        "contains NaN",
    ),
    "infinity": (ONES * float("inf"), "contains NaN or infinity"),
    "a small difference": (ONES + 2e-6, "differs by up to 2e-06 (allowed 1e-06)"),
    "one different number": (ONES + torch.eye(2, 3).double(), "differs by up to 1 "),
}


@pytest.mark.parametrize(("got", "said"), UNEQUAL.values(), ids=UNEQUAL.keys())
def test_a_difference_is_named_in_order_of_shape_dtype_finite_and_tolerance(got, said):
    difference = compare(got, ONES)
    assert difference is not None
    assert said in difference.text


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (ONES, ONES),
        (ONES + 5e-10, ONES),
        (ONES.float() + 5e-5, ONES.float()),
        (torch.full((2,), 1e-13).double(), torch.zeros(2).double()),
        (torch.empty(0, 3), torch.empty(0, 3)),
        (ONES * 1e6 + 5e-4, ONES * 1e6),
    ],
    ids=["equal", "float64 roundings", "float32 roundings", "zeros", "empty", "large"],
)
def test_equal_within_roundings_is_no_difference(got, expected):
    assert compare(got, expected) is None


def test_a_reference_of_zeros_is_not_matched_by_a_mistake_of_its_size():
    assert compare(torch.full((2,), 1e-6).double(), torch.zeros(2).double()) is not None


def test_tolerances_leave_room_for_roundings_and_for_nothing_else():
    of_reference = {torch.float32, torch.float64}
    for dtype, tolerance in TOLERANCES.items():
        many, most = (100, 1e-3) if dtype in of_reference else (1, 0.05)
        assert many * torch.finfo(dtype).eps < tolerance < most


def test_without_a_dtype_only_form_and_finiteness_count():
    assert well_formed(torch.ones(2), (2,)) is None
    assert well_formed(torch.ones(2).half(), (2,)) is None
    assert well_formed(torch.ones(2), (2, 1)) is not None


@pytest.mark.parametrize(
    ("build", "accepted"),
    [
        (lambda first, second=2: (first, second), (3, 4)),  # names of their own
        (lambda dim, heads: (dim, heads), (3, 4)),
        (lambda heads, dim: (heads, dim), (4, 3)),  # the names decide where they are known
        (lambda *given: given, (3, 4)),
    ],
)
def test_arguments_go_by_name_or_else_by_position(build, accepted):
    assert made(build, {"dim": 3, "heads": 4}) == accepted


def test_what_takes_too_few_arguments_says_so_by_name():
    with pytest.raises(TypeError, match="'heads'"):
        made(lambda dim: dim, {"dim": 3, "heads": 4})


def test_a_constant_in_float32_is_no_mistake_and_a_millionth_is_seen():
    right = torch.rand(4, 5, dtype=torch.float64)
    assert compare(right * (1 + 3e-8), right) is None
    assert compare(right * (1 + 3e-6), right) is not None
