"""What a report says of a class is right, escaped, small, and names nobody who is left out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from autograder.staff.classroom import figures, identical, statistics
from autograder.staff.classroom.commands import report
from autograder.staff.classroom.reading import headline, read
from autograder.staff.classroom.records import Entry, Student, write_json
from autograder.staff.classroom.report import page, write_report
from autograder.staff.classroom.roster import roster

from .made_class import made_class, results


def class_of(*scores: dict[str, float], **extra) -> list[Entry]:
    """Submissions that got these scores on lines, and full marks on all others."""
    return [Entry(str(place), results=results(each, **extra)) for place, each in enumerate(scores)]


def members(entries):
    return roster(entries, anonymous=False)


def html_of(entries, tmp_path, **options) -> str:
    write_report(entries, tmp_path, **options)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


# By hand: items a = 0 0 1 1, b = 0 1 1 2, c = 1 1 1 1.
# r(a, b + c): a - mean = -.5 -.5 .5 .5, rest - mean = -1 0 0 1, so 1 / sqrt(1 * 2) = 0.70711.
# r(b, a + c): b - mean = -1 0 0 1, rest - mean = -.5 -.5 .5 .5, the same; c is constant.
ROWS = [(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 2, 1)]


def test_an_item_is_compared_with_the_sum_of_the_others_alone():
    assert statistics.item_total(ROWS, 0) == pytest.approx(0.5**0.5)
    assert statistics.item_total(ROWS, 1) == pytest.approx(0.5**0.5)
    assert statistics.item_total(ROWS, 2) is None


def test_an_item_that_goes_against_the_others_is_negative_though_it_dominates_the_total():
    """With itself in its total, 10 8 0 against 10 9 2, it would be close to 1."""
    assert statistics.item_total([(10, 0), (8, 1), (0, 2)], 0) == pytest.approx(-0.944911, abs=1e-6)


@pytest.mark.parametrize(
    "rows",
    [[], [(1, 2)], [(1, 2), (2, 3)], [(1, 1)] * 5, [(0, 1), (1, 1), (0, 1)]],
    ids=["nobody", "one", "two", "all equal", "constant rest"],
)
def test_where_nothing_varies_there_is_no_correlation(rows):
    assert statistics.item_total(rows, 0) is None


def test_rounding_is_no_variation():
    rows = [(0, 0.1, 0.2), (1, 0.2, 0.1), (1, 0.3, 0.0)]
    assert statistics.item_total(rows, 0) is None


def test_a_summary_has_quartiles_between_numbers():
    found = statistics.summary([4, 1, 3, 2])
    assert found == statistics.Summary(4, 1, 1.75, 2.5, 3.25, 4, 2.5)
    assert statistics.summary([7]) == statistics.Summary(1, 7, 7, 7, 7, 7, 7)
    assert statistics.summary([]) is None


def test_every_number_lies_in_one_bin_and_the_last_holds_the_highest():
    found = statistics.bins([0, 2.9, 3, 47.9, 48, 48], 48)
    assert [one.start for one in found] == [4 * place for place in range(12)]
    assert [one.count for one in found] == [3, *[0] * 10, 3]
    assert statistics.bins([], 48) == []
    assert sum(one.count for one in statistics.bins([0.0], 0.0)) == 1


def test_a_line_has_its_mean_its_share_of_full_marks_and_its_tries():
    entries = class_of({"3a.4": 0.0}, {"3a.4": 1.5}, {}, {})
    entries = [
        replace(one, attempts=tries) for one, tries in zip(entries, (9, 9, 2, 5), strict=True)
    ]
    line = next(one for one in figures.line_figures(members(entries)) if one.number == "3a.4")
    assert (line.points, line.count, line.mean, line.full) == (3, 4, 1.875, 0.5)
    assert line.tries == 3.5
    assert line.item_total is None


def test_a_fault_of_the_grader_counts_in_no_statistics_and_stands_on_top(tmp_path):
    entries = class_of({}, {"3a.4": 0.0}, {})
    entries[1] = replace(entries[1], results=results({"3a.4": 0.0}, faults={"3a.4": "x\nKeyError"}))
    line = next(one for one in figures.line_figures(members(entries)) if one.number == "3a.4")
    assert (line.count, line.mean) == (2, 3)
    text = html_of(entries, tmp_path)
    assert text.index("KeyError") < text.index('id="scores"')


def test_scores_that_fell_are_those_of_lines_that_both_gradings_know():
    before, now = results({"1a.1": 0.0}), results({"3a.4": 1.0})
    part = {**now, "tests": [one for one in now["tests"] if one["number"].startswith("3a")]}
    regraded, whole = figures.changed(
        members([Entry("1", results=now, before=before), Entry("2", results=part, before=before)])
    )
    assert (whole.before, whole.after) == (47, 46)
    assert (regraded.before, regraded.after) == (8, 6)
    assert [(one.before, one.line.number) for one in regraded.lines] == [(3, "3a.4")]
    assert figures.changed(members([Entry("3", results=now, before=now)])) == []


def test_a_fall_is_told_with_its_cause_and_what_the_line_says_now(tmp_path):
    now = results({"3a.4": 1.0, "1a.1": 0.0}, {"3a.4": "no-scale"}, seed=2)
    entries = [Entry("1", results=now, before=results({"1a.1": 0.0}))]
    text = html_of(entries, tmp_path)
    assert "<li>3a.4: 3 → 1, cause not known [no-scale]. Now: The output is wrong.</li>" in text
    assert "1a.1: 0" not in text
    of_line = replace(entries[0], results=results({"3a.4": 0.0}, faults={"3a.4": "KeyError"}))
    assert "A fault of the grader</li>" in html_of([of_line], tmp_path)


def test_mistakes_are_counted_once_for_each_submission_and_combinations_for_each_part():
    marks = (
        {"3b.4": "output-bias+gelu-for-relu", "3b.2": "output-bias"},
        {"3b.4": "output-bias"},
        {},
    )
    entries = [Entry(str(n), results=results({"3b.4": 0.0}, each)) for n, each in enumerate(marks)]
    found = [(one.id, len(one.members), one.lines) for one in figures.mistakes(members(entries))]
    assert found == [("output-bias", 2, ("3b.2", "3b.4")), ("gelu-for-relu", 1, ("3b.4",))]


def test_those_that_are_level_share_a_place():
    def board(value):
        return [{"name": "CNN: parameters", "value": value, "order": "asc"}]

    entries = [Entry(str(v), results=results({}, leaderboard=board(v))) for v in (9, 5, 5, 7)]
    places = figures.leaderboard(members(entries))["CNN: parameters"]
    assert [(place.rank, place.value) for place in places] == [(1, 5), (1, 5), (3, 7), (4, 9)]


def test_a_networks_size_is_read_from_what_earlier_graders_said():
    old = results({})
    line = next(one for one in old["tests"] if one["number"] == "2c.3")
    line["output"] = "<p>12 parameters too many.<br>Got: 50,011, of which 9 are in x</p>"
    assert read(old).parameters == {"cnn": 50_011}
    assert read(results({}, networks={"cnn": {"parameters": 7}})).parameters == {"cnn": 7}


def with_digests(**owners: tuple[str, dict[str, str]]) -> list[Entry]:
    return [
        Entry(name, students=(Student(name, email=email),), digests=digests)
        for name, (email, digests) in owners.items()
    ]


def test_identical_files_of_different_people_are_grouped_and_ones_own_are_not():
    same = {"attention.py": "a", "artifacts/vit/weights.safetensors": "w", "models.py": ""}
    entries = with_digests(
        ada=("ada@x", same),
        bob=("bob@x", {**same, "encoder.py": "e"}),
        cy=("cy@x", {"attention.py": "a", "models.py": ""}),
        dee=("dee@x", {"encoder.py": "d"}),
        again=("DEE@x ", {"encoder.py": "d"}),
    )
    found = [
        (group.files, [one.label for one in group.members])
        for group in identical.groups(members(entries))
    ]
    assert found == [
        (("artifacts/vit/weights.safetensors",), ["ada", "bob"]),
        (("attention.py",), ["ada", "bob", "cy"]),
    ]


ODD = [
    {"output": "The autograder failed to execute."},
    {"tests": None, "extra_data": [], "leaderboard": {}},
    {"tests": [None, {"name": 3}, {"number": "1a.1", "score": float("nan"), "max_score": 1}]},
    {"tests": [{"number": "1a.1", "score": 10**400, "max_score": 1}], "score": True},
    {"tests": [], "extra_data": {"trainings": {"fc": {"trials": [{"test_accuracy": "x"}]}}}},
]


@pytest.mark.parametrize("content", ODD)
def test_results_of_any_shape_are_read_and_shown(content, tmp_path):
    assert read(content).lines == {}
    entries = [Entry("1", results=content, before=content), *class_of({})]
    assert "All submissions" in html_of(entries, tmp_path)


def test_a_headline_is_the_first_line_of_either_format():
    assert headline("Wrong.\nGot: 1", is_html=False) == "Wrong."
    assert headline("<p>A &lt; B.<br>Got: 1</p>", is_html=True) == "A < B."
    assert headline("A &lt; B.<br><p><b>Got:</b> 1<br></p>", is_html=True) == "A < B."


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_class_of_hardly_anyone_has_a_report(count, tmp_path):
    text = html_of(made_class(count), tmp_path)
    assert f"{count} submission{'' if count == 1 else 's'} by" in text
    assert "nan" not in re.sub(r"<[^>]+>", "", text).lower().split()


def test_the_report_of_a_large_class_is_small_and_what_students_wrote_is_text(tmp_path):
    text = html_of(made_class(300), tmp_path)
    assert len(text.encode()) < 1_000_000
    assert text.count("<script") == text.count("</script") == 1
    assert "&lt;script&gt;alert(1)" in text
    assert "<img" not in text
    assert "{{ 7*7 }}" in text
    assert "\u202e" not in text
    assert "محمد الأمين" in text


def test_the_report_is_the_same_each_time(tmp_path):
    entries = made_class(60)
    assert html_of(entries, tmp_path / "a") == html_of(entries, tmp_path / "b")


def test_an_anonymous_report_names_nobody(tmp_path):
    entries = [
        replace(
            one,
            trouble=f"{one.id} by {one.students[0].name} is empty." if not place % 3 else "",
            students=tuple(Student(f"Zoë{n} Q{n}x", f"77{n:04}", f"q{n}@y.z") for n in (place,)),
        )
        for place, one in enumerate(made_class(60))
    ]
    entries[5] = replace(
        entries[5],
        results=results({}, faults={"3a.4": f"KeyError: '{entries[5].students[0].name}'"}),
    )
    entries[6] = replace(entries[6], trouble=f"q6 sent {entries[6].id}, Zoë6.")
    text, named = html_of(entries, tmp_path, anonymous=True), html_of(entries, tmp_path)
    for entry in entries:
        (student,) = entry.students
        for secret in (student.name, student.sid, student.email, entry.id, *student.name.split()):
            assert not re.search(rf"\b{re.escape(secret)}\b", text), secret
            assert secret in named
    assert "[left out] sent [left out], [left out]." in text
    assert "Submission 60" in text


def test_numbers_of_an_anonymous_report_follow_scores_and_not_ids():
    entries = class_of({"3a.4": 0.0}, {}, {"3a.4": 1.0})
    order = [member.entry.id for member in roster(entries, anonymous=True)]
    assert order == ["1", "2", "0"]
    assert order == [one.entry.id for one in roster(entries[::-1], anonymous=True)]


def test_a_page_needs_no_folder_of_settings(tmp_path):
    assert "The class has no submissions." in page([], anonymous=False, settings=tmp_path / "none")


@pytest.mark.parametrize(
    "networks",
    [[(1.0, 1)], [(0.0, 10**9), (0.99, 5)], [(0.98, 0)], [(0.98, None), (0.1, 40_000)]],
    ids=["one of one parameter", "far apart", "without parameters", "size not told"],
)
def test_networks_of_any_size_are_drawn_or_listed(networks, tmp_path):
    entries = [
        Entry(
            str(place),
            results=results(
                {},
                networks={"cnn": {"parameters": size}},
                trainings={"cnn": {"trials": [{"test_accuracy": [accuracy]}]}},
            ),
        )
        for place, (accuracy, size) in enumerate(networks)
    ]
    text = html_of(entries, tmp_path)
    drawn = sum(bool(size) for _, size in networks)
    assert text.count('class="dot"') == drawn
    assert f"2c, CNN: {len(networks)} network" in text
    for place in re.findall(r' (?:cx|cy|x|y|width|height)="([^"]+)"', text):
        assert -1 <= float(place) <= 421


def test_the_command_writes_the_page_and_both_tables(tmp_path):
    (entry,) = class_of({"3a.4": 0.0})
    write_json(tmp_path / "results" / "7.json", entry.results)
    (tmp_path / "settings").mkdir()
    app = typer.Typer()
    app.command()(report)
    ended = CliRunner().invoke(app, [str(tmp_path)])
    assert ended.exit_code == 0, ended.output
    for name in ("report.html", "grades.csv", "grades-canvas.csv", "changes.csv"):
        assert (tmp_path / name).stat().st_size
    assert "<bdi>7</bdi>" in (tmp_path / "report.html").read_text(encoding="utf-8")
