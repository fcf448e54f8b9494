"""Whole runs through the door that people use: a folder in, results.json out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import pytest

from autograder.homework import PARTS

from .conftest import REFERENCE, ROOT, TEMPLATE, Run, run_grader

FULL_MARKS = sum(part.points for part in PARTS.values())
CHEAP = ("--only", "1a,1b,1c,2a,3a,3b")

NO_SCALE = (REFERENCE / "attention.py").read_text().replace(" * self.scale", "")


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory) -> Run:
    """One whole run of the reference: every training, on all of MNIST."""
    return run_grader(REFERENCE, tmp_path_factory.mktemp("reference"), seconds=400)


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
    assert with_pictures == {"2b.3", "2c.4", "3c.1", "3c.4"}


def test_staff_see_what_every_process_took(reference_run):
    extra = reference_run.results["extra_data"]
    trained = [extra["trainings"][model]["process"] for model in ("fc", "cnn")]
    assert len(extra["workers"]) >= 8  # for the models, the head, the layer, the transformer
    for process in (extra["grader"], *trained, *extra["workers"]):
        assert 50 < process["peak_mib"] < 4096
        assert process["cpu_seconds"] >= 0
    assert all(process["cpu_seconds"] > 1 for process in trained)


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
        assert re.match(r"(Not done yet|Not answered yet|artifacts/|No trained)", test["output"])
        assert "Traceback" not in test["output"]


def test_a_wrong_head_loses_its_own_lines_and_nothing_in_3b_and_3c(tmp_path, submission):
    run = run_grader(submission(attention=NO_SCALE), tmp_path, "--only", "3a,3b,3c")
    assert run.lost() == {"3a.4"}  # gradients and other sizes agree with what it computes
    for number in ("3b.1", "3b.2", "3b.3", "3b.5", "3c.1", "3c.2", "3c.4"):
        assert "own attention head: mistakes in 3a cost nothing" in run.text(number)


PARTS_OF = {
    "models": ("2b", "2c"),
    "attention": ("3a",),
    "encoder": ("3b",),
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


@pytest.mark.parametrize(("files", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_bad_input_is_named_on_its_lines_and_the_rest_is_graded(grade, submission, files, said):
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


def test_code_that_never_returns_is_cut_off_and_named(grade, submission):
    endless = (
        (REFERENCE / "attention.py")
        .read_text()
        .replace("q, k, v =", "while True: pass\n        q, k, v =")
    )
    run = grade(submission(attention=endless), *CHEAP, changes={"seconds": {"question": 2}})
    assert "did not finish within 2 seconds while calling SingleHeadAttention" in run.text("3a.4")
    assert run.lost() == {f"3a.{line}" for line in range(1, 7)}


def test_the_time_for_the_whole_run_ends_it_with_lines_that_say_so(grade, submission):
    endless = "while True: pass\n"
    run = grade(submission(attention=endless), *CHEAP, changes={"seconds": {"total": 10}})
    assert run.points("1a", "1b", "1c", "2a") != {}
    assert all(run.points("1a", "1b", "1c", "2a").values())
    assert "Not reached: grading ran out of time (10 seconds)" in run.text("3b.5")


def test_a_stopped_grader_leaves_valid_results_at_once_and_nothing_else(
    tmp_path, submission, temporary
):
    folder = submission(attention="while True: pass\n")
    results = tmp_path / "results.json"
    process = subprocess.Popen(
        [ROOT / "run_autograder", folder, "--results", results, *CHEAP],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    wait_until(lambda: results.exists() and json.loads(results.read_text())["score"] >= 8)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    process.wait(timeout=10)
    assert time.monotonic() - started < 3
    content = json.loads(results.read_text())
    assert content["score"] == 8
    reasons = {t["output"] for t in content["tests"] if t["number"].startswith("3")}
    assert reasons == {"Not reached: the grader was stopped before this line."}
    assert list(temporary.glob("autograder-*")) == []  # torch keeps a cache of its own there


@pytest.mark.parametrize("part", ["3a", "3b", "3c"])
def test_a_worker_killed_in_the_middle_costs_its_lines_and_not_the_run(grade, submission, part):
    slow = "import time\ntime.sleep(5)\n"
    name = {"3a": "attention", "3b": "encoder", "3c": "encoder"}[part]
    folder = submission(**{name: slow + (REFERENCE / f"{name}.py").read_text()})
    killer = threading.Thread(target=kill_sleeping_worker)
    killer.start()
    run = grade(folder, "--only", f"1a,1b,2a,{part}")
    killer.join()
    assert run.status == 0, run.faults
    assert all(run.points("1a", "1b", "2a").values())
    assert any("was killed" in run.text(number) for number in run.points(part)), run.results


def kill_sleeping_worker() -> None:
    """SIGKILL a worker (a zygote's child) of the running grader that has slept for a while."""

    def workers() -> list[int]:
        parents, graders = {}, set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                parents[entry.name] = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue  # it has just ended
            if b"autograder.launch" in command:
                graders.add(entry.name)
        zygotes = {pid for pid in graders if parents[pid] in graders}
        return [int(pid) for pid in zygotes if parents[pid] in zygotes]

    seen: dict[int, float] = {}

    def asleep() -> list[int]:
        now = time.monotonic()
        return [pid for pid in workers() if now - seen.setdefault(pid, now) > 1.5]

    wait_until(asleep)
    for pid in asleep():
        os.kill(pid, signal.SIGKILL)


def wait_until(holds, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_zip_one_folder_deeper_is_graded_the_same(grade, tmp_path):
    file = tmp_path / "handed_in.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in REFERENCE.rglob("*"):
            archive.write(path, Path("hw5") / path.relative_to(REFERENCE))
    run = grade(file, *CHEAP)
    assert run.lost() == set()
    assert "Graded the files in the folder hw5." in run.results["output"]


def test_a_missing_submission_is_wrong_usage(tmp_path):
    ended = subprocess.run(
        [ROOT / "run_autograder", tmp_path / "nowhere"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == f"There is no submission at {tmp_path / 'nowhere'}\n"


def test_unknown_parts_are_wrong_usage(tmp_path):
    ended = subprocess.run(
        [ROOT / "run_autograder", REFERENCE, "--only", "9z"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


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
