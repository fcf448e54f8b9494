"""Whole runs through the door that people use: a folder in, results.json out."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.homework import PARTS

from .conftest import (
    QUICK,
    REFERENCE,
    ROOT,
    TEMPLATE,
    Run,
    left_to_the_full_set,
    preloaded,
    run_grader,
    settings_in,
    spread,
    wait_until,
)

FULL_MARKS = sum(part.points for part in PARTS.values())
CHEAP = ("--only", "1a,1b,1c,2a,3a,3b")

NO_SCALE = (REFERENCE / "attention.py").read_text().replace(" * self.scale", "")


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory) -> Run:
    """One whole run of the reference: every training, on all of MNIST."""
    folder = tmp_path_factory.mktemp("reference")
    return run_grader(REFERENCE, folder, seconds=400, anew=True)


def of_the_reference_run(test):
    """Mark what looks at that run, which is made once, and takes long."""
    return pytest.mark.full(pytest.mark.xdist_group("run of the reference")(test))


def test_the_reference_gets_every_point_on_trainings_cut_short(grade):
    run = grade(REFERENCE)
    assert run.status == 0, run.faults
    assert run.score == FULL_MARKS
    assert run.lost() == set()


@of_the_reference_run
def test_the_reference_gets_every_point_on_real_mnist(reference_run):
    assert reference_run.status == 0
    assert reference_run.score == FULL_MARKS
    assert reference_run.lost() == set()
    assert reference_run.faults == {}
    with_pictures = {
        t["number"]
        for t in reference_run.results["tests"]
        if "data:image/png;base64," in t["output"]
    }
    assert with_pictures == {"2b.3", "2c.4", "3c.4"}


@of_the_reference_run
def test_staff_see_what_every_process_took(reference_run):
    extra = reference_run.results["extra_data"]
    trained = [extra["trainings"][model]["process"] for model in ("fc", "cnn")]
    assert len(extra["workers"]) >= 8  # for the models, the head, the layer, the transformer
    for process in (extra["grader"], *trained, *extra["workers"]):
        assert 50 < process["peak_mib"] < 4096
        assert process["cpu_seconds"] >= 0
    assert all(process["cpu_seconds"] > 1 for process in trained)


@of_the_reference_run
def test_the_leaderboard_holds_what_the_lines_say(reference_run):
    entries = {one["name"]: one for one in reference_run.results["leaderboard"]}
    trainings = reference_run.results["extra_data"]["trainings"]
    for name, model, line in (("Fully connected", "fc", "2b.3"), ("CNN", "cnn", "2c.4")):
        entry = entries.pop(f"{name}: test accuracy")
        best = max(max(t["test_accuracy"]) for t in trainings[model]["trials"])
        assert entry["value"] == round(best, 4)
        assert f"{entry['value']:.2%}" in reference_run.text(line)
        assert entry["order"] == "desc"
    assert entries == {
        "CNN: parameters": {"name": "CNN: parameters", "value": 9642.0, "order": "asc"}
    }


def test_the_untouched_template_gets_nothing_and_a_kind_sentence_on_every_line(grade):
    run = grade(TEMPLATE)
    assert run.status == 0
    assert run.score == 0
    assert len(run.results["tests"]) == 36
    assert sum(test["max_score"] for test in run.results["tests"]) == FULL_MARKS
    for test in run.results["tests"]:
        assert re.match(
            r"(Not done yet|Not answered yet|artifacts/|There are no trained)", test["output"]
        )
        assert "Traceback" not in test["output"]


@pytest.mark.full
def test_a_wrong_head_loses_its_own_lines_and_nothing_in_3b_and_3c(grade, submission):
    check_that_it_loses_nothing_else(grade(submission(attention=NO_SCALE), "--only", "3a,3b,3c"))


@pytest.mark.full
def test_a_wrong_head_learns_as_well_as_is_asked_for(tmp_path, submission):
    folder = submission(attention=NO_SCALE)
    check_that_it_loses_nothing_else(run_grader(folder, tmp_path, "--only", "3a,3b,3c"))


def check_that_it_loses_nothing_else(run):
    assert run.lost() == {"3a.4"}  # gradients and other sizes agree with what it computes
    for number in ("3b.1", "3b.2", "3b.3", "3b.5", "3c.1", "3c.2", "3c.4"):
        assert "own attention head: mistakes in 3a cost nothing" in run.text(number)


PARTS_OF = {
    "models": ("2b", "2c"),
    "attention": ("3a",),
    "encoder": ("3b", "3c"),
    "answers": ("1a", "1b", "1c", "2a"),
}
BROKEN = {
    "nothing at all": (
        {"models": None, "attention": None, "encoder": None, "answers": None},
        {"2b.1": "models.py was not submitted", "3a.1": "attention.py was not submitted"},
    ),
    "a missing file": (
        {"attention": None},
        {"3a.1": "attention.py was not submitted", "3a.2": "attention.py was not submitted"},
    ),
    "a file that is no text": (
        {"attention": "import torch\0\n", "answers": "q1a:\0"},
        {
            "3a.1": "attention.py was ignored, and the top of the results says why",
            "3a.2": "attention.py was ignored",
            "1a.1": "answers.yaml was ignored",
        },
    ),
    "a file that another file needs": (
        {
            "encoder": "import models\n" + (REFERENCE / "encoder.py").read_text(),
            "models": None,
        },
        {"3b.1": "models.py was not submitted", "3c.1": "models.py was not submitted"},
    ),
    "a syntax error": (
        {"attention": "class SingleHeadAttention(:\n    pass\n"},
        {"3a.1": "Python can't read attention.py: invalid syntax (attention.py, line 1)"},
    ),
    "tabs and spaces mixed": (
        {"attention": "if True:\n\tx = 1\n        y = 2\n"},
        {"3a.1": "Python can't read attention.py"},
    ),
    "an exception on import": (
        {"models": "raise ValueError('not today')\n"},
        {"2b.1": "Your code raised ValueError while calling build_fully_connected()"},
    ),
    "a model that is no nn.Sequential": (
        {"models": "def build_fully_connected():\n    return 3\n"},
        {"2b.1": "returned an int, not an nn.Sequential", "2c.1": "defines no build_cnn"},
    ),
    "a builder that returns nothing": (
        {"models": "def build_fully_connected():\n    pass\n"},
        {"2b.1": "returned nothing (None), not an nn.Sequential"},
    ),
    "answers that are no YAML": (
        {"answers": "q1a: [1, 2\nq1b: }\n"},
        {"1a.1": "answers.yaml is not valid YAML", "2a.1": "answers.yaml is not valid YAML"},
    ),
    "answers of the wrong kind": (
        {"answers": "q1a: {parameters: many, output_shape: {a: 1}}\nq1c: {first_average: 7}\n"},
        {
            "1a.1": "can't be read",
            "1a.2": "can't be read",
            "1b.1": "Not answered yet: parameters under q1b",
            "1c.1": "can't be read",
        },
    ),
    "code that ends the process": (
        {"attention": "import os\nos._exit(0)\n"},
        {"3a.1": "exited by itself (exit status 0)"},
    ),
    "sys.exit on import": (
        {"attention": "import sys\nsys.exit('bye')\n"},
        {"3a.1": "Your code raised SystemExit"},
    ),
    "a wrong signature": (
        {"attention": "class SingleHeadAttention:\n    def __init__(self, dim):\n        pass\n"},
        {"3a.1": "Your code raised TypeError while making SingleHeadAttention"},
    ),
    "NaN in the output": (
        {
            "attention": (REFERENCE / "attention.py")
            .read_text()
            .replace("return out,", "return out * float('nan'),")
        },
        {"3a.1": "contains NaN or infinity", "3a.4": "contains NaN or infinity"},
    ),
    "a wrong shape": (
        {
            "attention": (REFERENCE / "attention.py")
            .read_text()
            .replace("return out,", "return out.transpose(1, 2),")
        },
        {"3a.1": "has shape (3, 5, 7), expected (3, 7, 5)"},
    ),
    "a wrong return type": (
        {
            "attention": (REFERENCE / "attention.py")
            .read_text()
            .replace("return out, attention", "return {'out': out}")
        },
        {"3a.1": "returned a dict where a tensor is expected"},
    ),
}


@pytest.mark.parametrize("name", left_to_the_full_set(BROKEN, but=spread(BROKEN, 3)))
def test_bad_input_is_named_on_its_lines_and_the_rest_is_graded(grade, submission, name):
    files, said = BROKEN[name]
    parts = {file: PARTS_OF[file] for file in files}
    run = grade(
        submission(**files), "--only", ",".join(("1a", "2a", "3b", *sum(parts.values(), ())))
    )
    assert run.status == 0, run.faults
    assert run.faults == {}
    for number, text in said.items():
        assert text in run.text(number)
    touched = {part for file in files for part in PARTS_OF[file]}
    for number, points in run.points().items():
        if number.partition(".")[0] not in touched:
            assert points > 0, f"{number}: {run.text(number)}"


def test_prints_everywhere_cost_nothing(grade, submission):
    noisy = "print('x' * 10_000)\n" + (REFERENCE / "attention.py").read_text().replace(
        "q, k, v =", "print('y' * 100_000)\n        q, k, v ="
    )
    assert grade(submission(attention=noisy), *CHEAP).lost() == set()


@pytest.mark.full
def test_code_that_never_returns_is_cut_off_and_named(grade, submission):
    endless = (
        (REFERENCE / "attention.py")
        .read_text()
        .replace("q, k, v =", "while True: pass\n        q, k, v =")
    )
    run = grade(submission(attention=endless), *CHEAP, changes={"seconds": {"question": 2}})
    said = "did not finish within 2 seconds of processor time while calling SingleHeadAttention"
    assert said in run.text("3a.4")
    assert run.lost() == {f"3a.{line}" for line in range(1, 7)}


@pytest.mark.full
def test_the_time_for_the_whole_run_ends_it_with_lines_that_say_so(grade, submission):
    endless = "while True: pass\n"
    run = grade(submission(attention=endless), *CHEAP, changes={"seconds": {"total": 10}})
    assert run.points("1a", "1b", "1c", "2a") != {}
    assert all(run.points("1a", "1b", "1c", "2a").values())
    assert "Not reached: the time for the whole grading was up" in run.text("3a.1")
    assert run.text("3b.5").startswith("Not reached: ")
    assert "3a.1" in {flag["line"] for flag in run.results["extra_data"]["flags"]}


SLOW = {  # the limits of a whole run, and QUICK's trainings, about a tenth as long
    **QUICK,
    "seconds": {
        "question": 3,
        "part": 4.5,
        "brief_training": 24,
        "predictions": 15,
        "total": 60,
        "one_core": {"brief_training": 12, "predictions": 9},
    },
}
SLOW_CONSTRUCTOR, SLOW_FORWARD = "__import__('time').sleep(2.5)", "__import__('time').sleep(2.8)"


@pytest.mark.full
def test_slow_but_finite_code_costs_its_own_parts_alone(grade, submission):
    """Each question is within its limit; together they are more than the whole run has."""
    slow = {}
    for name in ("attention", "encoder"):
        text = (REFERENCE / f"{name}.py").read_text()
        text = text.replace("super().__init__()", f"super().__init__(); {SLOW_CONSTRUCTOR}")
        slow[name] = re.sub(
            r"(\n    def forward\(.*:\n)", rf"\1        {SLOW_FORWARD}\n", text, count=1
        )
        assert SLOW_FORWARD in slow[name]
    models = (REFERENCE / "models.py").read_text()
    slow["models"] = re.sub(r"(\ndef build_\w+\(.*:\n)", rf"\1    {SLOW_CONSTRUCTOR}\n", models)
    assert slow["models"].count(SLOW_CONSTRUCTOR) == 2
    run = grade(submission(**slow), changes=SLOW)
    lost = run.lost()
    assert {line[:2] for line in lost} == {"3a", "3b", "3c"}
    for part in ("3a", "3b"):
        texts = [run.text(line) for line in lost if line.startswith(part)]
        assert any("all the time for this part" in text for text in texts), texts
    assert run.results["extra_data"]["complete"]


def test_a_stopped_grader_leaves_valid_results_at_once_and_nothing_else(
    tmp_path, submission, temporary
):
    folder = submission(attention="import time\ntime.sleep(600)\n")
    results = tmp_path / "results.json"
    options = settings_in(tmp_path, {"seconds": {"question": 300}})
    process = subprocess.Popen(
        [ROOT / "run_autograder", folder, "--results", results, *CHEAP, *options],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    wait_until(lambda: results.exists() and json.loads(results.read_text())["score"] >= 8)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)  # far less than the 300 seconds that a question may take
    content = json.loads(results.read_text())
    assert content["score"] == 8
    reasons = {t["output"] for t in content["tests"] if t["number"].startswith("3")}
    assert reasons == {"Not reached: the grader was stopped before this line."}
    assert list(temporary.glob("autograder-*")) == []  # torch keeps a cache of its own there


def test_a_grader_that_is_stopped_early_leaves_valid_results_and_nothing_else(tmp_path, temporary):
    results = tmp_path / "results.json"
    process = subprocess.Popen(
        [ROOT / "run_autograder", REFERENCE, "--results", results, *CHEAP],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    wait_until(lambda: any(temporary.glob("autograder-*")))  # before the suites run
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 3
    assert json.loads(results.read_text())["extra_data"]["complete"] is False
    assert list(temporary.glob("autograder-*")) == []


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system that holds one results.json and hardly more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_the_last_valid_results(small_disk, tmp_path):
    results = small_disk / "results.json"
    ended = subprocess.run(
        [ROOT / "run_autograder", REFERENCE, "--results", results, "--only", "3a,3b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert f"can't be written to {results}: No space left on device" in ended.stderr
    assert json.loads(results.read_text())["extra_data"]["complete"] is False
    assert [path.name for path in small_disk.iterdir()] == ["results.json"]


@pytest.mark.parametrize("part", left_to_the_full_set(("3a", "3b", "3c"), but=("3a",)))
def test_a_worker_killed_in_the_middle_costs_its_lines_and_not_the_run(
    tmp_path, submission, temporary, part
):
    name = {"3a": "attention", "3b": "encoder", "3c": "encoder"}[part]
    folder = submission(**{name: ASLEEP + (REFERENCE / f"{name}.py").read_text()})
    results, options = tmp_path / "results.json", settings_in(tmp_path, QUICK)
    only = ("--only", f"1a,1b,2a,{part}")
    grader = subprocess.Popen(
        [ROOT / "run_autograder", folder, "--results", results, *only, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    killed: set[int] = set()

    def ended() -> bool:
        for pid in asleep(temporary, grader.pid) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        return grader.poll() is not None

    wait_until(ended, seconds=120)
    output, _ = grader.communicate()
    run = Run(json.loads(results.read_text()), grader.returncode, output)
    assert killed
    assert run.status == 0, run.output
    assert all(run.points("1a", "1b", "2a").values())
    assert any("was killed" in run.text(number) for number in run.points(part)), run.results


# At the start of a submission's file: the worker that imports it writes its id, and waits.
ASLEEP = """
import os
import time

with open("asleep", "w") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(60)
"""


def asleep(temporary: Path, grader: int) -> set[int]:
    """The workers of this grader that wait: each has written its id to its scratch folder."""
    found = set()
    for folder, _, files in os.walk(temporary):  # which passes over folders that are gone
        if "asleep" not in files:
            continue
        with contextlib.suppress(OSError):
            text = Path(folder, "asleep").read_text()
            if text.endswith("\n") and descends(int(text), grader):
                found.add(int(text))
    return found


def descends(pid: int, ancestor: int) -> bool:
    """Whether a process is a child of another, or a child's child."""
    while pid > 1 and pid != ancestor:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == ancestor


def test_a_zip_one_folder_deeper_is_graded_the_same(grade, tmp_path):
    file = tmp_path / "handed_in.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in REFERENCE.rglob("*"):
            archive.write(path, Path("hw5") / path.relative_to(REFERENCE))
    run = grade(file, *CHEAP)
    assert run.lost() == set()
    assert "Graded the files in the folder hw5." in run.results["output"]


@pytest.mark.full
def test_a_missing_submission_is_wrong_usage(tmp_path):
    ended = subprocess.run(
        [ROOT / "run_autograder", tmp_path / "nowhere"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == f"There is no submission at {tmp_path / 'nowhere'}\n"


def test_unknown_parts_are_wrong_usage():
    status, said = preloaded(ROOT).run(["grade", str(REFERENCE), "--only", "9z"], os.environ, 60)
    assert status == 2
    assert len(said.splitlines()) == 1


def test_a_wrong_assignment_is_a_fault_of_the_grader_and_says_where(grade, submission):
    run = grade(submission(), changes={"cnn": {"max_parameters": 0}})
    assert run.status == 3
    assert "cnn.max_parameters" in run.output
    assert "not your code" in run.results["output"]


def test_nothing_of_a_submission_lands_on_the_graders_path(grade, submission):
    folder = submission()
    for name in ("torch", "numpy", "conftest", "sitecustomize", "autograder", "random"):
        (folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    (folder / "evil.pth").write_text("import os; os._exit(1)\n")
    assert grade(folder, *CHEAP).lost() == set()


def test_the_template_has_the_slots_that_the_reference_fills(tmp_path):
    for name in ("models.py", "attention.py", "encoder.py", "answers.yaml"):
        assert (TEMPLATE / name).is_file()
        assert (REFERENCE / name).is_file()
