"""A run ends as a program of Python ends, only sooner."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import ROOT

HOWEVER = """
import atexit, sys
from autograder import launch

def command():
    atexit.register(print, "at the end")
    print("said", end="")
    {ending}

if sys.argv[1] == "at once":
    launch.run_and_end(command)
command()
"""


def ended(way: str, ending: str) -> tuple[int, str, list[str]]:
    command = [sys.executable, "-c", HOWEVER.format(ending=ending), way]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()[-1:]


@pytest.mark.parametrize(
    "ending",
    [
        "return",
        "sys.exit()",
        "sys.exit(0)",
        "sys.exit(3)",
        "sys.exit(256)",
        "sys.exit('a sentence')",
        "sys.exit([1])",
        "raise ValueError('odd')",
    ],
)
def test_status_and_output_are_those_of_a_program(ending):
    at_once = ended("at once", ending)
    assert at_once == ended("as Python does", ending)
    assert at_once[1] == "saidat the end\n"


def test_a_reader_that_is_gone_doesnt_change_the_status():
    command = f"{sys.executable} -c '{HOWEVER.format(ending='sys.exit(3)')}' 'at once'"
    script = f"set -o pipefail; {{ sleep 0.2; {command}; }} | true"
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=buffered, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, b"")
