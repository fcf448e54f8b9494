"""The recipes of CONTRIBUTING.md as edits and commands, and a copy to follow them in.

Before a block the page says where it belongs, at the end of a paragraph:

    New file `path`:
    At the end of `path`:                                  set off by an empty line
    In `path`, after the line with `text`:                 or before it, or in place of it

A bash block holds commands, a line each.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .conftest import ROOT, SECONDS

PAGE = ROOT / "CONTRIBUTING.md"
PLACE = re.compile(
    r"(?:New file `(?P<new>[^`]+)`|At the end of `(?P<end>[^`]+)`"
    r"|In `(?P<path>[^`]+)`, (?P<how>after|before|in place of) the line with `(?P<anchor>[^`]+)`):$"
)
COPIED = ("autograder", "docs", "solutions", "student_template", "tests/grading", "tests/harness")
COPIED_FILES = ("README.md", "CONTRIBUTING.md", "pyproject.toml", "run_autograder", "setup.sh")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "data", ".*", "*.key")


class RecipeError(Exception):
    """A recipe can't be followed; says which step, and why."""


@dataclass(frozen=True)
class Edit:
    """A block, and where it belongs: how is "new", "end", "after", "before" or "in place of"."""

    path: str
    how: str
    anchor: str
    block: str

    def apply(self, root: Path) -> None:
        """Make the edit below a folder. Raises RecipeError where the place isn't there."""
        file = root / self.path
        if self.how == "new":
            if file.exists():
                raise RecipeError(f"{self.path} is there already")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.block, encoding="utf-8")
            return
        if not file.is_file():
            raise RecipeError(f"there is no {self.path}")
        text = file.read_text(encoding="utf-8")
        file.write_text(self._edited(text), encoding="utf-8")

    def _edited(self, text: str) -> str:
        if self.how == "end":
            return f"{text.rstrip()}\n\n{self.block}"
        lines = text.splitlines(keepends=True)
        found = [place for place, line in enumerate(lines) if self.anchor in line]
        if len(found) != 1:
            raise RecipeError(f"{len(found)} lines of {self.path} have {self.anchor!r}, not one")
        start = stop = found[0]
        gap = ""
        if self.how == "after":
            start = stop = found[0] + 1
        elif self.how == "in place of":
            stop = found[0] + 1
        else:  # set off from the line as that is from what stands before it
            head = "".join(lines[:start])
            gap = "\n" * (len(head) - len(head.rstrip("\n")) - 1)
        return "".join([*lines[:start], self.block, gap, *lines[stop:]])


@dataclass
class Recipe:
    """One recipe: its edits and its commands, in the order of the page."""

    title: str
    edits: list[Edit] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def apply(self, root: Path) -> None:
        """Make all edits below a folder."""
        for edit in self.edits:
            edit.apply(root)


def read_recipes(text: str) -> dict[str, Recipe]:
    """The recipes of a page by title. Raises RecipeError for a block whose place isn't said."""
    recipes: dict[str, Recipe] = {}
    paragraph: list[str] = []
    last = ""
    lines = iter(text.partition("\n## Recipes\n")[2].splitlines())
    for line in lines:
        indent, fence, language = line.partition("```")
        if line.startswith("## "):
            break
        if line.startswith("### "):
            recipe = Recipe(line.removeprefix("### "))
            recipes[recipe.title] = recipe
        elif fence:
            block = []
            while (inside := next(lines)) != indent + fence:
                block.append(inside.removeprefix(indent))
            _add(recipe, language, " ".join(paragraph), block)
        elif line.strip():
            paragraph = [*(paragraph if last.strip() else []), line.strip()]
        last = line
    return recipes


def _add(recipe: Recipe, language: str, before: str, block: list[str]) -> None:
    """Take in a block, told by the paragraph before it."""
    if language == "bash":
        recipe.commands += block
        return
    place = PLACE.search(before)
    if place is None:
        raise RecipeError(f"{recipe.title}: where does this block belong?\n{block[0]}")
    text = "".join(f"{line}\n" for line in block)
    how = place["how"] or ("new" if place["new"] else "end")
    path = place["new"] or place["end"] or place["path"]
    recipe.edits.append(Edit(path, how, place["anchor"] or "", text))


def copy_repository(folder: Path) -> Path:
    """What the recipes touch and what grades, in a folder; the data is linked."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "data").symlink_to(ROOT / "data")
    return folder


PROGRAMS = {  # a command's first word -> Python that runs it
    "./run_autograder": "sys.argv[0] = 'grade'; sys.argv.insert(0, ''); "
    "from autograder.launch import main; main()",
    ".venv/bin/autograder": "from autograder.launch import main; main()",
}


def run(command: str, copy: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A command as someone would type it in the copy, where the copy's own code answers it."""
    program, *arguments = shlex.split(command)
    return python(PROGRAMS[program], copy, program, *arguments, *options)


def python(code: str, copy: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Some Python in a process of its own that imports what stands in the copy."""
    # What comes first on the path is found before the installation, which leads to this repository.
    first = [str(copy), str(copy / "student_template")]
    start = (
        f"import sys; sys.path[:0] = {first!r}; sys.argv = {list(argv)!r}; "
        f"from autograder.staff.executor import keeping; keeping.PATHS = {first!r}; {code}"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", start],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={"PATH": os.defpath, "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        cwd=copy,
        check=False,
    )
