"""Where an encoder layer drops numbers: each missing place is named, and no other."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from autograder.hw5.probes import layer as layer_probe
from autograder.hw5.probes.layer_dropout import PLACES, Dropped, Place
from autograder.hw5.verdicts.layer_dropout import check_layer_dropout
from autograder.rubric.feedback import Rejected

from .conftest import spread
from .local_grading import LocalWorker, examine_files, judge

LINES = {f"3b.{number}" for number in range(1, 6)}
ID = {
    Place.AFTER_ATTENTION: "no-dropout-after-attention",
    Place.INSIDE_MLP: "no-dropout-inside-mlp",
    Place.AFTER_MLP: "no-dropout-after-mlp",
}
LAYER = """
import torch
from torch import nn
from torch.nn import functional as F

from provided.multi_head import Attention


class ByHand(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        return x * torch.bernoulli(torch.full_like(x, 1 - self.p)) / (1 - self.p)


class ViTLayer(nn.Module):
    def __init__(self, dim, heads, dim_head, mlp_dim, dropout=0.0):
        super().__init__()
        self.p = {share}
        self.norm1, self.norm2 = nn.LayerNorm(dim{bias}), nn.LayerNorm(dim{bias})
        self.attention = Attention(dim, heads, dim_head)
        self.out = nn.Linear(heads * dim_head, dim, bias=False)
        self.first = nn.Linear(dim, mlp_dim{bias})
        self.second = nn.Linear(mlp_dim, dim{bias})
        {made}

    def forward(self, x):
        {steps}
        return x, maps
"""
KINDS = {
    "module": ("self.drop = nn.Dropout(self.p)", "self.drop({})"),
    "functional": ("", "F.dropout({}, self.p, self.training)"),
    "by hand": ("self.drop = ByHand(self.p)", "self.drop({})"),
}
PRE = (
    "h, maps = self.attention(self.norm1(x))",
    "x = x + {attention}",
    "h = self.norm2(x)",
    "h = {inside}",
    "x = x + {last}",
)
POST = (
    "h, maps = self.attention(x)",
    "x = self.norm1(x + {attention})",
    "h = x",
    "h = {inside}",
    "x = self.norm2(x + {last})",
)
CALLS = {
    "attention": (Place.AFTER_ATTENTION, "self.out(h)"),
    "inside": (Place.INSIDE_MLP, "self.first(h).relu()"),
    "last": (Place.AFTER_MLP, "self.second(h)"),
}


def written(places, *, steps=PRE, bias=True, kind="module", share="dropout", also_made=""):
    """encoder.py with dropout at some places."""
    made, call = KINDS[kind]
    filled = {
        name: call.format(step) if place in places else step
        for name, (place, step) in CALLS.items()
    }
    return LAYER.format(
        share=share,
        bias="" if bias else ", bias=False",
        made="\n        ".join([made, also_made]).strip() or "pass",
        steps="\n        ".join(step.format(**filled) for step in steps),
    )


def graded(text, lines=LINES):
    with examine_files({"encoder.py": text}) as (solution, exam):
        return judge(solution, exam, lines)


def subsets(things):
    return [
        set(chosen)
        for count in range(len(things) + 1)
        for chosen in itertools.combinations(things, count)
    ]


TABLE = list(
    itertools.product(
        subsets(PLACES), ("pre", "post"), (True, False), KINDS, (0.1, 0.5), ("given", "fixed")
    )
)


@pytest.mark.parametrize(
    "cases",
    [
        spread(TABLE, 25),
        pytest.param(spread(TABLE, 50), marks=pytest.mark.full),
        pytest.param(TABLE, marks=[pytest.mark.full, pytest.mark.long]),
    ],
    ids=["a few", "many", "all"],
)
def test_exactly_the_missing_places_are_named(cases, monkeypatch):
    wrong = {}
    for places, order, bias, kind, share, said in cases:
        monkeypatch.setattr(layer_probe, "PROBE_DROPOUT", share)
        text = written(
            places,
            steps=PRE if order == "pre" else POST,
            bias=bias,
            kind=kind,
            share="dropout" if said == "given" else share,
        )
        outcome = graded(text)
        missing = [place for place in PLACES if place not in places]
        expected = [ID[place] for place in missing]
        if said == "fixed" and places:
            expected.append("dropout-ignored")
        if not places and kind == "module":
            expected.append("dropout-not-called")
        lost = (["3b.2"] if order == "post" else []) + (["3b.5"] if expected else [])
        line = outcome.lines["3b.5"]
        if (
            outcome.lost != lost
            or sorted(filter(None, line.diagnosis.split("+"))) != sorted(expected)
            or any(place.value in line.text.partition("Expected")[0] for place in places)
        ):
            wrong[(*map(str, (places, order, bias, kind, share, said)),)] = (
                outcome.lost,
                line.diagnosis,
                line.text,
            )
    assert wrong == {}


RIGHT = {
    "one module for all": written(set(PLACES)),
    "before the ReLU": written(set(PLACES)).replace(
        "self.drop(self.first(h).relu())", "self.drop(self.first(h)).relu()"
    ),
    "on the concatenation": written(set(PLACES)).replace(
        "self.drop(self.out(h))", "self.out(self.drop(h))"
    ),
    "on each head's output": written({Place.INSIDE_MLP, Place.AFTER_MLP}).replace(
        "Attention(dim, heads, dim_head)", "Attention(dim, heads, dim_head, dropout)"
    ),
    "forward called by its name": written(set(PLACES)).replace(
        "self.drop(self.out(h))", "self.drop.forward(self.out(h))"
    ),
    "a mask of numpy's, which no trace shows": written(set(PLACES), kind="by hand")
    .replace("torch.bernoulli(torch.full_like(x, 1 - self.p))", "mask(x, self.p)")
    .replace(
        "class ByHand",
        "def mask(x, p):\n"
        "    import numpy\n"
        "    kept = numpy.random.rand(*x.shape) >= p\n"
        "    return torch.as_tensor(kept).to(x.dtype)\n\n\nclass ByHand",
    ),
    "one more, before the attention": written(set(PLACES)).replace(
        "self.attention(self.norm1(x))", "self.attention(self.drop(self.norm1(x)))"
    ),
    "an unused one beside": written(set(PLACES), also_made="self.old = nn.Dropout(0.3)"),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_every_way_to_drop_at_all_three_places_passes(text):
    outcome = graded(text)
    assert outcome.lost == [], outcome.lines["3b.5"].text


WRONG = {
    "before the attention": (
        written({Place.INSIDE_MLP, Place.AFTER_MLP}).replace(
            "self.attention(self.norm1(x))", "self.attention(self.drop(self.norm1(x)))"
        ),
        "no-dropout-after-attention+dropout-before-sub-layer",
        "runs before the attention or the MLP",
    ),
    "before the MLP": (
        written({Place.AFTER_ATTENTION, Place.AFTER_MLP}).replace(
            "self.norm2(x)", "self.drop(self.norm2(x))"
        ),
        "no-dropout-inside-mlp+dropout-before-sub-layer",
        "runs before the attention or the MLP",
    ),
    "on the residual": (
        written({Place.INSIDE_MLP, Place.AFTER_MLP}).replace(
            "x = x + self.out(h)", "x = self.drop(x + self.out(h))"
        ),
        "dropout-on-residual",
        "numbers of x itself are dropped",
    ),
    "made with 0": (
        written(set(PLACES), share="0.0"),
        "no-dropout-after-attention+no-dropout-inside-mlp+no-dropout-after-mlp+dropout-ignored",
        "has the share 0, though the constructor was given 0.5",
    ),
    "made with a number of one's own": (
        written(set(PLACES), share="0.1"),
        "dropout-ignored",
        "drop has p = 0.1",
    ),
    "made and never called": (
        written({Place.AFTER_ATTENTION, Place.INSIDE_MLP}, also_made="self.d3 = nn.Dropout(0.2)"),
        "no-dropout-after-mlp+dropout-not-called",
        "d3 is made in the constructor, but forward never calls it",
    ),
    "in evaluation too": (
        written(set(PLACES), kind="functional").replace("self.training", "True"),
        "layer-dropout-alive-in-eval",
        "two passes on the same input differ",
    ),
}


@pytest.mark.parametrize(("text", "diagnosis", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_with_dropout_is_named(text, diagnosis, said):
    outcome = graded(text)
    assert outcome.lost == ["3b.5"]
    assert outcome.lines["3b.5"].diagnosis == diagnosis
    assert said in outcome.lines["3b.5"].text


def forged(text):
    """The verdict where the worker tells of dropout at all three places, whatever runs."""
    with examine_files({"encoder.py": text}) as (_, exam):
        probe = exam.layer.get()
        told = tuple(Dropped(place, "drop", 0.5) for place in PLACES)
        dropout = replace(probe.dropout, traced=told, uncalled=())
        probe = replace(probe, dropout=dropout)
        try:
            check_layer_dropout(probe)
        except Rejected as rejected:
            return rejected.feedback.diagnosis
    return "passed"


def in_order(places: frozenset[Place]) -> str:
    """A set as a name that is the same in every process."""
    return " and ".join(place.value for place in PLACES if place in places) or "nowhere"


@pytest.mark.parametrize("places", subsets(PLACES)[:-1], ids=in_order)
@pytest.mark.parametrize("steps", [PRE, POST], ids=["pre-norm", "post-norm"])
def test_a_forged_trace_gains_nothing(places, steps):
    found = forged(written(places, steps=steps))
    assert found == "+".join(ID[place] for place in PLACES if place not in places)


def test_a_worker_that_tells_nothing_of_a_pass_costs_nothing(monkeypatch):
    ask = LocalWorker.ask

    def refusing(self, question, *given, doing, **rest):
        if question == "trace":
            raise self.refuse("no", doing)
        return ask(self, question, *given, doing=doing, **rest)

    monkeypatch.setattr(LocalWorker, "ask", refusing)
    assert graded(written(set(PLACES))).lost == []
    found = graded(written({Place.INSIDE_MLP})).lines["3b.5"]
    assert found.diagnosis == "no-dropout-after-attention+no-dropout-after-mlp"


HIDDEN = {  # the attention's result is never used, so no values can show what drops it
    "dropped": ({*PLACES}, []),
    "not dropped": ({Place.INSIDE_MLP, Place.AFTER_MLP}, ["no-dropout-after-attention"]),
}


@pytest.mark.parametrize(("places", "missing"), HIDDEN.values(), ids=HIDDEN.keys())
def test_where_values_cant_tell_the_order_of_the_pass_does(places, missing):
    steps = (PRE[0], "unused = {attention}", *PRE[2:])
    outcome = graded(written(places, steps=steps))
    assert outcome.lines["3b.2"].diagnosis == "mlp-without-attention"
    assert outcome.lines["3b.5"].diagnosis == "+".join(missing)


LOUD = {  # what the MLP adds isn't zero where its last Linear is
    "a Sigmoid at the end": "self.second(h).sigmoid()",
    "a softmax at the end": "self.second(h).softmax(-1)",
    "a constant added": "(self.second(h) + 0.5)",
}


@pytest.mark.parametrize("last", LOUD.values(), ids=LOUD.keys())
@pytest.mark.parametrize("places", [{*PLACES}, {Place.INSIDE_MLP, Place.AFTER_MLP}], ids=in_order)
def test_a_branch_that_is_never_silent_is_no_dropout_of_x(last, places):
    outcome = graded(written(places).replace("self.second(h)", last), {"3b.5"})
    missing = [ID[place] for place in PLACES if place not in places]
    assert outcome.lines["3b.5"].diagnosis == "+".join(missing)
    assert outcome.lost == (["3b.5"] if missing else [])


def test_a_branch_that_is_never_silent_with_masks_that_no_trace_shows_loses_nothing():
    text = RIGHT["a mask of numpy's, which no trace shows"]
    outcome = graded(text.replace("self.second(h)", "self.second(h).sigmoid()"), {"3b.5"})
    assert outcome.lost == []
