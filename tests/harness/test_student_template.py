"""The student's side: training, checking, the notebook, from a copy of the template."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbclient
import nbformat
import pytest

from autograder.intake import take

from .conftest import REFERENCE, ROOT, TEMPLATE

DATA = ROOT / "data"
ENVIRONMENT = {**os.environ, "HW5_DATA": str(DATA), "OMP_NUM_THREADS": "1"}
SLOTS = ("models.py", "attention.py", "encoder.py", "answers.yaml")


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """The template with the reference's slots and artifacts."""
    folder = tmp_path_factory.mktemp("solved") / "hw5"
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__", "artifacts"))
    shutil.copytree(REFERENCE, folder, dirs_exist_ok=True)
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def copy_of(solved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(solved, tmp_path / "hw5")


@pytest.mark.parametrize("model", ["fc", "cnn", "vit"])
def test_a_training_leaves_what_the_write_up_needs(solved, tmp_path, model):
    folder = copy_of(solved, tmp_path)
    shutil.rmtree(folder / "artifacts")
    ended = run(folder, "train.py", model, "--images", "64", "--epochs", "2")
    assert ended.returncode == 0, ended.stderr
    artifacts = folder / "artifacts" / model
    wanted = {"history.csv", "loss.png", "weights.safetensors", "run.yaml"}
    wanted |= {"attention.png", "attention.npz"} if model == "vit" else set()
    assert wanted <= {file.name for file in artifacts.iterdir()}
    rows = list(csv.DictReader((artifacts / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]


def test_a_training_that_is_resumed_ends_as_one_that_was_not(solved, tmp_path):
    def history(*runs: tuple[str, ...]) -> str:
        folder = shutil.copytree(solved, tmp_path / str(len(list(tmp_path.iterdir()))))
        for arguments in runs:
            ended = run(folder, "train.py", "fc", "--images", "96", *arguments)
            assert ended.returncode == 0, ended.stderr
        return (folder / "artifacts/fc/history.csv").read_text()

    resumed = history(("--epochs", "1"), ("--epochs", "3", "--resume"))
    whole = history(
        (
            "--epochs",
            "3",
        )
    )
    assert resumed.splitlines()[:2] == whole.splitlines()[:2]
    assert len(resumed.splitlines()) == len(whole.splitlines()) == 4


def test_what_was_tried_is_kept_and_compared(solved, tmp_path):
    folder = copy_of(solved, tmp_path)
    for seed in ("0", "1"):
        run(folder, "train.py", "fc", "--images", "64", "--epochs", "1", "--seed", seed)
    ended = run(folder, "train.py", "compare")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("one_cycle") == 2
    assert (folder / "artifacts" / "experiments.png").exists()


def test_the_reference_passes_the_check_and_its_zip_is_what_the_grader_takes(solved, tmp_path):
    folder = copy_of(solved, tmp_path)
    ended = run(folder, "check.py", "--zip")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "MEND" not in ended.stdout
    with zipfile.ZipFile(folder / "submission.zip") as archive:
        assert len(archive.namelist()) == 8
    taken = take(folder / "submission.zip", tmp_path / "taken")
    assert set(taken.code) == {"models.py", "attention.py", "encoder.py"}
    assert len(taken.artifacts) == 4
    assert taken.notes == []


def test_the_untouched_template_is_told_what_is_to_do_without_a_traceback(tmp_path):
    folder = shutil.copytree(TEMPLATE, tmp_path / "hw5")
    ended = run(folder, "check.py")
    assert ended.returncode == 1
    assert ended.stdout.count("TO DO") == 4
    assert "Traceback" not in ended.stdout + ended.stderr


BROKEN = {
    "a syntax error": ("attention.py", "class", "clas", "3a", "SyntaxError in attention.py, line"),
    "too many hidden units": ("models.py", "200", "300", "2b", "300 hidden units, at most 200"),
    "a layer that is not allowed": (
        "models.py",
        "nn.ReLU()",
        "nn.GELU()",
        "2b",
        "GELU not allowed",
    ),
    "nine classes": ("models.py", "nn.Linear(200, 10)", "nn.Linear(200, 9)", "2b", "(4, 9)"),
    "no dropout": ("models.py", "nn.Dropout(0.1),", "", "2c", "at least one Dropout"),
    "too many parameters": (
        "models.py",
        "nn.Linear(198, 10)",
        "nn.Linear(198, 300), nn.ReLU(), nn.Linear(300, 10)",
        "2c",
        "fewer than 50,000 are allowed",
    ),
    "no nn.Sequential": (
        "models.py",
        "return nn.Sequential(\n        nn.Flatten(),",
        "return nn.ModuleList(\n        nn.Flatten(),",
        "2b",
        "MEND",
    ),
    "biases": ("attention.py", "bias=False", "bias=True", "3a", "no biases are allowed"),
    "softmax over the wrong axis": ("attention.py", "dim=-1", "dim=0", "3a", "don't sum to one"),
    "one result": ("attention.py", "return out, attention", "return out", "3a", "two tensors"),
    "a detached head": (
        "attention.py",
        "q, k, v = self.query(x)",
        "q, k, v = self.query(x).detach()",
        "3a",
        "no gradient reaches query.weight",
    ),
    "a wrong shape in the layer": (
        "encoder.py",
        "return x, attention",
        "return x[:, :1], attention",
        "3b",
        "expected (2, 7, 12)",
    ),
    "answers that are no YAML": ("answers.yaml", "q1b:", "q1b: }", "1", "not valid YAML at line"),
    "an answer of the wrong kind": (
        "answers.yaml",
        "parameters: 40",
        "parameters: many",
        "1",
        "whole",
    ),
    "an unknown pixel value": ("answers.yaml", "intensity", "bright", "2a", "write one of"),
}


@pytest.mark.parametrize(("file", "old", "new", "part", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_template_gets_one_clear_sentence(solved, tmp_path, file, old, new, part, said):
    folder = copy_of(solved, tmp_path)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    ended = run(folder, "check.py", part)
    assert ended.returncode == 1
    assert said in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_missing_artifact_is_named(solved, tmp_path):
    folder = copy_of(solved, tmp_path)
    (folder / "artifacts/vit/weights.safetensors").write_bytes(b"not weights")
    assert "can't be read" in run(folder, "check.py", "3c").stdout
    (folder / "artifacts/vit/weights.safetensors").unlink()
    assert "weights.safetensors is missing" in run(folder, "check.py", "3c").stdout


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_notebook_runs_from_top_to_bottom(solved, tmp_path, monkeypatch):
    folder = copy_of(solved, tmp_path)
    monkeypatch.setenv("HW5_IMAGES", "64")
    monkeypatch.setenv("HW5_EPOCHS", "1")
    monkeypatch.setenv("HW5_DATA", str(DATA))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(folder / "hw5.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 8


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(TEMPLATE / "hw5.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
