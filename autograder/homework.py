"""The homework as every room of the grader knows it: parts, files, slots, artifacts.

They are declared once, in the given code that students get too
(student_template/provided/homework.py), of which the grader has a copy of its own. What the
grader adds is here. General rooms know the homework by this module alone.
"""

from __future__ import annotations

from pathlib import Path

from autograder import HOMEWORK
from provided import homework as given
from provided.homework import (
    ANSWERS_FILE,
    ARTIFACTS,
    ARTIFACTS_FOLDER,
    CODE_FILES,
    HEAD,
    LAYER,
    PARTS,
    SLOTS,
    SUBMITTED,
    VALUES_FILE,
    WEIGHTS,
)

__all__ = [
    "ANSWERS_FILE",
    "ARTIFACTS",
    "ARTIFACTS_FOLDER",
    "CODE_FILES",
    "GIVEN_CODE",
    "GRADED_PARTS",
    "HEAD",
    "LAYER",
    "PARTS",
    "SLOTS",
    "STUDENT_MODULES",
    "SUBMITTED",
    "SUITES",
    "VALUES_FILE",
    "VERDICTS",
    "WEIGHTS",
]

SUITES = Path(__file__).resolve().parent.parent / "tests" / "grading"
# What looks at nothing but a submission's answers and artifacts.
VERDICTS = (f"autograder.{HOMEWORK}.verdicts", "autograder.rubric.answers")
GIVEN_CODE = Path(given.__file__).resolve().parent

GRADED_PARTS = tuple(name for name, part in PARTS.items() if part.points)
# What student code may import beside installed libraries: its own files and the given code.
STUDENT_MODULES = frozenset({*(file.removesuffix(".py") for file in CODE_FILES), GIVEN_CODE.name})
