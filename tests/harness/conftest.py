"""What the harness's tests share: submissions made from the reference, and runs of the grader."""

from __future__ import annotations

import atexit
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
import yaml

from autograder.confined.absent import AbsentFinder, AbsentModule
from autograder.homework import VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.staff.preloaded import Preloaded
from autograder.training.carry_over import KEY_FILE, make_key
from provided.packages import ABSENT

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "solutions" / "reference"
TEMPLATE = ROOT / "student_template"
SECONDS = 120
CANARY = {"HW5_CANARY": f"canary-{uuid.uuid4()}"}  # of every grader; no submission may see it

torch.set_num_threads(1)
hypothesis.settings.register_profile(  # how fast the machine is decides nothing
    "harness", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("harness")

# Trainings and predictions cut down to a moment; what they decide is tested elsewhere.
QUICK = {
    "fully_connected": {"training": {"training_images": 320, "accuracy": 0.2, "partial": []}},
    "cnn": {"training": {"training_images": 320, "accuracy": 0.15, "partial": []}},
    "transformer": {
        "accuracy": 0.9,
        "partial": [],
        "perturbed_images": 500,  # of 100, a good model misses five too many once in 50 runs
        "brief": {"steps": 4, "test_images": 100, "accuracy": 0.0},
    },
    "pictures": False,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--grader", type=Path, default=ROOT, help="an installed grader to run the attacks against"
    )
    parser.addoption(
        "--whole-corpus", action="store_true", help="every attack as an ordinary user too"
    )
    parser.addoption(
        "--long", action="store_true", help="also what takes minutes, such as clusters that die"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `long` where nobody asked for it."""
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="it takes long, and runs with --long"))


def pytest_configure(config: pytest.Config) -> None:
    """Let the grader have a key to sign with, as a package has one, for as long as tests run."""
    if not hasattr(config, "workerinput"):  # else who started this worker has seen to it
        for_all_tests = ExitStack()
        config.add_cleanup(for_all_tests.close)
        for_all_tests.enter_context(key_in(config.getoption("grader").resolve()))


LONG = (pytest.mark.full, pytest.mark.long)


def left_to_the_full_set(
    cases: Collection[Any], but: Collection[Any], full: Collection[Any] | None = None
) -> list[Any]:
    """Cases to parametrize with, all marked `full` but some.

    full: those that the full set has, where the rest is left to --long
    """
    return [
        case
        if case in but
        else pytest.param(case, marks=pytest.mark.full if full is None or case in full else LONG)
        for case in cases
    ]


@contextmanager
def stand_ins(folder: Path) -> Iterator[None]:
    """Let files of a folder import packages that the grader hasn't, as a worker lets them."""
    absent = AbsentFinder(folder, ABSENT)
    sys.meta_path.append(absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
        for name in [one for one, it in sys.modules.items() if isinstance(it, AbsentModule)]:
            del sys.modules[name]


def spread(cases: Iterable[Any], count: int) -> list[Any]:
    """As many of the cases, evenly spread, the first among them."""
    cases = list(cases)
    count = min(count, len(cases))
    return [cases[number * len(cases) // count] for number in range(count)]


def a_few_and_all(cases: Iterable[Any], few: int) -> list[Any]:
    """For a test that lists what is wrong with cases: some, and in the full set all of them."""
    cases = list(cases)
    return [spread(cases, few), pytest.param(cases, marks=pytest.mark.full)]


REFERS = re.compile(r"(?:Same cause as|the same as on|As on|The note on) (\d[a-z]\.\d+)")


def read_on(results: dict[str, Any], number: str) -> str:
    """What a student reads on a line, and on those that it refers to."""
    texts = {test["number"]: shown(test["output"]) for test in results["tests"]}
    return "\n".join((texts[number], *(texts[other] for other in REFERS.findall(texts[number]))))


def shown(output: str) -> str:
    """A line's output as the page shows it, a line of text for each break."""
    return html.unescape(re.sub(r"<[^>]*>", "", output.replace("<br>", "\n"))).strip()


@dataclass(frozen=True)
class Run:
    """One run of the grader: results.json, the exit status, what was printed."""

    results: dict[str, Any]
    status: int
    output: str

    @property
    def score(self) -> float:
        """Points in all."""
        return float(self.results["score"])

    def points(self, *parts: str) -> dict[str, float]:
        """Points of each line, or of the lines of some parts."""
        return {
            test["number"]: test["score"]
            for test in self.results["tests"]
            if not parts or test["number"].split(".")[0] in parts
        }

    def lost(self) -> set[str]:
        """The lines without full points."""
        return {t["number"] for t in self.results["tests"] if t["score"] < t["max_score"]}

    def text(self, number: str) -> str:
        """What the student reads on a line, and on those that it refers to."""
        return read_on(self.results, number)

    @property
    def faults(self) -> dict[str, str]:
        """Faults of the grader itself."""
        return dict(self.results["extra_data"].get("faults", {}))


@pytest.fixture
def submission(tmp_path: Path) -> Callable[..., Path]:
    """Makes a submission: the reference with some files replaced, or (None) taken away."""

    def make(**files: str | None) -> Path:
        folder = tmp_path / "submission"
        shutil.copytree(REFERENCE, folder, dirs_exist_ok=True)
        for name, text in files.items():
            file = folder / (name.replace("__", "/") + (".yaml" if name == "answers" else ".py"))
            if text is None:
                file.unlink()
            else:
                file.write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def grade(tmp_path: Path) -> Callable[..., Run]:
    """Grades a folder or zip as ./run_autograder would, trainings cut short."""

    def run(source: Path, *options: str, changes: Mapping[str, Any] | None = None) -> Run:
        return run_grader(source, tmp_path, *settings_in(tmp_path, QUICK, changes or {}), *options)

    return run


def run_grader(
    source: Path,
    folder: Path,
    *options: str,
    seconds: float = SECONDS,
    root: Path = ROOT,
    anew: bool = False,
    temporary: Path | None = None,
) -> Run:
    """One run of the grader below `root` with its results in a folder.

    temporary: the folder for its temporary files
    anew: by ./run_autograder, as a person would; else forked, which saves its start-up
    """
    results = folder / "results.json"
    arguments = [str(source), "--results", str(results), *options]
    environment = {**os.environ, **CANARY, "COLUMNS": "120"}
    if temporary is not None:
        environment["TMPDIR"] = str(temporary)
    if anew:
        ended = subprocess.run(
            [root / "run_autograder", *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
        status, output = ended.returncode, ended.stdout + ended.stderr
    else:
        status, output = preloaded(root).run(["grade", *arguments], environment, seconds)
    content = json.loads(results.read_text(), parse_constant=pytest.fail)
    return Run(content, status, output)


@cache
def preloaded(root: Path) -> Preloaded:
    """Forks graders that are installed below `root`, until the tests end."""
    process = Preloaded([str(root / ".venv/bin/python"), "-I"], {**os.environ, **CANARY})
    atexit.register(process.close)
    return process


@pytest.fixture
def dask() -> Iterator[Any]:
    """A Dask cluster that a test may kill; it has no process yet."""
    pytest.importorskip("distributed")
    from .dask_cluster import Cluster

    made = Cluster()
    yield made
    made.end()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that other users can enter.

    Not below pytest's own, which every start of pytest on the machine closes to them.
    """
    with tempfile.TemporaryDirectory(prefix="hw5-tests-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def temporary(open_folder: Path) -> Path:
    """An empty folder for temporary files, which a worker's user can enter."""
    folder = open_folder / "temporary"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something to become true; fail where it doesn't."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def key_in(root: Path) -> Iterator[Path]:
    """The key that signs carried-over verdicts, as a package has it; drawn where there is none."""
    key = root / "autograder" / KEY_FILE.name
    drawn = not key.exists()
    make_key(key)
    try:
        yield key
    finally:
        if drawn:
            key.unlink()


def settings_in(folder: Path, *changes: Mapping[str, Any]) -> list[str]:
    """Options for the grader's own settings with changes, each made where its value stands."""
    options = []
    given = yaml.safe_load(VALUES_FILE.read_text())
    for option, file in (("--assignment", assignments.FILE), ("--homework", VALUES_FILE)):
        settings = yaml.safe_load(file.read_text())
        for change in changes:
            merge(settings, change, elsewhere=None if file == VALUES_FILE else given)
        copy = folder / file.name
        copy.write_text(yaml.safe_dump(settings))
        options += [option, str(copy)]
    return options


def settings_with(folder: Path, *changes: Mapping[str, Any]) -> Assignment:
    """The grader's own settings with changes, loaded from files in the folder."""
    _, assignment, _, homework = settings_in(folder, *changes)
    return assignments.load(Path(assignment), Path(homework))


def merge(
    settings: dict[str, Any], change: Mapping[str, Any], elsewhere: Mapping[str, Any] | None
) -> None:
    """Change nested settings in place, but for values that stand elsewhere.

    Of the file that is `elsewhere` to the other (None), nothing but its own values change.
    """
    for name, value in change.items():
        if isinstance(value, Mapping) and isinstance(settings.get(name), Mapping):
            theirs = None if elsewhere is None else elsewhere.get(name, {})
            merge(settings[name], value, theirs)
        elif name in settings or (elsewhere is not None and name not in elsewhere):
            settings[name] = value
