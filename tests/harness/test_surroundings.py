"""What a grader was started with stays out of the memory that its workers inherit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from autograder.confined.preflight import STOPPED_BY
from autograder.confined.surroundings import KEPT, kept, names_in, surplus
from autograder.sandbox.confinement import Confinement

from .conftest import CANARY, REFERENCE, ROOT, read_on

PYTHON = str(ROOT / ".venv/bin/python")
IN_MEMORY = "find the grader's environment in its own memory"
LOOK = (
    "import json, os, sys\n"
    "from autograder.confined import surroundings\n"
    "os.environ.clear()\n"
    "print(json.dumps([surroundings.names_in_memory(), sys.argv[1:]]))\n"
)
CLEAN_FIRST = "from autograder.confined import surroundings\nsurroundings.start_clean()\n"
BARE = {"PATH": os.defpath, "LANG": "C.UTF-8"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stack is read as Linux has it")


def looked(script: str, environment: dict[str, str], *arguments: str) -> tuple[list[str], list]:
    """The names that a program finds on its own stack, and its arguments."""
    ended = subprocess.run(
        [PYTHON, "-I", "-c", script, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    names, argv = json.loads(ended.stdout)
    return names, argv


def test_an_emptied_environment_is_still_found_in_memory():
    names, _ = looked(LOOK, {**BARE, **CANARY, "EMPTY": ""})
    assert sorted(names) == ["EMPTY", "HW5_CANARY", "LANG", "PATH"]


def test_a_program_that_starts_clean_has_nothing_of_it_in_memory():
    names, argv = looked(CLEAN_FIRST + LOOK, {**BARE, **CANARY}, "grade", "a b", "", "x=ü")
    assert sorted(names) == ["LANG", "OMP_NUM_THREADS", "PATH"]
    assert argv == ["grade", "a b", "", "x=ü"]


def test_arguments_that_look_like_variables_are_not_taken_for_some():
    names, _ = looked(LOOK, BARE, "SECRET=1", "grade")
    assert surplus(names) == []


def test_a_program_with_a_bare_environment_is_not_started_twice(tmp_path):
    counted = "import os\nprint(1, file=open(os.environ['TMPDIR'] + '/starts', 'a'))\n"
    starts = tmp_path / "starts"
    looked(counted + CLEAN_FIRST + LOOK, {**BARE, "TMPDIR": str(tmp_path)})
    assert starts.read_text().split() == ["1"]
    looked(counted + CLEAN_FIRST + LOOK, {**BARE, **CANARY, "TMPDIR": str(tmp_path)})
    assert starts.read_text().split() == ["1"] * 3


def test_names_are_those_of_variables_alone():
    assert names_in(b"A=1\0B_2=x=y\0nothing\0=x\x001C=\0\0") == ["A", "B_2"]
    assert kept({"PATH": "/bin", "HOME": "/root"}) == {"PATH": "/bin"}


def test_the_script_keeps_the_same_variables():
    script = (ROOT / "run_autograder").read_text()
    listed = re.search(r"for name in ([\w\s\\]+); do", script)
    assert listed is not None
    names = {*listed[1].replace("\\", " ").split(), "OMP_NUM_THREADS"}
    assert names == set(KEPT)


DOORS = {
    "script": [str(ROOT / "run_autograder")],
    "command": [str(ROOT / ".venv/bin/autograder"), "grade"],
    "module": [PYTHON, "-I", "-m", "autograder.launch", "grade"],
}
SHOWS_ITS_STACK = """
from autograder.confined.surroundings import names_in_memory
raise RuntimeError(f"found: {' '.join(sorted(names_in_memory()))}.")
"""


@pytest.mark.parametrize("door", DOORS)
def test_no_way_to_start_the_grader_hands_its_environment_to_a_worker(door, submission, tmp_path):
    folder, results = submission(attention=SHOWS_ITS_STACK), tmp_path / "results.json"
    ended = subprocess.run(
        [*DOORS[door], folder, "--results", results, "--only", "3a"],
        capture_output=True,
        text=True,
        env={**os.environ, **CANARY, "LANG": "C.UTF-8"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    text = read_on(json.loads(results.read_text()), "3a.4")
    found = re.search(r"found: (.*?)\.", text)
    assert found is not None, text
    assert {"LANG", "OMP_NUM_THREADS", "PATH"} <= set(found[1].split()) <= set(KEPT)


def test_a_grader_that_was_started_otherwise_grades_nothing(tmp_path):
    """As a launcher would be that forgot to start clean."""
    script = (
        "from autograder import launch\n"
        "launch.surroundings.start_clean = lambda: None\n"
        "launch.main()\n"
    )
    results = tmp_path / "results.json"
    arguments = ["grade", str(REFERENCE), "--only", "1a", "--results", str(results)]
    ended = subprocess.run(
        [PYTHON, "-I", "-c", script, *arguments],
        capture_output=True,
        text=True,
        env={**BARE, **CANARY},
        check=False,
    )
    assert ended.returncode == 3
    assert f"a worker can {IN_MEMORY}" in ended.stderr
    assert "not your code" in json.loads(results.read_text())["output"]


def test_what_must_never_work_is_a_breach_whatever_walls_there_are():
    assert Confinement(walls=[], worked={IN_MEMORY: True}).broken() == [IN_MEMORY]
    assert Confinement(walls=[], worked={IN_MEMORY: False}).broken() == []
    others = dict.fromkeys(STOPPED_BY.keys() - {IN_MEMORY}, True)
    assert Confinement(walls=[], worked=others).broken() == []
