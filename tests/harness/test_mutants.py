"""Submissions as a slip of the keyboard makes them: graded without a fault, whatever they are."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import random
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autograder.homework import SUITES
from autograder.hw5.assignment import Assignment
from autograder.hw5.figures import figures, leaderboard
from autograder.rubric.plugin import number_of, run_suites
from autograder.rubric.summary import summarise
from autograder.staff.grader import Grader, SolutionPlugin
from autograder.staff.solutions import PARTS_OF, SOLUTIONS, Kind, Solution
from autograder.staff.validation import WEIGHTS_LINE
from autograder.training.machine import cores

from .conftest import LONG, QUICK, settings_with

MUTANTS = [range(10), range(10, 70), pytest.param(range(70, 150), marks=LONG)]
FILES = ("attention.py", "encoder.py", "models.py", "answers.yaml", "artifacts/fc/history.csv")
TOKEN = re.compile(r"\w+|[^\w\s]")
STRAY = (*"():#=-.0é\t\u2028\x00", '"""', "  ", "None", "self", "lambda")


def mutant(text: str, chance: random.Random) -> str:
    """The text with one to four slips in it."""
    for _ in range(chance.randrange(1, 5)):
        text = slip(text, chance)
    return text


def slip(text: str, chance: random.Random) -> str:
    """One slip: a line or token lost, doubled, moved or exchanged; something stray."""
    lines = text.split("\n")
    line, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    kind = chance.randrange(8)
    if kind == 0:
        del lines[line]
    elif kind == 1:
        lines.insert(other, lines[line])
    elif kind == 2:
        lines[line], lines[other] = lines[other], lines[line]
    elif kind == 3:
        lines[line] = chance.choice(("    ", "  ", "")) + lines[line].lstrip()
    elif kind == 4:
        return text[: chance.randrange(len(text) + 1)]
    else:
        tokens = list(TOKEN.finditer(text))
        if not tokens:
            return chance.choice(STRAY)
        one, another = chance.choice(tokens), chance.choice(tokens)
        new = {5: another.group(), 6: "", 7: chance.choice(STRAY)}[kind]
        return text[: one.start()] + new + text[one.end() :]
    return "\n".join(lines)


@dataclass(frozen=True)
class Graded:
    """A mutant's text, and the results.json that came of it."""

    number: int
    text: str
    results: dict[str, Any]


_grader: Grader | None = None


def start(trainings: Path, assignment: Assignment) -> None:
    """Begin a process of the pool: a grader that all processes share their trainings with."""
    global _grader
    _grader = Grader(trainings, assignment)
    atexit.register(_grader.close)


def grade(number: int, folder: Path) -> Graded:
    """Make a mutant in the folder and grade the lines that the changed file can reach."""
    name = FILES[number % len(FILES)]
    file = folder / name
    file.parent.mkdir(parents=True)
    text = mutant((SOLUTIONS / "reference" / name).read_text(), random.Random(number))
    file.write_text(text, encoding="utf-8")
    assert _grader is not None
    with _grader.examine(Solution(Kind.MISTAKES, folder.name, folder, (name,))) as examination:

        def asks(item: pytest.Item) -> bool:  # judging weights takes a second
            return number % 10 == 0 or number_of(item) != WEIGHTS_LINE

        plugin = SolutionPlugin(examination, PARTS_OF[name], lambda lines: None, asks=asks)
        run_suites(plugin, SUITES)
        results = summarise(
            examination.submission,
            list(plugin.lines.values()),
            sandbox=examination.sandbox,
            seconds=1.0,
            metadata=None,
            leaderboard=leaderboard(examination),
            figures=figures(examination),
            faults=plugin.faults,
        )
    results.write(folder / "results.json")
    content = json.loads((folder / "results.json").read_text(), parse_constant=refuse)
    return Graded(number, text, content)


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


@pytest.mark.full
@pytest.mark.parametrize("numbers", MUTANTS, ids=["a few", "many", "all"])
def test_a_mutant_costs_points_at_most(numbers, tmp_path):
    trainings = tmp_path / "trainings"
    trainings.mkdir()
    quick = settings_with(tmp_path, QUICK, {"seconds": {"question": 5}})
    pool = ProcessPoolExecutor(
        min(cores(), len(numbers) // 10),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start,
        initargs=(trainings, quick),
    )
    with pool:
        folders = [tmp_path / f"mutant{number}" for number in numbers]
        outcomes = list(pool.map(grade, numbers, folders))
    assert len(outcomes) == len(numbers)
    for one in outcomes:
        assert one.results["extra_data"]["faults"] == {}, (one.number, one.text)
        for test in one.results["tests"]:
            assert 0 <= test["score"] <= test["max_score"]
            assert 0 < len(test["output"]) < 20_000
            for word in ("Not reached", "Traceback", str(tmp_path)):
                assert word not in test["output"], (one.number, test)
    lost = [one for one in outcomes if one.results["score"] < full(one)]
    assert len(numbers) / 4 < len(lost) < len(numbers)  # most slips matter, some don't


def full(one: Graded) -> float:
    return sum(test["max_score"] for test in one.results["tests"])
