"""The student's README: commands that can be given, files that are there, the grader's limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autograder.hw5.assignment import load
from autograder.intake.submission import OTHER_NAMES, wanted

from .student_copy import TEMPLATE, run, untouched

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
PARSED = """
import shlex, sys
import check, train, writeup

for command in sys.argv[1:]:
    _, script, *options = shlex.split(command)
    print({"train.py": train, "check.py": check, "writeup.py": writeup}[script].parse(options))
"""


def test_every_command_is_one_that_the_scripts_take(tmp_path):
    commands = re.findall(r"^(python (?:train|check|writeup)\.py[^#\n]*)", README, re.MULTILINE)
    assert len(commands) >= 8
    folder = untouched(tmp_path / "hw5")
    (folder / "parsed.py").write_text(PARSED)
    ended = run(folder, "parsed.py", *commands)
    assert ended.status == 0, ended.output
    assert ended.output.count("Namespace") == len(commands)


def files_given(template: Path) -> set[str]:
    """The files of a template that its README has to describe."""
    return {
        file.relative_to(template).as_posix()
        for file in [*template.iterdir(), *(template / "provided").glob("*.*")]
        if file.is_file() and not file.name.startswith(".")
    } - {"README.md", "provided/__init__.py"}


def files_described(readme: str) -> set[str]:
    """The files that a template's README names, but for what a training writes."""
    return set(re.findall(r"(?:provided/)?[\w-]+\.(?:py|yaml|ipynb|txt)\b", readme)) - {"run.yaml"}


def files_to_submit(readme: str) -> set[str]:
    """The files that a template's README says to submit."""
    return set(readme.split("## Submit")[1].split("```")[1].split())


def test_every_file_of_the_template_is_described_and_every_described_file_is_there():
    assert files_described(README) == files_given(TEMPLATE)


def test_the_files_to_submit_are_those_that_the_grader_takes():
    taken = {name for name, _ in wanted()} - {f"artifacts/{name}" for name in OTHER_NAMES}
    assert files_to_submit(README) == taken


@pytest.mark.parametrize("question", ["2b", "2c"])
def test_the_limits_are_the_graders(question):
    assignment = load()
    rules = {"2b": assignment.fully_connected, "2c": assignment.cnn}[question]
    (row,) = [line for line in README.splitlines() if line.startswith(f"| {question} | an")]
    assert all(layer in row for layer in rules.allowed_layers)
    assert f"{rules.training.accuracy:.1%}" in row
    limit = getattr(rules, "max_hidden_units", None) or rules.max_parameters
    assert f"{limit:,}" in row
