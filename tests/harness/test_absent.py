"""Imports of packages that the grader hasn't are harmless; using one is told in a sentence."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from autograder.confined.absent import AbsentFinder, importing
from provided.packages import ABSENT, PRESENT, lost_imports, notes_on_imports

HABITS = """
import pandas as pd
import seaborn as sns
import torchvision.transforms.v2 as T
from einops import rearrange
from google.colab import drive
from torchvision import datasets, transforms
from torchvision.models import *

sns.set_theme(style="white")
drive.mount("/content/drive")
transform = transforms.Compose([transforms.ToTensor(), T.Normalize((0.5,), (0.5,))])
pd.options.display.width = 80


class Digits(datasets.MNIST):
    size = 28


def use():
    return rearrange(1, "a -> a")


def late():
    from cv2 import resize

    return resize(1)
"""


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Imports a text as a file of a submission."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, AbsentFinder(tmp_path, ABSENT)])
    monkeypatch.syspath_prepend(tmp_path)

    def load(text: str, name: str = "habits_of_a_student"):
        (tmp_path / f"{name}.py").write_text(text)
        with importing():
            return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - known:
        del sys.modules[name]


def without(monkeypatch, *packages: str) -> None:
    """Let packages be absent that happen to be installed here."""
    for name in [one for one in sys.modules if one.partition(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    find = importlib.machinery.PathFinder.find_spec
    monkeypatch.setattr(
        importlib.machinery.PathFinder,
        "find_spec",
        lambda name, *rest: None if name.partition(".")[0] in packages else find(name, *rest),
    )


def test_a_file_full_of_habits_is_imported(imported, monkeypatch):
    without(monkeypatch, "pandas", "seaborn", "torchvision", "einops", "google", "cv2")
    module = imported(HABITS)
    assert module.Digits.size == 28


@pytest.mark.parametrize(("name", "thing"), [("use", "einops.rearrange"), ("late", "cv2.resize")])
def test_whoever_uses_what_is_absent_is_told_so(imported, monkeypatch, name, thing):
    without(monkeypatch, "pandas", "seaborn", "torchvision", "einops", "google", "cv2")
    module = imported(HABITS)
    package = thing.partition(".")[0]
    with pytest.raises(ModuleNotFoundError) as told:
        getattr(module, name)()
    assert str(told.value) == f"{thing} can't be used here: the grader hasn't got {package}"


def test_any_other_package_is_missing_as_ever(imported):
    with pytest.raises(ModuleNotFoundError, match="nothing_of_the_kind"):
        imported("import nothing_of_the_kind")


def test_what_is_installed_is_the_real_one(imported):
    module = imported("import numpy\nimport torch")
    assert module.numpy.__file__
    assert not ABSENT & PRESENT


def test_others_than_the_submission_find_nothing(imported, monkeypatch):
    without(monkeypatch, "einops")
    assert Path(__file__).parent != Path(imported("x = 1").__file__).parent
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("einops")


def test_check_py_tells_what_the_grader_lacks():
    source = (
        "import math, os.path\nimport torch.nn as nn\nimport numpy as np\nimport helpers\n"
        "from provided.training import Training\nimport attention\n"
        "try:\n    import not_needed\nexcept ImportError:\n    pass\n"
        "def build():\n    import pandas.plotting\n    from my_own_package import thing\n"
        "if __name__ == '__main__':\n    import torchvision, tried_out\n"
    )
    beside = {"models", "attention", "helpers", "check"}
    notes = notes_on_imports("models.py", source, beside)
    assert [note.split(",")[0] for note in notes] == [
        "models.py imports pandas",
        "models.py imports torchvision",
    ]
    assert "does no harm" in notes[0]
    assert lost_imports("models.py", source, beside) == [
        "models.py imports helpers, a file that isn't submitted: move what you need of it into "
        "models.py.",
        "models.py imports my_own_package, which the grader hasn't got: it can't be graded so.",
    ]
    assert notes_on_imports("models.py", "import pandas as", beside) == []
    assert lost_imports("models.py", "import pandas as", beside) == []
