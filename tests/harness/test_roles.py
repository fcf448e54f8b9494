"""Which parameter is which: every way to lay them out is read, and nothing else."""

from __future__ import annotations

import pytest
import torch

from autograder.hw5.probes import reference
from autograder.hw5.probes.roles import (
    Block,
    HeadRoles,
    RolesUnclear,
    head_candidates,
    layer_candidates,
)
from autograder.rubric.comparison import compare

INPUT, INNER = 12, 5
HEAD = HeadRoles(
    Block("query.weight", 0, 1), Block("key.weight", 0, 1), Block("value.weight", 0, 1)
)


def draw(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(*shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def separate(*names, bias=False):
    shapes = {f"{name}.weight": (INNER, INPUT) for name in names}
    return shapes | {f"{name}.bias": (INNER,) for name in names if bias}


# Shapes, and how their owner cuts out query, key and value.
LAYOUTS = {
    "named query, key, value": (
        separate("query", "key", "value"),
        lambda v: (v["query.weight"], v["key.weight"], v["value.weight"]),
    ),
    "named in another order": (
        separate("V", "K", "Q"),
        lambda v: (v["Q.weight"], v["K.weight"], v["V.weight"]),
    ),
    "named W_q and so on": (
        separate("W_v", "W_q", "W_k"),
        lambda v: (v["W_q.weight"], v["W_k.weight"], v["W_v.weight"]),
    ),
    "names that say nothing": (
        separate("one", "two", "three"),
        lambda v: (v["three.weight"], v["one.weight"], v["two.weight"]),
    ),
    "names that lie": (
        separate("query", "key", "value"),
        lambda v: (v["value.weight"], v["query.weight"], v["key.weight"]),
    ),
    "bare parameters, transposed": (
        {"wq": (INPUT, INNER), "wk": (INPUT, INNER), "wv": (INPUT, INNER)},
        lambda v: (v["wq"].T, v["wk"].T, v["wv"].T),
    ),
    "one fused matrix in three parts": (
        {"to_qkv.weight": (3 * INNER, INPUT)},
        lambda v: v["to_qkv.weight"].chunk(3),
    ),
    "one fused matrix in another order": (
        {"to_qkv.weight": (3 * INNER, INPUT)},
        lambda v: v["to_qkv.weight"].chunk(3)[::-1],
    ),
    "one fused matrix, interleaved": (
        {"to_qkv.weight": (3 * INNER, INPUT)},
        lambda v: v["to_qkv.weight"].reshape(INNER, 3, INPUT).unbind(1),
    ),
    "one fused matrix, transposed": (
        {"w": (INPUT, 3 * INNER)},
        lambda v: [part.T for part in v["w"].chunk(3, dim=1)],
    ),
    "query alone, key and value fused": (
        {"to_q.weight": (INNER, INPUT), "to_kv.weight": (2 * INNER, INPUT)},
        lambda v: (v["to_q.weight"], *v["to_kv.weight"].chunk(2)),
    ),
    "one block of three": ({"w": (3, INNER, INPUT)}, lambda v: v["w"].unbind(0)),
    "one block of three, transposed": (
        {"w": (3, INPUT, INNER)},
        lambda v: v["w"].mT.unbind(0),
    ),
}


@pytest.mark.parametrize(("shapes", "cut"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_one_reading_of_the_parameters_reproduces_the_heads_numbers(shapes, cut):
    values = draw(shapes)
    x = torch.randn(2, 7, INPUT, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = reference.head(x, reference.HeadParameters(*cut(values))).out
    readings = head_candidates(shapes, INPUT, INNER)
    matching = [
        reading
        for reading in readings
        if compare(reference.head(x, reading.parameters(values)).out, expected) is None
    ]
    assert matching
    cuts = [reading.parameters(values) for reading in matching]
    for one in cuts:
        for role, wanted in zip(("query", "key", "value"), cut(values), strict=True):
            assert torch.equal(getattr(one, role), wanted)


@pytest.mark.parametrize(
    "names", [("query", "key", "value"), ("v", "k", "q"), ("W_k", "W_v", "W_q")], ids=" ".join
)
def test_the_likeliest_reading_follows_the_names(names):
    best = head_candidates(separate(*names), INPUT, INNER)[0]
    letters = [
        name.removesuffix(".weight").removeprefix("W_")[0]
        for name in (best.query.parameter, best.key.parameter, best.value.parameter)
    ]
    assert letters == ["q", "k", "v"]


def test_biases_follow_their_projections():
    shapes = separate("key", "query", "value", bias=True)
    values = draw(shapes)
    parameters = head_candidates(shapes, INPUT, INNER)[0].parameters(values)
    assert parameters.query_bias is not None
    assert torch.equal(parameters.query_bias, values["query.bias"])
    fused = {"qkv.weight": (3 * INNER, INPUT), "qkv.bias": (3 * INNER,)}
    values = draw(fused)
    parameters = head_candidates(fused, INPUT, INNER)[0].parameters(values)
    assert parameters.value_bias is not None
    assert torch.equal(parameters.value_bias, values["qkv.bias"][-INNER:])


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        separate("query", "key"),
        separate("a", "b", "c", "d"),
        separate("query", "key", "value") | {"out.weight": (INPUT, INPUT)},
        separate("query", "key", "value") | {"scale": (1,)},
        separate("query", "key", "value") | {"query.bias": (INPUT,)},
        {"w": (4 * INNER, INPUT)},
        {"w": (4, INNER, INPUT)},
        {f"{name}.weight": (INNER, INPUT + 1) for name in "qkv"},
        {"temperature": ()},
    ],
    ids=[
        "none",
        "two",
        "four",
        "a projection too many",
        "a scale",
        "a bias of another size",
        "four fused",
        "a block of four",
        "another size",
        "one number",
    ],
)
def test_parameters_that_are_no_head_are_refused_with_what_is_wanted(shapes):
    with pytest.raises(RolesUnclear, match="query, key and value"):
        head_candidates(shapes, INPUT, INNER)


DIM, HEADS, DIM_HEAD, MLP = 12, 3, 5, 20
SIZES = {"dim": DIM, "heads": HEADS, "dim_head": DIM_HEAD, "mlp_dim": MLP, "head_roles": HEAD}


def layer_shapes(norms: dict[str, tuple[int, ...]], **more: tuple[int, ...]):
    heads = {
        f"attention.heads.{index}.{role}.weight": (DIM_HEAD, DIM)
        for index in range(HEADS)
        for role in ("query", "key", "value")
    }
    return {
        **heads,
        "project.weight": (DIM, HEADS * DIM_HEAD),
        "mlp.0.weight": (MLP, DIM),
        "mlp.0.bias": (MLP,),
        "mlp.2.weight": (DIM, MLP),
        "mlp.2.bias": (DIM,),
        **norms,
        **more,
    }


def vectors(*names: str) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(names, (DIM,))


NORMS = {
    "two LayerNorms": (
        vectors("ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias"),
        (("ln1.weight", "ln1.bias"), ("ln2.weight", "ln2.bias")),
    ),
    "two LayerNorms, defined the other way round": (
        vectors("b.weight", "b.bias", "a.weight", "a.bias"),
        (("a.weight", "a.bias"), ("b.weight", "b.bias")),
    ),
    "two LayerNorms without biases": (
        vectors("n1.weight", "n2.weight"),
        (("n1.weight", None), ("n2.weight", None)),
    ),
    "norms of their own": (
        vectors("gamma1", "beta1", "gamma2", "beta2"),
        (("gamma1", "beta1"), ("gamma2", "beta2")),
    ),
    "norms of their own, oddly sorted": (
        vectors("beta2", "gamma1", "gamma2", "beta1"),
        (("gamma1", "beta1"), ("gamma2", "beta2")),
    ),
    "norms of their own as modules": (
        vectors("n1.gamma", "n1.beta", "n2.gamma", "n2.beta"),
        (("n1.gamma", "n1.beta"), ("n2.gamma", "n2.beta")),
    ),
}


@pytest.mark.parametrize(("norms", "wanted"), NORMS.values(), ids=NORMS.keys())
def test_the_right_reading_of_a_layers_norms_is_among_the_candidates(norms, wanted):
    readings = list(layer_candidates(layer_shapes(norms), **SIZES))
    assert wanted in [reading.norms for reading in readings]
    for reading in readings:
        weights = (reading.output, reading.first, reading.second)
        assert weights == ("project.weight", "mlp.0.weight", "mlp.2.weight")
        biases = (reading.output_bias, reading.first_bias, reading.second_bias)
        assert biases == (None, "mlp.0.bias", "mlp.2.bias")


def test_norms_without_scale_and_shift_have_a_reading():
    (reading,) = layer_candidates(layer_shapes({}), **SIZES)
    assert reading.norms == ((None, None), (None, None))


def test_a_reading_gives_each_head_its_own_parameters():
    shapes = layer_shapes(NORMS["two LayerNorms"][0])
    values = draw(shapes)
    parameters = next(layer_candidates(shapes, **SIZES)).parameters(values)
    assert len(parameters.heads) == HEADS
    assert torch.equal(parameters.heads[2].key, values["attention.heads.2.key.weight"])


FOUR = NORMS["two LayerNorms"][0]
NO_LAYER = {
    "no heads": ({k: v for k, v in layer_shapes(FOUR).items() if "heads" not in k}, "0 attention"),
    "a head missing": (
        {k: v for k, v in layer_shapes(FOUR).items() if "heads.2" not in k},
        "2 attention heads, expected 3",
    ),
    "no W_O": (
        {k: v for k, v in layer_shapes(FOUR).items() if k != "project.weight"},
        "W_O, which maps the heads back to dim",
    ),
    "two W_O": (layer_shapes(FOUR, again=(DIM, HEADS * DIM_HEAD)), "it has 2 of that shape"),
    "an MLP of other size": (
        layer_shapes(FOUR) | {"mlp.0.weight": (MLP + 1, DIM), "mlp.0.bias": (MLP + 1,)},
        "MLP's first Linear",
    ),
    "one norm": (layer_shapes(vectors("ln.weight", "ln.bias")), "should have two LayerNorm"),
    "one number per token": (layer_shapes(vectors("scale")), "are left for them: scale"),
    "three norms": (
        layer_shapes(vectors("a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias")),
        "doesn't need",
    ),
    "a parameter too many": (layer_shapes(FOUR, scale=(1,)), "doesn't need: scale"),
}


@pytest.mark.parametrize(("shapes", "said"), NO_LAYER.values(), ids=NO_LAYER.keys())
def test_parameters_that_are_no_encoder_layer_are_refused_with_a_reason(shapes, said):
    with pytest.raises(RolesUnclear, match=said):
        list(layer_candidates(shapes, **SIZES))
