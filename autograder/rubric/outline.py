"""The rubric's lines read off the text of the suites, before anything of a submission is opened.

Collecting them with pytest takes a second and imports what judges. So results.json can show
every line from the start, and whatever happens to the grader then, it is there.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from autograder.rubric.plugin import PART, RubricLine, titled


def outline(
    suites: Path, assignment: object, only: frozenset[str] = frozenset()
) -> list[RubricLine]:
    """The lines of the suites in a folder, in order; of some parts alone where they are named.

    What is incomplete or can't be read is left out: running the suites tells of it.
    """
    lines: dict[str, RubricLine] = {}
    for file in sorted(suites.glob("test_*.py")):
        try:
            tests = ast.parse(file.read_text(encoding="utf-8")).body
        except (OSError, SyntaxError, ValueError):
            continue
        for test in tests:
            line = _line_of(test, assignment) if isinstance(test, ast.FunctionDef) else None
            if line is not None and (not only or line.part in only):
                lines.setdefault(line.number, line)
    return [lines[number] for number in sorted(lines)]


def _line_of(test: ast.FunctionDef, assignment: object) -> RubricLine | None:
    marks: dict[str, Any] = {
        decorator.func.id: decorator.args[0].value
        for decorator in test.decorator_list
        if isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Name)
        and decorator.args
        and isinstance(decorator.args[0], ast.Constant)
    }
    title = (ast.get_docstring(test) or "").partition("\n")[0]
    if not title or not {"number", "weight"} <= marks.keys():
        return None
    if not PART.match(str(marks["number"])):
        return None
    try:
        return RubricLine(marks["number"], titled(title, assignment), float(marks["weight"]))
    except (AttributeError, TypeError, ValueError):
        return None
