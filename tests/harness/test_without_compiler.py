"""Nothing that grades loads torch's compiler, or what that needs; torch's optimizers stay right."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from autograder.homework import HOMEWORK

from .conftest import ROOT

UNWANTED = ("torch._dynamo", "sympy")
FOR_THEIR_TEXT = {"3a.2", "3b.4"}  # lost for asking Python what is loaded
# Prints what each optimizer of torch makes of a few steps, and which of the unwanted are loaded.
STEPS = """
import json, sys
if sys.argv[1] == "without":
    from autograder.confined.zygote import warm_up
    warm_up()
import torch
from torch import nn, optim

def steps(kind, **options):
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 2, bias=False), torch.rand(4, 3)
    optimizer = kind(layer.parameters(), lr=0.1, **options)
    def loss():
        optimizer.zero_grad()
        found = (layer(x) - 1).square().sum()
        found.backward()
        return found
    for _ in range(3):
        loss()
        optimizer.step(loss)
    again = kind(layer.parameters(), lr=0.1, **options)
    again.load_state_dict(optimizer.state_dict())
    loss()
    again.step(loss)
    return layer.weight.detach().flatten().tolist()

def recorded():
    value = torch.ones(2, requires_grad=True)
    moved = value.clone()
    moved.grad = value * 2
    optimizer = optim.SGD([moved], lr=0.5, differentiable=True)
    optimizer.step()
    moved.sum().backward()
    return value.grad.tolist()

found = {}
for name, kind in vars(optim).items():
    if isinstance(kind, type) and kind is not optim.Optimizer and kind is not optim.SparseAdam:
        found[name] = steps(kind)
found |= {"fused": steps(optim.Adam, fused=True), "foreach": steps(optim.SGD, foreach=True)}
found["recorded"] = recorded()
loaded = [name for name in sys.argv[2:] if name in sys.modules]
compiled = torch.compile(nn.Linear(3, 2), backend="eager")(torch.zeros(1, 3)).shape
print(json.dumps([loaded, found, list(compiled)]))
"""


def steps(which: str) -> tuple[list[str], dict[str, list[float]], list[int]]:
    command = [sys.executable, "-c", STEPS, which, *UNWANTED]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, found, compiled = json.loads(ended.stdout)
    return loaded, found, compiled


def test_every_optimizer_of_torch_steps_as_it_did_and_loads_no_compiler():
    loaded, expected, _ = steps("with")
    assert loaded == list(UNWANTED)  # torch itself does load them
    without, found, compiled = steps("without")
    assert without == []
    assert len(found) > 12
    assert found == expected
    assert compiled == [1, 2]  # who does compile can


@pytest.mark.parametrize("wanted", [UNWANTED, ("torch",)], ids=["compiler", "torch"])
def test_a_worker_loads_none_to_answer_its_questions(submission, grade, wanted):
    source = submission()
    for name in ("attention.py", "encoder.py"):
        file = source / name
        checked = f"        import sys\n        assert not {set(wanted)!r} & sys.modules.keys()\n"
        head, found, body = file.read_text().partition("    def forward(")
        first, end, rest = body.partition(":\n")
        assert found
        assert end
        file.write_text(head + found + first + end + checked + rest)
    run = grade(source, "--only", "3a,3b,3c.1")
    scores = {test["number"]: test["score"] for test in run.results["tests"]}
    assert {"3a.4", "3a.5", "3b.3", "3c.1"} <= scores.keys()
    assert any(scores.values()) is (wanted == UNWANTED)
    if wanted == UNWANTED:
        lost = {
            test["number"] for test in run.results["tests"] if test["score"] < test["max_score"]
        }
        assert lost <= FOR_THEIR_TEXT


@pytest.mark.full
def test_a_run_loads_none(submission, tmp_path):
    """Of the grader's own process, by Python's list of what is imported."""
    command = [sys.executable, "-X", "importtime", "-I", "-m", "autograder.launch", "grade"]
    options = [str(submission()), "--only", "3a,3b,3c.1", "--results", str(tmp_path / "r.json")]
    ended = subprocess.run(
        [*command, *options, "--unsafe-local"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert {"torch", f"autograder.{HOMEWORK}.mistakes.reading"} <= imported
    assert not [one for one in imported if one.startswith(UNWANTED)]
    assert json.loads((tmp_path / "r.json").read_text())["score"] > 0
