"""Where points stand: declared for each part, on each test that grades, in the rubric."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUMS = re.compile(
    r"has ([\d.]+) points\. The autograder gives ([\d.]+),[^;]*; ([\d.]+) points are graded by hand"
)
ROW = re.compile(r"^\| (\d[a-z]\.\d+) \| ([\d.]+) \|", re.M)


def declared_homework(root: Path) -> dict[str, Any]:
    """What provided/homework.py defines in a checkout, by name."""
    file = root / "student_template" / "provided" / "homework.py"
    return runpy.run_path(str(file), run_name="declared_homework")


def rubric_tests(root: Path) -> dict[str, float]:
    """Number and weight of every test that grades, read from the files' text."""
    found: dict[str, float] = {}
    for file in sorted((root / "tests" / "grading").glob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = {
                    call.func.id: call.args[0].value
                    for call in node.decorator_list
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
                }
                assert marks["number"] not in found, marks["number"]
                assert marks["number"].split(".")[0] == file.name.split("_")[1]
                found[marks["number"]] = marks["weight"]
    return found


def disagreements(root: Path) -> Iterator[str]:
    """Each place of a checkout whose points are not those of another, in a sentence."""
    declared = declared_homework(root)["PARTS"]
    tests = rubric_tests(root)
    for name in sorted(declared.keys() | {number.split(".")[0] for number in tests}):
        graded = sum(points for number, points in tests.items() if number.startswith(f"{name}."))
        worth = declared[name].points if name in declared else 0
        if graded != worth:
            yield f"{name}: tests/grading gives {graded:g} points, homework.py says {worth:g}"
    rubric = (root / "docs" / "rubric.md").read_text(encoding="utf-8")
    rows = [(number, float(points)) for number, points in ROW.findall(rubric)]
    if sorted(rows) != sorted(tests.items()):
        odd = sorted(dict(set(rows) ^ set(tests.items())) or {number for number, _ in rows})
        yield f"docs/rubric.md doesn't list each line once with its points: {', '.join(odd)}"
    graded, by_hand = (
        sum(getattr(part, kind) for part in declared.values()) for kind in ("points", "by_hand")
    )
    said = SUMS.search(rubric)
    sums = [float(number) for number in said.groups()] if said else []
    if sums != [graded + by_hand, graded, by_hand]:
        yield f"docs/rubric.md should name {graded:g} points and {by_hand:g} by hand"
