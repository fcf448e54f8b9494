"""What staff read of a validation: a table, JUnit XML for CI, Markdown for the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rich.table import Table
from rich.text import Text

from autograder.staff.solutions import Kind
from autograder.staff.validation import Outcome


def outcomes_table(outcomes: Sequence[Outcome]) -> Table:
    """Expected against actual, a row for each solution."""
    table = Table(title=summary(outcomes), title_style="bold")
    for column in ("", "solution", "expected to lose", "lost", "diagnosis"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        wrong = bool(outcome.differences())
        table.add_row(
            Text("✗", style="red") if wrong else Text("✓", style="green"),
            f"{outcome.solution.kind.value}/{outcome.solution.name}",
            *(Text(text, style="red" if wrong else "") for text in _row(outcome)),
        )
    return table


def summary(outcomes: Sequence[Outcome]) -> str:
    """One sentence: how many solutions of each kind came out as expected."""
    parts = []
    for kind in dict.fromkeys(outcome.solution.kind for outcome in outcomes):
        these = [outcome for outcome in outcomes if outcome.solution.kind == kind]
        right = sum(not outcome.differences() for outcome in these)
        parts.append(f"{kind.value} {right}/{len(these)}")
    return "As expected: " + ", ".join(parts)


def write_junit(outcomes: Sequence[Outcome], file: Path) -> None:
    """JUnit XML, a test case for each solution."""
    failures = sum(bool(outcome.differences()) for outcome in outcomes)
    suite = ElementTree.Element(
        "testsuite", name="validate", tests=str(len(outcomes)), failures=str(failures)
    )
    for outcome in outcomes:
        case = ElementTree.SubElement(
            suite, "testcase", classname=outcome.solution.kind.value, name=outcome.solution.name
        )
        differences = outcome.differences()
        if differences:
            failure = ElementTree.SubElement(case, "failure", message=differences[0][:200])
            failure.text = "\n".join(differences)
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)


def write_markdown(outcomes: Sequence[Outcome], file: Path) -> None:
    """The table as Markdown, differences below it."""
    lines = [
        "# Validation",
        "",
        summary(outcomes) + ".",
        "",
        "| | solution | expected to lose | lost | diagnosis |",
        "|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        mark = "✗" if outcome.differences() else "✓"
        name = f"{outcome.solution.kind.value}/{outcome.solution.name}"
        lines.append(f"| {mark} | {name} | {' | '.join(_row(outcome))} |")
    for outcome in outcomes:
        if outcome.differences():
            lines += ["", f"## {outcome.solution.name}", ""]
            lines += [f"- {difference}" for difference in outcome.differences()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(outcome: Outcome) -> tuple[str, str, str]:
    expected = outcome.solution.expected.lost
    if outcome.solution.kind is Kind.TEMPLATE:
        return "all lines", _lines(outcome.lost, len(outcome.lines)), ""
    asked = [number for number in expected if number in outcome.lines]
    left_out = len(expected) - len(asked)
    wanted = ", ".join(asked) + (f" ({left_out} not asked)" if left_out else "")
    return wanted or "nothing", ", ".join(outcome.lost) or "nothing", ", ".join(outcome.diagnoses)


def _lines(lost: Sequence[str], asked: int) -> str:
    return "all lines" if len(lost) == asked else ", ".join(lost)
