"""A notebook in the place of code files: what is taken from it, and what never runs."""

from __future__ import annotations

import ast
import json
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.homework import PARTS
from autograder.intake.submission import CODE_FILES, Submission, take
from provided import notebook
from provided.notebook import NotebookError, located, read_notebook

from .conftest import REFERENCE, TEMPLATE

HEADER = "# Definitions from hw5.ipynb\n"
CODE = {name: (REFERENCE / name).read_text() for name in CODE_FILES}
MARK = "/tmp/hw5-notebook-was-run"


def notebook_of(*cells: str, lines: bool = False, **more: object) -> bytes:
    """A notebook with these code cells; their sources as lists of lines where asked for."""
    made = [
        {"cell_type": "code", "source": cell.splitlines(keepends=True) if lines else cell}
        for cell in cells
    ]
    return json.dumps({"cells": made, "nbformat": 4, **more}).encode()


def files(*cells: str, lines: bool = False) -> dict[str, str]:
    made = read_notebook(notebook_of(*cells, lines=lines), "hw5.ipynb").files
    return {name: extract.text for name, extract in made.items()}


def notes(*cells: str) -> list[str]:
    return list(read_notebook(notebook_of(*cells), "hw5.ipynb").notes)


def defined(source: str) -> set[str]:
    """What running a file defines. For the tests' own cells alone."""
    names: dict[str, object] = {}
    exec(source, names)
    return set(names)


HEAD = "class SingleHeadAttention:\n    pass"


def head_with(*cells: str) -> str:
    """What attention.py becomes where the head is defined in the last of some cells."""
    return files(*cells)["attention.py"]


# Notebooks as people write them: imports on top, then definitions between experiments.
WORK = (
    "%matplotlib inline\n!pip install torch\nimport os, math\nimport torch\n"
    "from torch import Tensor, nn\nfrom provided.training import Training",
    CODE["models.py"].replace("from torch import nn", ""),
    "fc = build_fully_connected()\nprint(fc)\nfiles = !ls\n"
    "while True:\n    %timeit fc(torch.rand(1, 784))",
    CODE["attention.py"],
    "head = SingleHeadAttention(3, 4)\nx, attention = head(torch.rand(1, 2, 3))",
    CODE["encoder.py"],
    f"open({MARK!r}, 'w').write('run')\nlayer = ViTLayer(8, 2, 4, 8)",
)
ONE_CELL_EACH = tuple(CODE.values())
ALL_IN_ONE = ("\n".join(CODE.values()),)
WRITTEN = tuple(f"%%writefile {name}\n{text}" for name, text in CODE.items())
NOTEBOOKS = {
    "definitions between experiments": WORK,
    "a cell for each file": ONE_CELL_EACH,
    "all in one cell": ALL_IN_ONE,
    "written by cells": WRITTEN,
    "written into a folder on Colab": tuple(
        cell.replace("%%writefile ", "\n%%writefile '/content/hw5/").replace(".py\n", ".py'\n", 1)
        for cell in WRITTEN
    ),
    "some written and some not": (*WRITTEN[:1], *ONE_CELL_EACH[1:]),
    "defined twice": (
        "class ViTLayer:\n    first = 1",
        "def build_cnn():\n    raise ValueError",
        "import torch.nn.functional as SingleHeadAttention",
        *WORK,
    ),
    "timed and captured cells": tuple(f"%%capture out\n{cell}" for cell in ONE_CELL_EACH),
}


def body(source: str) -> list[str]:
    """The statements of a file without its imports and docstring, normalised."""
    return [
        ast.unparse(node)
        for node in ast.parse(source).body
        if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr))
    ]


@pytest.mark.parametrize("lines", [False, True], ids=["string", "lines"])
@pytest.mark.parametrize("cells", NOTEBOOKS.values(), ids=NOTEBOOKS.keys())
def test_a_notebook_gives_the_same_definitions_as_files(cells, lines):
    made = files(*cells, lines=lines)
    assert set(made) == set(CODE)
    for name, text in made.items():
        assert body(text) == body(CODE[name]), name
    assert not Path(MARK).exists()


def folder_of(at: Path, *, code: bool = True) -> Path:
    """The reference in a folder, with or without its code files."""
    shutil.copytree(REFERENCE, at)
    if not code:
        for name in CODE_FILES:
            (at / name).unlink()
    return at


def zip_of(folder: Path, inside: str = "") -> Path:
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(inside) / path.relative_to(folder))
    return file


def repository_of(at: Path) -> Path:
    """As GitHub hands it over: the files together with other things."""
    folder_of(at)
    for name in ("README.md", ".gitignore", "train.py", "conftest.py", ".github/ci.yml"):
        (at / name).parent.mkdir(exist_ok=True)
        (at / name).write_text("something else")
    (at / "hw5.ipynb").write_bytes(notebook_of("def build_cnn():\n    return None"))
    return at


def with_notebook(at: Path, *cells: str) -> Path:
    folder_of(at, code=False)
    (at / "hw5.ipynb").write_bytes(notebook_of(*cells, metadata={"kernelspec": {"name": "py"}}))
    return at


def one_deeper(at: Path) -> Path:
    folder_of(at / "hw5-main")
    (at / "README.md").write_text("See hw5-main.")
    (at / ".gitignore").write_text("data/")
    return at


def zip_in_a_folder(at: Path) -> Path:
    """As Gradescope leaves a zip that it didn't unpack."""
    file = zip_of(folder_of(at))
    (at.parent / "upload").mkdir()
    return file.rename(at.parent / "upload" / file.name).parent


def template_with_notebook(at: Path) -> Path:
    """The template's stubs as they were, the work in the notebook."""
    with_notebook(at, *WORK)
    for name in CODE_FILES:
        shutil.copyfile(TEMPLATE / name, at / name)
    return at


BELOW = "with the files in the folder"
FORMS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a folder": (folder_of, "a folder"),
    "a zip": (lambda at: zip_of(folder_of(at)), "a zip"),
    "a zip, one folder deeper": (
        lambda at: zip_of(folder_of(at), "hw5"),
        f"a zip {BELOW} hw5",
    ),
    "a zip in a folder": (zip_in_a_folder, "the zip s.zip"),
    "a repository": (repository_of, "a repository"),
    "a repository, one folder deeper": (
        one_deeper,
        f"a repository {BELOW} hw5-main",
    ),
    "a notebook": (lambda at: with_notebook(at, *WORK), "a folder"),
    "a notebook in a zip": (
        lambda at: zip_of(with_notebook(at, *WORK), "hw5"),
        f"a zip {BELOW} hw5",
    ),
    "a notebook that writes files": (lambda at: with_notebook(at, *WRITTEN), "a folder"),
    "a notebook beside untouched stubs": (template_with_notebook, "a folder"),
}


def taken(source: Path, tmp_path: Path) -> Submission:
    into = tmp_path / "taken"
    into.mkdir()
    return take(source, into)


@pytest.mark.parametrize(("make", "form"), FORMS.values(), ids=FORMS.keys())
def test_every_form_of_a_submission_is_staged_the_same(tmp_path, make, form):
    (tmp_path / "plain").mkdir()
    plain = taken(REFERENCE, tmp_path / "plain")
    submission = taken(make(tmp_path / "s"), tmp_path)
    assert submission.form == form
    assert submission.answers == plain.answers
    assert submission.artifacts == plain.artifacts
    assert set(submission.code) == set(CODE_FILES)
    for name, text in submission.code.items():
        assert body(text) == body(CODE[name]), name
        assert (submission.folder / name).read_text() == text
    assert not any("missing" in note for note in submission.notes)


GRADED = ("a folder", "a zip, one folder deeper", "a repository, one folder deeper", "a notebook")


@pytest.mark.full
def test_every_form_gets_the_same_score(grade, tmp_path):
    scores = {}
    for form in GRADED:
        run = grade(FORMS[form][0](tmp_path / form.replace(" ", "-").replace(",", "")))
        assert run.faults == {}
        assert f"Recognised as {FORMS[form][1]}." in run.results["output"]
        scores[form] = run.points()
    full = sum(part.points for part in PARTS.values())
    assert all(sum(points.values()) == full for points in scores.values()), scores
    assert len({tuple(points.items()) for points in scores.values()}) == 1, scores
    assert not Path(MARK).exists()


def test_where_a_mistake_stands_is_said_with_its_cell(grade, tmp_path):
    wrong = CODE["attention.py"].replace("k.transpose(-2, -1)", "k")
    line = 1 + wrong.split("\n").index(
        "        scores = torch.matmul(q, k) * self.scale  # (B, T, T)"
    )
    run = grade(with_notebook(tmp_path / "s", "print(1)", wrong), "--only", "3a")
    assert f"(the notebook's cell 2, line {line})" in run.text("3a.1")
    assert "attention.py was read from the notebook hw5.ipynb." in run.results["output"]


def test_what_a_rule_forbids_counts_where_the_slot_names_it_alone(grade, tmp_path):
    beside = "import os, sys\nfrom torch import nn\nother = nn.MultiheadAttention(4, 1)"
    ready = CODE["attention.py"].replace("self.softmax = nn.Softmax(dim=-1)", "nn.GELU()")
    run = grade(with_notebook(tmp_path / "right", beside, CODE["attention.py"]), "--only", "3a")
    assert run.lost() == set()
    run = grade(with_notebook(tmp_path / "wrong", beside, ready), "--only", "3a")
    line = 1 + next(place for place, text in enumerate(ready.split("\n")) if "GELU" in text)
    assert f"the notebook's cell 2, line {line}: torch.nn.GELU" in run.text("3a.2")


def test_lines_of_a_written_file_are_those_of_its_cell():
    cell = "%%writefile attention.py\nimport torch\n\nx = 1 /\n"
    made = read_notebook(notebook_of("1", cell), "hw5.ipynb").files["attention.py"]
    assert made.text.split("\n")[3] == "x = 1 /"
    spans = {"attention.py": made.spans}
    assert located("attention.py, line 4", spans) == "the notebook's cell 2, line 4"
    assert located("attention.py, line 40", spans) == "attention.py, line 40"
    assert located("attention.py: 4", spans) == "attention.py: 4"
    assert located("encoder.py, line 4", spans) == "encoder.py, line 4"


def test_files_win_over_the_notebook(tmp_path):
    source = with_notebook(tmp_path / "s", *WORK)
    own = "class SingleHeadAttention:\n    own = 1\n"
    (source / "attention.py").write_text(own)
    submission = taken(source, tmp_path)
    assert submission.code["attention.py"] == own
    assert body(submission.code["encoder.py"]) == body(CODE["encoder.py"])
    assert "encoder.py and models.py were read from the notebook hw5.ipynb." in submission.notes


def test_of_several_notebooks_the_one_with_the_work_is_read(tmp_path):
    source = folder_of(tmp_path / "s", code=False)
    (source / "a.ipynb").write_bytes(b"{")
    (source / "b.ipynb").write_bytes(notebook_of(CODE["attention.py"]))
    (source / "tries").mkdir()
    (source / "tries" / "final.ipynb").write_bytes(notebook_of(*WORK))
    submission = taken(source, tmp_path)
    assert set(submission.code) == set(CODE_FILES)
    assert any("the notebook final.ipynb" in note for note in submission.notes)
    assert "a.ipynb is not a readable notebook: save it again." in submission.notes


def test_a_notebook_alone_is_a_submission_with_the_artifacts_beside_it(tmp_path):
    answers = "%%writefile answers.yaml\n" + (REFERENCE / "answers.yaml").read_text()
    source = with_notebook(tmp_path / "s" / "hw5", *WORK, answers)
    (source / "answers.yaml").unlink()
    submission = taken(tmp_path / "s", tmp_path)
    assert set(submission.code) == set(CODE_FILES)
    assert len(submission.artifacts) == 4
    assert "parameters: 40" in (submission.answers or "")


def test_the_path_of_a_notebook_takes_that_file_alone(tmp_path):
    answers = "%%writefile answers.yaml\n" + (REFERENCE / "answers.yaml").read_text()
    source = with_notebook(tmp_path / "s", *WORK, answers)
    (source / "other.ipynb").write_bytes(notebook_of("def build_cnn():\n    return 1"))
    submission = taken(source / "hw5.ipynb", tmp_path)
    assert submission.form == "the notebook hw5.ipynb"
    assert {name: body(text) for name, text in submission.code.items()} == {
        name: body(text) for name, text in CODE.items()
    }
    assert "parameters: 40" in (submission.answers or "")
    assert submission.artifacts == {}


# What the head's cell names, the cells before it, and what attention.py must hold of them.
def test_what_a_slot_names_comes_along_and_nothing_else():
    made = head_with(
        "import os, math as m\nfrom torch import nn, Tensor",
        "SCALE = 2\nUNUSED = 3\ndef helper(x):\n    return inner(x) * SCALE",
        "def inner(x):\n    return m.sqrt(x)\ndef unused():\n    pass",
        "data = [1]; SIZE = 4; print(data)",
        "class SingleHeadAttention:\n    size = SIZE\n    def forward(self, data):\n"
        "        UNUSED = helper(data)\n        return UNUSED",
    )
    names = {"m", "SCALE", "helper", "inner", "SIZE", "SingleHeadAttention"}
    assert defined(made) - {"__builtins__"} == names


def test_the_last_definition_wins_as_in_a_run_from_top_to_bottom():
    made = files(
        "from provided.training import Training\nRATE = 1e-3\n"
        "def settings():\n    return Training(learning_rate=RATE)",
        "FULLY_CONNECTED_TRAINING = settings()\nRATE = 2e-3\nCNN_TRAINING = settings()",
        "RATE = 5.0\ndef build_cnn():\n    return 1\ndef build_cnn():\n    return 2",
    )["models.py"]
    names: dict[str, object] = {}
    exec(made, names)
    assert names["FULLY_CONNECTED_TRAINING"].learning_rate == 1e-3
    assert names["CNN_TRAINING"].learning_rate == 2e-3
    assert names["build_cnn"]() == 2
    assert "5.0" not in made
    assert "return 1" not in made


CARRIED = {
    "a method put on later": (
        (HEAD, "def forward(self):\n    return 7\nSingleHeadAttention.forward = forward"),
        "SingleHeadAttention().forward() == 7",
    ),
    "a subclass of its own name": (
        (HEAD, "class SingleHeadAttention(SingleHeadAttention):\n    more = 1"),
        "SingleHeadAttention.more == 1",
    ),
    "a decorator": (
        ("def mark(kind):\n    kind.marked = 1\n    return kind", f"@mark\n{HEAD}"),
        "SingleHeadAttention.marked == 1",
    ),
    "a choice": (
        ("SIZE = 1", "if SIZE:\n    SIZE += 1", f"{HEAD}\n    size = SIZE"),
        "SingleHeadAttention.size == 2",
    ),
    "an import that may fail": (
        (
            "try:\n    import einops_\nexcept ImportError:\n    einops_ = None",
            f"{HEAD}\n    einops = einops_",
        ),
        "SingleHeadAttention.einops is None",
    ),
    "a star import": (
        ("from math import *", f"{HEAD}\n    size = sqrt(4)"),
        "SingleHeadAttention.size == 2",
    ),
    "annotations of the future": (
        (
            "X = 1",
            "from __future__ import annotations",
            "class SingleHeadAttention:\n"
            "    def same(self) -> SingleHeadAttention:\n        return X",
        ),
        "SingleHeadAttention().same() == 1",
    ),
    "unpacked constants": (
        ("A, (B, *C) = 1, (2, 3)", f"{HEAD}\n    size = A + B + C[0]"),
        "SingleHeadAttention.size == 6",
    ),
    "several on a line": (
        ("import math; A = 1; print(A); B = math.floor(2.5)", f"{HEAD}\n    size = A + B"),
        "SingleHeadAttention.size == 3",
    ),
    "indented magics": (
        (f"{HEAD}\n    def f(self):\n        !ls \\\n          -l\n        return 3",),
        "SingleHeadAttention().f() == 3",
    ),
    "help": ((f"?print\nprint?\n{HEAD}\nSingleHeadAttention??",), "SingleHeadAttention"),
    "strings that look like magics": (
        (f"TEXT = '''\n%%bash\n!ls\n'''\n{HEAD}\n    text = TEXT",),
        "'!ls' in SingleHeadAttention.text",
    ),
    "characters that end lines elsewhere": (
        (f"A = 'x\u2028\\x0c'\n{HEAD}\n    a = A",),
        "SingleHeadAttention.a == 'x\u2028\\x0c'",
    ),
}


@pytest.mark.parametrize(("cells", "holds"), CARRIED.values(), ids=CARRIED.keys())
def test_definitions_keep_their_meaning(cells, holds):
    names: dict[str, object] = {}
    exec(head_with(*cells), names)
    assert eval(holds, names)


def test_the_layer_imports_the_head_that_stands_in_another_file():
    made = files(HEAD, "class ViTLayer:\n    head = SingleHeadAttention")["encoder.py"]
    assert "from attention import SingleHeadAttention" in made
    assert HEAD not in made


def test_a_file_never_imports_from_itself():
    made = files(HEAD, "from attention import SingleHeadAttention\nimport attention")
    assert "import" not in made["attention.py"]
    assert files("from encoder import ViTLayer\nfrom models import *") == {}


LEFT_OUT = {
    "calls": "open({mark!r}, 'w')",
    "loops": "while True:\n    X = 1",
    "with": "with open({mark!r}, 'w') as X:\n    Y = 1",
    "an unneeded assignment": "X = open({mark!r}, 'w')",
    "another program": "%%bash\ntouch {mark}",
    "a command": "!touch {mark}",
    "main": "if __name__ == '__main__':\n    open({mark!r}, 'w')",
}


@pytest.mark.parametrize("cell", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_what_defines_nothing_that_a_slot_names_is_left_out(cell):
    assert head_with(cell.format(mark=MARK), HEAD) == f"{HEADER}\n# cell 2\n{HEAD}\n"
    assert not Path(MARK).exists()


def test_a_cell_that_is_no_python_is_left_out_and_named():
    cells = ("x = 1", "def broken(:\n    pass", HEAD)
    assert notes(*cells) == [
        "Cell 2 of hw5.ipynb (def broken(:) is not valid Python and was ignored: invalid syntax, "
        "line 1."
    ]
    assert set(files(*cells)) == {"attention.py"}
    many = notes(*["1 +"] * 10)
    assert len(many) == notebook.MAX_NOTES + 1
    assert many[-1] == "7 more cells of hw5.ipynb are not valid Python."


# Sources that are no code, or made to break a parser; none may stop the reading.
HURTFUL = {
    "nested brackets": "(" * 50_000,
    "nested signs": "x = " + "-" * 100_000 + "1",
    "nested operators": "x = " + "1 + " * 50_000 + "1",
    "many elifs": "if 1:\n    X = 1\n" + "elif 2:\n    X = 1\n" * 5_000,
    "many calls": "x = f" + "()" * 50_000,
    "zero bytes": "x = '\0'",
    "half a character": "x = '\ud800'",
    "a huge number": "x = " + "9" * 100_000,
    "wrong indentation": "if 1:\n\tx = 1\n        y = 2",
    "return outside of a function": "return 1",
}


@pytest.mark.parametrize("source", HURTFUL.values(), ids=HURTFUL.keys())
def test_a_hurtful_cell_costs_itself_alone(source):
    started = time.process_time()
    assert "attention.py" in files(source, HEAD)
    assert time.process_time() - started < 5


NO_NOTEBOOKS = {
    "not JSON": (b"print(1)", "not a readable notebook"),
    "nothing": (b"", "not a readable notebook"),
    "cut off": (notebook_of(HEAD)[:-5], "not a readable notebook"),
    "no text": (b"\xff\xfe\x00", "not a readable notebook"),
    "nested 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, "not a readable notebook"),
    "dictionaries nested deep": (b'{"cells":' * 100_000, "not a readable notebook"),
    "a list": (b"[]", "contains no cells"),
    "a word": (b'"cells"', "contains no cells"),
    "cells that are no list": (b'{"cells": {"a": 1}}', "contains no cells"),
    "too many parts": (b"[" + b"[]," * 1_500_000 + b"[]]", "too large to read"),
    "too many cells": (notebook_of(*["1"] * 2_001), "more than 2,000 cells"),
    "too much code": (notebook_of("#" * 400_001), "400,000 characters of code"),
    "too many definitions": (notebook_of("a=1\n" * 5_000 + HEAD), "too many definitions"),
}


@pytest.mark.parametrize(("content", "said"), NO_NOTEBOOKS.values(), ids=NO_NOTEBOOKS.keys())
def test_what_is_no_notebook_gets_a_sentence(tmp_path, content, said):
    with pytest.raises(NotebookError, match=said):
        read_notebook(content, "hw5.ipynb")
    source = folder_of(tmp_path / "s", code=False)
    (source / "hw5.ipynb").write_bytes(content)
    submission = taken(source, tmp_path)
    assert submission.code == {}
    assert any(said in note for note in submission.notes)


def test_cells_of_the_wrong_kind_are_passed_over():
    odd: list[object] = [
        1,
        None,
        [],
        "code",
        {},
        {"cell_type": "code"},
        {"cell_type": "code", "source": 7},
        {"cell_type": "code", "source": ["a", 1]},
        {"cell_type": ["code"], "source": HEAD},
        {"cell_type": "markdown", "source": "class ViTLayer: pass"},
        {"cell_type": "code", "source": HEAD},
    ]
    made = read_notebook(json.dumps({"cells": odd}).encode(), "hw5.ipynb")
    assert {name: extract.spans[0].cell for name, extract in made.files.items()} == {
        "attention.py": len(odd)
    }


def test_numbers_without_end_cost_no_time():
    started = time.process_time()
    content = notebook_of(HEAD)[:-1] + b', "n": ' + b"9" * 5_000_000 + b"}"
    assert set(read_notebook(content, "hw5.ipynb").files) == {"attention.py"}
    assert time.process_time() - started < 3


def test_names_that_lead_everywhere_are_given_up():
    everything = ", ".join(f"g{n}" for n in range(3_000))
    each = "\n".join(f"g{n} = f()" for n in range(3_000))
    entangled = f"def f():\n    return {everything}\n{each}\n{HEAD}\n    x = g2999"
    with pytest.raises(NotebookError, match="too many definitions"):
        read_notebook(notebook_of(entangled), "hw5.ipynb")


@pytest.mark.parametrize("pack", [lambda at: at, zip_of], ids=["folder", "zip"])
def test_a_notebook_over_the_limit_is_not_read(tmp_path, pack):
    source = folder_of(tmp_path / "s", code=False)
    big = notebook_of(HEAD, metadata={"picture": "A" * (notebook.MAX_BYTES + 1)})
    (source / "hw5.ipynb").write_bytes(big)
    submission = taken(pack(source), tmp_path)
    assert submission.code == {}
    assert "hw5.ipynb is larger than 20 MB: ignored." in submission.notes


def test_a_notebook_with_megabytes_of_pictures_is_read(tmp_path):
    source = folder_of(tmp_path / "s", code=False)
    (source / "hw5.ipynb").write_bytes(notebook_of(*WORK, metadata={"png": "A" * (15 << 20)}))
    assert set(taken(source, tmp_path).code) == set(CODE_FILES)


def test_a_linked_notebook_is_not_read(tmp_path):
    source = folder_of(tmp_path / "s", code=False)
    elsewhere = tmp_path / "elsewhere.ipynb"
    elsewhere.write_bytes(notebook_of(*WORK))
    (source / "hw5.ipynb").symlink_to(elsewhere)
    assert taken(source, tmp_path).code == {}


def test_a_file_that_would_be_too_long_is_not_taken(tmp_path):
    long = "%%writefile attention.py\n" + "#" * 250_000
    submission = taken(with_notebook(tmp_path / "s", long), tmp_path)
    assert submission.code == {}
    assert "attention.py from the notebook would be too long: ignored." in submission.notes


def test_the_templates_own_notebook_defines_no_slot(tmp_path):
    assert read_notebook((TEMPLATE / "hw5.ipynb").read_bytes(), "hw5.ipynb").files == {}
    submission = taken(TEMPLATE, tmp_path)
    assert submission.code == {name: (TEMPLATE / name).read_text() for name in CODE_FILES}


@pytest.mark.parametrize("name", CODE_FILES)
def test_a_file_counts_as_untouched_only_while_all_its_slots_are_stubs(name):
    stub = (TEMPLATE / name).read_text()
    assert notebook.is_untouched(stub)
    assert not notebook.is_untouched(CODE[name])
    assert not notebook.is_untouched(stub.replace("raise NotImplementedError", "return 1", 1))
    assert not notebook.is_untouched("")
    assert not notebook.is_untouched("def (")
