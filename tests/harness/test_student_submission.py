"""What check.py takes of a folder is what the grader takes of it, notebooks and near names too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from autograder.intake.submission import take as graders
from provided.near_names import definition_like, file_like, missing_files
from provided.submission import take

from .student_copy import REFERENCE, TEMPLATE, run, solved, untouched

CODE = ("models.py", "attention.py", "encoder.py")


def notebook(*sources: str) -> bytes:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells}).encode()


WHOLE = notebook(
    "!pip install einops\n%matplotlib inline\nimport matplotlib.pyplot as plt",
    "import torchvision\ntransform = torchvision.transforms.ToTensor()",
    *((REFERENCE / name).read_text(encoding="utf-8") for name in CODE),
    "for epoch in range(10):\n    plt.plot(epoch)\n!ls",
)
STUB = (TEMPLATE / "attention.py").read_bytes()
FOLDERS = {
    "nothing at all": {},
    "a notebook alone": {"hw5 (final).ipynb": WHOLE},
    "a notebook beside a stub": {"mine.ipynb": WHOLE, "attention.py": STUB},
    "a notebook beside a file": {"mine.ipynb": WHOLE, "attention.py": b"A = 1\n"},
    "two notebooks": {"a.ipynb": notebook("1 + 1"), "b.ipynb": WHOLE},
    "a damaged notebook": {"mine.ipynb": b"{"},
    "cells that are no Python": {"mine.ipynb": notebook("class A(:", "def build_cnn(: pass")},
    "near names": {"Attention.py": b"A", "models (1).py": b"B", "answers.yml": b"C"},
    "answers in a cell": {"mine.ipynb": notebook("%%writefile answers.yaml\nq1a: {parameters: 3}")},
    "another encoding": {"models.py": b"# coding: utf-7\nA = 1\n", "encoder.py": b"# \xff\n"},
    "too large": {"models.py": b"#" * 200_001, "answers.yaml": b"#" * 200_001},
    "a large notebook": {"mine.ipynb": notebook("#" * 400_001)},
}


@pytest.mark.parametrize("name", FOLDERS)
def test_both_take_the_same_and_say_the_same(name, tmp_path):
    folder = tmp_path / "hw5"
    folder.mkdir()
    for file, content in FOLDERS[name].items():
        (folder / file).write_bytes(content)
    checked, graded = take(folder), graders(folder, tmp_path / "taken")
    assert checked.code == graded.code
    assert checked.answers == graded.answers
    assert checked.spans == graded.spans
    told = [note for note in graded.notes if not note.startswith("None of models.py")]
    assert sorted(checked.notes) == sorted(told)


def test_the_zip_holds_the_notebook_that_stands_in_for_files(tmp_path):
    folder = solved(tmp_path / "hw5")
    for name in CODE:
        (folder / name).unlink()
    (folder / "final.ipynb").write_bytes(WHOLE)
    ended = run(folder, "check.py", "--zip", "3a")
    assert ended.status == 0, ended.output
    assert re.search(r"submission\.zip holds \d+ of \d+ files and final\.ipynb\.", ended.output)
    with zipfile.ZipFile(folder / "submission.zip") as archive:
        assert {"final.ipynb", "answers.yaml"} <= set(archive.namelist())
        assert "hw5.ipynb" not in archive.namelist()
    taken = graders(folder / "submission.zip", tmp_path / "taken")
    assert set(taken.code) == {*CODE}
    assert taken.notes == [
        "attention.py, encoder.py and models.py were read from the notebook final.ipynb."
    ]


@pytest.mark.parametrize(
    ("wanted", "there", "near"),
    [
        ("attention.py", ["Attention.py"], "Attention.py"),
        ("attention.py", ["attention (2).py", "notes.txt"], "attention (2).py"),
        ("models.py", ["models.py.txt"], "models.py.txt"),
        ("models.py", ["model.py"], "model.py"),
        ("encoder.py", ["encoder.ipynb", "my_encoder.py"], "my_encoder.py"),
        ("encoder.py", ["encoder.ipynb"], "encoder.ipynb"),
        ("answers.yaml", ["answers.yml"], "answers.yml"),
        ("answers.yaml", ["Anwsers.yaml"], "Anwsers.yaml"),
        ("attention.py", ["models.py", "encoder.py", "train.py", "attention.png"], ""),
        ("models.py", ["answers.txt", "model.pt"], ""),
    ],
)
def test_a_file_that_may_be_meant_is_found(wanted, there, near):
    assert file_like(wanted, there) == near


def test_a_file_that_is_there_is_never_called_missing():
    assert missing_files(["attention.py", "x"], ["models.py", "encoder.py", "answers.yaml"]) == []


@pytest.mark.parametrize(
    ("wanted", "source", "near"),
    [
        ("build_cnn", "def build_CNN(): pass", "build_CNN"),
        ("build_cnn", "def cnn(): pass\ndef other(): pass", "cnn"),
        ("build_cnn", "buildCnn = lambda: 3", "buildCnn"),
        ("build_fully_connected", "def build_fullyconnected(): pass", "build_fullyconnected"),
        ("SingleHeadAttention", "class Attention: pass", "Attention"),
        ("SingleHeadAttention", "from provided.multi_head import Attention", ""),
        ("ViTLayer", "class VitLayer: pass", "VitLayer"),
        ("build_cnn", "def build_fully_connected(): pass", ""),
        ("CNN_TRAINING", "FULLY_CONNECTED_TRAINING = 3", ""),
        ("build_cnn", "def f(): pass\nimport math", ""),
        ("build_cnn", "def build_CNN(:", ""),
    ],
)
def test_a_definition_that_may_be_meant_is_found(wanted, source, near):
    assert definition_like(wanted, source) == near


def started(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A script as a program of its own, which ends as Python ends it."""
    command = [sys.executable, script, *(["fc"] if script == "train.py" else [])]
    # Measuring coverage would import the module before the script looks for it.
    unmeasured = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    return subprocess.run(
        command, cwd=folder, env=unmeasured, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", ["check.py", "train.py", "writeup.py"])
def test_a_file_that_python_takes_for_its_own_module_is_named(script, tmp_path):
    folder = untouched(tmp_path / "hw5")
    (folder / "dataclasses.py").write_text("mine = 1\n")
    ended = started(folder, script)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("dataclasses.py in this folder is taken")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("head: {\nfc: 3\n", "provided/homework.yaml, line "),
        ("", "provided/homework.yaml can't be read: it lacks cnn, conv1d, "),
        ("\0" * 9, "provided/homework.yaml can't be read: unacceptable character #x0000"),
        ("a: !!bool x\n", "provided/homework.yaml can't be read: 'x'."),
        ("conv1d: {}\nconv2d: {}\n", "provided/homework.yaml can't be read: it lacks cnn, "),
        (None, "provided/homework.yaml can't be read: No such file or directory."),
    ],
    ids=["damaged", "empty", "zeros", "of another kind", "cut off", "missing"],
)
@pytest.mark.parametrize("script", ["check.py", "train.py", "writeup.py"])
def test_given_values_that_cannot_be_read_are_told_in_one_line(script, values, said, tmp_path):
    folder = untouched(tmp_path / "hw5")
    file = folder / "provided" / "homework.yaml"
    file.unlink()
    if values is not None:
        file.write_text(values)
    ended = started(folder, script)
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert line.startswith(said)
    assert line.endswith("take it anew from student_template.zip.")


def test_only_modules_that_are_needed_are_in_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which the import changes
    from provided.names_in_the_way import in_the_way

    for name in ("random.py", "torch.py", "ideas.py", "csv.txt", "models.py"):
        (tmp_path / name).touch()
    for name in ("json", "yaml", "artifacts"):
        (tmp_path / name).mkdir()
    (tmp_path / "yaml" / "__init__.py").touch()
    assert in_the_way(str(tmp_path)) == ["random.py", "torch.py", "yaml"]
