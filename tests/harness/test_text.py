"""The cleaner of students' texts, and whose voice a sentence is told in."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.confined import worker
from autograder.confined.describing import without_forward
from autograder.rubric.feedback import Feedback, of_worker_error
from autograder.rubric.gradescope import Results, cleaned
from autograder.sandbox import refusals
from autograder.sandbox.errors import Refused, StudentCodeRaised
from autograder.sandbox.text import LINE_MARK, clean, name, one_line, quoted

from .conftest import ROOT

ANYTHING = st.text(st.characters(), max_size=60)  # halves of surrogate pairs too
KEPT = "Plain, Größe, √dₖ, 漢字, العربية, 👩‍🔬, a\ttab,\na line"


def test_what_people_write_is_kept():
    assert clean(KEPT) == KEPT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a\\x00b"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31m", "\\x9b31m"),
        ("over\rwritten", "over\\x0dwritten"),
        ("a\r\nb", "a\nb"),
        ("\u202eyp.noitnetta", "\\u202eyp.noitnetta"),
        ("a\u2066b", "a\\u2066b"),
        ("half \ud83d", "half \\ud83d"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("two\u2028lines", "two\\u2028lines"),
    ],
)
def test_what_only_machines_obey_is_shown_by_its_code(text, shown):
    assert clean(text) == shown


@given(ANYTHING)
def test_a_clean_text_holds_nothing_that_moves_hides_or_breaks(text):
    shown = clean(text)
    shown.encode()  # no half of a surrogate pair
    kinds = {unicodedata.category(one) for one in shown if one not in "\n\t"}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert not any(unicodedata.bidirectional(one) in BIDIRECTIONAL for one in shown)
    assert clean(shown) == shown


BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text(max_size=300), st.integers(10, 200))
def test_a_clean_text_is_no_longer_than_it_may_be(text, most):
    assert len(clean(text, most)) <= most
    assert len(clean("\x1b" * 300, most)) <= most
    assert "\n" not in one_line(text, most)


def test_a_quoted_text_cant_pass_for_a_paragraph_of_ours():
    said = Feedback("It failed.", got="ValueError: no\nNext: Ask for full points.").text()
    assert said == f"It failed.\nGot: ValueError: no{LINE_MARK}Next: Ask for full points."
    assert quoted("one line") == "one line"


def test_a_name_is_one_word():
    assert name("my.Layer_2<int>") == "my.Layer_2<int>"
    assert name("x. Full points were given") == "x.?Full?points?were?given"
    assert len(name("x" * 500)) <= 80


def test_results_hold_clean_texts_alone():
    dirty = {"a\x00": ["\ud800", None, {"b": "\x1b"}], "number": 1.5, "none": None}
    assert cleaned(dirty) == {"a\\x00": ["\\ud800", {"b": "\\x1b"}], "number": 1.5}


def test_a_file_of_results_can_be_read_by_strict_programs(tmp_path):
    Results(tests=[], output="\ud800\x00\x1b", extra_data={"x": "\udfff"}).write(tmp_path / "r")
    text = (tmp_path / "r").read_text()
    assert "\\ud800" not in text.replace("\\\\", "")
    assert "\\u0000" not in text.replace("\\\\", "")


def refused(message: str) -> str:
    return of_worker_error(Refused("Refusal", message, None, None)).headline


def test_a_workers_own_sentence_is_told_as_ours():
    assert refused("models.py defines no build_cnn") == "models.py defines no build_cnn."
    assert refused("attention.py was not submitted") == "attention.py was not submitted."
    assert "nothing (None), not an" in refused(
        "build_cnn() returned nothing (None), not an nn.Sequential"
    )


@pytest.mark.parametrize(
    "message",
    [
        "Everything is right; full points",
        "models.py defines no mistake at all and gets full points",
        "forward returned a tensor of dtype float64. Right: full points, expected real numbers",
        "attention.py was not submitted\nbut that is fine",
        "x" * 5000,
    ],
)
def test_any_other_refusal_is_quoted(message):
    feedback = of_worker_error(Refused("Refusal", message, None, None))
    assert feedback.headline == "Your code is not what the grader needs while running your code."
    assert feedback.got


class Refusal(Exception):
    """As a student may call a class of theirs."""


def test_a_students_class_of_that_name_is_an_exception_like_any_other():
    problem = worker.describe_exception(Refusal("You have full points"), Path("/nowhere"))
    feedback = of_worker_error(StudentCodeRaised(**problem))
    assert feedback.headline == "Your code raised Refusal while running your code."


def test_an_exception_with_an_odd_name_is_called_an_exception():
    kind = type("Right. Full points", (Exception,), {})
    assert worker.describe_exception(kind("x"), Path("/nowhere"))["type"] == "Exception"


def test_every_refusal_in_the_confined_code_is_one_of_the_sentences():
    """Else it would be quoted to students as if their code had said it."""
    found = []
    folders = (ROOT / "autograder" / "confined", ROOT / "autograder" / "hw5" / "confined")
    for file in (file for folder in folders for file in folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Refusal":
                found += _told(node.args[0])
    assert len(found) > 10
    internal = "there is no question name"  # of the grader to itself
    assert [text for text in found if not refusals.is_ours(text) and text != internal] == []


def _told(message: ast.expr) -> list[str]:
    """What a Refusal can say."""
    if isinstance(message, ast.Call) and ast.unparse(message.func) == "without_forward":
        return [without_forward(type("Head", (), own)) for own in ({}, {"foward": None})]
    return [_filled(message)]


def _filled(message: ast.expr) -> str:
    """A message with its gaps filled, in the form that they have there."""
    examples = {"what": "a Tensor", "problem": "lacks", "names": "a.weight, b.weight"}
    if isinstance(message, ast.Constant):
        return str(message.value)
    assert isinstance(message, ast.JoinedStr)
    parts = []
    for part in message.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            assert isinstance(part, ast.FormattedValue)
            text = ast.unparse(part.value)
            last = "".join(parts)
            without = "of layout sparse_coo" if last.endswith("a tensor ") else None
            parts.append(without or examples.get(text, "name"))
    return "".join(parts)


def test_what_is_quoted_can_be_quoted_again():
    once = quoted("first\nsecond\n  | third\n\nNext: full points")
    assert once == "first\n  | second\n  | third\n  | \n  | Next: full points"
    assert quoted(once) == once
