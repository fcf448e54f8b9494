"""What keeps the repository in shape: imports run one way, points add up, documents are true."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.cli import app

from .conftest import ROOT

PACKAGE = ROOT / "autograder"
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
}
TRUSTED_SIDE = ("__init__", "client", "replies")  # of the sandbox; all else runs confined
WORKER_SIDE = sorted(
    file.stem for file in (PACKAGE / "sandbox").glob("*.py") if file.stem not in TRUSTED_SIDE
)
SANDBOX = "autograder.sandbox"

# Each may import from later groups, never from earlier ones; a module that isn't named is free.
ORDER = (
    ("autograder.cli", "autograder.launch", "autograder.packaging"),
    ("autograder.calibration_report",),
    ("autograder.calibration",),
    ("autograder.grade",),
    ("autograder.background", "autograder.summary", "autograder.plugin"),
    ("autograder.examination",),
    ("autograder.carry_over", "autograder.transformer", "autograder.probing"),
    ("autograder.training",),
    ("autograder.layers", "autograder.roles", "autograder.comparison", "autograder.rules",
     "autograder.reference", "autograder.intake", "autograder.answers", "autograder.gradescope"),
    ("autograder.feedback", "autograder.notebook"),
    ("autograder.definitions", "autograder.containers"),
    ("autograder.sandbox.client",),
    ("autograder.sandbox.replies", "autograder.forking"),
    ("autograder.assignment", "autograder.mnist", "autograder.sandbox.wire",
     "autograder.sandbox.confine"),
)  # fmt: skip


def imports(file: Path, name: str) -> set[str]:
    """What a module imports when it runs: absolute names, a level deeper where known to be one."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            source = importlib.util.resolve_name(
                "." * node.level + (node.module or ""), package
            ) if node.level else node.module or ""  # fmt: skip
            for alias in node.names:
                deeper = f"{source}.{alias.name}"
                found.add(deeper if deeper in MODULES else source)
    return found


EDGES = {name: imports(file, name) for name, file in MODULES.items()}


def test_imports_run_one_way():
    rank = {name: place for place, group in enumerate(ORDER) for name in group}
    assert rank.keys() <= MODULES.keys()
    wrong = [
        f"{name} imports {other}"
        for name in rank
        for other in EDGES[name] & rank.keys()
        if rank[other] < rank[name]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " > ".join([*path, name])
        if name not in done:
            for other in sorted(EDGES[name] & MODULES.keys()):
                visit(other, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("module", WORKER_SIDE)
def test_the_workers_side_imports_nothing_of_ours_outside_the_sandbox(module):
    ours = {
        name
        for name in EDGES[f"{SANDBOX}.{module}"]
        if name.split(".")[0] in ("autograder", "tests", "solutions", "provided", "sandbox")
    }
    allowed = {f"{SANDBOX}.{other}" for other in WORKER_SIDE} | {SANDBOX, "sandbox"}
    assert ours <= allowed


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_imports_from_tests_solutions_or_a_submission(module):
    tops = {name.split(".")[0] for name in EDGES[module]}
    assert not tops & {"tests", "solutions", "models", "attention", "encoder", "student_template"}


def test_a_worker_loads_no_module_of_the_grader():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from sandbox import worker, zygote\n"
        "print(*sorted(n for n in sys.modules if n.split('.')[0] in\n"
        "      ('autograder', 'provided', 'pytest', 'pydantic', 'yaml', 'typer', 'sandbox')))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-B", "-c", script, str(PACKAGE)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ended.stdout.split())
    assert {"sandbox.worker", "sandbox.answerer", "sandbox.wire"} <= loaded
    assert loaded <= {"sandbox", *(f"sandbox.{module}" for module in WORKER_SIDE)}


def rubric_tests() -> dict[str, float]:
    """Number and weight of every test that grades, read from the files' text."""
    found: dict[str, float] = {}
    for file in sorted((ROOT / "tests" / "grading").glob("test_*.py")):
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


def test_points_sum_to_48():
    assert sum(rubric_tests().values()) == 48


def test_points_of_each_part_are_those_of_the_handout():
    parts: dict[str, float] = {}
    for number, weight in rubric_tests().items():
        part = number.split(".")[0]
        parts[part] = parts.get(part, 0) + weight
    assert parts == {
        "1a": 2, "1b": 2, "1c": 2, "2a": 2, "2b": 7, "2c": 11, "3a": 8, "3b": 6, "3c": 8,
    }  # fmt: skip


def test_the_rubric_lists_every_line_with_its_points():
    rubric = (ROOT / "docs" / "rubric.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d[a-z]\.\d+) \| ([\d.]+) \|", rubric, re.MULTILINE)
    assert {number: float(points) for number, points in rows} == rubric_tests()
    assert len(rows) == len(rubric_tests())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_is_longer_than_400_lines(module):
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 400


def commands() -> list[str]:
    """Shell commands in README.md: lines of code blocks, and what stands in backquotes."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:bash|sh)?\n(.*?)```", readme, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", readme)
    starts = ("./", ".venv/bin/")
    return sorted({line.partition("#")[0].strip() for line in lines if line.startswith(starts)})


def test_the_readme_names_commands():
    assert len(commands()) >= 5


@pytest.mark.parametrize("command", commands())
def test_every_command_in_the_readme_exists(command):
    program, *arguments = command.split()
    assert (ROOT / program).is_file()
    assert (ROOT / program).stat().st_mode & 0o100
    if program == ".venv/bin/autograder":
        known = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
        assert arguments[0] in known
    for argument in arguments:
        if argument.startswith(("solutions/", "tests/", "docs/")):
            assert (ROOT / argument).exists()


@pytest.mark.parametrize("name", ["README.md", "docs/rubric.md"])
def test_every_file_that_a_document_links_to_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), target


def test_the_readme_has_no_gaps():
    assert not re.search(r"\b(TABLE|TODO|FIXME|TBD)\b", (ROOT / "README.md").read_text())
