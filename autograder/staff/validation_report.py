"""What staff read of a validation: a table, JUnit XML for CI, Markdown for the record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rich.table import Table
from rich.text import Text

from autograder.staff.proof import proofs
from autograder.staff.solutions import Kind
from autograder.staff.validation import Outcome

FEW = 4  # mistakes that a row names


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


def proof_table(outcomes: Sequence[Outcome]) -> Table:
    """Which mistakes prove each line, a row for each."""
    table = Table(title="What proves that each line can be lost", title_style="bold")
    for column in ("line", "mistakes that lose it"):
        table.add_column(column, overflow="fold")
    for number, mistakes in proofs(outcomes).items():
        table.add_row(number, Text(few(mistakes), style="" if mistakes else "red"))
    return table


def few(names: Sequence[str]) -> str:
    """The first names, and how many more there are; "none" without any."""
    more = len(names) - FEW
    return (", ".join(names[:FEW]) or "none") + (f" and {more} more" if more > 0 else "")


def summary(outcomes: Sequence[Outcome]) -> str:
    """One sentence: how many solutions of each kind came out as expected."""
    parts = []
    for kind in dict.fromkeys(outcome.solution.kind for outcome in outcomes):
        these = [outcome for outcome in outcomes if outcome.solution.kind == kind]
        right = sum(not outcome.differences() for outcome in these)
        parts.append(f"{kind.value} {right}/{len(these)}")
    return "As expected: " + ", ".join(parts)


def write_junit(outcomes: Sequence[Outcome], file: Path, unproven: Sequence[str] = ()) -> None:
    """JUnit XML, a test case for each solution, and one for each line that nothing proves."""
    cases = [
        (outcome.solution.kind.value, outcome.solution.name, outcome.differences())
        for outcome in outcomes
    ]
    cases += [("lines", text.partition(":")[0], [text]) for text in unproven]
    failures = sum(bool(differences) for _, _, differences in cases)
    suite = ElementTree.Element(
        "testsuite", name="validate", tests=str(len(cases)), failures=str(failures)
    )
    for kind, name, differences in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=kind, name=name)
        if differences:
            failure = ElementTree.SubElement(case, "failure", message=differences[0][:200])
            failure.text = "\n".join(differences)
    file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)


def write_markdown(
    outcomes: Sequence[Outcome], file: Path, unproven: Sequence[str] | None = None
) -> None:
    """The table as Markdown, differences below it.

    unproven: lines that nothing proves; None where only some solutions were graded
    """
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
    if unproven is not None:
        lines += ["", "## What proves that each line can be lost", ""]
        lines += ["| line | mistakes that lose it |", "|---|---|"]
        lines += [f"| {line} | {few(mistakes)} |" for line, mistakes in proofs(outcomes).items()]
        lines += ["", *(f"- {text}" for text in unproven)] if unproven else []
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
