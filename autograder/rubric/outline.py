"""The rubric's lines read off the text of the suites, before anything of a submission is opened.

Collecting them with pytest takes a second and imports what judges. So results.json can show
every line from the start, and whatever happens to the grader then, it is there. That holds for
a suite that Python can't read, too:

    a file with a syntax error       its lines are found by their marks, as text
    a mark or a title is missing     the line is called after its part
    points that can't be read        a line more, with what the part's other lines lack
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autograder.rubric.plugin import PART, RubricLine, titled, wanted

OF_PART = re.compile(r"test_(\d[a-z])_")
NUMBER = re.compile(r"^@number\(\s*[\"'](\d[a-z]\.\d+)[\"']", re.MULTILINE)
WEIGHT = re.compile(r"^@weight\(\s*([\d.]+)\s*\)", re.MULTILINE)
TITLE = re.compile(r"\"\"\"(.+?)(?:\"\"\"|$)", re.MULTILINE)
GAP = "\n\n\n"  # between two tests


def outline(
    suites: Path,
    assignment: object,
    only: frozenset[str] = frozenset(),
    declared: Mapping[str, float] | None = None,
) -> list[RubricLine]:
    """The lines of the suites in a folder, in order; of some parts or lines alone if named.

    declared: each part's points where they are known without the suites. A part that has no
              suite, or one that can't be read, has so many points all the same.
    """
    lines: dict[str, RubricLine] = {}
    unread: set[str] = set()
    for file in sorted(suites.glob("test_*.py")):
        tests = _tests_of(file)
        if tests is None:
            unread.update(OF_PART.findall(file.name))
            tests = _found_as_text(file)
        for number, points, title in tests:
            line = _line_of(number, points, title, assignment)
            if line is not None:
                lines.setdefault(line.number, line)
            elif PART.match(str(number)):
                unread.add(str(number).partition(".")[0])
    for part, points in (declared or {}).items():
        known = [line.points for line in lines.values() if line.part == part]
        if sum(known) < points and (part in unread or not known):
            number = next(n for n in (f"{part}.{i}" for i in range(1, 1000)) if n not in lines)
            lines[number] = RubricLine(number, f"Question {part}", points - sum(known))
    return [lines[number] for number in sorted(lines) if wanted(number, only)]


def numbers(suites: Path) -> list[str]:
    """The number of every line that the suites in a folder have, whatever its title says."""
    found = {
        str(number)
        for file in suites.glob("test_*.py")
        for number, _, _ in _tests_of(file) or _found_as_text(file)
        if PART.match(str(number))
    }
    return sorted(found)


Marks = tuple[object, object, str]  # number, points and title as a test has them


def _tests_of(file: Path) -> list[Marks] | None:
    """The marks of a suite's tests; None where Python can't read it."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    return [marks for test in body if isinstance(test, ast.FunctionDef) for marks in _marks(test)]


def _marks(test: ast.FunctionDef) -> Iterator[Marks]:
    marks: dict[str, Any] = {
        decorator.func.id: decorator.args[0].value
        for decorator in test.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Name)
        and decorator.args
        and isinstance(decorator.args[0], ast.Constant)
    }
    if "number" in marks:
        title = (ast.get_docstring(test) or "").partition("\n")[0]
        yield marks["number"], marks.get("weight"), title


def _found_as_text(file: Path) -> list[Marks]:
    """The marks of a suite that Python can't read, as far as they stand there."""
    try:
        text = file.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return []
    found: list[Marks] = []
    for block in text.split(GAP):
        number, points, title = NUMBER.search(block), WEIGHT.search(block), TITLE.search(block)
        if number is not None:
            found.append((number[1], points and points[1], title[1].strip() if title else ""))
    return found


def _line_of(number: object, points: object, title: str, assignment: object) -> RubricLine | None:
    """A line; None without a number, or without points that are a number."""
    if not isinstance(number, str) or not PART.match(number):
        return None
    try:
        worth = float(points)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    try:
        called = titled(title, assignment)
    except (AttributeError, ValueError):
        called = ""
    return RubricLine(number, called or f"Question {number.partition('.')[0]}", worth)
