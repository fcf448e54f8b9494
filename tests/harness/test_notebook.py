"""A notebook for the code files: definitions are taken, nothing is run, all forms agree."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from autograder.intake import Submission, take
from autograder.notebook import MAX_CODE, NotebookError, is_stub, read_notebook

from .conftest import REFERENCE, TEMPLATE

CODE = ("models.py", "attention.py", "encoder.py")


def notebook(*cells: object) -> bytes:
    made = [
        {"cell_type": "code", "source": cell, "outputs": []} if isinstance(cell, str) else cell
        for cell in cells
    ]
    return json.dumps({"cells": made, "nbformat": 4, "metadata": {}}).encode()


def reference_notebook(*more: str) -> bytes:
    """The reference's code in one notebook, a cell for each file, experiments in between."""
    attention, encoder, models = (
        (REFERENCE / name).read_text() for name in ("attention.py", "encoder.py", "models.py")
    )
    return notebook(
        "!pip install torch\n%matplotlib inline\nimport torch",
        {"cell_type": "markdown", "source": ["# Question 3\n", "def not_code(:\n"]},
        attention.replace("from __future__ import annotations\n", ""),
        "head = SingleHeadAttention(8, 4)\nprint(head(torch.randn(2, 3, 8))[0].shape)\nhead?",
        encoder.replace("from __future__ import annotations\n", ""),
        "%%time\n" + models.replace("from __future__ import annotations\n", ""),
        "while True:\n    train(build_cnn())",
        *more,
    )


def in_folder(tmp_path: Path, content: bytes, *files: str) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "hw5.ipynb").write_bytes(content)
    for name in files:
        shutil.copyfile(REFERENCE / name, folder / name)
    return folder


def taken(source: Path, tmp_path: Path) -> Submission:
    into = tmp_path / "taken"
    into.mkdir(exist_ok=True)
    return take(source, into)


def test_every_form_of_a_submission_is_taken_alike(tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(REFERENCE, plain)
    nested = tmp_path / "upload"
    shutil.copytree(REFERENCE, nested / "hw5")
    repository = tmp_path / "repository"
    shutil.copytree(REFERENCE, repository)
    (repository / ".git").mkdir()
    (repository / "README.md").write_text("# My work")
    (repository / "hw5.ipynb").write_bytes(notebook("build_cnn()"))
    zipped = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", plain))
    inside = tmp_path / "inside"
    inside.mkdir()
    shutil.copyfile(zipped, inside / "hw5.zip")
    forms = {}
    for number, source in enumerate((plain, nested, repository, zipped, inside)):
        (tmp_path / str(number)).mkdir()
        one = take(source, tmp_path / str(number))
        forms[source.name] = one.form
        assert one.code == {name: (REFERENCE / name).read_text() for name in CODE}
        assert one.answers == (REFERENCE / "answers.yaml").read_text()
        assert one.artifacts.keys() == {
            "fc/history.csv", "cnn/history.csv", "vit/history.csv", "vit/weights.safetensors"
        }  # fmt: skip
    assert forms == {
        "plain": "a folder",
        "upload": "a folder, the files in the folder hw5",
        "repository": "a folder",
        "zipped.zip": "a zip",
        "inside": "the zip hw5.zip",
    }


def test_the_definitions_of_a_notebook_stand_for_the_code_files(tmp_path):
    one = taken(in_folder(tmp_path, reference_notebook(), "answers.yaml"), tmp_path)
    assert one.form == "a folder, definitions from the notebook hw5.ipynb"
    assert one.code.keys() == set(CODE)
    for text in one.code.values():
        compile(text, "x", "exec")
        assert "while True" not in text
        assert "print(" not in text
        assert "pip install" not in text
    assert "class SingleHeadAttention" in one.code["attention.py"]
    assert "class SingleHeadAttention" not in one.code["encoder.py"]
    assert "CNN_TRAINING = " in one.code["models.py"]
    assert "# cell 3" in one.code["attention.py"]


def test_a_notebook_is_graded_like_the_files(tmp_path, grade):
    folder = in_folder(tmp_path, reference_notebook(), "answers.yaml")
    shutil.copytree(REFERENCE / "artifacts", folder / "artifacts")
    run = grade(folder)
    plain = grade(REFERENCE)
    assert run.faults == {}
    assert run.points() == plain.points()
    assert "Recognised: a folder, definitions from the notebook hw5.ipynb." in run.results["output"]
    assert "Recognised: a folder." in plain.results["output"]


def test_a_code_file_wins_over_the_notebook(tmp_path):
    other = reference_notebook("class SingleHeadAttention:\n    pass")
    one = taken(in_folder(tmp_path, other, "attention.py"), tmp_path)
    assert one.code["attention.py"] == (REFERENCE / "attention.py").read_text()
    assert "Taken from the definitions in hw5.ipynb: models.py, encoder.py." in one.notes


def test_a_stub_of_the_template_does_not_win_over_the_notebook(tmp_path):
    folder = in_folder(tmp_path, reference_notebook())
    for name in CODE:
        shutil.copyfile(TEMPLATE / name, folder / name)
    one = taken(folder, tmp_path)
    assert "class SingleHeadAttention" in one.code["attention.py"]
    assert all("NotImplementedError" not in text for text in one.code.values())


def test_a_stub_stays_where_no_notebook_defines_its_slots(tmp_path):
    folder = in_folder(tmp_path, notebook("x = 1"))
    for name in CODE:
        shutil.copyfile(TEMPLATE / name, folder / name)
    one = taken(folder, tmp_path)
    assert one.code == {name: (TEMPLATE / name).read_text() for name in CODE}


def test_a_file_that_is_filled_in_halfway_is_no_stub():
    stub = (TEMPLATE / "models.py").read_text()
    assert is_stub(stub)
    assert not is_stub(stub.replace("raise NotImplementedError", "return 1", 1))
    assert not is_stub("x = 1")
    assert not is_stub("def broken(:")


def test_the_last_definition_counts_and_brings_what_it_needs():
    found = read_notebook(
        notebook(
            "import math\nimport os.path\nimport os\nSIZE = 3\ndef scale(n): return math.sqrt(n)",
            "def build_cnn(): return 1",
            "SIZE = 4\nunused = train()",
            "@staticmethod\ndef build_cnn():\n    width = SIZE\n    return scale(width)",
        )
    ).file("models.py")
    assert found is not None
    space: dict = {}
    exec(found, space)
    assert space["build_cnn"]() == 2
    assert "train()" not in found
    assert "return 1" not in found
    assert "import os" not in found


def test_star_imports_and_dotted_imports_are_kept():
    found = read_notebook(
        notebook(
            "from math import *\nimport os\nimport os.path",
            "def build_cnn(): return sqrt(4), os.path.sep",
        )
    ).file("models.py")
    space: dict = {}
    exec(found, space)
    assert space["build_cnn"]() == (2, "/")


def test_a_cell_that_is_written_to_a_file_is_that_file():
    found = read_notebook(
        notebook(
            "%%writefile attention.py\nx = 1\nprint(x)\n", "%%bash\nrm -rf nothing", "%%html\n<b>"
        )
    )
    assert found.file("attention.py") == "x = 1\nprint(x)\n"
    assert found.file("encoder.py") is None
    assert found.unreadable == []


def test_an_import_of_a_slot_is_no_definition_of_it():
    assert (
        read_notebook(notebook("from attention import SingleHeadAttention")).file("attention.py")
        is None
    )


def test_a_cell_that_is_not_python_is_left_out_and_named(tmp_path):
    one = taken(in_folder(tmp_path, reference_notebook("def broken(:\n")), tmp_path)
    assert "hw5.ipynb: left out cell 8, which is not Python." in one.notes
    assert one.code.keys() == set(CODE)


WRONG = {
    "not JSON": b"class SingleHeadAttention: pass",
    "cut short": reference_notebook()[:500],
    "nested without end": b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a list": b"[]",
    "no cells": b'{"nbformat": 4}',
    "cells that are a number": b'{"cells": 3}',
    "bytes": bytes(range(256)),
    "nothing": b"",
    "too much code": notebook("#" * (MAX_CODE + 1)),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_notebook_is_refused_with_a_reason(content, tmp_path):
    with pytest.raises(NotebookError):
        read_notebook(content)
    one = taken(in_folder(tmp_path, content), tmp_path)
    assert one.code == {}
    assert any(note.startswith("hw5.ipynb can't be used: ") for note in one.notes)


@pytest.mark.parametrize(
    "cell",
    [3, None, [], {}, {"cell_type": "code"}, {"cell_type": "code", "source": 3},
     {"cell_type": "code", "source": ["a", 3]}, {"cell_type": ["code"], "source": "x = 1"}],
)  # fmt: skip
def test_a_cell_that_is_none_is_passed_over(cell):
    found = read_notebook(json.dumps({"cells": [cell]}).encode())
    assert found.definitions == {}


def test_a_notebook_without_the_slots_changes_nothing(tmp_path):
    one = taken(in_folder(tmp_path, notebook("x = 1"), "models.py"), tmp_path)
    assert one.code.keys() == {"models.py"}
    assert "notebook" not in one.form


def test_a_notebook_of_gigabytes_is_not_read(tmp_path):
    folder = in_folder(tmp_path, b"")
    with (folder / "hw5.ipynb").open("wb") as file:
        file.truncate(3 << 30)
    assert taken(folder, tmp_path).code == {}


def test_a_notebook_in_a_zip_is_read(tmp_path):
    file = tmp_path / "work.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hw5/hw5.ipynb", reference_notebook())
    one = taken(file, tmp_path)
    assert one.code.keys() == set(CODE)
    assert one.form == "a zip, the files in the folder hw5, definitions from the notebook hw5.ipynb"
