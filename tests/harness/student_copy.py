"""A student's copy of the template, and runs of its scripts as a student would run them.

A run is a process of its own, forked from one that has torch loaded, so that it takes a
moment and not seconds. Nothing of the grader or the harness is imported here.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "solutions" / "reference"
TEMPLATE = ROOT / "student_template"
DATA = ROOT / "data"
LOADED = [
    "torch",
    "torch._dynamo",  # an optimizer imports it, in two seconds
    "numpy",
    "yaml",
    "safetensors.torch",
    "tqdm.auto",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
]
SECONDS = 60

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(LOADED)


@dataclass(frozen=True)
class Ended:
    """A script's exit status and everything it printed."""

    status: int
    output: str


def untouched(folder: Path) -> Path:
    """The template as students get it."""
    left_out = shutil.ignore_patterns("__pycache__", "artifacts", "data", ".*")
    return Path(shutil.copytree(TEMPLATE, folder, ignore=left_out))


def solved(folder: Path) -> Path:
    """The template with the reference's slots, answers and artifacts."""
    untouched(folder)
    shutil.copytree(REFERENCE, folder, dirs_exist_ok=True)
    return folder


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text in a file, where it must stand."""
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {file.name}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def run(folder: Path, script: str, *arguments: str) -> Ended:
    """Run a script of the folder, in the folder."""
    printed = folder.parent / f"{folder.name}.printed"
    process = _processes.Process(target=_script, args=(folder, script, arguments, printed))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    status = process.exitcode
    process.close()
    assert status is not None
    return Ended(status, printed.read_text(encoding="utf-8", errors="replace"))


def _script(folder: Path, script: str, arguments: tuple[str, ...], printed: Path) -> None:
    """In the new process: what `python script ...` does."""
    descriptor = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ["HW5_DATA"] = str(DATA)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = [script, *arguments]
    sys.modules["torch"].set_num_threads(1)
    runpy.run_path(str(folder / script), run_name="__main__")
