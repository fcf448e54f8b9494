"""Pandoc, the program that reads Markdown and writes Typst and LaTeX."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from provided.writeup.blocks import Element
from provided.writeup.problem import CannotBuild

OLDEST = (3, 1, 8)  # the first whose Typst has table headers
SECONDS = 120  # a document takes a fraction of one
READER = "markdown+tex_math_single_backslash-yaml_metadata_block-citations-example_lists"
INSTALL = (
    "pip install -r requirements-writeup.txt brings it. Where pip has no wheel of it, as on "
    "Windows on ARM, take the installer from pandoc.org"
)
WARNED = re.compile(r"\[WARNING\] Could not convert TeX math (.*?), rendering as TeX:\n", re.DOTALL)
MARK = "//-between-formulas-"


@dataclass(frozen=True)
class Formula:
    """A formula as it was written, and as Typst has it; None where it can't be understood."""

    tex: str
    alone: bool  # on a line of its own
    typst: str | None
    why: str = ""


@cache
def program() -> str:
    """Where pandoc is. Raises CannotBuild where it is missing or too old."""
    path = _path()
    if path is None:
        raise CannotBuild(f"Pandoc is missing, which reads your Markdown: {INSTALL}.")
    first = _run([path, "--version"], "").splitlines()[0]
    version = tuple(int(part) for part in re.findall(r"\d+", first)[:3])
    if version < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        raise CannotBuild(f"{first} is too old, {wanted} or newer is needed: {INSTALL}.")
    return path


def _path() -> str | None:
    try:
        import pypandoc

        return str(pypandoc.get_pandoc_path())
    except (ImportError, OSError):
        return shutil.which("pandoc")


def parse(markdown: str) -> list[Element]:
    """A text's blocks. Raises CannotBuild."""
    blocks = json.loads(_run([program(), "-f", READER, "-t", "json"], markdown))["blocks"]
    assert isinstance(blocks, list)
    return blocks


def write(blocks: list[Element], form: str, template: Path | None = None) -> str:
    """Blocks as typst or latex, in a template where there is one. Raises CannotBuild."""
    command = [program(), "-f", "json", "-t", form, "--wrap=preserve"]
    if template is not None:
        command += [f"--template={template}", _highlighting()]
    return _run(command, _document(blocks))


def in_typst(formulas: list[tuple[str, bool]]) -> list[Formula]:
    """Formulas in Typst's notation; each is given with whether it stands on its own line."""
    if not formulas:
        return []
    blocks: list[Element] = []
    for tex, alone in formulas:
        kind = {"t": "DisplayMath" if alone else "InlineMath"}
        blocks += [
            {"t": "Para", "c": [{"t": "Math", "c": [kind, tex]}]},
            {"t": "RawBlock", "c": ["typst", MARK]},
        ]
    command = [program(), "-f", "json", "-t", "typst", "--wrap=preserve"]
    ended = _ended(command, _document(blocks))
    written = [piece.strip() for piece in ended.stdout.split(MARK)]
    reasons = _reasons(ended.stderr)
    return [
        Formula(tex, alone, None, reasons[tex.strip()])
        if tex.strip() in reasons
        else Formula(tex, alone, _words_together(found))
        for (tex, alone), found in zip(formulas, written, strict=False)
    ]


def _reasons(warnings: str) -> dict[str, str]:
    """Formulas that pandoc can't read, and why, from what it says about them."""
    pieces = WARNED.split(warnings)
    return {
        tex.strip(): next(
            (line.strip() for line in told.splitlines() if "unexpected" in line), "not understood"
        )
        for tex, told in zip(pieces[1::2], pieces[2::2], strict=False)
    }


def _words_together(typst: str) -> str:
    """Typst without the gaps that pandoc leaves between the letters of \\mathrm{softmax}."""
    return re.sub(
        r"upright\(((?:\w )+\w)\)", lambda found: f'upright("{found[1].replace(" ", "")}")', typst
    )


@cache
def _highlighting() -> str:
    """The option for colours of code on white, which newer releases have renamed."""
    known = _run([program(), "--help"], "")
    name = "syntax-highlighting" if "--syntax-highlighting" in known else "highlight-style"
    return f"--{name}=pygments"


@cache
def _api_version() -> Any:
    """Which of pandoc's JSON formats it writes, and wants back."""
    return json.loads(_run([program(), "-f", "markdown", "-t", "json"], ""))["pandoc-api-version"]


def _document(blocks: list[Element]) -> str:
    return json.dumps({"pandoc-api-version": _api_version(), "meta": {}, "blocks": blocks})


def _run(command: list[str], given: str) -> str:
    return _ended(command, given).stdout


def _ended(command: list[str], given: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as problem:
        said = (problem.stderr.strip() or f"exit status {problem.returncode}").splitlines()[0]
        raise CannotBuild(f"Pandoc stopped: {said}.") from None
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"Pandoc didn't end within {SECONDS} seconds.") from None
    except OSError as problem:
        raise CannotBuild(f"Pandoc can't be started: {problem.strerror}.") from None
