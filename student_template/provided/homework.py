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


SECTIONS = frozenset(  # of homework.yaml
    [
        "conv1d",
        "conv2d",
        "pooling",
        "training",
        "fully_connected",
        "cnn",
        "head",
        "transformer",
        "writeup",
    ]
)


class UnreadableValues(Exception):
    """homework.yaml is missing or damaged; says where, and what to do."""


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


@dataclass(frozen=True)
class Part:
    """A part of the homework: what it is worth, and the files that decide on it.

    points:  by the autograder; a part without any is read by a person alone
    by_hand: by a person
    """

    files: tuple[str, ...]
    points: float = 0
    by_hand: float = 0


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
MAX_RUN_BYTES = 100_000  # a network of 500 layers fills half of it
ARTIFACTS_FOLDER = "artifacts"
HISTORY = "history.csv"
RUN = "run.yaml"
WEIGHTS = f"{TRANSFORMER}/weights.safetensors"
ARTIFACTS = {  # name in the artifacts folder -> most bytes
    **{
        f"{kind}/{HISTORY}": MAX_HISTORY_BYTES
        for kind in (FULLY_CONNECTED.kind, CNN.kind, TRANSFORMER)
    },
    WEIGHTS: 16 << 20,
    **{f"{kind}/{RUN}": MAX_RUN_BYTES for kind in (FULLY_CONNECTED.kind, CNN.kind, TRANSFORMER)},
}
SUBMITTED = {  # every file of a submission -> most bytes
    **dict.fromkeys((*CODE_FILES, ANSWERS_FILE), MAX_TEXT_BYTES),
    **{f"{ARTIFACTS_FOLDER}/{name}": most for name, most in ARTIFACTS.items()},
}
OPTIONAL = frozenset(
    name for name in SUBMITTED if name.endswith(RUN)
)  # their absence costs nothing
TRANSFORMER_FILES = (
    HEAD.file,
    LAYER.file,
    f"{ARTIFACTS_FOLDER}/{TRANSFORMER}/{HISTORY}",
    f"{ARTIFACTS_FOLDER}/{WEIGHTS}",
)
PARTS = {
    "1a": Part(points=2, files=(ANSWERS_FILE,)),
    "1b": Part(points=2, files=(ANSWERS_FILE,)),
    "1c": Part(points=2, files=(ANSWERS_FILE,)),
    "1d": Part(by_hand=2, files=(ANSWERS_FILE,)),
    "2a": Part(points=2, files=(ANSWERS_FILE,)),
    "2b": Part(
        points=7,
        by_hand=1,
        files=(FULLY_CONNECTED.file, f"{ARTIFACTS_FOLDER}/{FULLY_CONNECTED.kind}/{HISTORY}"),
    ),
    "2c": Part(points=11, by_hand=3, files=(CNN.file, f"{ARTIFACTS_FOLDER}/{CNN.kind}/{HISTORY}")),
    "3a": Part(points=8, files=(HEAD.file,)),
    "3b": Part(points=6, files=(HEAD.file, LAYER.file)),
    "3c": Part(points=8, files=TRANSFORMER_FILES),
}


@cache
def values() -> dict[str, Any]:
    """The numbers of homework.yaml, by section. Raises UnreadableValues."""
    import yaml  # not needed where only names are asked for

    try:
        content = yaml.safe_load(VALUES_FILE.read_text(encoding="utf-8"))
        missing = SECTIONS - content.keys() if isinstance(content, dict) else SECTIONS
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        why = getattr(problem, "problem", None) or getattr(problem, "strerror", None)
        why = why or str(problem).partition("\n")[0]
        raise UnreadableValues(
            f"provided/{VALUES_FILE.name}{where} can't be read: {why}. It is given: take it anew "
            "from student_template.zip."
        ) from None
    return content
