"""Nothing that grades loads torch's compiler, or what that needs; torch's optimizers stay right."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from autograder.homework import HOMEWORK
from autograder.training.job import TrainingJob
from autograder.training.layer_arguments import ARGUMENTS, KEEP_SHAPE
from provided.settings import OPTIMIZERS
from provided.training import Training

from .conftest import QUICK, ROOT, settings_in
from .test_training import FLATTEN, LINEAR, job

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


COMPILING = {  # ways to need the compiler, each right
    "checkpoint": "torch.utils.checkpoint.checkpoint(self.mlp, {x}, use_reentrant=False)",
    "compile": "torch.compile(self.mlp, backend='eager')({x})",
    "func.grad": "self.mlp({x}) + torch.func.grad(lambda a: (a * a).sum())(torch.zeros(())).item()",
}


@pytest.mark.full
@pytest.mark.parametrize("way", COMPILING)
def test_a_submission_that_needs_it_loads_it_itself(submission, grade, way):
    source = submission()
    file = source / "encoder.py"
    before, found, after = file.read_text().partition("self.mlp(self.mlp_norm(x))")
    assert found
    written = before + COMPILING[way].format(x="self.mlp_norm(x)") + after
    file.write_text(f"import torch\nimport torch.utils.checkpoint\n{written}")
    run = grade(source, "--only", "3b")
    assert run.results["score"] == sum(test["max_score"] for test in run.results["tests"])


@pytest.mark.full
def test_a_run_loads_none(submission, tmp_path):
    """Of the grader's own process, by Python's list of what is imported."""
    command = [sys.executable, "-X", "importtime", "-I", "-m", "autograder.launch", "grade"]
    results = tmp_path / "r.json"
    options = [*settings_in(tmp_path, QUICK), "--results", str(results), "--unsafe-local"]
    ended = subprocess.run(
        [*command, str(submission()), *options], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert {"torch", f"autograder.{HOMEWORK}.mistakes.reading"} <= imported
    assert not [one for one in imported if one.startswith(UNWANTED)]
    assert json.loads(results.read_text())["extra_data"]["complete"]


# Trains in a forked process, as the grader does, where the unwanted can't be imported.
TRAINING = """
import json, os, sys, tempfile
from pathlib import Path
if sys.argv[1] == "without":
    from autograder.confined.zygote import warm_up
    warm_up()

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name in sys.argv[2:]:
            raise RuntimeError(f"{name} is imported")

sys.meta_path.insert(0, Refusing())
from autograder.hw5 import mnist
from autograder.training import trainer
from provided.mnist import Mnist
from tests.harness.test_without_compiler import jobs

def load(folder):
    whole = mnist.load(folder)
    return Mnist(whole.train.first(64), whole.validation.first(40), whole.test.first(40))

for job in jobs():
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
        told.write(job.model_dump_json().encode())
        told.flush()
        pid = os.fork()
        if pid == 0:
            trainer.serve({}, [told.fileno(), said.fileno(), 2], load)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        said.seek(0)
        print(said.read().decode().splitlines()[-1])
"""


def brief(*layers: tuple[str, dict[str, Any]], optimizer: str = "adam") -> TrainingJob:
    settings = Training(1e-3, epochs=1, optimizer=optimizer)
    return job(*layers, settings=settings, accuracy=1.0, retry_margin=0.0, training_images=64)


def jobs() -> Iterator[TrainingJob]:
    """A training with every kind of layer, and one with every optimizer."""
    own = {
        "Linear": {"in_features": 10, "out_features": 10, "bias": True},
        "LayerNorm": {"normalized_shape": [10], "eps": 1e-5, "elementwise_affine": True},
        "LogSoftmax": {"dim": 1},
    }
    drops = {"p": 0.1}
    kinds = {"BatchNorm2d": 4, "BatchNorm1d": 10}
    norms = {
        kind: {
            "num_features": size,
            "eps": 1e-5,
            "momentum": None,
            "affine": True,
            "track_running_stats": True,
        }
        for kind, size in kinds.items()
    }
    conv = {
        "in_channels": 1,
        "out_channels": 4,
        "kernel_size": 3,
        "stride": 1,
        "padding": 1,
        "dilation": 1,
        "groups": 1,
        "bias": True,
        "padding_mode": "reflect",
    }
    pool = {"kernel_size": 2, "stride": 2, "padding": 0, "ceil_mode": False}
    layers = [
        ("Conv2d", conv),
        ("BatchNorm2d", norms["BatchNorm2d"]),
        ("Dropout2d", drops),
        ("MaxPool2d", {**pool, "dilation": 1}),
        ("AvgPool2d", {**pool, "count_include_pad": True}),
        ("AdaptiveMaxPool2d", {"output_size": [3, None]}),
        ("AdaptiveAvgPool2d", {"output_size": 2}),
        ("Flatten", {"start_dim": 2, "end_dim": -1}),
        ("Dropout1d", drops),
        ("Flatten", {"start_dim": 1, "end_dim": -1}),
        ("Linear", {"in_features": 16, "out_features": 10, "bias": False}),
        ("BatchNorm1d", norms["BatchNorm1d"]),
        *own.items(),
        ("Unflatten", {"dim": 1, "unflattened_size": [2, 5]}),
        ("Softmax", {"dim": -1}),
        ("Flatten", {"start_dim": 1, "end_dim": -1}),
    ]
    plain: dict[str, dict[str, Any]] = {
        **{kind: {} for kind in KEEP_SHAPE},
        "Dropout": drops,
        "LeakyReLU": {"negative_slope": 0.1},
        "ELU": {"alpha": 1.0},
        "GELU": {"approximate": "none"},
    }
    assert {*plain, *(kind for kind, _ in layers)} == ARGUMENTS.keys()
    yield brief(*layers, *plain.items())
    for optimizer in OPTIMIZERS:
        yield brief(FLATTEN, LINEAR, optimizer=optimizer)


def training(which: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TRAINING, which, *UNWANTED]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_trainings_of_every_layer_with_every_optimizer_load_none():
    ended = training("without")
    assert ended.returncode == 0, ended.stderr
    ends = [json.loads(line).get("ended") for line in ended.stdout.splitlines()]
    assert ends == ["missed"] * (1 + len(OPTIMIZERS)), ended.stdout


def test_a_training_that_loads_one_is_noticed():
    assert f"{UNWANTED[0]} is imported" in training("with").stdout
