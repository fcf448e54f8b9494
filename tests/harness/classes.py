"""Makes a class: submissions with known verdicts, in an export as the platform makes it."""

from __future__ import annotations

import itertools
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autograder.homework import SUITES
from autograder.hw5 import assignment as assignments
from autograder.rubric.outline import outline
from autograder.staff.solutions import Solution, load_solutions
from provided.homework import FULLY_CONNECTED

from .attacks import accidents, exhaustion, forge_the_score, outliving, read_secrets, stored_answers
from .attacks.attack import Attack, in_place

FIRST_ID = 400_000
NAMES = (  # the usual, and what a spreadsheet, a browser or a line of text would take for its own
    "Ada Example",
    '=HYPERLINK("http://example.org")',
    "<script>alert(1)</script>",
    "\u202eesrever",
    "@sum",
    "-1+2",
    "Åsa Ødegård",
    "O'Brien, Conan",
)
HOSTILE: Sequence[Mapping[str, Attack]] = tuple(
    module.ATTACKS
    for module in (accidents, exhaustion, forge_the_score, outliving, read_secrets, stored_answers)
)


@dataclass
class Class:
    """A class that was made.

    solutions: id -> the solution that was handed in; hostile ones have none
    """

    path: Path
    solutions: dict[str, Solution] = field(default_factory=dict)
    hostile: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """All submissions."""
        return sorted({*self.solutions, *self.hostile})


def make_class(
    folder: Path,
    count: int,
    *,
    hostile: int = 0,
    pool: Sequence[Solution] | None = None,
    results: Mapping[str, Any] | None = None,
    zipped: bool = False,
    own_networks: int = 0,
) -> Class:
    """An export of so many submissions, hostile ones among them.

    own_networks: every so many-th student with the reference's networks has rates of their own
    pool:    solutions to choose from, in turn; all by default
    results: what the platform has kept, by id; by default what the solutions expect
    """
    pool = pool or load_solutions()
    top = folder / "assignment_77_export"
    top.mkdir(parents=True)
    made = Class(top)
    attacks = _few(hostile)
    with (top / "submission_metadata.yml").open("w", encoding="utf-8") as stream:
        stream.write("---\n")
        for number in range(count):
            one = str(FIRST_ID + 7 * number)
            place = top / f"submission_{one}"
            if number < hostile:
                name, attack = attacks[number]
                _attack(attack, place)
                made.hostile[one] = name
                kept = None
            else:
                solution = pool[number % len(pool)]
                place.mkdir()
                source = solution.assemble(place)
                if source != place:
                    shutil.copytree(source, place, dirs_exist_ok=True)
                if own_networks and number % own_networks == 0:
                    _give_own_rates(place / FULLY_CONNECTED.file, number)
                made.solutions[one] = solution
                kept = (results or {}).get(one) or expected(solution)
            stream.write(described(number, one, kept))
    if zipped:
        made.path = folder / "export.zip"
        with zipfile.ZipFile(made.path, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(top.rglob("*")):
                archive.write(file, file.relative_to(folder))
    return made


def _give_own_rates(file: Path, number: int) -> None:
    """Let networks that many share be trained otherwise than anyone else's, and as well."""
    if file.is_file():
        text = file.read_text(encoding="utf-8")
        rate = f"learning_rate={3e-3 * (1 + number / 10_000):.7f}"
        file.write_text(text.replace("learning_rate=3e-3", rate), encoding="utf-8")


def _few(count: int) -> list[tuple[str, Attack]]:
    """Hostile submissions, each family in turn."""
    each = [[(n, a) for n, a in family.items() if a.change is None] for family in HOSTILE]
    in_turn = [pair for row in itertools.zip_longest(*each) for pair in row if pair]
    assert len(in_turn) >= count
    return in_turn[:count]


def _attack(attack: Attack, place: Path) -> None:
    reference = load_solutions(["reference"])[0].folder
    shutil.copytree(reference, place, ignore=shutil.ignore_patterns("artifacts"))
    for name, content in attack.files.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        text = in_place(content, place).encode() if isinstance(content, str) else content
        file.write_bytes(text)


def expected(solution: Solution) -> dict[str, Any]:
    """Results as an old grader may have written them: points as the solution expects them."""
    tests = []
    for line in outline(SUITES, assignments.load()):
        points = 0.0
        if solution.kind.value != "template":
            points = solution.expected.points(line.number, line.points)[0]
        tests.append(
            {
                "name": f"{line.number} {line.title}",
                "number": line.number,
                "score": points,
                "max_score": line.points,
                "status": "passed" if points >= line.points else "failed",
                "output": "As it was said then.\n\nsubmission_1:",
            }
        )
    return {"score": sum(one["score"] for one in tests), "tests": tests, "extra_data": {}}


def described(number: int, one: str, results: Mapping[str, Any] | None) -> str:
    """A submission's piece of submission_metadata.yml."""
    members = 3 if number % 9 == 4 else 1
    piece = {
        f"submission_{one}": {
            ":submitters": [
                {
                    ":name": NAMES[(number + member) % len(NAMES)],
                    ":sid": f"{number:04d}{member}",
                    ":email": f"Student{number}.{member}@Example.edu",
                }
                for member in range(members)
            ],
            ":created_at": f"2026-11-{10 + number % 15} 06:59:12.1 Z",
            ":score": (results or {}).get("score", 0.0),
            ":status": "processed" if results else "failed",
            ":results": dict(results or {"output": "The autograder failed."}),
            ":history": [
                {
                    ":id": int(one) - back,
                    ":created_at": f"2026-11-0{4 - back} 06:59:12.1 Z",
                    ":score": 10.0 * (4 - back),
                    ":results": {"score": 1.0, "tests": [{"number": "1a.1", "score": 1.0}]},
                }
                for back in range(1, number % 4 + 1)
            ],
        }
    }
    text = yaml.safe_dump(piece, sort_keys=False, allow_unicode=True)
    return re.sub(r"^( *(?:- )?)'(:\w+)':", r"\1\2:", text, flags=re.MULTILINE)
