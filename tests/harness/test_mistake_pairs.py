"""Two mistakes at once: both are named, and nothing else is."""

from __future__ import annotations

import random

import pytest
import torch

from autograder.hw5.mistakes import head, head_search, layer, layer_search
from autograder.hw5.mistakes.catalogue import CATALOGUE
from autograder.hw5.mistakes.reading import Passes
from autograder.hw5.probes.head import BASE_SIZE, HeadCase
from autograder.hw5.probes.reference import HeadParameters
from autograder.hw5.probes.roles import Block, HeadRoles
from autograder.rubric.mistake import DoesNotApply, Pass, combined, run

from .conftest import a_few_and_all
from .mistake_pairs import Judged, drawn, hidden, judged
from .written_mistakes import HEAD, LAYER, TEXTS

LEAST_TOLD = 0.9  # of all pairs
FEW, MANY = 10, 40
SINGLES = [(name, id) for name, text in TEXTS.items() for id in text.mistakes]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("singles", a_few_and_all(SINGLES, 12), ids=["a few", "all"])
def test_each_written_mistake_is_named_and_nothing_beside_it(singles):
    named = {(name, id): judged(TEXTS[name], (id,)).named for name, id in singles}
    assert named == {(name, id): {id} for name, id in singles}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_without_a_mistake_is_right(name):
    assert judged(TEXTS[name], ()).named == frozenset()
    assert set(TEXTS[name].mistakes) <= CATALOGUE.keys()


@pytest.mark.parametrize("name", TEXTS)
def test_of_a_few_pairs_both_are_named(name):
    """Always the same pairs, so that a change of the search shows."""
    assert_told([judged(TEXTS[name], pair) for pair in drawn(TEXTS[name], FEW, seed=0)])


@pytest.mark.full
@pytest.mark.parametrize("name", TEXTS)
def test_of_many_pairs_both_are_named(name):
    """The same pairs too; `python -m tests.harness.mistake_pairs` draws others."""
    assert_told([judged(TEXTS[name], pair) for pair in drawn(TEXTS[name], MANY, seed=5)])


def assert_told(results: list[Judged]) -> None:
    apart = [one for one in results if one.is_told or not one.is_twin]
    untold = [(one.pair, set(one.named)) for one in apart if not one.is_told]
    assert len(apart) - len(untold) >= LEAST_TOLD * len(apart), untold
    assert [(one.pair, set(one.named)) for one in apart if one.is_false] == []


def test_a_search_for_one_mistake_at_a_time_tells_too_few(monkeypatch):
    monkeypatch.setattr(head_search, "MOST_AT_ONCE", 1)
    pairs = [("no-scale", "causal-mask"), ("softmax-over-queries", "scale-by-input-dim")]
    assert not any(judged(HEAD, pair).is_told for pair in pairs)
    with pytest.raises(AssertionError):
        assert_told([judged(HEAD, pair) for pair in pairs])


@pytest.mark.parametrize(
    ("text", "three"),
    [
        (HEAD, ("no-scale", "causal-mask", "constant-factor")),
        (HEAD, ("scale-by-input-dim", "softmax-over-queries", "output-reshaped")),
        (LAYER, ("missing-first-residual", "shared-norm", "gelu-at-the-end")),
        (LAYER, ("attention-on-unnormed", "silu-for-relu", "extra-residual")),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_three_mistakes_are_named_one_by_one(text, three):
    assert judged(text, three).named == set(three)


@pytest.mark.parametrize(
    ("text", "pair", "why"),
    [
        (HEAD, ("head-in-place", "detached-query"), "it is head-in-place alone"),
        (HEAD, ("output-rounded", "detached-key"), "it is output-rounded alone"),
        (HEAD, ("no-exponential", "causal-mask"), "its numbers are not finite"),
        (HEAD, ("key-reshaped", "value-not-projected"), ""),
        (LAYER, ("gelu-for-relu", "mlp-on-unnormed"), ""),
        (LAYER, ("detached-mlp", "frozen-weights"), "it is detached-mlp alone"),
    ],
)
def test_a_pair_that_shows_only_one_of_its_mistakes_is_left_out(text, pair, why):
    assert hidden(text, pair) == why


def test_passes_share_steps_and_give_the_same_numbers():
    generator = torch.Generator().manual_seed(0)
    case = head_case(generator)
    roles = HeadRoles(*(Block(name, 0, 1) for name in "qkv"))
    passes = Passes(head_search.HeadReading(roles, ()), case)
    given = [case.values[name] for name in "qkv"]
    pairs = list(combined(head.VALUES, 2))
    triples = list(combined(head.VALUES[::3], 3))
    for variants in random.Random(0).sample(pairs, 150) + random.Random(0).sample(triples, 50):
        shared = passes.under(variants)
        try:
            alone = run(
                head_search.HeadReading.STEPS, variants, Pass(case.x, HeadParameters(*given), case)
            )
        except (DoesNotApply, RuntimeError):
            assert shared is None
        else:
            assert shared is not None
            assert torch.equal(shared["out"], alone["out"])
            assert torch.equal(shared["returned"], alone["returned"])


def head_case(generator: torch.Generator) -> HeadCase:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    values = {name: normal(BASE_SIZE.inner_dim, BASE_SIZE.input_dim) for name in "qkv"}
    x = normal(BASE_SIZE.batch, BASE_SIZE.tokens, BASE_SIZE.input_dim)
    weights = torch.softmax(normal(BASE_SIZE.batch, BASE_SIZE.tokens, BASE_SIZE.tokens), -1)
    return HeadCase(BASE_SIZE, values, x, outputs=[normal(*BASE_SIZE.out_shape), weights])


def test_an_activation_that_the_probe_knows_leaves_no_other_to_be_tried():
    def tried(activation: str | None) -> set[str]:
        probe = type("Probe", (), {"activation": activation})()
        return {one.id for variants in layer_search._tries(probe, 2) for one in variants}

    others = {one.id for one in layer.OTHER_ACTIVATIONS.values()}
    assert others <= tried(None)
    assert not others & tried("ReLU")
    assert others & tried("GELU") == {"gelu-for-relu"}
