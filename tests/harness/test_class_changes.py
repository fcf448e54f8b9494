"""What a regrade changed and why, results put together from parts, tables that run nothing."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from autograder.homework import GRADED_PARTS
from autograder.hw5 import assignment as assignments
from autograder.hw5 import made_with
from autograder.staff.classroom import changes, flakiness, merging
from autograder.staff.classroom.cells import write_table
from autograder.staff.classroom.records import Entry, Student, write_json

WITH = {"submission": "s", "grader": "g", "settings": "1", "limits": "l", "torch": "t", "seed": 1}


def line(number: str, score: float = 1.0, text: str = "Correct.", diagnosis: str = "") -> dict:
    extra = {"extra_data": {"diagnosis": diagnosis}} if diagnosis else {}
    return {"number": number, "score": score, "max_score": 1.0, "output": text, **extra}


def results(*lines: dict, **used: Any) -> dict[str, Any]:
    """Results of some lines, all graded alike but for what is named."""
    parts = {one["number"][:2]: {**WITH, **used} for one in lines}
    return {
        "score": sum(one["score"] for one in lines),
        "tests": list(lines),
        "extra_data": {"seed": 1, "regrade": {"parts": parts}},
    }


def one_change(before: dict, after: dict, folder: Any) -> changes.Change:
    (found,) = changes.changes(Entry("1", results=after, before=before), folder)
    return found


# cause -> what differs in what the part was graded with
CAUSES = {
    changes.GRADER: {"grader": "h"},
    changes.SETTING: {"settings": "2"},
    changes.SUBMISSION: {"submission": "r"},
    changes.ANOTHER_SEED: {"seed": 2},
    changes.SAME_SEED: {},
    f"{changes.SUBMISSION}, {changes.GRADER}": {"submission": "r", "grader": "h", "seed": 2},
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_change_has_the_cause_that_differs(cause, tmp_path):
    after = results(line("1a.1", 0.0), **CAUSES[cause])
    found = one_change(results(line("1a.1")), after, tmp_path)
    assert (found.before, found.after, found.cause, found.fell) == (1.0, 0.0, cause, True)


def test_the_settings_that_differ_are_named(tmp_path):
    write_json(tmp_path / "1.json", {"conv1d.kernel": 4, "conv1d.stride": 2})
    write_json(tmp_path / "2.json", {"conv1d.kernel": 5, "conv1d.stride": 2})
    after = results(line("1a.1", 0.0, diagnosis="bias-forgotten"), settings="2")
    found = one_change(results(line("1a.1")), after, tmp_path)
    assert found.detail == "conv1d.kernel: 4 -> 5; no diagnosis -> bias-forgotten"


def test_another_text_is_no_other_verdict(tmp_path):
    after = results(line("1a.1", text="Right."), grader="h")
    assert one_change(results(line("1a.1")), after, tmp_path).cause == changes.ONLY_TEXT


def test_where_a_training_comes_from_is_no_change(tmp_path):
    said = "Carried over from your previous submission: this model is unchanged."
    before = results(line("2b.3", text=f"Test accuracy.\n{said}"))
    entry = Entry("1", results=results(line("2b.3", text="Test accuracy.\n")), before=before)
    assert changes.changes(entry, tmp_path) == []


def test_results_that_do_not_say_how_they_were_made_give_no_cause(tmp_path):
    before = {"score": 1.0, "tests": [line("1a.1")]}
    found = one_change(before, results(line("1a.1", 0.0)), tmp_path)
    assert found.cause == changes.UNKNOWN


def test_results_of_the_platform_say_how_they_were_made(tmp_path):
    made = {"grader": "g", "parts": {"1a": "9"}}
    before = {"tests": [line("1a.1")], "extra_data": {"seed": 1, "made_with": made}}
    after = results(line("1a.1", 0.0))
    assert one_change(before, after, tmp_path).cause == changes.SETTING
    made["parts"]["1a"] = "1"
    assert one_change(before, after, tmp_path).cause == changes.SAME_SEED


def test_lines_that_come_and_go_are_named_and_parts_that_were_not_graded_are_not(tmp_path):
    before = results(line("1a.1"), line("1a.2"), line("3a.1"))
    after = results(line("1a.1"), line("1a.3"), grader="h")
    found = changes.changes(Entry("1", results=after, before=before), tmp_path)
    assert [(one.line, one.before, one.after) for one in found] == [
        ("1a.2", 1.0, None),
        ("1a.3", None, 1.0),
    ]


def test_the_table_has_a_row_for_each_student_of_a_group(tmp_path):
    students = (Student("=1+2", "0012", "ada@x"), Student("\u202eeve", "7", ""))
    entry = Entry("5", students, results(line("1a.1", 0.0)), results(line("1a.1")))
    changes.write_changes([entry], tmp_path)
    with (tmp_path / changes.FILE).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["sid"] for row in rows] == ["0012", "7"]
    assert [row["name"] for row in rows] == ["'=1+2", "\\u202eeve"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\n=1"])
def test_no_cell_begins_with_what_a_spreadsheet_would_run(text, tmp_path):
    write_table(tmp_path / "t.csv", ["a"], [[text], ["a=1"], [-1.5], [None]])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        _, unsafe, plain, number, nothing = list(csv.reader(stream))
    assert unsafe[0].startswith("'")
    assert (plain, number, nothing) == (["a=1"], ["-1.5"], [""])


def test_parts_are_graded_again_only_where_something_changed():
    old = results(line("1a.1"), line("3a.1"))
    same = {"1a": WITH, "3a": WITH}
    assert merging.missing(old, same) == set()
    assert merging.missing(old, {**same, "1a": {**WITH, "settings": "2"}}) == {"1a"}
    assert merging.missing(old, {**same, "1b": WITH}) == {"1b"}
    assert merging.missing(None, same) == {"1a", "3a"}


def test_new_parts_go_into_the_old_results():
    old = results(line("1a.1"), line("3a.1"), line("2b.3"))
    old["extra_data"] |= {
        "faults": {"3a.1": "x", "1a.1": "y"},
        "trainings": {"fc": {"ended": "reached", "process": {}}},
        "flags": [{"line": "3a.1", "what": "", "trace": ""}],
    }
    old["leaderboard"] = [{"name": "Fully connected: test accuracy", "value": 0.9}]
    new = {"score": 0.0, "tests": [line("1a.1", 0.0)], "extra_data": {"seed": 1, "faults": {}}}
    wanted = {part: {**WITH, "settings": "2"} for part in ("1a", "2b", "3a")}
    figures = {"seconds": 1.0, "peak_mib": 2.0}
    whole = merging.noted(merging.merged(old, new, {"1a"}), old, wanted, {"1a"}, figures)
    assert [(one["number"], one["score"]) for one in whole["tests"]] == [
        ("1a.1", 0.0),
        ("2b.3", 1.0),
        ("3a.1", 1.0),
    ]
    extra = whole["extra_data"]
    assert (whole["score"], extra["faults"]) == (2.0, {"3a.1": "x"})
    assert (len(extra["flags"]), len(whole["leaderboard"])) == (1, 1)
    assert extra["regrade"]["parts"]["1a"]["settings"] == "2"
    assert extra["regrade"]["parts"]["3a"]["settings"] == "1"
    assert extra["regrade"]["taken_over"] == {"2b.3": merging.KEPT, "3a.1": merging.KEPT}


def test_every_section_of_the_settings_belongs_to_parts_or_is_no_verdicts():
    sections = set(assignments.Assignment.model_fields)
    assert sections == set(made_with.PARTS_OF) | made_with.NO_VERDICT | {"seconds", "worker"}
    assert set().union(*made_with.PARTS_OF.values()) <= set(GRADED_PARTS)


def test_a_key_concerns_its_part_alone_and_a_limit_of_time_none():
    settings = assignments.load()
    before = made_with.made_with(settings)["parts"]
    key = settings.conv1d.model_copy(update={"kernel": 5})
    after = made_with.made_with(settings.model_copy(update={"conv1d": key}))["parts"]
    assert {part for part in before if before[part] != after[part]} == {"1a"}
    assert made_with.made_with(settings.on(1))["parts"] == before
    assert made_with.made_with(settings.unhurried())["parts"] == before
    assert made_with.limits_of(settings.on(1)) != made_with.limits_of(settings)


@pytest.mark.parametrize(
    ("wanted", "count"),
    [("all", 30), ("10%", 3), ("7", 7), ("0", 0), ("2.5%", 1), ("100%", 30), ("31", 30)],
)
def test_a_sample_is_the_same_each_time(wanted, count):
    ids = [str(number) for number in range(30)]
    drawn = flakiness.sample(ids, wanted)
    assert len(drawn) == count
    assert drawn == flakiness.sample(ids[::-1], wanted)


@pytest.mark.parametrize("wanted", ["half", "", "-1", "101%", "nan%", "1e3", "%", "al"])
def test_a_sample_of_something_else_is_refused(wanted):
    with pytest.raises(flakiness.SampleError, match=f"or all; got {wanted}$"):
        flakiness.sample(["1"], wanted)


def test_lines_that_another_seed_judges_otherwise_and_near_misses_are_listed(tmp_path):
    bar = assignments.load().cnn.training.accuracy
    first, second = results(line("2c.4"), line("3a.1")), results(line("2c.4", 0.5), line("3a.1"))
    trial = {"seed": 0, "test_accuracy": [0.5, bar + 0.0004]}
    first["extra_data"]["trainings"] = {"cnn": {"trials": [trial]}}
    entry = Entry("1", results=first, again=second)
    assert flakiness.write_flakiness([entry], tmp_path, assignments.load()) == 1
    text = (tmp_path / flakiness.FILE).read_text()
    assert "1,2c.4,another seed,1,0.5" in text
    assert "1,2c.4,near a threshold" in text
