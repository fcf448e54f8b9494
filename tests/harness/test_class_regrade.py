"""A class regraded by the command, with a stand-in for the grader where that isn't the point."""

from __future__ import annotations

import csv
import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from autograder.homework import VALUES_FILE
from autograder.staff import commands
from autograder.staff.classroom import grading
from autograder.staff.classroom import regrade as regrading
from autograder.staff.classroom.commands import report
from autograder.staff.classroom.grading import Grading
from autograder.staff.classroom.records import Entry, read_class, read_entry
from autograder.staff.executor import cluster, probe, workers
from autograder.staff.executor.cluster import ClusterError, Crowd, check_address
from autograder.staff.executor.task import Outcome
from autograder.staff.solutions import load_solutions

from .classes import make_class
from .conftest import QUICK, ROOT, settings_in, wait_until

pytest.importorskip("distributed")
HERE = Path(__file__).parent
WITH = {"submission": "s", "grader": "g", "settings": "1", "limits": "l", "torch": "t", "seed": 1}


class Desk:
    """A folder with a class in it, a stand-in grader, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.grader = folder / "stand_in.py"
        shutil.copyfile(HERE / "stand_in.py", self.grader)
        self.submissions = folder / "submissions"
        self.into = folder / "class"

    def hand_in(self, **behave: str) -> None:
        for name, text in behave.items():
            (self.submissions / name).mkdir(parents=True)
            (self.submissions / name / "behave").write_text(text)

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.harness.class_command", str(self.grader)]
        command += ["regrade", str(self.submissions), "--into", str(self.into), *options]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What a shell runs in the background has Ctrl-C ignored, and so has all below it.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def regrade(self, *options: str, status: int = 0) -> str:
        process = self.start(*options)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == status, said
        return said

    def graded(self) -> list[list[str]]:
        log = self.folder / "graded"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def another_key(self) -> Path:
        file = self.folder / "homework.yaml"
        text = VALUES_FILE.read_text()
        assert text.count("  kernel: 4\n") == 2
        file.write_text(text.replace("  kernel: 4\n", "  kernel: 5\n", 1))
        return file


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_class_is_graded_once_and_then_only_what_a_new_key_concerns(desk):
    desk.hand_in(ada="", bob="right", eve="die", ivy="half", joe="nothing", mia="kill")
    said = desk.regrade("--workers", "2")
    assert "Graded 6, there already 0, in trouble 4." in said
    entries = {entry.id: entry for entry in read_class(desk.into)}
    assert entries["ada"].trouble == entries["bob"].trouble == ""
    for one, words in {
        "eve": "killed by signal",
        "ivy": "stopped before it had finished",
        "joe": "The grader failed",
        "mia": "was killed",
    }.items():
        assert words in entries[one].trouble
    assert entries["ada"].seconds > 0
    assert entries["ada"].peak_mib > 1
    before = len(desk.graded())

    assert "6 submissions, 4 to grade." in desk.regrade()  # those in trouble alone
    again = [line for line in desk.graded()[before:] if line[0] in ("ada", "bob")]
    assert again == []

    for one in ("eve", "ivy", "joe", "mia"):
        shutil.rmtree(desk.submissions / one)
    said = desk.regrade("--homework", str(desk.another_key()))
    assert "Graded 2, there already 0" in said
    assert {line[1] for line in desk.graded()[-2:]} == {"1a"}
    assert "1 submissions changed, 1 scores fell" in said
    with (desk.into / "changes.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["id"], row["line"], row["before"], row["after"]) == ("ada", "1a.1", "1", "0")
    assert (row["cause"], row["detail"]) == ("setting", "conv1d.kernel: 4 -> 5")
    ada = read_entry(desk.into, "ada")
    assert (ada.before["score"], ada.results["score"]) == (9.0, 8.0)
    index = [json.loads(line) for line in (desk.into / "index.jsonl").read_text().splitlines()]
    assert [one["id"] for one in index] == ["ada", "bob", "eve", "ivy", "joe", "mia"]
    assert "3a.1" in index[0]["taken_over"]


@pytest.mark.full
def test_killed_three_times_a_regrade_goes_on_and_does_nothing_twice(desk):
    desk.hand_in(**{f"s{number:02d}": "" for number in range(16)})
    for kill in range(1, 4):
        process = desk.start("--workers", "1")
        wait_until(lambda kill=kill: len(desk.graded()) >= 3 * kill, 60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    desk.regrade("--workers", "2")
    times = Counter(line[0] for line in desk.graded())
    results = {entry.id for entry in read_class(desk.into) if entry.results}
    assert len(results) == 16
    # Between a grader's end and its results in the class's folder lies a moment: a kill in it
    # costs that one grading.
    assert sum(times.values()) - 16 <= 3
    wait_until(lambda: not any(Path(line[2]).exists() for line in desk.graded()))


@pytest.mark.full
def test_a_grading_ends_with_the_command_that_waits_for_it(desk):
    desk.hand_in(ada="hang")
    process = desk.start()
    grader = str(desk.grader)

    def alive() -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if grader in words and "class_command" not in " ".join(words):
                found.append(int(folder.name))
        return found

    wait_until(lambda: bool(alive()), 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not alive())


@pytest.mark.full
def test_a_second_regrade_into_the_same_folder_is_refused(desk):
    desk.hand_in(ada="", bob="hang")
    first = desk.start()
    wait_until(lambda: bool(desk.graded()), 60)
    assert "under way" in desk.regrade(status=2)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=55)  # less than the grading that hangs would take
    assert first.returncode != 0
    assert "not been graded" in read_entry(desk.into, "bob").trouble


@pytest.mark.full
def test_a_students_file_and_parts_choose_and_another_seed_is_tried(desk):
    desk.hand_in(ada="", bob="", eve="")
    names = desk.folder / "names.txt"
    names.write_text("\ufeffbob\r\n\r\nnobody\r\n")  # as spreadsheets save it
    said = desk.regrade("--students", str(names), "--only", "3a,1a", "--again", "--workers", "1")
    assert "No submission of nobody is" in said
    assert "No submission of bob" not in said
    assert [line[:2] for line in desk.graded()] == [["bob", "1a,3a"], ["bob", "1a,3a"]]
    bob = read_entry(desk.into, "bob")
    assert bob.again["extra_data"]["seed"] == bob.results["extra_data"]["seed"] + 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--only", "9z"], "--only takes parts", marks=pytest.mark.full),
        pytest.param(["--only", ","], "--only takes parts", marks=pytest.mark.full),
        (["--scheduler", "tcp://192.0.2.1:8786"], "not encrypted"),
        (["--into", __file__], "is a file"),
        (["--again", "few"], "--again takes a number, a share such as 10%, or all; got few"),
        (["--again", "x" * 300], "--again takes a number, a share such as 10%, or all; got x"),
        (["--again", "no/such.zip"], "no/such.zip"),
        pytest.param(["--students", "/dev/null"], "names nobody", marks=pytest.mark.full),
        pytest.param(["--students", sys.executable], "no text", marks=pytest.mark.full),
        pytest.param(["--into", "/proc/class"], "/proc/class", marks=pytest.mark.full),
    ],
)
def test_what_cannot_work_is_told_in_a_line(options, said, desk):
    desk.hand_in(ada="")
    printed = desk.regrade(*options, status=2)
    assert said in printed
    assert "Traceback" not in printed


def test_a_class_is_not_compared_with_itself(desk):
    desk.hand_in(ada="")
    desk.regrade("--only", "1a")
    with pytest.raises(typer.Exit):
        report(desk.into, against=desk.into / ".")
    report(desk.into, against=shutil.copytree(desk.into, desk.folder / "other"))


def test_a_report_is_written_in_a_class_alone(desk, capsys):
    other = desk.folder / "other"
    (other / "results").mkdir(parents=True)
    with pytest.raises(typer.Exit):
        report(other)
    assert "is not the folder of a class" in capsys.readouterr().err
    assert [file.name for file in other.iterdir()] == ["results"]
    desk.hand_in(ada="")
    desk.regrade("--only", "1a")
    copy = desk.folder / "copy"
    copy.mkdir()
    subprocess.run(["cp", "-r", *sorted(desk.into.glob("[!.]*")), copy], check=True)
    report(copy)
    assert "ada" in (copy / "report.html").read_text()


def test_a_folder_without_locks_is_told_from_one_in_use(tmp_path, monkeypatch):
    def lock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with regrading.only_one(tmp_path):
        pass
    monkeypatch.setattr(regrading.fcntl, "flock", lock)
    with pytest.raises(regrading.InUse, match="has no locks"), regrading.only_one(tmp_path):
        pass


@pytest.mark.parametrize("command", [["regrade", "export.zip"], ["report", "class"]])
def test_what_the_report_needs_is_looked_for_before_anything_is_graded(command, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jinja2" else found(name)
    )
    app = typer.Typer()
    commands.register(app)
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 2
    assert "run ./setup.sh --class once" in ended.output


@pytest.mark.parametrize(
    "address", ["tls://10.0.0.1:8786", "tcp://127.0.0.1:8786", "localhost:1", "tcp://[::1]:8786"]
)
def test_addresses_that_nobody_listens_to_are_taken(address):
    check_address(address)


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:8786", "host:8786", "ws://127.0.0.1:1", ""])
def test_addresses_on_which_somebody_may_listen_are_refused(address):
    with pytest.raises(ClusterError, match="encrypted"):
        check_address(address)


RIGHT = {"grader": "g", "torch": "2", "data": "", "sees_folder": True, "open": ""}
WORKERS = {
    "another grader": ({"grader": "h"}, "another grader"),
    "another torch": ({"torch": "1"}, "torch 1"),
    "no data": ({"data": "t10k"}, "MNIST"),
    "no confinement": ({"open": "nothing here keeps"}, "can't confine"),
    "another disk": ({"sees_folder": False}, "folder"),
    "no grader": ({"failed": "No module named autograder"}, "No module"),
}


@pytest.mark.parametrize("case", WORKERS)
def test_a_worker_that_may_not_grade_is_refused_in_a_sentence(case):
    said, words = WORKERS[case]
    assert words in probe.refusal({**RIGHT, **said}, "g", "2")
    assert probe.refusal(RIGHT, "g", "2") == ""


@pytest.mark.full
def test_this_machine_may_grade(tmp_path):
    said = probe.report(str(tmp_path))
    assert said["sees_folder"]
    assert said["data"] == ""
    assert len(said["grader"]) == 16


def told(desk: Desk, one: str, seconds: float = 30.0) -> Grading:
    wanted = {"1a": WITH, "1b": WITH}
    options = ("--homework", str(VALUES_FILE))
    command = (sys.executable, "-I", "-S", str(desk.grader))
    source = str(desk.submissions / one)
    return Grading(one, str(desk.into), source, wanted, 1, options, seconds, program=command)


def test_a_grading_that_hangs_is_ended_and_listed(desk):
    desk.hand_in(ada="hang")
    said = told(desk, "ada", seconds=0.5).run()
    assert "did not end within" in said.trouble
    assert "did not end" in read_entry(desk.into, "ada").trouble


@pytest.mark.parametrize(("number", "stops"), [(28, True), (13, False)])
def test_a_full_disk_stops_the_regrade_and_leaves_what_was_there(number, stops, desk, monkeypatch):
    desk.hand_in(ada="")
    told(desk, "ada").run()
    before = (desk.into / "results" / "ada.json").read_bytes()

    def full(file: Path, content: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(grading, "write_json", full)
    said = replace(told(desk, "ada"), wanted={"1a": {**WITH, "settings": "2"}}).run()
    assert os.strerror(number) in said.trouble
    assert bool(said.stop) is stops
    assert (desk.into / "results" / "ada.json").read_bytes() == before


def test_the_time_that_is_left_is_reckoned_from_when_grading_began(monkeypatch):
    now, said = [0.0], []

    class Slow:
        def run(self, gradings):
            now[0] += 600  # until a worker has proved itself
            for one in gradings:
                now[0] += 70
                yield Outcome(one, graded=True, seconds=70)

    class Three:
        clean_up = print

    monkeypatch.setattr(regrading.time, "monotonic", lambda: now[0])
    regrading._run(Three, Slow(), iter("abc"), 3, said.append, regrading.Tally())
    assert [line.partition("  (")[2] for line in said] == [
        "about 2 min left)",
        "about 1 min left)",
        "",
    ]


def test_a_machine_that_may_not_grade_gets_no_work(desk, monkeypatch):
    monkeypatch.setattr(probe, "report", lambda folder: {"failed": "it is too old"})
    desk.into.mkdir()
    with (
        pytest.raises(ClusterError, match="too old"),
        workers.workers(desk.into, 1, "", print, prove_this_machine=True),
    ):
        pytest.fail("it got work")


@pytest.mark.full
@pytest.mark.long
def test_a_worker_that_may_not_grade_gets_no_work_and_is_named(desk, dask):
    desk.hand_in(ada="")
    said: list[str] = []
    dask.scheduler()
    dask.worker("--no-nanny")
    connect = cluster.at(dask.address)
    crowd = Crowd(connect, lambda _: "it is too old", str(desk.into), said.append, 30.0, len)
    with pytest.raises(ClusterError, match="too old"):
        list(crowd.run([told(desk, "ada")]))
    crowd.close()
    assert desk.graded() == []
    assert "gets no work: it is too old" in said[0]
    assert "too old Waiting up to" in said[1]


@pytest.mark.full
@pytest.mark.long
def test_workers_and_the_scheduler_die_and_the_class_is_finished(desk, dask):
    desk.hand_in(**{f"s{number:02d}": "" for number in range(12)}, s99="kill")
    scheduler = dask.scheduler()
    first, _ = dask.worker("--no-nanny"), dask.worker("--no-nanny")
    crowd = Crowd(cluster.at(dask.address), lambda _: "", str(desk.into), print, 60.0, len)
    gradings = [told(desk, one.name) for one in sorted(desk.submissions.iterdir())]
    outcomes = []
    for number, outcome in enumerate(crowd.run(gradings), 1):
        outcomes.append(outcome)
        if number == 2:
            first.kill()
        if number == 5:
            scheduler.kill()
            scheduler.wait()
            dask.scheduler()
            dask.worker("--no-nanny")
    crowd.close()
    assert sorted({one.id for one in outcomes}) == [one.id for one in gradings]
    assert {one.id for one in outcomes if one.trouble} == {"s99"}
    times = Counter(line[0] for line in desk.graded())
    # A worker that dies may do so between the grader's end and the results in the folder.
    assert sum(times.values()) <= 12 + 2


@pytest.mark.full
@pytest.mark.long
def test_what_kills_its_worker_each_time_costs_itself_alone(desk, dask):
    desk.hand_in(ada="", bob="poison", eve="")
    dask.scheduler()
    dask.worker("--nanny")
    crowd = Crowd(cluster.at(dask.address), lambda _: "", str(desk.into), print, 60.0, len)
    gradings = [told(desk, one) for one in ("ada", "bob", "eve")]
    outcomes = {one.id: one for one in crowd.run(gradings)}
    crowd.close()
    assert "died, 3 times" in outcomes["bob"].trouble
    assert "died, 3 times" in read_entry(desk.into, "bob").trouble
    assert sorted(line[0] for line in desk.graded()) == ["ada", "eve"]


@pytest.mark.full
@pytest.mark.long
def test_the_real_grader_grades_a_made_class_and_trains_nothing_twice(tmp_path):
    made = make_class(tmp_path, 3, hostile=1, zipped=True, pool=load_solutions(["reference"]))
    into = tmp_path / "class"

    def regrade(name: str, **changes: object) -> list[Entry]:
        (tmp_path / name).mkdir()
        settings = settings_in(tmp_path / name, QUICK, changes)
        command = [str(ROOT / ".venv/bin/autograder"), "regrade", str(made.path), *settings]
        command += ["--into", str(into), "--only", "1a,2b", "--workers", "2"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return read_class(into)

    def trained(entries: list[Entry]) -> int:
        runs = [entry.results["extra_data"]["trainings"]["fc"]["process"] for entry in entries]
        return sum(bool(run) for run in runs)

    first = regrade("first")
    assert [entry.id for entry in first] == made.ids
    for entry in first:
        assert entry.trouble == ""
        assert entry.students
        assert entry.digests
        assert {"1a.1", "2b.3"} <= {line["number"] for line in entry.results["tests"]}
    assert trained(first) == 1
    partial = {"training": {"partial": [{"accuracy": 0.15, "points": 1}], "accuracy": 0.18}}
    second = regrade("second", fully_connected=partial)
    assert trained(second) == 0
    for entry in second:
        assert entry.results["extra_data"]["regrade"]["taken_over"]["2b.3"].startswith("trained")
        assert entry.results["extra_data"]["regrade"]["taken_over"]["1a.1"].startswith("not graded")
