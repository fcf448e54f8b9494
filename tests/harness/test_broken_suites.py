"""A grading suite that is broken: its lines stay in results.json, and the others are graded."""

from __future__ import annotations

import json

from . import recipes
from .conftest import REFERENCE


def test_a_broken_suite_costs_its_own_lines_and_says_whose_fault_it_is(open_folder):
    copy = recipes.copy_repository(open_folder / "copy")
    suites = copy / "tests" / "grading"
    for name, text in (("3a_attention_head", "def broken(:\n"), ("1b_convolution_2d", "1 / 0\n")):
        suite = suites / f"test_{name}.py"
        suite.write_text(f"{suite.read_text()}\n\n{text}")
    results = open_folder / "results.json"
    command = f"./run_autograder {REFERENCE} --only 1a,1b,3a --results {results}"
    ended = recipes.run(command, copy)
    assert ended.returncode == 3
    assert "SyntaxError" in ended.stderr
    assert "_pytest" not in ended.stderr
    tests = {test["number"]: test for test in json.loads(results.read_text())["tests"]}
    assert sum(test["max_score"] for test in tests.values()) == 12
    for number, test in tests.items():
        broken = not number.startswith("1a")
        assert test["score"] == (0 if broken else test["max_score"]), number
        assert ("because of a grader error, not your code" in test["output"]) is broken, number
    assert tests["3a.4"]["name"] == "3a.4 Attention head: computes scaled dot-product attention"
