"""The documents are true: pages linked, samples real, keys of results.json listed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autograder.grade import not_unpacked
from autograder.homework import SUITES
from autograder.hw5 import assignment as assignments
from autograder.rubric.outline import outline
from autograder.sandbox.unpacking import Unpackable
from autograder.staff.solutions import load_solutions

from .conftest import QUICK, ROOT, key_in, run_grader, settings_in

DOCS = sorted((ROOT / "docs").glob("*.md"))
RESULTS = ROOT / "docs" / "results.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|([^|]*)\|$", re.MULTILINE)
# Objects whose keys differ from run to run -> how the page calls them.
FREE = {"faults": "PLACE", "settings": "SETTING", "parts": "PART"}
MODELS = ("trainings", "carry_over", "networks")
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "number or text": (int, float, str),
    "true or false": (bool,),
    "object": (dict,),
    "list": (list,),
    "list of texts": (list,),
    "list of numbers": (list,),
}
# A process ends in one of two ways, and a user of its own belongs to runs as root.
EITHER = ("exit", "signal")


def documented() -> dict[str, str]:
    """Each key that the page lists, and its type."""
    return {key: kind for key, kind, *_ in ROW.findall(RESULTS.read_text(encoding="utf-8"))}


def keys_of(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each key below a value as the page writes it, with its value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            last = path.rpartition(".")[2]
            shown = FREE.get(last, "MODEL" if last in MODELS else name)
            place = f"{path}.{shown}".lstrip(".")
            yield place, inner
            yield from keys_of(inner, place)
    elif isinstance(value, list):
        for entry in value:
            yield from keys_of(entry, f"{path}[]")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[tuple[str, Any]]:
    """Every key of three results: of a run with trainings and a known mistake, of one that the
    grader ends, and of a submission that can't be unpacked, which is flagged."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "metadata.json").write_text(json.dumps({"id": 7}))
    (mistake,) = load_solutions(["no-scale"])
    with key_in(ROOT):
        run = run_grader(
            mistake.assemble(folder / "submission"),
            folder,
            *settings_in(folder, QUICK),
            *("--only", "1a,2b,2c,3a", "--metadata", str(folder / "metadata.json")),
        )
    assert run.status == 0
    assert "3a.4" in run.lost()
    wrong = folder / "wrong.yaml"
    wrong.write_text("title: [")
    ended = run_grader(ROOT / "solutions" / "reference", folder, "--assignment", str(wrong))
    assert ended.status == 3
    lines = outline(SUITES, assignments.load(), frozenset({"1a"}))
    file = folder / "not_unpacked.json"
    not_unpacked(lines, Unpackable("it is too deep", "Traceback …"), None).write(file)
    flagged = json.loads(file.read_text())
    return [*keys_of(run.results), *keys_of(ended.results), *keys_of(flagged)]


ON_ONE_CORE = pytest.mark.xdist_group("two runs with every key")


@ON_ONE_CORE
def test_every_key_of_the_results_is_documented(found):
    assert sorted({key for key, _ in found} - documented().keys()) == []


@ON_ONE_CORE
def test_every_documented_key_stands_in_the_results(found):
    keys = {key for key, _ in found}
    absent = documented().keys() - keys
    if os.geteuid() != 0:
        absent -= {"extra_data.workers[].user"}
    for key in sorted(absent):
        place, _, name = key.rpartition(".")
        if name in EITHER and any(f"{place}.{other}" in keys for other in EITHER):
            absent.discard(key)
    assert sorted(absent) == []


@ON_ONE_CORE
def test_every_documented_type_is_right(found):
    types = documented()
    assert set(types.values()) <= TYPES.keys()
    wrong = {
        key: value
        for key, value in found
        if not isinstance(value, TYPES[types[key]])
        or (isinstance(value, bool) and types[key] != "true or false")
    }
    assert wrong == {}


def test_a_key_that_nobody_documented_is_found():
    invented = {"extra_data": {"trainings": {"fc": {"mood": 1}}, "faults": {"3a.1": "x"}}}
    unknown = {key for key, _ in keys_of(invented)} - documented().keys()
    assert unknown == {"extra_data.trainings.MODEL.mood"}


def links(page: Path) -> set[Path]:
    """What a page links to in this repository."""
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets}


def test_the_readme_links_to_every_page():
    assert set(DOCS) <= links(ROOT / "README.md")


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_page_links_to_files_that_exist(page):
    assert [target for target in sorted(links(page)) if not target.exists()] == []


def rows_of(table: str) -> list[list[str]]:
    """The cells of a table's rows as words, whatever lines they are broken into."""
    rows: list[list[str]] = []
    for line in table.splitlines():
        if line.startswith("│"):
            cells = [cell.strip() for cell in line.strip("│").split("│")]
            if cells[0]:
                rows.append(cells)
            else:
                rows[-1] = [
                    f"{one} {more}".strip() for one, more in zip(rows[-1], cells, strict=True)
                ]
    return rows


def sample(page: Path) -> str:
    """The result that a page shows."""
    return re.findall(r"```text\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0]


def test_the_readme_shows_what_the_grader_prints(tmp_path):
    (mistake,) = load_solutions(["no-scale"])
    shown = rows_of(sample(ROOT / "README.md"))
    assert len(shown) == 8
    assert "3a.4" in [number for number, *_ in shown]
    run = subprocess.run(
        [
            ROOT / "run_autograder",
            mistake.assemble(tmp_path / "submission"),
            *("--only", "1a,3a", "--seed", "1", "--results", tmp_path / "results.json"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "100"},
        check=True,
    )
    assert rows_of(run.stdout) == shown


def test_the_page_on_results_shows_every_line(rubric_lines):
    shown = rows_of(sample(RESULTS))
    assert [(number, title) for number, title, *_ in shown] == rubric_lines


@pytest.fixture
def rubric_lines() -> list[tuple[str, str]]:
    """Number and title of every rubric line."""
    from autograder.hw5 import assignment as assignments
    from autograder.rubric.plugin import titled

    from .local_grading import suite_tests

    assignment = assignments.load()
    return [
        (number, titled((test.__doc__ or "").splitlines()[0], assignment))
        for number, test in suite_tests().items()
    ]
