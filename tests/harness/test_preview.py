"""The page of one run: what a student sees, no more, and nothing that a text could do to it."""

from __future__ import annotations

import base64
import json
import re

import pytest
from typer.testing import CliRunner

from autograder import cli, grade
from autograder.rubric.feedback import Feedback, Picture
from autograder.rubric.gradescope import Results, TestResult
from autograder.rubric.markup import cleaned
from autograder.rubric.plugin import RubricLine
from autograder.rubric.preview import page

from .conftest import REFERENCE

PNG = base64.b64encode(b"\x89PNG").decode()
IMAGE = f'<img alt="a map" src="data:image/png;base64,{PNG}">'


def line(number: str, score: float, output: str = "Correct.", **more):
    return {
        **{"name": f"{number} Title", "number": number, "score": score, "max_score": 2.0},
        **{"status": "passed" if score == 2 else "failed", "output": output},
        **more,
    }


CHANGED = {  # what a text says -> what a page shows of it
    "<script>alert(1)</script>after": "after",
    "<style>p {}</style><svg><script>x</script></svg>b": "b",
    '<p onclick="x" style="position:fixed">a</p>': "<p>a</p>",
    '<a href="javascript:x">a</a>': "a",
    '<img src=x onerror="alert(1)" alt="a map">': "[picture: a map]",
    '<img src="https://evil.example/a.png">': "",
    '<img src="data:image/svg+xml;base64,AAAA" alt="&quot;><b>">': "[picture: &quot;&gt;&lt;b&gt;]",
    "<b>never ended": "<b>never ended</b>",
    "</p></div>ended only": "ended only",
    "<p><b>crossed</p></b>": "<p><b>crossed</b></p>",
    "<!-- <b> --><?php x ?>a": "a",
    "&lt;script&gt;": "&lt;script&gt;",
    "<script/>b<b>c": "b<b>c</b>",
}
KEPT = [
    "<p>a<br>b</p>",
    "<p><b>Got:</b> 1 &lt; 2<br></p>",
    "a<wbr>b",
    IMAGE,
]


@pytest.mark.parametrize("text", CHANGED)
def test_markup_that_the_grader_never_writes_goes(text):
    assert cleaned(text) == CHANGED[text]


@pytest.mark.parametrize("text", KEPT)
def test_markup_that_the_grader_writes_stays(text):
    assert cleaned(text) == text


def test_feedback_of_every_kind_is_shown_whole():
    said = Feedback(
        "Wrong <here>.", "1", "2", "a slip", "Look.", (("a", "b"), ("1", "2")), ("A note.",)
    ).showing(Picture(b"\x89PNG", "a map"))
    result = RubricLine("3a.1", "Title", 2.0, feedback=said).result().model_dump()
    shown = page({"tests": [result]}, title="x")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown))
    for part in ("Wrong &lt;here&gt;.", "Got: 1", "Expected: 2", "Likely mistake: a slip"):
        assert part in text
    for part in ("Next: Look.", "A note.", "3a.1 Title"):
        assert part in text
    assert f'<img alt="a map" src="data:image/png;base64,{PNG}"' in shown


def test_text_is_shown_as_text_with_its_lines():
    shown = page({"tests": [line("1a.1", 0.0, "<b>No.\n  Next")], "output": "<i>Hi"}, title="<t>")
    assert '<p class="said">&lt;b&gt;No.\n  Next</p>' in shown
    assert "&lt;i&gt;Hi" in shown
    assert "<title>Autograder results: &lt;t&gt;</title>" in shown


def test_what_students_dont_see_is_left_out_unless_staff_ask():
    results = {
        "tests": [
            line("1a.1", 2.0, extra_data={"diagnosis": "no-scale"}),
            line("1a.2", 0.0, "SECRET", visibility="hidden"),
            line("1a.3", 0.0, "LATER", visibility="after_due_date"),
        ],
        "extra_data": {"faults": {"1a.1": "KeyError"}, "flags": [{"line": "1a.1", "what": "odd"}]},
    }
    shown = page(results, title="x")
    for secret in ("SECRET", "LATER", "no-scale", "KeyError", "odd", "1a.2", " points</p>"):
        assert secret not in shown
    assert "The total isn’t shown" in shown
    told = page(results, title="x", staff=True)
    for secret in ("SECRET", "LATER", "no-scale", "KeyError", "odd", "after the due date"):
        assert secret in told


def test_a_page_tells_the_total_and_lists_what_to_look_at_first():
    shown = page({"tests": [line("1a.1", 2.0), line("1a.2", 0.5)]}, title="x")
    assert "2.5 of 4 points" in shown
    assert shown.index('href="#line-1a-2"') < shown.index('href="#line-1a-1"')
    assert 'id="line-1a-2"' in shown


LINES = [
    TestResult(name="1a.1 One", number="1a.1", score=2, max_score=2, status="passed", output="Yes.")
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Grades with a grader that writes given results, or breaks."""

    def graded(*options: str, breaks: bool = False):
        def written(source, results, *_, **__):
            if breaks:
                raise RuntimeError("the dog ate it")
            outcome = Results(tests=LINES, extra_data={"faults": {}, "flags": []})
            outcome.write(results)
            return outcome, True

        monkeypatch.setattr(grade, "grade", written)
        file = tmp_path / "results.json"
        command = ["grade", str(REFERENCE), "--results", str(file), *options]
        return CliRunner().invoke(cli.app, command)

    return graded


def test_grade_writes_the_page_beside_the_results(run, tmp_path):
    file = tmp_path / "new folder" / "page.html"
    ended = run("--html", str(file))
    assert ended.exit_code == 0
    assert "2 of 2 points" in file.read_text(encoding="utf-8")
    assert "For staff" not in file.read_text(encoding="utf-8")
    assert run("--html", str(file), "--staff-notes").exit_code == 0
    assert "For staff" in file.read_text(encoding="utf-8")


def test_a_run_that_a_fault_ends_has_a_page_too(run, tmp_path):
    ended = run("--html", str(tmp_path / "page.html"), breaks=True)
    assert ended.exit_code == 3
    assert "could not be graded" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "the dog ate it" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_never_takes_the_place_of_the_results(run, tmp_path):
    for place in (tmp_path / "results.json", tmp_path):
        ended = run("--html", str(place))
        assert ended.exit_code == 2
        assert "--html names a file of its own" in ended.stderr


def test_a_page_that_cant_be_written_is_told(run, tmp_path):
    (tmp_path / "file").write_text("")
    ended = run("--html", str(tmp_path / "file" / "page.html"))
    assert ended.exit_code == 3
    assert "The page can't be written" in ended.stderr
    assert json.loads((tmp_path / "results.json").read_text())["score"] == 2
