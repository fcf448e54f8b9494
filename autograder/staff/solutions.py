"""The submissions whose verdicts are known: the reference, alternatives, mistakes, template.

A folder of solutions/alternatives or solutions/mistakes holds the files in which it differs
from solutions/reference, and nothing else; of answers.yaml, the answers that differ. A
mistake also says in expected.yaml what it must lose:

    fails: [3a.4]             rubric lines that must get no points
    partial: {2b.3: [1, 2]}   lines that must get one of these, where chance has a say
    diagnosis: no-scale       the mistake that each of these lines must name, or one per line:
                              {3a.3: no-softmax, 3a.4: no-softmax}
"""

from __future__ import annotations

import enum
import shutil
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from autograder.homework import (
    ANSWERS_FILE,
    ARTIFACTS,
    ARTIFACTS_FOLDER,
    GRADED_PARTS,
    HEAD,
    LAYER,
    PARTS,
    SUBMITTED,
    WEIGHTS,
)

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = ROOT / "solutions"
TEMPLATE = ROOT / "student_template"
EXPECTED_FILE = "expected.yaml"
SUBMISSIONS = "submissions"  # where whole ones are put together
SUBMITTED_WEIGHTS = f"{ARTIFACTS_FOLDER}/{WEIGHTS}"

ALL_PARTS = frozenset(GRADED_PARTS)
PARTS_OF = {  # the parts whose verdicts a file can change
    name: frozenset(part for part in GRADED_PARTS if name in PARTS[part].files)
    for name in SUBMITTED
}
EMPTY_IS_ABSENT = frozenset(f"{ARTIFACTS_FOLDER}/{name}" for name in ARTIFACTS)


class Kind(str, enum.Enum):
    """What is known of a solution; the folders under solutions/ are named so."""

    REFERENCE = "reference"  # full marks
    ALTERNATIVES = "alternatives"  # full marks, written otherwise
    MISTAKES = "mistakes"  # wrong on purpose
    TEMPLATE = "template"  # no marks: as students get it


class SolutionError(Exception):
    """A folder under solutions/ is not as it must be; says which and why."""


class Expected(BaseModel):
    """What a mistake must lose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fails: list[str] = []
    partial: dict[str, list[float]] = {}
    diagnosis: str | dict[str, str] = ""

    def points(self, line: str, full: float) -> list[float]:
        """The points that a line may get."""
        return [0.0] if line in self.fails else self.partial.get(line, [full])

    def named(self, line: str) -> str:
        """The diagnosis that a line must name; empty where it may name any or none."""
        if isinstance(self.diagnosis, dict):
            return self.diagnosis.get(line, "")
        return self.diagnosis if line in self.lost else ""

    @property
    def lost(self) -> list[str]:
        """All lines without full points."""
        return sorted({*self.fails, *self.partial})


@dataclass(frozen=True)
class Solution:
    """One submission with a known verdict.

    kind:    what is known of it
    changed: the files in which it differs from the reference
    """

    kind: Kind
    name: str
    folder: Path
    changed: tuple[str, ...] = ()
    expected: Expected = field(default_factory=Expected)

    @property
    def parts(self) -> frozenset[str]:
        """The parts whose verdicts can differ from the reference's."""
        if self.kind in (Kind.REFERENCE, Kind.TEMPLATE):
            return ALL_PARTS
        return frozenset().union(*(PARTS_OF[name] for name in self.changed))

    @property
    def asked_for_weights(self) -> bool:
        """Whether its weights were trained with its own code."""
        return SUBMITTED_WEIGHTS in self.changed or not {HEAD.file, LAYER.file} & set(self.changed)

    def assemble(self, into: Path) -> Path:
        """The whole submission: its own files over the reference's. An empty artifact is none."""
        if self.kind in (Kind.REFERENCE, Kind.TEMPLATE):
            return self.folder
        for name in PARTS_OF:
            own = self.folder / name
            source = own if own.is_file() else SOLUTIONS / "reference" / name
            if name == SUBMITTED_WEIGHTS and not self.asked_for_weights:
                continue  # they belong to the reference's code
            if source.is_file() and (source.stat().st_size or name not in EMPTY_IS_ABSENT):
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, into / name)
        if ANSWERS_FILE in self.changed:
            folders = (self.folder, SOLUTIONS / "reference")
            texts = [(folder / ANSWERS_FILE).read_text(encoding="utf-8") for folder in folders]
            (into / ANSWERS_FILE).write_text(completed(*texts), encoding="utf-8")
        return into


def placed(solution: Solution, folder: Path) -> Path:
    """The whole submission as a folder of its own below another, for workers to grade."""
    place = folder / SUBMISSIONS / f"{solution.kind.value}-{solution.name}"
    place.mkdir(parents=True)
    whole = solution.assemble(place)
    if whole != place:
        shutil.copytree(whole, place, dirs_exist_ok=True)
    return place


def completed(answers: str, reference: str) -> str:
    """Answers, with the reference's where they name no answer; a question left blank stays so.

    What is no readable set of answers is a mistake of its own, and stays as it is.
    """
    others = yaml.safe_load(reference)
    try:
        own = yaml.safe_load(answers)
    except (yaml.YAMLError, ValueError):  # the second: of an impossible date or number
        return answers
    if not isinstance(own, dict):
        return answers
    whole = {**others, **own}
    for question in own.keys() & others.keys():
        if isinstance(own[question], dict) and isinstance(others[question], dict):
            whole[question] = {**others[question], **own[question]}
    return answers if whole == own else yaml.safe_dump(whole, sort_keys=False)


def load_solutions(only: list[str] | None = None, root: Path = SOLUTIONS) -> list[Solution]:
    """All solutions, or those whose name or kind fits one of the patterns. Raises SolutionError."""
    found = [
        Solution(Kind.REFERENCE, "reference", root / Kind.REFERENCE.value),
        *(
            _load(kind, folder)
            for kind in (Kind.ALTERNATIVES, Kind.MISTAKES)
            for folder in sorted((root / kind.value).glob("*"))
            if folder.is_dir()
        ),
        Solution(Kind.TEMPLATE, "template", TEMPLATE),
    ]
    if not only:
        return found
    unknown = [one for one in only if not any(_fits(solution, one) for solution in found)]
    if unknown:
        raise SolutionError(f"There is no solution {', '.join(unknown)}")
    return [solution for solution in found if any(_fits(solution, one) for one in only)]


def _fits(solution: Solution, pattern: str) -> bool:
    return pattern == solution.kind.value or fnmatch(solution.name, pattern)


def _load(kind: Kind, folder: Path) -> Solution:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    unknown = files - PARTS_OF.keys() - {EXPECTED_FILE}
    changed = tuple(name for name in PARTS_OF if name in files)
    if unknown or not changed:
        what = f"unknown file {min(unknown)}" if unknown else "nothing that is graded"
        raise SolutionError(f"{folder} holds {what}")
    if (kind is Kind.MISTAKES) != (EXPECTED_FILE in files):
        raise SolutionError(f"{folder}: mistakes have an {EXPECTED_FILE}, and they alone")
    if kind is not Kind.MISTAKES:
        return Solution(kind, folder.name, folder, changed)
    try:
        content = yaml.safe_load((folder / EXPECTED_FILE).read_text(encoding="utf-8"))
        expected = Expected.model_validate(content)
    except (yaml.YAMLError, ValidationError) as problem:
        raise SolutionError(f"{folder / EXPECTED_FILE}: {problem}") from problem
    return Solution(kind, folder.name, folder, changed, expected)
