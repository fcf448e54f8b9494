"""The folder of a class, as it is read."""

from __future__ import annotations

import json

import pytest

from autograder.staff.classroom import records
from autograder.staff.classroom.records import Student, read_class

PICTURE = '<p><img alt="loss" src="data:image/png;base64,AAAA"></p>'
RESULTS = {
    "score": 2.0,
    "tests": [{"number": "1a.1", "score": 2.0, "max_score": 2.0, "output": PICTURE}],
    "extra_data": {"seed": 5, "regrade": {"seconds": 3.5, "peak_mib": 400}},
}
ABOUT = {
    "students": [{"name": "Ada", "sid": "0012", "email": "ada@example.edu"}, {"name": None}],
    "created_at": "2026-11-15T06:59:12+00:00",
    "attempts": 3,
    "history": [1.0, "none", 1.5],
    "digests": {"attention.py": "d1"},
}


def put(folder, room, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / room).mkdir(exist_ok=True)
    (folder / room / f"{name}.json").write_text(text)


def test_an_entry_is_read_from_the_files_of_a_folder_made_by_hand(tmp_path):
    put(tmp_path, "results", "12", RESULTS)
    put(tmp_path, "before", "12", {**RESULTS, "score": 1.0})
    put(tmp_path, "about", "12", ABOUT)
    (entry,) = read_class(tmp_path)
    assert entry.students == (Student("Ada", "0012", "ada@example.edu"), Student())
    assert (entry.results["score"], entry.before["score"]) == (2.0, 1.0)
    assert (entry.attempts, entry.history, entry.trouble) == (3, (1.0, 1.5), "")
    assert (entry.seconds, entry.peak_mib) == (3.5, 400.0)
    assert entry.digests == {"attention.py": "d1"}
    assert entry.created_at.startswith("2026-11-15")


def test_pictures_are_left_out_and_texts_are_not(tmp_path):
    put(tmp_path, "results", "1", RESULTS)
    (entry,) = read_class(tmp_path)
    assert entry.results["tests"][0]["output"] == '<p><img alt="loss" src=""></p>'


def test_entries_are_sorted_by_number_whatever_their_files_order(tmp_path):
    for name in ("10", "ada", "9", "Bob"):
        put(tmp_path, "results", name, RESULTS)
    assert [entry.id for entry in read_class(tmp_path)] == ["9", "10", "Bob", "ada"]


# what lies in the folder -> what is said of the entry
TROUBLES = {
    "damaged": ({"results": '{"score": 1, "tes'}, "can't be read"),
    "not an object": ({"results": "[1, 2]"}, "can't be read"),
    "told": ({"trouble": {"trouble": "The zip is damaged."}}, "The zip is damaged."),
    "not reached": ({"about": ABOUT}, "not been graded yet"),
    "told, beside older results": (
        {"trouble": {"trouble": "It hangs."}, "results": RESULTS},
        "It hangs.",
    ),
    "graded": ({"results": RESULTS, "about": ABOUT}, ""),
}


@pytest.mark.parametrize("case", TROUBLES)
def test_an_entry_says_why_it_has_no_results(case, tmp_path):
    files, said = TROUBLES[case]
    for room, content in files.items():
        put(tmp_path, room, "7", content)
    (entry,) = read_class(tmp_path)
    assert said in entry.trouble
    assert (entry.trouble == "") == (said == "")


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_beside(tmp_path):
    file = tmp_path / "results" / "1.json"
    records.write_json(file, {"score": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        records.write_json(file, {"score": float("nan")})

    def pieces():
        yield "half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        records.write_text(file, pieces())
    assert [one.name for one in file.parent.iterdir()] == ["1.json"]
    assert records.read_json(file) == {"score": 1.0}
