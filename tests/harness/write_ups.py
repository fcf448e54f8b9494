"""A student's folder with everything that a write-up needs, without a training."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from PIL import Image

from provided.writeup import prose
from provided.writeup.questions import questions

from .student_copy import solved

ACCURACY = {"fc": 0.97531, "cnn": 0.98642, "vit": 0.97753}
COLORS = {"fc": "navy", "cnn": "olive", "vit": "teal"}
SETTINGS = {"optimizer": "adam", "learning_rate": 0.003, "schedule": "one_cycle", "batch_size": 32}
NETWORKS = {
    "fc": [
        "Sequential(",
        "  (0): Flatten(start_dim=1, end_dim=-1)",
        "  (1): Linear(in_features=784, out_features=200, bias=True)",
        "  (2): ReLU()",
        "  (3): Dropout(p=0.3, inplace=False)",
        "  (4): Linear(in_features=200, out_features=10, bias=True)",
        ")",
    ],
    "vit": ["VisionTransformer(", ")"],
}


@dataclass(frozen=True)
class Written:
    """A folder, and the words that stand on the pages of each part and nowhere else."""

    folder: Path
    words: dict[str, str]


def written(folder: Path) -> Written:
    """The reference with runs and pictures made up, and words below every heading."""
    solved(folder)
    for kind, accuracy in ACCURACY.items():
        make_run(folder, kind, test_accuracy=accuracy)
    asked = questions()
    prose.create(folder, asked)
    add(folder, "collaborators", "I worked with Zoë on question 1.")
    add(folder, "honour", " Ada Lovelace")
    words = {question.part: f"unmistakable{question.part}" for question in asked}
    for question in asked:
        file = prose.path_of(folder, question.part)
        hints = [f"<!-- {heading.hint} -->" for heading in question.headings]
        text = file.read_text(encoding="utf-8")
        for hint in hints:
            text = text.replace(hint, words[question.part])
        file.write_text(text if hints else f"{text}{words[question.part]}\n", encoding="utf-8")
    return Written(folder, words)


def make_run(folder: Path, kind: str, **others: object) -> None:
    """What a full training leaves in artifacts/, its pictures in one color each."""
    place = folder / "artifacts" / kind
    place.mkdir(parents=True, exist_ok=True)
    content = {
        "model": kind,
        "seed": 0,
        "images": 48000,
        **SETTINGS,
        "epochs": 10,
        "epochs_done": 10,
        "parameters": 159010,
        "architecture": NETWORKS.get(kind, ["Sequential(", ")"]),
        **others,
    }
    (place / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    Image.new("RGB", (360, 260), COLORS[kind]).save(place / "loss.png")
    if kind == "vit":
        Image.new("RGB", (360, 200), "purple").save(place / "attention.png")


def add(folder: Path, section: str, words: str) -> None:
    """Go on with the file of a section."""
    file = prose.path_of(folder, section)
    text = file.read_text(encoding="utf-8").rstrip("\n")
    file.write_text(f"{text}{words}\n" if words[0] == " " else f"{text}\n\n{words}\n", "utf-8")


def is_newer(file: Path) -> None:
    """Let a file have been changed after all that is here."""
    later = time.time() + 60
    os.utime(file, (later, later))
