"""Slips at which Python stops are named by what was meant; anything else is left as it is."""

from __future__ import annotations

import pytest
from torch import nn

from autograder.confined.answerer import Answerer
from autograder.confined.describing import Refusal
from autograder.homework import HEAD
from autograder.hw5.mistakes import slips
from autograder.hw5.mistakes.raised import of_error
from autograder.sandbox.errors import Refused, StudentCodeRaised

CODE = {
    "attention.py": "class A(nn.Module):\n"
    "    def __init__(self, size):\n        self.query = nn.Linear(size, size)\n"
    "        self.key, self.value = 1, 2\n"
    "    def forward(self, x):\n        return query(x)\n"
}


def said(type: str, message: str, code: dict[str, str] = CODE) -> dict[str, str]:
    error = StudentCodeRaised(type, message, "attention.py", 5)
    return dict(slips.recognised(error, code) or {})


@pytest.mark.parametrize(
    ("type", "message", "id", "words"),
    [
        ("AttributeError", "module 'torch.nn' has no attribute 'linear'", "misspelled-name",
         "mean nn.Linear"),
        ("AttributeError", "module 'torch.nn' has no attribute 'Layernorm'", "misspelled-name",
         "nn.LayerNorm"),
        ("AttributeError", "module 'torch.nn' has no attribute 'softmax'", "misspelled-name",
         "nn.Softmax or torch.softmax"),
        ("AttributeError", "module 'torch' has no attribute 'Softmax'", "misspelled-name",
         "nn.Softmax or torch.softmax"),
        ("AttributeError", "module 'torch' has no attribute 'matmull'", "misspelled-name",
         "torch.matmul"),
        ("AttributeError", "module 'math' has no attribute 'sqr'", "misspelled-name", "math.sqrt"),
        ("AttributeError", "'Tensor' object has no attribute 'tranpose'", "misspelled-name",
         ".transpose"),
        ("ImportError", "cannot import name 'LayerNrom' from 'torch.nn' (x.py)", "misspelled-name",
         "nn.LayerNorm"),
        ("AttributeError", "'A' object has no attribute 'querry'", "misspelled-name", "self.query"),
        ("NameError", "name 'query' is not defined", "self-forgotten", "self.query"),
        ("NameError", "name 'value' is not defined", "self-forgotten", "self.value"),
        ("NameError", "name 'math' is not defined", "not-imported", "import math"),
        ("AttributeError", "cannot assign module before Module.__init__() call",
         "super-not-called", "super().__init__()"),
    ],
)  # fmt: skip
def test_a_slip_is_named_by_what_was_meant(type, message, id, words):
    named = said(type, message)
    assert named["diagnosis"] == id
    assert words in named["likely"]


@pytest.mark.parametrize(
    ("type", "message"),
    [
        ("AttributeError", "module 'torch.nn' has no attribute 'qqqqqq'"),
        ("AttributeError", "module 'numpy' has no attribute 'linear'"),
        ("AttributeError", "'A' object has no attribute 'query'"),  # some line does set it
        ("AttributeError", "'dict' object has no attribute"),
        ("NameError", "name 'zzzzzzz' is not defined"),
        ("TypeError", "A.forward() takes 1 positional argument but 2 were given"),  # it has self
        ("ValueError", "module 'torch.nn' has no attribute 'linear'"),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"),
    ],
)
def test_what_is_no_known_slip_is_not_named(type, message):
    assert said(type, message) == {}


def test_a_method_without_self_is_seen_in_the_text():
    code = {"attention.py": "class A:\n    def forward(x):\n        return x\n"}
    message = "A.forward() takes 1 positional argument but 2 were given"
    assert said("TypeError", message, code)["diagnosis"] == "self-forgotten"


def test_a_name_that_torch_has_is_not_misspelled():
    assert slips.misspelled("torch.nn.GELU") is None
    named = slips.misspelled("torch.nn.gelu")
    assert named is not None
    assert "nn.GELU" in named["likely"]


class Misspelled(nn.Module):
    def foward(self, x):
        return x


class Elsewhere(nn.Module):
    def run(self, x):
        return x


class Called(nn.Module):
    def __call__(self, x):
        return x


class Inherited(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Misspelled(), "Misspelled has no method forward, but one called foward"),
        (Elsewhere(), "Elsewhere has no method forward"),
    ],
)
def test_a_class_without_forward_is_refused(module, words):
    with pytest.raises(Refusal) as refused:
        Answerer({}, lambda told: None).keep(module)
    assert str(refused.value) == words
    error = Refused("Refusal", words, None, None)
    error.doing = f"making {HEAD.name}()"
    feedback = of_error(error)
    assert feedback.headline == f"{words}."
    assert feedback.diagnosis == "no-forward"


@pytest.mark.parametrize("module", [Called(), Inherited(2, 2)])
def test_a_class_that_can_be_called_is_kept(module):
    assert Answerer({}, lambda told: None).keep(module).content["handle"] == 0
