"""The homework in code: its parts, your files and what each must define.

Its numbers (sizes, limits, goals) are in homework.yaml beside this file.
Everything that lists files, slots or goals reads them from here: check.py, train.py, and
the grader in a copy of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

VALUES_FILE = Path(__file__).with_name("homework.yaml")


@dataclass(frozen=True)
class Slot:
    """A class that one of your files defines; `names` are those that will do, the usual first."""

    file: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The usual name."""
        return self.names[0]

    @property
    def module(self) -> str:
        """The file as Python imports it."""
        return self.file.removesuffix(".py")


@dataclass(frozen=True)
class Network:
    """A network of question 2: who builds it, how it is trained, and its artifacts' folder."""

    kind: str
    file: str
    builder: str
    settings: str


HEAD = Slot("attention.py", ("SingleHeadAttention",))
LAYER = Slot("encoder.py", ("ViTLayer", "TransformerEncoderLayer"))
FULLY_CONNECTED = Network("fc", "models.py", "build_fully_connected", "FULLY_CONNECTED_TRAINING")
CNN = Network("cnn", "models.py", "build_cnn", "CNN_TRAINING")
TRANSFORMER = "vit"

SLOTS = {  # file -> names that it defines; of a tuple any one will do
    FULLY_CONNECTED.file: tuple(
        (name,)
        for network in (FULLY_CONNECTED, CNN)
        for name in (network.builder, network.settings)
    ),
    HEAD.file: (HEAD.names,),
    LAYER.file: (LAYER.names,),
}
CODE_FILES = tuple(SLOTS)
ANSWERS_FILE = "answers.yaml"
MAX_TEXT_BYTES = 200_000  # of a code file or the answers
MAX_HISTORY_BYTES = 100_000
ARTIFACTS_FOLDER = "artifacts"
HISTORY = "history.csv"
WEIGHTS = f"{TRANSFORMER}/weights.safetensors"
ARTIFACTS = {  # name in the artifacts folder -> most bytes
    **{
        f"{kind}/{HISTORY}": MAX_HISTORY_BYTES
        for kind in (FULLY_CONNECTED.kind, CNN.kind, TRANSFORMER)
    },
    WEIGHTS: 16 << 20,
}
SUBMITTED = {  # every file of a submission -> most bytes
    **dict.fromkeys((*CODE_FILES, ANSWERS_FILE), MAX_TEXT_BYTES),
    **{f"{ARTIFACTS_FOLDER}/{name}": most for name, most in ARTIFACTS.items()},
}
PARTS = {  # part -> the files that decide on it
    "1a": (ANSWERS_FILE,),
    "1b": (ANSWERS_FILE,),
    "1c": (ANSWERS_FILE,),
    "1d": (ANSWERS_FILE,),
    "2a": (ANSWERS_FILE,),
    "2b": (FULLY_CONNECTED.file, f"{ARTIFACTS_FOLDER}/{FULLY_CONNECTED.kind}/{HISTORY}"),
    "2c": (CNN.file, f"{ARTIFACTS_FOLDER}/{CNN.kind}/{HISTORY}"),
    "3a": (HEAD.file,),
    "3b": (HEAD.file, LAYER.file),
    "3c": (
        HEAD.file,
        LAYER.file,
        f"{ARTIFACTS_FOLDER}/{TRANSFORMER}/{HISTORY}",
        f"{ARTIFACTS_FOLDER}/{WEIGHTS}",
    ),
}
READ_BY_A_PERSON = ("1d",)  # parts without a line of the autograder's


@cache
def values() -> dict[str, Any]:
    """The numbers of homework.yaml, by section."""
    import yaml  # not needed where only names are asked for

    content = yaml.safe_load(VALUES_FILE.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content
