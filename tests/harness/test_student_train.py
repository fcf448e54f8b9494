"""train.py, from a copy of the template with the reference's slots, on a few images."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from provided.heat_maps import last_attention
from provided.mnist import Split
from provided.runs import code_of
from provided.submission import take
from provided.training import Step, Training, run_epochs

from .student_copy import ROOT, replace, run, solved, untouched

COLUMNS = ["epoch", "train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]
PNG = b"\x89PNG\r\n\x1a\n"
# Presses Ctrl-C by itself in the step whose number is the first argument.
INTERRUPTED = """
import signal, sys
import train
from provided.progress import Bar

signal.signal(signal.SIGINT, signal.default_int_handler)
show = Bar.show

def show_and_stop(bar, step):
    show(bar, step)
    if step.number == int(sys.argv[1]):
        signal.raise_signal(signal.SIGINT)

Bar.show = show_and_stop
sys.exit(train.main(sys.argv[2:]))
"""
# Presses Ctrl-C before the first step.
STOPPED_AT_ONCE = """
import sys
import train
from provided import session

def stop(*_, **__):
    raise KeyboardInterrupt

session.run_epochs = stop
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.fixture
def template(tmp_path):
    """A solved template in which nothing is trained yet."""
    folder = solved(tmp_path / "hw5")
    shutil.rmtree(folder / "artifacts")
    (folder / "interrupted.py").write_text(INTERRUPTED)
    return folder


def train(folder: Path, *arguments: str) -> str:
    ended = run(folder, "train.py", *arguments)
    assert ended.status == 0, ended.output
    return ended.output


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def kept(folder: Path, model: str = "fc") -> tuple[bytes, bytes]:
    artifacts = folder / "artifacts" / model
    return (artifacts / "history.csv").read_bytes(), (
        artifacts / "weights.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("model", ["fc", "cnn", "vit"])
def test_a_training_leaves_what_the_write_up_needs(template, model):
    said = train(template, model, "--images", "64", "--epochs", "2")
    artifacts = template / "artifacts" / model
    history = rows(artifacts / "history.csv")
    assert list(history[0]) == COLUMNS
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert (artifacts / "loss.png").read_bytes().startswith(PNG)
    noted = yaml.safe_load((artifacts / "run.yaml").read_text())
    wanted = {
        "seed",
        "learning_rate",
        "schedule",
        "batch_size",
        "weight_decay",
        "epochs_done",
        "architecture",
        "parameters",
        "versions",
        "seconds",
        "device",
        "test_accuracy",
        "best_test_accuracy",
        "best_test_epoch",
        "weights_epoch",
    }
    assert wanted <= noted.keys()
    assert f"{noted['test_accuracy']:.2%}" in said
    assert noted["best_test_accuracy"] >= noted["test_accuracy"]
    assert (noted["run"], noted["trial"], noted["threads"]) == (1, True, 1)
    assert noted["trial_because"] == "64 of 48,000 training images, 2 of 10 epochs"
    weights = load_file(artifacts / "weights.safetensors")
    buffers = sum(v.numel() for name, v in weights.items() if "running" in name or "num_b" in name)
    assert sum(value.numel() for value in weights.values()) - buffers == noted["parameters"]
    if model == "vit":
        assert (artifacts / "attention.png").read_bytes().startswith(PNG)
        maps = np.load(artifacts / "attention.npz")["attention"]
        assert maps.shape == (8, 17, 17)
        assert np.allclose(maps.sum(axis=-1), 1, atol=1e-4)


def test_a_run_stopped_by_ctrl_c_and_resumed_ends_exactly_as_an_unbroken_one(template, tmp_path):
    other = shutil.copytree(template, tmp_path / "other")
    options = ("fc", "--images", "96", "--seed", "3")
    train(template, *options, "--epochs", "4")
    stopped = run(other, "interrupted.py", "8", *options)  # in epoch 3, as an epoch has 3 steps
    assert stopped.status == 0
    assert "epoch 2 was the last to finish" in stopped.output
    assert len(rows(other / "artifacts/fc/history.csv")) == 2
    assert yaml.safe_load((other / "artifacts/fc/run.yaml").read_text())["epochs_done"] == 2
    assert (other / "artifacts/fc/loss.png").exists()
    said = train(other, *options, "--epochs", "4", "--resume")
    assert "epoch  1" not in said
    assert kept(other) == kept(template)


@pytest.mark.parametrize("model", ["fc", "vit"])
def test_a_run_stopped_in_its_first_epoch_leaves_what_it_learned(template, model):
    stopped = run(template, "interrupted.py", "2", model, "--images", "96")
    assert stopped.status == 0, stopped.output
    assert "Stopped after 2 steps of the first epoch" in stopped.output
    artifacts = template / "artifacts" / model
    (row,) = rows(artifacts / "history.csv")
    assert row["epoch"] == "1"
    assert 0 < float(row["train_loss"]) < 4
    assert 0 < float(row["validation_loss"]) < 4
    noted = yaml.safe_load((artifacts / "run.yaml").read_text())
    assert (noted["epochs_done"], noted["steps_done"]) == (0, 2)
    assert rows(template / "artifacts/experiments.csv")[0]["epochs"] == "0"
    assert load_file(artifacts / "weights.safetensors")
    again = run(template, "train.py", model, "--images", "96", "--resume")
    assert (again.status, "no run to continue" in again.output) == (1, True)
    train(template, model, "--images", "96", "--epochs", "1")
    assert [row["epochs"] for row in rows(template / "artifacts/experiments.csv")] == ["0", "1"]


def test_a_run_stopped_before_its_first_step_leaves_nothing(template):
    train(template, "fc", "--images", "96", "--epochs", "1")
    before = kept(template)
    (template / "interrupted.py").write_text(STOPPED_AT_ONCE)
    stopped = run(template, "interrupted.py", "fc", "--images", "96", "--seed", "1")
    assert stopped.status == 1
    assert "nothing has changed" in stopped.output
    assert "Traceback" not in stopped.output
    assert kept(template) == before
    assert len(list((template / "artifacts/runs").glob("*-fc"))) == 1


def test_a_finished_run_is_not_trained_further(template):
    train(template, "fc", "--images", "64", "--epochs", "1")
    before = kept(template)
    assert "1 of 1 epochs are done" in train(
        template, "fc", "--images", "64", "--epochs", "1", "--resume"
    )
    assert kept(template) == before
    assert len(rows(template / "artifacts/experiments.csv")) == 1


def test_a_run_is_not_resumed_with_another_seed_or_architecture_or_where_there_is_none(template):
    options = ("train.py", "fc", "--images", "64", "--resume")
    nothing = run(template, *options)
    assert (nothing.status, "no run to continue" in nothing.output) == (1, True)
    train(template, "fc", "--images", "64", "--epochs", "1")
    seed = run(template, *options, "--seed", "1")
    assert (seed.status, "differs in seed" in seed.output) == (1, True)
    replace(template / "models.py", "200", "100")
    model = run(template, *options)
    assert (model.status, "another architecture" in model.output) == (1, True)
    assert "Traceback" not in nothing.output + seed.output + model.output


def test_every_run_is_kept_and_compared(template):
    for options in (("fc", "--seed", "0"), ("fc", "--seed", "1"), ("cnn",)):
        train(template, *options, "--images", "64", "--epochs", "1")
    tried = rows(template / "artifacts" / "experiments.csv")
    assert [(row["model"], row["seed"]) for row in tried] == [
        ("fc", "0"),
        ("fc", "1"),
        ("cnn", "0"),
    ]
    assert tried[0]["architecture"].startswith("Flatten, Linear(784, 200), ReLU")
    said = train(template, "compare")
    assert said.count("Linear(784, 200)") == 2
    assert (template / "artifacts" / "experiments.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fc"], "build_fully_connected in models.py"),
        (["cnn"], "build_cnn in models.py"),
        (["vit"], "ViTLayer in encoder.py"),
        (["compare"], "run python train.py fc"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_untouched_template_is_told_what_is_to_do(tmp_path, arguments, said):
    ended = run(untouched(tmp_path / "hw5"), "train.py", *arguments)
    assert ended.status == 1
    assert said in ended.output
    assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("old", "new", "options", "said"),
    [
        (
            "learning_rate=3e-3",
            "learning_rate=10, optimizer='sgd', weight_decay=10",
            [],
            "try a smaller learning rate",
        ),
        ("learning_rate=3e-3", "lr=3e-3", [], "no setting lr; did you mean learning_rate?"),
        ("nn.Flatten(),\n        nn.Linear(784", "nn.Linear(784", [], "can't process images"),
        ("nn.Linear(200, 10)", "nn.Linear(200, 9)", [], "returns (2, 9)"),
        ("", "", ["--device", "warp"], "no device warp"),
        ("", "", ["--data", "models.py"], "data set can't be loaded"),
        ("from torch import nn\n", "", [], "NameError in models.py, line "),
        ("nn.Linear(784, 200)", "None + 1", [], "TypeError in models.py, line "),
        ("return nn.Sequential(", "nn.Sequential(", [], "NoneType, not a network: is a return mi"),
        ("from torch import nn\n", "exit(0)\n", [], "your code ends the program here"),
    ],
    ids=[
        "a loss that explodes",
        "a slip",
        "no flatten",
        "nine classes",
        "no such device",
        "no data",
        "an import missing",
        "an error in a builder",
        "no return",
        "an exit",
    ],
)
def test_what_cannot_be_trained_is_told_in_a_sentence(template, old, new, options, said):
    replace(template / "models.py", old, new)
    ended = run(template, "train.py", "fc", "--images", "96", *options)
    assert ended.status == 1
    assert said in ended.output
    assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--epochs=ten", "a whole number from 1"),
        ("--epochs=0", "a whole number from 1"),
        (f"--seed={'9' * 30}", "a whole number of at most 18 digits"),
        ("--seed=1.5", "a whole number of at most 18 digits"),
    ],
)
def test_a_number_that_is_none_is_refused_in_a_sentence(option, said, template):
    ended = run(template, "train.py", "fc", option)
    assert ended.status == 2
    assert f"argument {option.partition('=')[0]}: give {said}" in " ".join(ended.output.split())


def test_watching_the_steps_changes_nothing():
    def epochs(watched: bool) -> tuple[list[object], list[Step]]:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (100, 28, 28), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 10, (100,), dtype=torch.uint8, generator=generator)
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        some, steps = Split.of(images, labels), []
        on_step = steps.append if watched else None
        return list(run_epochs(model, some, some, Training(1e-3, epochs=2), on_step=on_step)), steps

    watched, steps = epochs(True)
    assert watched == epochs(False)[0]
    assert [step.number for step in steps] == list(range(1, 9))
    assert all(0 <= step.accuracy <= 1 for step in steps)


ONE_STEP = """
import torch
import train
from provided.training import make_optimizer

for name in ("fc", "cnn"):
    model, settings = train.make_model(name)
    optimizer = make_optimizer(model.train(), settings)
    model(torch.rand(8, 1, 28, 28)).square().sum().backward()
    optimizer.step()
    print(name, sum(p.grad is not None for p in model.parameters()))
"""


def test_lazy_layers_are_trained_like_ordinary_ones(template):
    lazy = ROOT / "solutions" / "alternatives" / "lazy-layers" / "models.py"
    (template / "models.py").write_text(lazy.read_text())
    (template / "one_step.py").write_text(ONE_STEP)
    ended = run(template, "one_step.py")
    assert ended.status == 0, ended.output
    assert "fc 4\ncnn 11" in ended.output


FILES = {  # what is wrong -> the file, what becomes of it (None: it is taken away), the part
    "missing": ("models.py", None, "2b", "models.py is missing."),
    "a syntax error": ("models.py", "def f(:\n", "2b", "SyntaxError in models.py, line 1"),
    "a builder of another name": (
        "models.py",
        "def build_CNN():\n    pass\n",
        "2c",
        "models.py has build_CNN: call it build_cnn.",
    ),
    "no head": ("attention.py", None, "3c", "attention.py is missing."),
}


@pytest.mark.parametrize(("file", "text", "part", "said"), FILES.values(), ids=FILES.keys())
def test_what_is_wrong_with_a_file_is_told_as_check_py_tells_it(tmp_path, file, text, part, said):
    folder = solved(tmp_path / "hw5")
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    model = {"2b": "fc", "2c": "cnn", "3c": "vit"}[part]
    ended = run(folder, "train.py", model, "--images", "64")
    assert ended.status == 1
    assert "Traceback" not in ended.output
    assert said in ended.output
    assert said in run(folder, "check.py", part).output


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("None", "SingleHeadAttention should return out, attention; ViTLayer x, attention."),
        ("[1]", "ViTLayer returns list as its second result"),
        ("attention[:, 0, 0]", "ViTLayer returns some of shape (1, 17) for one image"),
        (
            "attention[1]",
            "for one image alone, IndexError in ",
        ),
    ],
)
def test_heat_maps_that_cannot_be_drawn_are_told_before_and_cost_no_run(tmp_path, second, said):
    folder = solved(tmp_path / "hw5")
    replace(folder / "encoder.py", "return x, attention", f"return x, {second}")
    ended = run(folder, "train.py", "vit", "--images", "64", "--epochs", "1")
    assert ended.status == 0, ended.output
    told, again = (line for line in ended.output.splitlines() if said in line)
    assert told.endswith("It trains all the same; Ctrl-C stops it.")
    assert told.startswith(again)
    assert ended.output.index(told) < ended.output.index("epoch 1")
    (row,) = rows(folder / "artifacts" / "experiments.csv")
    assert row["model"] == "vit"
    assert not list(folder.glob("artifacts/runs/*/attention.*"))


def test_what_cannot_be_trained_is_not_said_to_train_all_the_same(tmp_path):
    folder = solved(tmp_path / "hw5")
    replace(folder / "encoder.py", "return x, attention", "return x[99], attention")
    ended = run(folder, "train.py", "vit", "--images", "64", "--epochs", "1")
    assert ended.status == 1
    assert "all the same" not in ended.output
    assert "IndexError" in ended.output


@pytest.mark.parametrize("axis", [0, 1], ids=["heads first", "images first"])
def test_heat_maps_are_looked_for_without_a_trace(axis):
    class Network(torch.nn.Module):
        def forward(self, x, return_attention):
            weights = torch.rand(8, 17, 17).unsqueeze(1 - axis)
            return x, torch.nn.functional.dropout(weights, training=self.training)

    torch.manual_seed(3)
    expected = torch.rand(8, 17, 17)
    torch.manual_seed(3)
    network = Network()
    assert torch.equal(last_attention(network, torch.zeros(1, 1, 28, 28)), expected)
    assert torch.equal(torch.rand(8, 17, 17), expected)
    assert network.training


def test_definitions_in_a_notebook_are_trained(tmp_path):
    folder = solved(tmp_path / "hw5")
    source = (folder / "models.py").read_text(encoding="utf-8")
    (folder / "models.py").unlink()
    cells = [nbformat.v4.new_code_cell("!pip list"), nbformat.v4.new_code_cell(source)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "mine.ipynb")
    ended = run(folder, "train.py", "fc", "--images", "64", "--epochs", "1")
    assert ended.status == 0, ended.output


def test_a_run_notes_the_code_that_a_notebook_brought(tmp_path):
    folder = solved(tmp_path / "hw5")
    source = (folder / "attention.py").read_text(encoding="utf-8")
    (folder / "attention.py").unlink()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, folder / "mine.ipynb")
    train(folder, "vit", "--images", "64", "--epochs", "1")
    latest = max((folder / "artifacts/runs").glob("*-vit/run.yaml"))
    noted = yaml.safe_load(latest.read_text())
    assert noted["code"] not in ("", code_of("vit", {}))
    assert noted["code"] == code_of("vit", take(folder).code)
