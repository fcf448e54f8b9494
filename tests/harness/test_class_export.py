"""What staff download of a class: read leniently, as a stream, and nothing is lost."""

from __future__ import annotations

import codecs
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from autograder.intake.archives import UNREADABLE
from autograder.staff.classroom import export, handed_in, metadata
from autograder.staff.classroom.export import ExportError, open_export
from autograder.staff.solutions import SOLUTIONS

from .classes import FIRST_ID, make_class

ONE = b"""submission_1:
  :submitters:
  - :name: Ada
    :sid: '0012'
    :email: ada@example.edu
  :created_at: 2022-11-15 06:59:12.1 Z
  :results:
    score: 2.5
    tests:
    - number: 1a.1
      output: |
        first

        submission_9:
    extra_data: {odd: .nan, no_date: 2022-99-99}
  :history:
  - :id: 8
    :created_at: 2022-11-14 06:00:00 Z
    :results:
      score: 99
      tests: [1, 2,
        3]
    :score: 2.0
  - :created_at: 2022-11-13 06:00:00 Z
    :score: '1.0'
"""
TWO = b"submission_2:\n  :submitters:\n  :score: 1\n"


def read(text: bytes) -> tuple[dict[str, metadata.Told], list[str]]:
    notes: list[str] = []
    return {told.id: told for told in metadata.read(io.BytesIO(text), notes)}, notes


def test_an_export_tells_of_its_submissions():
    said, notes = read(b"---\n" + ONE + TWO)
    one, two = said["1"], said["2"]
    assert one.students == ({"name": "Ada", "sid": "0012", "email": "ada@example.edu"},)
    assert one.created_at == "2022-11-15T06:59:12.100000+00:00"
    assert one.results["tests"][0]["output"] == "first\n\nsubmission_9:\n"
    assert one.results["extra_data"] == {"odd": None, "no_date": "2022-99-99"}
    assert (one.history, one.attempts) == ((1.0, 2.0), 3)
    assert (two.students, two.results, two.attempts) == ((), None, 1)
    assert notes == []


# what stands between two whole submissions -> what is said of it
DAMAGED = {
    "an open bracket": (b"submission_5:\n  :submitters: [\n", "can't be read at submission 5"),
    "no mapping": (b"submission_5:\n  - 1\n  - 2\n", ""),
    "a tag of another language": (b"submission_5:\n  :results: !ruby/hash:X\n    a: 1\n", ""),
    "a reference to elsewhere": (b"submission_5:\n  :results: {a: *x}\n", ""),
    "a key that is hidden": (b"assignment_id:\n  - 5\n", ""),
    "a comment": (b"# by hand\n", ""),
    "an empty line": (b"\n", ""),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_cannot_be_read_costs_itself_alone(case):
    text, said = DAMAGED[case]
    found, notes = read(ONE + text + TWO)
    assert found["1"].attempts == 3
    assert found["2"].attempts == 1
    assert [said in note for note in notes] == ([True] if said else [])


@pytest.mark.parametrize("end", [300, 420, len(ONE) - 3])
def test_a_file_that_ends_in_the_middle_keeps_what_was_whole(end):
    found, notes = read(TWO + ONE[:end])
    assert found["2"].attempts == 1
    assert found["1"].results is None
    assert len(notes) == 1
    assert "submission 1" in notes[0]


def test_keys_may_stand_in_quotes_and_without_colons():
    text = ONE.replace(b"  :", b"  ").replace(b"submission_1:", b"'submission_1':")
    found, _ = read(text.replace(b"history:", b'"history":'))
    assert (found["1"].history, found["1"].results["score"]) == ((1.0, 2.0), 2.5)


@pytest.mark.parametrize("zipped", [True, False])
def test_an_export_is_the_same_as_a_zip_and_as_a_folder(zipped, tmp_path):
    made = make_class(tmp_path, 3, zipped=zipped)
    found = open_export(made.path)
    assert list(found.sources) == made.ids
    assert [told.id for told in found.told()] == made.ids
    source = found.sources[str(FIRST_ID)]
    looked = handed_in.look(source.open())
    folder = tmp_path / "placed"
    placed = source.place(folder)
    assert (placed == folder / "submission") is zipped
    again = handed_in.look(export.OpenFolder(placed))
    assert (again.digest, again.digests) == (looked.digest, looked.digests)
    assert {"attention.py", "models.py", "artifacts/fc/history.csv"} <= looked.digests.keys()


def test_a_folder_of_submissions_may_hold_folders_zips_and_notebooks(tmp_path):
    top = tmp_path / "class" / "hw5"
    (top / "ada").mkdir(parents=True)
    (top / "ada" / "answers.yaml").write_text("q1a: 1\n")
    (top / "bob.ipynb").write_text("{}")
    with zipfile.ZipFile(top / "c d.zip", "w") as archive:
        archive.writestr("answers.yaml", "q1a: 1\n")
    (top / "ada.zip").write_bytes((top / "c d.zip").read_bytes())
    (top / ".DS_Store").write_text("")
    (top / "link").symlink_to(top / "ada")
    found = open_export(tmp_path / "class")
    assert [one.partition("-")[0] for one in found.sources] == ["ada", "ada", "bob", "c d"]
    assert "another submission" in found.notes[0]
    assert "link" in found.notes[1]
    digests = {handed_in.look(found.sources[one].open()).digest for one in ("ada", "c d")}
    assert len(digests) == 1


def test_an_export_without_its_yaml_is_a_folder_of_submissions(tmp_path):
    made = make_class(tmp_path, 2)
    (made.path / metadata.FILE).unlink()
    found = open_export(made.path)
    assert list(found.sources) == made.ids
    assert list(found.told()) == []


@pytest.mark.parametrize("zipped", [True, False])
def test_it_is_told_where_nobody_is_known(zipped, tmp_path):
    made = make_class(tmp_path, 2)
    assert told_of(made.path, tmp_path / "whole.zip" if zipped else None) == (2, [])
    (made.path / metadata.FILE).write_bytes("submission_1:\n  a: 1\n".encode("utf-16"))
    count, (note,) = told_of(made.path, tmp_path / "odd.zip" if zipped else None)
    assert (count, "tells of no submission" in note) == (0, True)
    (made.path / metadata.FILE).unlink()
    count, (note,) = told_of(made.path, tmp_path / "none.zip" if zipped else None)
    assert (count, "is missing" in note) == (0, True)


def told_of(folder: Path, zipped: Path | None) -> tuple[int, list[str]]:
    """Of how many submissions an export tells, and the notes."""
    if zipped:
        archived(zipped, folder)
    found = open_export(zipped or folder)
    return len(list(found.told())), found.notes


def archived(file: Path, folder: Path, top: bool = True) -> Path:
    """A zip of a folder, or of what is in it."""
    below = folder.parent if top else folder
    with zipfile.ZipFile(file, "w") as archive:
        for one in sorted(folder.rglob("*")):
            archive.write(one, one.relative_to(below))
    return file


def test_a_byte_order_mark_costs_nobody():
    said, notes = read(codecs.BOM_UTF8 + ONE + TWO)
    assert (sorted(said), said["1"].attempts, notes) == (["1", "2"], 3, [])


@pytest.mark.parametrize("form", ["a zip", "a folder"])
def test_an_export_in_another_zip_is_refused_and_a_class_of_one_is_not(form, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    inner = outer / "export.zip"

    def wrapped() -> Path:
        if form == "a folder":
            return outer
        return archived(tmp_path / "twice.zip", outer, top=False)

    archived(inner, make_class(tmp_path / "made", 1).path)
    with pytest.raises(ExportError, match="nothing but the zip export"):
        open_export(wrapped())
    inner.write_bytes(archived(tmp_path / "one.zip", SOLUTIONS / "reference").read_bytes())
    assert list(open_export(wrapped()).sources) == ["export"]
    inner.write_bytes(b"PK\3\4 and no more")
    assert list(open_export(wrapped()).sources) == ["export"]


@pytest.mark.parametrize("zipped", [True, False])
def test_one_submission_is_no_class_but_a_folder_of_one_is(zipped, tmp_path):
    (tmp_path / "all").mkdir()
    shutil.copytree(SOLUTIONS / "reference", tmp_path / "all" / "ada")
    one, folder = tmp_path / "all" / "ada", tmp_path / "all"
    if zipped:
        one = archived(tmp_path / "one.zip", one, top=False)
        folder = archived(tmp_path / "all.zip", folder, top=False)
    with pytest.raises(ExportError, match=r"one submission .*\./run_autograder"):
        open_export(one)
    assert list(open_export(folder).sources) == ["ada"]


def test_the_folder_of_a_regrade_is_no_export_and_no_submission(tmp_path):
    made = make_class(tmp_path, 2)
    (made.path / "class" / "settings").mkdir(parents=True)
    assert "class" in open_export(made.path).sources
    (made.path / "class" / ".lock").touch()
    found = open_export(made.path)
    assert (list(found.sources), found.notes) == (
        made.ids,
        ["class is the folder of a regrade: left out."],
    )
    with pytest.raises(ExportError, match="the folder of a regrade"):
        open_export(made.path / "class")


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_no_form_are_named(zipped, tmp_path):
    folder = tmp_path / "all"
    (folder / "ada").mkdir(parents=True)
    (folder / "ada" / "models.py").touch()
    for name in ("bob.tar.gz", "eve.ipynb"):
        (folder / name).write_bytes(b"{}")
    found = open_export(archived(tmp_path / "all.zip", folder, top=False) if zipped else folder)
    assert sorted(found.sources) == ["ada", "eve"]
    assert found.notes == ["bob.tar.gz is no folder, .zip or .ipynb: left out."]


@pytest.mark.parametrize("kind", ["nothing", "a text", "an empty folder", "a damaged zip"])
def test_what_holds_no_class_is_refused_in_a_line(kind, tmp_path):
    path = tmp_path / "it"
    if kind == "a text":
        path.write_text("x")
    elif kind == "an empty folder":
        path.mkdir()
    elif kind == "a damaged zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/b.py", "x" * 100)
        path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x09"))
    with pytest.raises(ExportError) as refused:
        open_export(path)
    assert "\n" not in str(refused.value)


def test_a_zip_that_leads_elsewhere_or_is_damaged_writes_nothing_there(tmp_path):
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("e/submission_1/../../../evil.py", "x")
        archive.writestr("e/submission_1/answers.yaml", "q1a: 1\n")
        archive.writestr("e/submission_1/answers.yaml/inner", "a file in a file")
        archive.writestr("e/submission_2/good.py", "x = 1\n")
        link = zipfile.ZipInfo("e/submission_1/link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    found = open_export(file)
    place = tmp_path / "a" / "b" / "c"
    folder = found.sources["1"].place(place)
    assert sorted(one.name for one in folder.rglob("*")) == ["answers.yaml"]
    assert not list(tmp_path.rglob("evil.py"))
    notes = handed_in.look(found.sources["1"].open()).notes
    assert any("link.py" in note for note in notes)


def test_a_submission_whose_zip_is_damaged_can_be_told(tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "answers.yaml").write_text("")
    (tmp_path / "bob.zip").write_bytes(b"PK\x03\x04 and no more")
    found = open_export(tmp_path)
    with pytest.raises(UNREADABLE):
        handed_in.look(found.sources["bob"].open())


ALIKE = {
    "comments and blanks": ("x = 1  # one\n\n\ny = (2)\n", "x=1\ny = 2"),
    "docstrings": ('def f():\n    """Say."""\n    return 1\n', "def f(): return 1"),
}
OTHERWISE = {"a number": ("x = 1", "x = 2"), "a name": ("x = 1", "y = 1"), "broken": ("x =", "y =")}


@pytest.mark.parametrize("case", [*ALIKE, *OTHERWISE])
def test_code_is_told_apart_by_what_it_does(case, tmp_path):
    digests = []
    for number, text in enumerate({**ALIKE, **OTHERWISE}[case]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "attention.py").write_text(text)
        digests.append(handed_in.look(export.OpenFolder(folder)).digests["attention.py"])
    assert (digests[0] == digests[1]) is (case in ALIKE)


def test_files_as_the_template_has_them_tell_nothing():
    template = handed_in.look(export.OpenFolder(handed_in.TEMPLATE)).digests
    assert "attention.py" not in template
    assert "attention.py" in handed_in.look(export.OpenFolder(SOLUTIONS / "reference")).digests
