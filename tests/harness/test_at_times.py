"""Heads and layers that go wrong only at times: every time ends in a verdict, never in a fault."""

from __future__ import annotations

import pytest

from autograder.staff.solutions import Kind, Solution

from .conftest import REFERENCE, left_to_the_full_set, spread
from .local_grading import examine, judge_line, suite_tests

TIMES = {
    "always": "True",
    "never": "False",
    "in float64": "x.dtype == torch.float64",
    "in float32": "x.dtype == torch.float32",
    "for one sequence": "x.shape[0] == 1",
    "for several sequences": "x.shape[0] > 1",
    "for one token": "x.shape[1] == 1",
    "for many tokens": "x.shape[1] > 8",
    "for large numbers": "float(x.detach().abs().max()) > 20",
    "with a gradient": "x.requires_grad",
    "without a gradient": "not x.requires_grad",
    "in training": "self.training",
    "in evaluation": "not self.training",
    "the first time": "next(CALLS) == 0",
    "every second time": "next(CALLS) % 2 == 1",
    "at random": "CHANCE.random() < 0.3",
}
WAYS = {
    "raises nothing but a type": "raise ValueError",
    "raises an empty line": "raise KeyError('\\n')",
    "asserts": "assert False",
    "raises a number": "raise RuntimeError(3)",
    "returns nothing": "return None",
    "returns the output alone": "return out",
    "returns one tensor in a tuple": "return (out,)",
    "returns three": "return out, attention, attention",
    "returns a list": "return [out, attention]",
    "returns numbers": "return 1, 2.5",
    "returns them the other way round": "return attention, out",
    "NaN": "return out * float('nan'), attention",
    "infinite weights": "return out, attention / 0",
    "zeros": "return out * 0, attention * 0",
    "half": "return out.half(), attention.half()",
    "double": "return out.double(), attention.double()",
    "whole numbers": "return out.long(), attention.long()",
    "truth values": "return out > 0, attention > 0",
    "complex": "return torch.complex(out, out), attention",
    "sparse": "return out.to_sparse(), attention.to_sparse()",
    "on no device": "return out.to('meta'), attention.to('meta')",
    "detached": "return out.detach(), attention.detach()",
    "expanded": "return out.mean(0, keepdim=True).expand_as(out), attention",
    "a view": "return out.transpose(1, 2).transpose(1, 2), attention",
    "one dimension less": "return out[0], attention[0]",
    "one dimension more": "return out.unsqueeze(0), attention.unsqueeze(1)",
    "no tokens": "return out[:, :0], attention[:, :0]",
    "no sequences": "return out[:0], attention[:0]",
    "a number": "return out.sum(), attention.sum()",
    "a parameter": "return next(self.parameters()), attention",
    "the input itself": "return x, attention",
    "a changed input": "x.data.zero_(); return out, attention",
    "a subclass": "return nn.Parameter(out.detach()), attention",
    "changed weights": "next(self.parameters()).data.zero_(); return out, attention",
    "another mode": "self.train(not self.training); return out, attention",
    "no parts any more": "self._modules.clear(); return out, attention",
}
START = """
import itertools
import random
import torch
from torch import nn

CALLS = itertools.count()
CHANCE = random.Random(0)
"""


def changed(name: str, time: str, way: str) -> str:
    """The reference's file with a forward that goes wrong at that time, in that way.

    There, x is the input, out the right output and attention the right attention weights.
    """
    text = (REFERENCE / name).read_text()
    if name == "encoder.py":
        text = text.replace(
            "        heads, attention =", "        given = x\n        heads, attention ="
        )
        text = text.replace(
            "return x, attention", "out, x = x, given\n        return out, attention"
        )
    last = "        return out, attention\n"
    assert text.endswith(last)
    docstring, _, rest = text.removesuffix(last).partition('"""\n\n')
    return f'{docstring}"""\n{START}{rest}        if {time}:\n            {way}\n{last}'


LINES = {"attention.py": "3a", "encoder.py": "3b"}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(
    "when", left_to_the_full_set(TIMES, but=("at random",), full=spread(TIMES, 4))
)
def test_every_way_of_going_wrong_at_times_is_a_verdict(name, when, tmp_path):
    time = TIMES[when]
    tests = {n: test for n, test in suite_tests().items() if n.startswith(LINES[name])}
    for way, code in WAYS.items():
        folder = tmp_path / way
        folder.mkdir()
        (folder / name).write_text(changed(name, time, code))
        with examine(Solution(Kind.MISTAKES, way, folder, (name,))) as exam:
            outcomes = {number: judge_line(number, test, exam) for number, test in tests.items()}
        for number, outcome in outcomes.items():
            assert 0 <= outcome.earned <= outcome.points, (way, number)
            assert 0 < len(outcome.text) < 20_000, (way, number)
            assert "Traceback" not in outcome.text, (way, number)
        if time == "False":
            assert all(one.earned == one.points for one in outcomes.values()), (way, outcomes)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("asserts", "Your code raised AssertionError while"),
        ("returns nothing", "Forward returned nothing (None) where a tensor is expected."),
        ("complex", "Forward returned a tensor of dtype complex64, expected real numbers."),
        ("sparse", "Forward returned a tensor of layout sparse_coo where a plain one is expected."),
        ("on no device", "Forward returned a tensor without data where a plain one is expected."),
    ],
)
def test_what_came_instead_of_a_tensor_is_named(way, said, tmp_path):
    (tmp_path / "attention.py").write_text(changed("attention.py", "True", WAYS[way]))
    with examine(Solution(Kind.MISTAKES, way, tmp_path, ("attention.py",))) as exam:
        assert judge_line("3a.4", suite_tests()["3a.4"], exam).text.startswith(said)


def test_an_exception_without_a_message_is_named_by_its_type(tmp_path):
    code = changed("attention.py", TIMES["in float64"], WAYS["asserts"])
    (tmp_path / "attention.py").write_text(code)
    with examine(Solution(Kind.MISTAKES, "asserts", tmp_path, ("attention.py",))) as exam:
        outcome = judge_line("3a.6", suite_tests()["3a.6"], exam)
    assert outcome.earned == 0
    assert "your code raised AssertionError" in outcome.text


@pytest.mark.parametrize("line", ["3a.3", "3a.4"])
def test_a_map_of_truth_values_is_drawn_too(line, tmp_path):
    code = changed("attention.py", TIMES["always"], WAYS["truth values"])
    (tmp_path / "attention.py").write_text(code)
    with examine(Solution(Kind.MISTAKES, "truth values", tmp_path, ("attention.py",))) as exam:
        exam.assignment = exam.assignment.model_copy(update={"pictures": True})
        outcome = judge_line(line, suite_tests()[line], exam)
    assert outcome.earned == 0
    assert "Your attention weights differ from the expected ones by up to" in outcome.text
