"""The corpus of hostile and broken submissions, graded for real."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograder.training.carry_over import KEY_FILE, make_key
from autograder.training.machine import cores

from . import attacks
from .attacks.attack import ESCAPED, REFERENCE, Attack, all_at_once
from .conftest import QUICK, ROOT, key_in, let_others_enter, run_grader, settings_in

FAMILIES = sorted(m.name for m in pkgutil.iter_modules(attacks.__path__) if m.name != "attack")
ATTACKS = {
    f"{family}: {name}": attack
    for family in FAMILIES
    for name, attack in importlib.import_module(f"{attacks.__name__}.{family}").ATTACKS.items()
}
CANARY = "canary-of-the-environment"
SECRET_TEXT = "The attention head and the encoder layer that submissions are compared with"
LIMITS = {
    "worker": {"memory_mib": 400, "cpu_seconds": 20},
    "fully_connected": {"training": {"training_images": 320, "accuracy": 0.5, "partial": []}},
}
QUESTION_SECONDS = 4
grader_root = ROOT
SECONDS = 45  # what one run may take: each of a few questions up to its own limit


def submission(attack: Attack, folder: Path) -> Path:
    shutil.copytree(REFERENCE, folder, ignore=shutil.ignore_patterns("artifacts"))
    for name, content in attack.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return attack.change(folder) if attack.change else folder


def quick_settings(folder: Path, seconds: float = QUESTION_SECONDS) -> list[str]:
    return settings_in(folder, QUICK, LIMITS, {"seconds": {"question": seconds}})


@pytest.fixture(scope="module", autouse=True)
def _grader(pytestconfig):
    """Which grader is attacked: this repository's, or the one named with --grader."""
    global grader_root
    grader_root = pytestconfig.getoption("grader").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HW5_CANARY", CANARY)
        with key_in(grader_root):
            yield


def graded(
    folder: Path, source: Path, only: str, *options: str, seconds: float = QUESTION_SECONDS
) -> tuple[dict, int, str]:
    options = ("--only", only, *quick_settings(folder, seconds), *options)
    run = run_grader(source, folder, *options, seconds=SECONDS, root=grader_root)
    return run.results, run.status, run.output + json.dumps(run.results, ensure_ascii=False)


def left_running(users: set[int]) -> list[str]:
    """Processes that still run as one of the throw-away users of a run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:
            continue
        uid = next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))
        if uid in users and "zombie" not in lines[2]:
            found.append(lines[0])
    return found


def left_behind() -> list[str]:
    """Files that a case would have made outside its scratch folder."""
    return [
        str(path)
        for place in ("/tmp", "/var/tmp", "/dev/shm")
        for path in Path(place).glob("hw5-left-*")
    ]


def attacked(attack: Attack, folder: Path) -> tuple[dict, int, str]:
    return graded(folder, submission(attack, folder / "submission"), attack.only)


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """The attacks that are to be tested, name -> future outcome; one at a time on each core."""
    with side_by_side(request, "attack", tmp_path_factory, attacked) as futures:
        yield futures


@contextmanager
def side_by_side(request, parameter: str, folders, run: Callable) -> Iterator[dict[str, Future]]:
    """Start run(attack, folder) for each attack that a test in this session asks for."""
    asked = [
        item.callspec.params[parameter]
        for item in request.session.items
        if parameter in getattr(getattr(item, "callspec", None), "params", {})
    ]
    pool = ThreadPoolExecutor(cores())
    try:
        yield {name: pool.submit(run, ATTACKS[name], folders.mktemp("attack")) for name in asked}
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_gains_nothing_and_breaks_nothing(attack, runs):
    results, status, said = runs[attack].result()  # raises where it took more than SECONDS
    assert status == 0, said
    check_what_holds(ATTACKS[attack], results, said)
    users = {w["user"] for w in results["extra_data"].get("workers", []) if "user" in w}
    assert users or os.geteuid() != 0
    assert left_running(users) == []


def check_what_holds(attack: Attack, results: dict, said: str) -> None:
    """Lines lost and kept, nothing leaked, nothing left; `said` is all that was written."""
    assert results["extra_data"]["faults"] == {}
    numbers = [test["number"] for test in results["tests"]]
    assert len(numbers) == len(set(numbers)) > 0
    lost = {t["number"] for t in results["tests"] if t["score"] < t["max_score"]}
    texts = {t["number"]: t["output"] for t in results["tests"]}
    no_artifacts = {n for n in numbers if n in ("2b.4", "2c.5", "3c.3")}
    assert attack.lost <= lost, texts
    assert lost <= attack.lost | attack.may | no_artifacts, {n: texts[n] for n in lost}
    for number, text in attack.says:
        assert text in texts[number]
    assert ESCAPED not in said
    assert CANARY not in said
    assert SECRET_TEXT not in said
    assert max(map(len, texts.values())) < 20_000
    assert left_behind() == []


def test_the_page_about_security_counts_the_corpus_as_it_is():
    page = (ROOT / "docs" / "security.md").read_text()
    counts = {}
    for family in FAMILIES:
        row = re.search(rf"^\| `{family}` \|.*\| (\d+) \|$", page, re.MULTILINE)
        assert row, f"docs/security.md has no row for {family}"
        counts[family] = int(row[1])
    assert counts == {f: sum(n.startswith(f"{f}:") for n in ATTACKS) for f in FAMILIES}
    assert f"{sum(counts.values())} hostile or broken submissions" in page


@pytest.mark.parametrize("wall", ["user", "landlock", "seccomp"])
def test_without_one_wall_all_is_graded_and_the_report_says_so(wall, tmp_path):
    results, status, said = graded(tmp_path, REFERENCE, "3a,3b", "--without", wall)
    assert status == 0, said
    assert results["score"] == 14
    assert wall in results["extra_data"]["confinement"]["missing"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a wall falls only where it stood: needs root")
@pytest.mark.parametrize(
    ("walls", "possible"),
    [
        ("user", "start more threads than allowed"),
        ("seccomp", "start a process"),
        ("seccomp", "open a UDP socket"),
        ("landlock", "write to a temporary folder"),
        ("user,landlock", "read the test labels"),
        ("user,landlock", "write the results"),
        ("user,seccomp", "limit the grader"),
        ("user,seccomp", "change the rights of the grader's files"),
    ],
)
def test_no_wall_is_decoration(walls, possible, tmp_path):
    results, status, said = graded(tmp_path, REFERENCE, "1a", "--without", walls, "--unsafe-local")
    assert status == 0, said
    assert possible in results["extra_data"]["confinement"]["possible"]


def test_every_probe_tries_what_works_where_nothing_confines_it(tmp_path):
    """Else it would prove nothing that a probe fails."""
    probes = {n: a for n, a in ATTACKS.items() if a.tried and "in its place" not in n}
    namespaces = "outliving: new namespaces"  # the last, as it gives up all rights outside
    probes[namespaces] = probes.pop(namespaces)
    source = submission(Attack({"attention.py": all_at_once(probes)}), tmp_path / "submission")
    results, status, said = graded(
        tmp_path, source, "3a", "--without", "user,landlock,seccomp", "--unsafe-local", seconds=40
    )
    assert status == 0, said
    text = next(t["output"] for t in results["tests"] if t["number"] == "3a.4")
    assert "[" in text, text
    worked = json.loads(text[text.index("[") : text.index("]") + 1])
    names = list(probes)
    for place in ("/tmp", "/dev/shm"):
        Path(place, "hw5-left-behind").unlink(missing_ok=True)
    expected = {name for name in names if not probes[name].always}
    if not (grader_root / "solutions").is_dir():
        expected.discard("read_secrets: the reference solution")  # the package comes without
    assert {names[n] for n in worked} == expected


def test_nothing_is_run_where_nothing_guards_the_secrets(tmp_path):
    results, status, said = graded(tmp_path, REFERENCE, "3a", "--without", "user,landlock")
    assert status == 3
    assert results["tests"] == []
    assert "not your code" in results["output"]
    assert "--unsafe-local" in said


# What an ordinary user's grader can't lean on another user id for; the rest with --whole-corpus.
AS_A_USER = [
    name
    for name in ATTACKS
    if name.startswith(("read_secrets", "outliving")) or "forking" in name or "results" in name
]


def pytest_generate_tests(metafunc):
    if "by_a_user" in metafunc.fixturenames:
        whole = metafunc.config.getoption("whole_corpus")
        metafunc.parametrize("by_a_user", ATTACKS if whole else AS_A_USER)


@pytest.fixture(scope="module")
def runs_of_a_user(request, ordinary, tmp_path_factory):
    """The attacks that an ordinary user's grader meets, name -> future outcome."""

    def run(attack: Attack, folder: Path) -> tuple[dict, str]:
        return attacked_as_a_user(attack, folder, *ordinary)

    with side_by_side(request, "by_a_user", tmp_path_factory, run) as futures:
        yield futures


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole corpus runs as an ordinary user already")
def test_an_attack_gains_nothing_where_the_grader_is_an_ordinary_user(by_a_user, runs_of_a_user):
    results, said = runs_of_a_user[by_a_user].result()  # raises where it took more than SECONDS
    assert results["extra_data"]["confinement"]["missing"] == ["user"]
    check_what_holds(ATTACKS[by_a_user], results, said)


def attacked_as_a_user(attack: Attack, folder: Path, copy: Path, user: int) -> tuple[dict, str]:
    """Grade an attack as that user with the grader's copy: the results, and all that was said."""
    source = submission(attack, folder / "submission")
    settings = quick_settings(folder)
    let_others_enter(folder)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
    packages = sysconfig.get_paths()["purelib"]
    start = (
        f"import sys; sys.path[:0] = [{str(copy)!r}, {str(copy / 'student_template')!r}]; "
        f"sys.path.append({packages!r}); sys.argv = ['autograder', 'grade', {str(source)!r}, "
        f"'--results', {str(folder / 'results.json')!r}, '--only', {attack.only!r}, "
        f"*{settings!r}]; "
        "from autograder.launch import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={"HW5_CANARY": CANARY, "PATH": os.defpath, "OMP_NUM_THREADS": "1"},
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    text = (folder / "results.json").read_text()
    return json.loads(text), text + ended.stdout


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory):
    """A copy of the grader that belongs to an ordinary user, and that user's id."""
    user = 64_123
    folder = tmp_path_factory.mktemp("ordinary")
    for name in ("autograder", "tests/grading", "student_template/provided", "data"):
        shutil.copytree(ROOT / name, folder / name)
    make_key(folder / "autograder" / KEY_FILE.name)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user)
    let_others_enter(folder)
    return folder, user
