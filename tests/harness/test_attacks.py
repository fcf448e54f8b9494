"""The corpus of hostile and broken submissions, graded for real."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from autograder.staff import preloaded
from autograder.staff.preloaded import Preloaded
from autograder.training.carry_over import KEY_FILE, make_key

from . import attacks
from .attacks.attack import ESCAPED, REFERENCE, Attack, all_at_once, in_place, left_by
from .conftest import (
    CANARY,
    QUICK,
    ROOT,
    left_to_the_full_set,
    read_on,
    run_grader,
    settings_in,
    spread,
)

FAMILIES = sorted(m.name for m in pkgutil.iter_modules(attacks.__path__) if m.name != "attack")
ATTACKS = {
    f"{family}: {name}": attack
    for family in FAMILIES
    for name, attack in importlib.import_module(f"{attacks.__name__}.{family}").ATTACKS.items()
}
# One of each family goes through ./run_autograder itself too; else graders are forked.
STARTED_ANEW = [next(name for name in ATTACKS if name.startswith(f"{f}:")) for f in FAMILIES]
ANEW_BY_DEFAULT = 2
IN_EACH_FAMILY = 2  # that the default set tries
AS_A_USER_BY_DEFAULT = 3
METADATA = "submission_metadata.json"
SECRET_TEXT = "The attention head and the encoder layer that submissions are compared with"
LIMITS = {
    "worker": {"memory_mib": 400, "cpu_seconds": 20},
    "fully_connected": {"training": {"training_images": 320, "accuracy": 0.5, "partial": []}},
}
QUESTION_SECONDS = 4
grader_root = ROOT
SECONDS = 120  # what one run may take on a busy machine; on a quiet one, a fifth of it


def submission(attack: Attack, folder: Path) -> Path:
    shutil.copytree(REFERENCE, folder, ignore=shutil.ignore_patterns("artifacts"))
    for name, content in attack.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = in_place(content, folder).encode()
        file.write_bytes(content)
    make_surroundings(folder.with_name("surroundings"))
    return attack.change(folder) if attack.change else folder


def make_surroundings(folder: Path) -> None:
    """A folder as a shared machine's /tmp may be, with what others have left open there."""
    others = folder / "autograder-of-others"
    others.mkdir(parents=True)
    for name in ("t10k-labels-idx1-ubyte", "results.json"):
        (others / name).write_text("{}")
        (others / name).chmod(0o666)
    others.chmod(0o777)
    (folder / METADATA).write_text("{}")
    (folder / METADATA).chmod(0o644)
    folder.chmod(0o777)


def quick_settings(folder: Path, seconds: float = QUESTION_SECONDS) -> list[str]:
    return settings_in(folder, QUICK, LIMITS, {"seconds": {"question": seconds}})


@pytest.fixture(scope="module", autouse=True)
def _grader(pytestconfig):
    """Which grader is attacked: this repository's, or the one named with --grader."""
    global grader_root
    grader_root = pytestconfig.getoption("grader").resolve()


def graded(
    folder: Path,
    source: Path,
    only: str,
    *options: str,
    seconds: float = QUESTION_SECONDS,
    anew: bool = False,
) -> tuple[dict, int, str]:
    options = ("--only", only, *quick_settings(folder, seconds), *options)
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    run = run_grader(
        source,
        folder,
        *options,
        seconds=SECONDS,
        root=grader_root,
        anew=anew,
        temporary=temporary,
    )
    assert left_of_the_grader(temporary) == []
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


def left_behind(folder: Path) -> list[Path]:
    """Files that the submission in this folder would have made outside its scratch folder."""
    places = (Path(place, left_by(folder)) for place in ("/tmp", "/var/tmp", "/dev/shm"))
    return [place for place in places if place.exists()]


def left_of_the_grader(temporary: Path) -> list[Path]:
    """Scratch folders and the like; torch keeps a cache of its own beside them."""
    return list(temporary.glob("autograder-*"))


def tried_by_default(names: list[str]) -> list[str]:
    """As many of each family, evenly spread, as are wanted."""
    chosen = set()
    for family in FAMILIES:
        chosen.update(spread([n for n in names if n.startswith(f"{family}:")], IN_EACH_FAMILY))
    return [name for name in names if name in chosen]


@pytest.mark.parametrize("name", left_to_the_full_set(ATTACKS, but=tried_by_default(list(ATTACKS))))
def test_an_attack_gains_nothing_and_breaks_nothing(name, open_folder):
    check_attack(ATTACKS[name], open_folder)


@pytest.mark.parametrize(
    "name", left_to_the_full_set(STARTED_ANEW, but=spread(STARTED_ANEW, ANEW_BY_DEFAULT))
)
def test_an_attack_gains_nothing_from_a_grader_that_is_started_anew(name, open_folder):
    check_attack(ATTACKS[name], open_folder, anew=True)


# Those that fall to another wall where the kernel has no Landlock.
WITHOUT_LANDLOCK = [
    "read_secrets: the platform's metadata",
    "read_secrets: the test labels",
    "read_secrets: the environment on its own stack",
    "outliving: folders that nobody can open",
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers are other users")
@pytest.mark.parametrize("name", left_to_the_full_set(WITHOUT_LANDLOCK, but=WITHOUT_LANDLOCK[:1]))
def test_an_attack_gains_nothing_where_the_kernel_has_no_landlock(name, open_folder):
    check_attack(ATTACKS[name], open_folder, "--without", "landlock")


def check_attack(attack: Attack, open_folder: Path, *options: str, anew: bool = False) -> None:
    folder = open_folder / "submission"
    source = submission(attack, folder)
    metadata = ("--metadata", str(folder.with_name("surroundings") / METADATA))
    results, status, said = graded(open_folder, source, attack.only, *metadata, *options, anew=anew)
    assert status == 0, said
    check_what_holds(attack, results, said, folder)
    users = {w["user"] for w in results["extra_data"].get("workers", []) if "user" in w}
    assert users or os.geteuid() != 0
    assert left_running(users) == []


def check_what_holds(attack: Attack, results: dict, said: str, folder: Path) -> None:
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
        assert text in read_on(results, number)
    assert attack.person <= results["extra_data"].get("for_a_person", {}).keys()
    assert ESCAPED not in said
    assert not any(secret in said for secret in CANARY.values())
    assert SECRET_TEXT not in said
    assert max(map(len, texts.values())) < 20_000
    assert left_behind(folder) == []


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
def test_without_one_wall_all_is_graded_and_the_report_says_so(wall, open_folder):
    results, status, said = graded(open_folder, REFERENCE, "3a,3b", "--without", wall)
    assert status == 0, said
    assert results["score"] == 14
    assert wall in results["extra_data"]["confinement"]["missing"]


POSSIBLE_WITHOUT = [
    ("user", "start more threads than allowed"),
    ("seccomp", "start a process"),
    ("landlock", "write to a temporary folder"),
    ("seccomp", "say whom a file signals"),
    ("seccomp", "get past the filter with a longer prctl"),
    ("seccomp", "open a UDP socket"),
    ("user,landlock", "read the test labels"),
    ("user,landlock", "write the results"),
    ("user,seccomp", "limit the grader"),
    ("user,seccomp", "change the rights of the grader's files"),
]


@pytest.mark.skipif(os.geteuid() != 0, reason="a wall falls only where it stood: needs root")
@pytest.mark.parametrize(
    "walls_and_possible",
    left_to_the_full_set(POSSIBLE_WITHOUT, but=POSSIBLE_WITHOUT[:3]),
    ids=": ".join,
)
def test_no_wall_is_decoration(walls_and_possible, open_folder):
    walls, possible = walls_and_possible
    results, status, said = graded(
        open_folder, REFERENCE, "1a", "--without", walls, "--unsafe-local"
    )
    assert status == 0, said
    assert possible in results["extra_data"]["confinement"]["possible"]


@pytest.mark.full
def test_every_probe_tries_what_works_where_nothing_confines_it(open_folder):
    """Else it would prove nothing that a probe fails."""
    probes = {n: a for n, a in ATTACKS.items() if a.tried and "in its place" not in n}
    namespaces = "outliving: new namespaces"  # the last, as it gives up all rights outside
    probes[namespaces] = probes.pop(namespaces)
    folder = open_folder / "submission"
    source = submission(Attack({"attention.py": all_at_once(probes)}), folder)
    results, status, said = graded(
        open_folder,
        source,
        "3a",
        "--without",
        "user,landlock,seccomp",
        "--unsafe-local",
        seconds=40,
    )
    assert status == 0, said
    text = read_on(results, "3a.4")
    assert "[" in text, text
    worked = json.loads(text[text.index("[") : text.index("]") + 1])
    names = list(probes)
    made = left_behind(folder)
    for file in made:
        file.unlink()
    assert {file.parent for file in made} == {Path("/tmp"), Path("/dev/shm")}
    expected = {name for name in names if not probes[name].always}
    if not (grader_root / "solutions").is_dir():
        expected.discard("read_secrets: the reference solution")  # the package comes without
    assert {names[n] for n in worked} == expected


def test_nothing_is_run_where_nothing_guards_the_secrets(open_folder):
    results, status, said = graded(open_folder, REFERENCE, "3a", "--without", "user,landlock")
    assert status == 3
    assert {test["score"] for test in results["tests"]} == {0.0}
    assert all(test["output"].startswith("Not reached") for test in results["tests"])
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
        names = list(ATTACKS) if whole else AS_A_USER
        by_default = names if whole else spread(AS_A_USER, AS_A_USER_BY_DEFAULT)
        metafunc.parametrize("by_a_user", left_to_the_full_set(names, but=by_default))


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole corpus runs as an ordinary user already")
def test_an_attack_gains_nothing_where_the_grader_is_an_ordinary_user(
    by_a_user, ordinary, open_folder
):
    attack, folder = ATTACKS[by_a_user], open_folder / "submission"
    grader, user = ordinary
    source, results = submission(attack, folder), open_folder / "results.json"
    settings = quick_settings(open_folder)
    for path in (open_folder, *open_folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
    temporary = open_folder / "temporary"
    temporary.mkdir()
    os.chown(temporary, user, user)
    metadata = str(folder.with_name("surroundings") / METADATA)
    arguments = [str(source), "--results", str(results), "--only", attack.only, *settings]
    arguments += ["--metadata", metadata]
    environment = {**CANARY, "PATH": os.defpath, "TMPDIR": str(temporary)}
    status, output = grader.run(["grade", *arguments], environment, SECONDS)
    assert status == 0, output
    assert left_of_the_grader(temporary) == []
    text = results.read_text()
    content = json.loads(text)
    assert content["extra_data"]["confinement"]["missing"] == ["user"]
    check_what_holds(attack, content, text + output, folder)


@pytest.fixture(scope="module")
def ordinary():
    """A grader that belongs to an ordinary user and runs as that user, whose id comes with it."""
    user = 64_123
    with tempfile.TemporaryDirectory(prefix="hw5-tests-") as made:
        folder = Path(made)
        for name in ("autograder", "tests/grading", "student_template/provided", "data"):
            shutil.copytree(ROOT / name, folder / name)
        script = Path(shutil.copy(preloaded.__file__, folder))
        make_key(folder / "autograder" / KEY_FILE.name)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)
        paths = (folder, folder / "student_template", Path(sysconfig.get_paths()["purelib"]))
        alone = [sys.executable, "-I", "-S"]  # without the installed grader
        environment = {**CANARY, "PATH": os.defpath}
        grader = Preloaded(alone, environment, script=script, paths=paths, user=user)
        yield grader, user
        grader.close()
