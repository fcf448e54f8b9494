"""Submissions as a slip of the keyboard makes them: graded without a fault, whatever they are."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from autograder.plugin import rubric_line, run_suites
from autograder.solutions import PARTS_OF, SOLUTIONS, Solution
from autograder.summary import summarise
from autograder.validation import SUITES, WEIGHTS_LINE, Grader, SolutionPlugin

from .conftest import QUICK, merge

MUTANTS = 300
SHARES = 12  # tests that they are spread over
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


@pytest.fixture(scope="module")
def grader(tmp_path_factory):
    grader = Grader(tmp_path_factory.mktemp("trainings"))
    settings = grader.assignment.model_dump()
    for change in (QUICK, {"seconds": {"question": 5}}):
        merge(settings, change)
    grader.assignment = type(grader.assignment).model_validate(settings)
    yield grader
    grader.close()


@pytest.mark.parametrize("share", range(SHARES))
def test_a_mutant_costs_points_at_most(share, grader, tmp_path):
    for number in range(share, MUTANTS, SHARES):
        chance = random.Random(number)
        name = FILES[number % len(FILES)]
        folder = tmp_path / f"mutant{number}"
        file = folder / name
        file.parent.mkdir(parents=True)
        text = mutant((SOLUTIONS / "reference" / name).read_text(), chance)
        file.write_text(text, encoding="utf-8")
        solution = Solution("mistakes", folder.name, folder, (name,))
        results = graded(solution, grader, tmp_path, with_weights=share == 0)
        assert results["extra_data"]["faults"] == {}, (number, text)
        for test in results["tests"]:
            assert 0 <= test["score"] <= test["max_score"]
            assert 0 < len(test["output"]) < 20_000
            assert "Not reached" not in test["output"], (number, test)
            assert "Traceback" not in test["output"], (number, test)
            assert str(tmp_path) not in test["output"], (number, test)


def graded(solution: Solution, grader: Grader, folder: Path, with_weights: bool) -> dict:
    """results.json of the lines that the changed file can reach, written and read again."""

    def asks(item: pytest.Item) -> bool:  # judging weights takes a second
        return with_weights or rubric_line(item).number != WEIGHTS_LINE

    parts = PARTS_OF[solution.changed[0]]
    with grader.examine(solution) as examination:
        plugin = SolutionPlugin(examination, parts, lambda lines: None, asks=asks)
        run_suites(plugin, SUITES)
        results = summarise(examination, plugin, list(plugin.lines.values()), 1.0, None)
    results.write(folder / "results.json")
    return json.loads((folder / "results.json").read_text(), parse_constant=pytest.fail)
