"""What keeps the repository in shape: imports run one way, points add up, documents are true."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from autograder.staff import commands as staff_commands

from . import points, rooms
from .conftest import ROOT

PACKAGE = ROOT / "autograder"
WITH_COMMANDS = ("README.md", "CONTRIBUTING.md")
MODULES = rooms.modules_below(ROOT)
EDGES = {name: rooms.imports(file, name, MODULES) for name, file in MODULES.items()}
CONFINED = {
    name for name in MODULES if name.startswith(("autograder.confined", "autograder.hw5.confined"))
}


def test_no_import_breaks_a_rule_between_rooms():
    assert rooms.violations(ROOT) == []


# file -> what it holds, and what must be said of it
IN_THE_WRONG_ROOM = {
    "rubric/a.py": ("from autograder.hw5 import assignment", "never import the homework"),
    "training/a.py": ("import autograder.hw5.mnist", "never import the homework"),
    "intake/a.py": ("def f():\n    from autograder.hw5.probes import head", "never import the"),
    "confined/a.py": ("from autograder.sandbox import client", "imports nothing of ours"),
    "confined/b.py": ("import provided.mnist", "imports nothing of ours"),
    "hw5/confined/a.py": ("from autograder.hw5.probes import roles", "imports nothing of ours"),
    "hw5/a.py": ("from autograder.staff.solutions import Solution", "nothing that ships"),
    "sandbox/a.py": ("from autograder import staff", "nothing that ships"),
    "hw5/probes/a.py": ("from autograder.hw5.mistakes import head", "verdicts > mistakes > probes"),
    "hw5/mistakes/a.py": ("from ..verdicts import numbers", "verdicts > mistakes > probes"),
    "hw5/probes/b.py": (
        "from autograder.rubric.feedback import reject\nraise reject('no')",
        "verdicts judge",
    ),
    "attic/a.py": ("", "lies in no room"),
    "hw5/verdicts/a.py": ("import attention", "which no module of the grader may"),
}


@pytest.mark.parametrize("file", IN_THE_WRONG_ROOM)
def test_a_module_in_the_wrong_room_is_named_with_the_rule_it_breaks(file, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "autograder", ignore=shutil.ignore_patterns("*.key"))
    text, said = IN_THE_WRONG_ROOM[file]
    (tmp_path / "autograder" / file).parent.mkdir(exist_ok=True)
    (tmp_path / "autograder" / file).write_text(text)
    (found,) = rooms.violations(tmp_path)
    assert found.startswith(f"autograder.{file.removesuffix('.py').replace('/', '.')} ")
    assert said in found


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


def test_no_rooms_import_each_other_in_a_circle():
    between = {
        (mine[0], theirs[0])
        for name, others in EDGES.items()
        for other in others & MODULES.keys()
        if (mine := rooms.room_of(name)) and (theirs := rooms.room_of(other))
        if mine[0] != theirs[0]
    }
    rank = {"confined": 0, "intake": 0, "sandbox": 1, "rubric": 2, "training": 2, "hw5": 3}
    rank["staff"] = 4
    assert [pair for pair in sorted(between) if rank[pair[0]] <= rank[pair[1]]] == []


@pytest.mark.parametrize("start", ["alone", "forked"])
def test_a_worker_can_import_no_module_of_the_grader(start, tmp_path):
    """By start.py, and by the launcher, which has imported more before it forks."""
    probe = (
        "import sys, importlib\n"
        "def told(*_, **__):\n"
        "    print(*sorted(n for n in sys.modules if n.split('.')[0] in\n"
        "          ('autograder', 'provided', 'pytest', 'pydantic', 'typer')))\n"
        "    for name in ('grade', 'hw5.probes.reference', 'hw5.assignment', 'rubric.plugin'):\n"
        "        try: importlib.import_module('autograder.' + name)\n"
        "        except ImportError: continue\n"
        "        print('IMPORTED', name)\n"
    )
    if start == "alone":
        script = probe + (
            "import importlib.util\nsys.path.append(sys.argv[1])\n"
            "spec = importlib.util.spec_from_file_location('start', sys.argv[2])\n"
            "start = importlib.util.module_from_spec(spec); spec.loader.exec_module(start)\n"
            "here = start.Path(sys.argv[2]).parent\n"
            "rooms = {'confined': here, 'hw5.confined': here.parent / 'hw5' / 'confined'}\n"
            "start.show_only('autograder', rooms)\n"
            "importlib.import_module('autograder.confined.worker')\n"
            "importlib.import_module('autograder.hw5.confined.questions')\n"
            "told()\n"
        )
        flags = ["-I", "-S", "-B"]
    else:
        script = probe + (
            "from autograder import launch\n"
            "from autograder.confined import zygote\n"
            "class Zygote:\n    def __init__(self, *_): pass\n    run = told\n"
            "zygote.Zygote = Zygote\n"
            "launch.serve_workers(None)\n"
        )
        flags = ["-I", "-B"]
    places = [sysconfig.get_paths()["purelib"], str(PACKAGE / "confined" / "start.py")]
    ended = subprocess.run(
        [sys.executable, *flags, "-c", script, *places],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    loaded = set(ended.stdout.splitlines()[0].split())
    allowed = CONFINED | {"autograder", "autograder.hw5"}
    assert {"autograder.confined.worker", "autograder.hw5.confined.questions"} <= loaded
    assert loaded <= allowed | ({"autograder.launch"} if start == "forked" else set())
    assert "IMPORTED" not in ended.stdout


def test_points_stand_alike_in_the_homework_the_tests_and_the_rubric():
    assert list(points.disagreements(ROOT)) == []


# file, old text, new text, and what must be said of it
OTHER_POINTS = {
    "a line worth more": (
        "tests/grading/test_3b_encoder_layer.py",
        "@weight(2)",
        "@weight(3)",
        ["3b: tests/grading gives 7", "each line once with its points: 3b.2"],
    ),
    "a part worth more": (
        "student_template/provided/homework.py",
        '"1a": Part(points=2',
        '"1a": Part(points=3',
        ["1a: tests/grading gives 2", "49 points"],
    ),
    "a part more": (
        "student_template/provided/homework.py",
        "PARTS = {",
        'PARTS = {\n    "4a": Part(points=1, files=()),',
        ["4a: tests/", "49 points"],
    ),
    "a part that is undeclared": (
        "student_template/provided/homework.py",
        '"1a": ',
        '"0a": ',
        ["0a: tests/grading gives 0", "1a: tests/grading gives 2"],
    ),
    "more by hand": (
        "student_template/provided/homework.py",
        "by_hand=2",
        "by_hand=3",
        ["48 points and 7 by hand"],
    ),
    "a row that is gone": ("docs/rubric.md", "| 1a.2 | 1 |", "| x |", ["its points: 1a.2"]),
    "a row that stands twice": (
        "docs/rubric.md",
        "| 1a.2 | 1 |",
        "| 1a.2 | 1 |\n| 1a.2 | 1 |",
        ["docs/rubric.md doesn't list each line once"],
    ),
    "another sum": ("docs/rubric.md", "54 points", "55 points", ["48 points and 6 by hand"]),
}


@pytest.mark.parametrize("case", OTHER_POINTS)
def test_points_that_differ_are_named(case, tmp_path):
    for name in ("tests/grading", "docs", "student_template/provided"):
        shutil.copytree(ROOT / name, tmp_path / name)
    file, old, new, said = OTHER_POINTS[case]
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    found = list(points.disagreements(tmp_path))
    assert len(found) == len(said), found
    for sentence, part in zip(found, said, strict=True):
        assert part in sentence


def test_no_module_is_longer_than_400_lines():
    lengths = {name: file.read_text().count("\n") for name, file in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def commands() -> list[str]:
    """Shell commands in documents: lines of code blocks, and what stands in backquotes."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in WITH_COMMANDS)
    blocks = re.findall(r"```(?:bash|sh)?\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", text)
    starts = ("./", ".ci/", ".venv/bin/")
    return sorted({line.partition("#")[0].strip() for line in lines if line.startswith(starts)})


def test_the_documents_name_commands():
    assert len(commands()) >= 5


@pytest.mark.parametrize("command", commands())
def test_every_command_in_a_document_exists(command):
    program, *arguments = command.split()
    assert (ROOT / program).is_file()
    assert (ROOT / program).stat().st_mode & 0o100
    if program == ".venv/bin/autograder":
        known = {command.__name__ for command in staff_commands.COMMANDS} | {"grade"}
        assert arguments[0] in known
    for argument in arguments:
        if argument.startswith(("solutions/", "tests/", "docs/")):
            assert (ROOT / argument).exists()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/rubric.md"])
def test_every_file_that_a_document_links_to_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / name).parent / target).exists(), target


def test_the_readme_has_no_gaps():
    assert not re.search(r"\b(TABLE|TODO|FIXME|TBD)\b", (ROOT / "README.md").read_text())
