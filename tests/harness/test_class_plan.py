"""What of a class has to be graded, and what is said of an export that isn't as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from autograder.staff.classroom.export import open_export
from autograder.staff.classroom.metadata import FILE
from autograder.staff.classroom.plan import Plan, look_through
from autograder.staff.classroom.records import BEFORE, RESULTS, read_entry, read_json, write_json
from autograder.staff.classroom.settings import prepare
from autograder.staff.solutions import load_solutions

from .classes import Class, described, expected, make_class

PARTS = {"1a", "3a"}


@pytest.fixture
def made(tmp_path: Path) -> Class:
    return make_class(tmp_path, 3, pool=load_solutions(["reference"]))


def planned(made: Class, into: Path, *students: str, parts: set[str] = PARTS) -> Plan:
    export = open_export(made.path)
    plan = Plan(into, export, prepare(into), parts, [])
    look_through(plan, students)
    return plan


def rewrite(made: Class, change: str) -> None:
    """Make the export's YAML otherwise than its folders."""
    file = made.path / FILE
    text = file.read_text()
    first = made.ids[0]
    if change == "one submission more":
        text += described(5, "999999", None)
    elif change == "one submission less":
        text = text[: text.index(f"submission_{made.ids[-1]}:")]
    elif change == "a student twice":
        text = text.replace("'00010'", "'00000'")
    elif change == "a submission twice":
        text += described(0, first, None)
    elif change == "another assignment":
        text = text.replace("number: 1", "number: X").replace("number: 2", "number: X")
        text = text.replace("number: 3", "number: X")
    elif change == "the end is missing":
        text = text[:-45]
    file.write_text(text)


SAID = {
    "one submission more": "tells of submission 999999, but does not hold it",
    "one submission less": "is not described in the export",
    "a student twice": "Student 00000 has several submissions",
    "a submission twice": "is described twice",
    "another assignment": "The results of 3 submissions are of another assignment",
    "the end is missing": "ends in the middle",
    "nothing": "",
}


@pytest.mark.parametrize("change", SAID)
def test_what_is_odd_about_an_export_is_said_and_loses_no_submission(change, made, tmp_path):
    rewrite(made, change)
    plan = planned(made, tmp_path / "class")
    notes = [*plan.notes, *plan.export.notes]
    assert any(SAID[change] in note for note in notes) is (change != "nothing"), notes
    assert plan.todo == made.ids
    first = read_entry(tmp_path / "class", made.ids[0])
    assert (first.before is None) is (change == "another assignment")


def test_an_entry_keeps_what_the_export_says(made, tmp_path):
    planned(made, tmp_path / "class")
    entry = read_entry(tmp_path / "class", made.ids[2])
    assert entry.students[0].sid == "00020"
    assert (entry.attempts, entry.history) == (3, (20.0, 30.0))
    assert entry.before["score"] == expected(made.solutions[made.ids[2]])["score"]
    assert "attention.py" in entry.digests


@pytest.mark.parametrize(
    "name", ["400007", "00010", "student1.0@example.edu", " STUDENT1.0@example.EDU"]
)
def test_students_are_chosen_by_id_number_or_address(name, made, tmp_path):
    plan = planned(made, tmp_path / "class", name)
    assert (plan.chosen, plan.todo) == (["400007"], ["400007"])


def done(plan: Plan, one: str) -> None:
    """As if a submission had been graded as planned."""
    grading = plan.grading(one, plan.settings)
    results = {
        "score": 2.0,
        "tests": [
            {"number": f"{part}.1", "score": 1.0, "max_score": 1.0, "output": ""} for part in PARTS
        ],
        "extra_data": {"seed": grading.seed, "regrade": {"parts": dict(grading.wanted)}},
    }
    write_json(plan.folder / RESULTS / f"{one}.json", results)


def test_what_is_done_is_not_done_again_until_the_submission_changes(made, tmp_path):
    into = tmp_path / "class"
    plan = planned(made, into)
    for one in made.ids:
        done(plan, one)
    assert planned(made, into).todo == []
    assert planned(made, into, parts={"1a"}).todo == []
    assert planned(made, into, parts={"1a", "1b"}).todo == made.ids
    (made.path / f"submission_{made.ids[1]}" / "answers.yaml").write_text("q1a: 1\n")
    assert planned(made, into).todo == [made.ids[1]]


def test_the_seed_is_that_of_the_earlier_results(made, tmp_path):
    into = tmp_path / "class"
    first, second = made.ids[:2]
    write_json(into / BEFORE / f"{first}.json", {"tests": [], "extra_data": {"seed": 77}})
    plan = planned(made, into)
    assert plan.seed(first) == 77
    assert plan.seed(second) == planned(made, into).seed(second)
    assert plan.seed(second) != plan.seed(made.ids[2])


def test_signed_trainings_of_the_platform_are_handed_to_the_grader(made, tmp_path):
    into = tmp_path / "class"
    first = made.ids[0]
    signed = {"fc": {"fingerprint": "f", "result": {}, "signature": "s"}}
    write_json(into / BEFORE / f"{first}.json", {"tests": [], "extra_data": {"carry_over": signed}})
    plan = planned(made, into)
    options = plan.grading(first, plan.settings).options
    told = read_json(Path(options[options.index("--metadata") + 1]))
    assert told["previous_submissions"][0]["results"]["extra_data"]["carry_over"] == signed
    assert "--metadata" not in plan.grading(made.ids[1], plan.settings).options
    plan.clean_up(first)
    assert not list((into / "running").glob("*metadata*"))


def test_a_grading_on_one_core_has_the_time_of_several(tmp_path):
    from autograder.hw5 import assignment as assignments

    mine, usual = prepare(tmp_path).assignment, assignments.load()
    assert mine.on(1).cnn.training.cpu_seconds == usual.cnn.training.cpu_seconds
    assert mine.on(1).seconds.brief_training == usual.seconds.brief_training
    assert mine.seconds.total > usual.seconds.total
    again = prepare(tmp_path, other_seeds=True).assignment
    assert not set(again.cnn.training.seeds) & set(usual.cnn.training.seeds)
    copied = yaml.safe_load(Path(prepare(tmp_path).options[1]).read_text())
    assert copied["cnn"] == yaml.safe_load(assignments.FILE.read_text())["cnn"]
