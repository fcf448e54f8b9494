"""Files behind a slot, what in them a person should look at, and the text that is run."""

from __future__ import annotations

import json
import py_compile
import sys
from pathlib import Path

import pytest

from autograder.confined.worker import SubmissionFinder
from autograder.hw5.probes.source_doubts import doubts
from autograder.hw5.probes.source_modules import files_behind, search_head, search_layer
from autograder.intake.submission import take
from provided.decoding import decoded

from .conftest import REFERENCE, ROOT

SOLUTIONS = ROOT / "solutions"

HEAD = (REFERENCE / "attention.py").read_text()
LAYER = (REFERENCE / "encoder.py").read_text()
MODELS = (REFERENCE / "models.py").read_text()
MIX = "import torch.nn.functional as F\ndef mix(*given):\n    return F.{}(*given)\n"
BUILT_IN = MIX.format("scaled_dot_product_attention")


def code(head: str = HEAD, layer: str = LAYER, models: str = MODELS) -> dict[str, str]:
    return {"attention.py": head, "encoder.py": layer, "models.py": models}


IMPORTS = [
    "from models import mix\n",
    "import models\n",
    "from models import *\n",
    "def later():\n    import models as other\n    return other\n",
    "if True:\n    from models import mix as other\n",
]


@pytest.mark.parametrize("imports", IMPORTS)
def test_a_file_that_a_slot_imports_may_not_bring_ready_made_attention(imports):
    found = search_head(code(head=imports + HEAD, models=MODELS + BUILT_IN)).violations
    assert {one.file for one in found} == {"models.py"}
    found = search_layer(code(layer=imports + LAYER, models=MODELS + BUILT_IN)).violations
    assert {one.file for one in found} == {"models.py"}


@pytest.mark.parametrize("imports", IMPORTS)
def test_a_file_that_a_slot_imports_may_use_what_its_own_question_needs(imports):
    models = MODELS + MIX.format("gelu")
    assert "Conv2d" in models
    assert search_head(code(head=imports + HEAD, models=models)).violations == []
    assert search_layer(code(layer=imports + LAYER, models=models)).violations == []


def test_a_file_that_nothing_imports_counts_for_no_slot_but_its_own():
    whole = code(models=MODELS + BUILT_IN)
    assert search_head(whole).violations == search_layer(whole).violations == []


def test_imports_are_followed_through_other_files():
    whole = code(head="from encoder import a\n", layer="from models import b\n", models=BUILT_IN)
    assert files_behind("attention.py", whole) == ["attention.py", "encoder.py", "models.py"]
    assert [one.file for one in search_head(whole).violations] == ["models.py"]


def test_what_the_head_brings_along_is_paid_for_with_the_head_alone():
    whole = code(head=HEAD + BUILT_IN, layer="from attention import mix\n" + LAYER)
    assert search_head(whole).violations != []
    assert search_layer(whole).violations == []


def test_a_file_that_is_not_there_has_nothing_against_it():
    assert search_head({}).violations == search_layer({}).violations == []


DOUBTFUL = {
    "a function's globals": "f = g.__globals__['torch']",
    "a base's subclasses": "object.__subclasses__()",
    "a frame": "h = e.tb_frame",
    "a name made at run time": "getattr(thing, 'a' + 'b')",
    "a thread": "import _thread",
    "a thread of a pool": "from concurrent.futures import ThreadPoolExecutor",
    "another module's modules": "import typing\ntyping.sys.modules",
    "a module by way of another": "from typing import sys",
    "what torch keeps for itself": "import torch\ntorch._C",
    "a module that torch keeps for itself": "from torch.overrides import TorchFunctionMode",
    "compiled by torch": "import torch\nf = torch.compile(f)",
    "text out of bytes": "import base64",
    "another name for the module": "__name__ = '__main__'",
    "a file": "open('attention.py')",
    "code by a name that is written out": "getattr(f, '__code__')",
    "code by a name in a text": "'{0.__globals__}'.format(f)",
    "code by a pattern": "match f:\n case object(__code__=c): pass",
    "code under another name": "look = getattr",
    "what torch keeps for itself, under another name": "import torch as t\nt._C",
    "what torch keeps for itself, by an alias": "from torch import jit\njit.script(f)",
    "what a module of torch has imported": "from torch.nn import functional as F\nF.importlib",
    "torch by way of another module": "from torch import nn\nnn.functional.torch",
    "torch by way of one's own": "import provided.multi_head as m\nm.torch",
    "the builtins": "__builtins__['exec']",
}


@pytest.mark.parametrize("source", DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_what_a_hidden_program_needs_is_named_with_its_line(source):
    found = doubts("\n" + source, "attention.py")
    assert max(one.line for one in found) == source.count("\n") + 2


PLAIN = {
    "its own attribute by a name": "for i in range(3): getattr(self, f'query_{i}')",
    "an attribute by a plain name": "getattr(x, 'shape')",
    "usual dunders": "super().__init__()\nprint(type(self).__name__, __name__)",
    "the main block": "if __name__ == '__main__':\n    import sys, argparse\n    open('x')\n",
    "usual imports": "import math, torch\nfrom torch.nn import functional as F\nimport einops",
    "own files": "import models\nfrom provided.multi_head import Attention",
    "a text": "'''softmax(Q K^T) of f_Q; see __init__ and self.code'''",
    "its own private parts": "self._torch = 1\nself._scale = self._code(x)",
    "a signal": "import torch\ntorch.signal.windows.hann(3)",
    "unreadable": "class A(:",
}


@pytest.mark.parametrize("source", PLAIN.values(), ids=PLAIN.keys())
def test_plain_work_gives_a_person_nothing_to_look_at(source):
    assert doubts(source, "attention.py") == ()


def test_no_correct_solution_gives_a_person_anything_to_look_at():
    folders = [REFERENCE, *sorted((SOLUTIONS / "alternatives").iterdir())]
    assert len(folders) > 40
    for folder in folders:
        own = {name: text for name in code() if (text := text_of(folder / name)) is not None}
        whole = code() | own
        for searched in (search_head(whole), search_layer(whole)):
            assert searched.violations == searched.doubts == [], folder.name


def text_of(file: Path) -> str | None:
    return file.read_text() if file.is_file() else None


def test_what_a_rule_names_already_is_not_named_again():
    searched = search_head(code(head="import torch\nf = torch.ops.aten\n" + HEAD))
    assert [one.line for one in searched.violations] == [2]
    assert searched.doubts == []


# bytes of a file, the text that they stand for, whether the student is told something
ENCODED = {
    "plain": (b"x = 1\n", "x = 1\n", False),
    "UTF-8": ("# coding: utf-8\nx = 'é'\n".encode(), "# coding: utf-8\nx = 'é'\n", False),
    "a byte order mark": (b"\xef\xbb\xbfx = 1\n", "x = 1\n", False),
    "latin-1": (
        "# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"),
        "# -*- coding: utf-8 -*-\nx = 'é'\n",
        False,
    ),
    "in the second line": (
        "#!python\n# vim: set fileencoding=cp1251 :\nx = 'ж'".encode("cp1251"),
        "#!python\n# vim: set fileencoding=utf-8 :\nx = 'ж'",
        False,
    ),
    "in the third line, where it says nothing": (
        b"\n\n# coding: utf-7\n",
        "\n\n# coding: utf-7\n",
        False,
    ),
    "gbk": ("# coding: gbk\nx = '注'\n".encode("gbk"), "# coding: utf-8\nx = '注'\n", False),
    "latin-1, unsaid": (b"# \xe9\nx = 1\n", "# �\nx = 1\n", True),
    "utf-7": (b"# coding: utf-7\n#+AAo-y\n", "# coding: utf-8\n#+AAo-y\n", True),
    "utf-7 and no end of line": (b"# coding: utf-7 +AAo-y", "# coding: utf-8 +AAo-y", True),
    "utf-7, with old line ends": (
        b"\r# coding: utf-7\r#+AAo-y",
        "\r# coding: utf-8\r#+AAo-y",
        True,
    ),
    "unicode_escape": (b"# coding=unicode_escape\n#\\ny\n", "# coding=utf-8\n#\\ny\n", True),
    "rot13": (b"# coding: rot13\ncevag\n", "# coding: utf-8\ncevag\n", True),
    "one that doesn't exist": (b"# coding: nothing\n", "# coding: utf-8\n", True),
    "UTF-16": ("# é\r\nx = 1\n".encode("utf-16"), "# é\r\nx = 1\n", True),
    "UTF-16, big end first": (b"\xfe\xff" + "é".encode("utf-16-be"), "é", True),
    "UTF-16, cut short": ("x = 1".encode("utf-16") + b"y", "x = 1�", True),
    "UTF-16 that names utf-7": (
        "# coding: utf-7\n#+AAo-y\n".encode("utf-16"),
        "# coding: utf-8\n#+AAo-y\n",
        True,
    ),
    "UTF-32": ("x = 1\n".encode("utf-32"), "x = 1\n", True),
}


@pytest.mark.parametrize("case", ENCODED.values(), ids=ENCODED.keys())
def test_a_file_is_read_in_encodings_that_people_write_in(case):
    content, text, told = case
    notes: list[str] = []
    assert decoded(content, "attention.py", notes) == text
    assert bool(notes) == told
    assert all(note.startswith("attention.py ") for note in notes)


@pytest.mark.parametrize("case", ENCODED.values(), ids=ENCODED.keys())
def test_the_worker_is_given_the_text_that_the_rules_read(case, tmp_path):
    (tmp_path / "handed-in").mkdir()
    (tmp_path / "handed-in" / "attention.py").write_bytes(case[0])
    submission = take(tmp_path / "handed-in", tmp_path / "taken")
    text = submission.code["attention.py"]
    assert (submission.folder / "attention.py").read_bytes() == text.encode()


NO_TEXT = {
    "a zero byte": b"x = 1\n\0",
    "UTF-16 without its mark": "x = 1\n".encode("utf-16-le"),
    "a zero in UTF-16": "x = '\0'".encode("utf-16"),
    "a program": b"\x7fELF\x02\x01\x01\0\xff\xfe",
}


@pytest.mark.parametrize("content", NO_TEXT.values(), ids=NO_TEXT.keys())
def test_what_is_no_text_is_refused_with_a_sentence_of_its_own(content, tmp_path):
    (tmp_path / "handed-in").mkdir()
    for name in ("attention.py", "answers.yaml"):
        (tmp_path / "handed-in" / name).write_bytes(content)
    submission = take(tmp_path / "handed-in", tmp_path / "taken")
    assert submission.code == {}
    assert submission.answers is None
    assert not (submission.folder / "attention.py").exists()
    for name in ("attention.py", "answers.yaml"):
        (said,) = [note for note in submission.notes if note.startswith(name)]
        assert said.startswith(f"{name} is not a text file, as it has zero bytes: ignored.")


def test_a_notebook_stands_in_for_a_file_that_is_no_text(tmp_path):
    (tmp_path / "handed-in").mkdir()
    (tmp_path / "handed-in" / "attention.py").write_bytes(b"\0")
    cell = {"cell_type": "code", "source": "class SingleHeadAttention: pass"}
    (tmp_path / "handed-in" / "mine.ipynb").write_text(json.dumps({"cells": [cell]}))
    submission = take(tmp_path / "handed-in", tmp_path / "taken")
    assert "class SingleHeadAttention" in submission.code["attention.py"]


@pytest.fixture
def run(tmp_path):
    """Import a module from a file's bytes as a worker does."""

    def loaded(content: bytes):
        (tmp_path / "attention.py").write_bytes(content)
        spec = SubmissionFinder(tmp_path, {"attention"}).find_spec("attention")
        assert spec is not None
        namespace: dict = {"__name__": "attention"}
        exec(spec.loader.get_code("attention"), namespace)
        return namespace, spec

    return loaded


def test_the_worker_runs_the_text_whatever_encoding_it_names(run):
    namespace, _ = run(b"# coding: utf-7\nx = 1\n#+AAo-x = 2\n")
    assert namespace["x"] == 1
    namespace, _ = run(b"# coding: unicode_escape\nx = 1\n#\\nx = 2\n")
    assert namespace["x"] == 1


def test_a_traceback_quotes_the_line_that_was_run(run):
    _, spec = run("# coding: utf-7\nx = 'é'\n".encode())
    assert spec.loader.get_source("attention").splitlines()[1] == "x = 'é'"


def test_compiled_code_beside_a_file_is_not_run(run, tmp_path):
    (tmp_path / "attention.py").write_text("x = 2\n")
    py_compile.compile(
        str(tmp_path / "attention.py"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    assert list((tmp_path / "__pycache__").iterdir()) != []
    namespace, _ = run(b"x = 1\n")
    assert namespace["x"] == 1
    assert "attention" not in sys.modules


def test_only_files_of_known_names_reach_the_worker(tmp_path):
    handed_in = tmp_path / "handed-in"
    for name in (
        "attention.py",
        "attention/__init__.py",
        "__pycache__/attention.cpython-311.pyc",
        "attention.cpython-311-x86_64-linux-gnu.so",
        "attention.pyd",
        "attention.pth",
        "provided/multi_head.py",
        "torch.py",
    ):
        (handed_in / name).parent.mkdir(parents=True, exist_ok=True)
        (handed_in / name).write_text("x = 1\n")
    folder = take(handed_in, tmp_path / "taken").folder
    assert {file.name for file in folder.iterdir()} == {"attention.py", "provided"}
    assert (folder / "provided" / "multi_head.py").read_text() != "x = 1\n"
