"""answers.yaml: read leniently; whatever else stands there is Rejected, and nothing else raised."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.hw5.assignment import load
from autograder.hw5.figures import notes
from autograder.hw5.mistakes.pooling import ROUNDED_TOO_FAR, of_pooling
from autograder.rubric.answers import MAX_CHARACTERS, Answers, read_answers
from autograder.rubric.feedback import Rejected
from autograder.staff.solutions import Kind, Solution

from .local_grading import examine


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail where reading takes more of the processor's time."""

    def up(number: int, frame: object) -> None:
        pytest.fail(f"it takes longer than {seconds} seconds")

    before = signal.signal(signal.SIGPROF, up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


READERS: dict[str, Callable[[Answers], object]] = {
    "a whole number": lambda answers: answers.whole_number("q", "a"),
    "a shape": lambda answers: answers.shape("q", "a"),
    "a matrix": lambda answers: answers.matrix("q", "a"),
    "a word": lambda answers: answers.word("q", "a", ("intensity", "color")),
}


def rejected_by_all(text: str, seconds: int = 5) -> list[Rejected]:
    """Every reader's refusal of answer q, a; anything but Rejected fails the test."""
    found = []
    with within(seconds):
        answers = read_answers(text)
        for read in READERS.values():
            with pytest.raises(Rejected) as caught:
                read(answers)
            found.append(caught.value)
            assert caught.value.feedback.headline
            assert caught.value.points == 0
            assert len(caught.value.feedback.text()) < 2_000
    return found


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("40", 40),
        ('"40"', 40),
        ("40.0", 40),
        ("' 40 '", 40),
        ("1,000", 1000),
        ("60_000", 60000),
        ("4.0e1", 40),
        ("'4e1'", 40),
        ("80/2", 40),
        ("'80 / 2'", 40),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("0x28", 40),
        ("040", 40),
    ],
    ids=str,
)
def test_a_whole_number_is_read_in_every_usual_form(written, number):
    assert read_answers(f"q:\n  a: {written}\n").whole_number("q", "a") == number


@pytest.mark.parametrize(
    "written",
    ["[99, 8]", "99 x 8", "99x8", "99 × 8", "(99, 8)", "'[99, 8]'", '["99", 8.0]', "99 8"],
    ids=str,
)
def test_a_shape_is_read_in_every_usual_form(written):
    assert read_answers(f"q:\n  a: {written}\n").shape("q", "a") == (99, 8)


@pytest.mark.parametrize(
    "written",
    [
        "[[1.5, 2], [1/3, -1]]",
        "[['3/2', '2.0'], ['1 / 3', '-1']]",
        "[[3/2, 4/2], [2/6, -1.0]]",
        "\n    - [1.5, 2]\n    - [1/3, -1]",
    ],
    ids=["numbers", "texts", "fractions", "rows below each other"],
)
def test_a_matrix_is_read_in_every_usual_form(written):
    matrix = read_answers(f"q:\n  a: {written}\n").matrix("q", "a")
    assert matrix == [[1.5, 2], [1 / 3, -1]]
    assert all(type(one) is float for row in matrix for one in row)


@pytest.mark.parametrize("written", ["intensity", "Intensity", "' INTENSITY '"], ids=str)
def test_a_word_is_read_in_every_usual_form(written):
    assert read_answers(f"q: {{a: {written}}}").word("q", "a", ("intensity",)) == "intensity"


@pytest.mark.parametrize("written", ["no", "1:30", "2024-01-01", "on", "0b101", ".inf"])
def test_what_yaml_would_take_for_something_else_is_quoted_as_it_is_written(written):
    with pytest.raises(Rejected) as refused:
        read_answers(f"q:\n  a: {written}\n").whole_number("q", "a")
    assert repr(written) in refused.value.feedback.got
    assert read_answers(f"q: {written}\n", in_words="q").words == written


def test_a_control_character_is_named_with_its_line():
    with pytest.raises(Rejected, match=r"not valid YAML, line 2: there is a character .*U\+0007"):
        read_answers("q:\n  a: 4\x070\n").whole_number("q", "a")


def test_a_byte_order_mark_costs_nothing():
    assert read_answers("\ufeffq: {a: 3}\n").whole_number("q", "a") == 3


def test_windows_line_ends_cost_nothing():
    assert read_answers("q:\r\n  a: 3\r\n").whole_number("q", "a") == 3


@pytest.mark.parametrize(
    "written",
    [
        "",
        "~",
        "''",
        "{}",
        "[]",
        "true",
        "many",
        ".inf",
        "-.inf",
        ".nan",
        "'nan'",
        "'inf'",
        "1.5.2",
        "1e999",
        "1.0e+999",
        "2024-01-01",
        "2024-01-01 10:00:00",
        "{b: 1}",
        "[[[1]]]",
        "!!set {1}",
        "!!binary aGVsbG8=",
        "!!python/object:os.system {}",
        "!!python/name:os.system ''",
        "- - 3",
        "'4 4'.",
        "&x [*x]",
        "0x" + "f" * 5000,
        "1" + "0" * 4000,
        "1" + "0" * 6000,
        ":".join(["1"] * 9000),
        "!!timestamp soon",
        "!!bool maybe",
        "!!int ''",
        "!!int x",
        "!!float ''",
        "!!float x",
        "2001-99-99",
        "!!omap [1]",
        "!!pairs 3",
        "!!null 3",
        '"\\ud800"',
        "'+'",
        "'.'",
        "'٣'.",
        "? [1]\n    : 2",
        "\x00",
        "*nowhere",
        "!mine 3",
    ],
    ids=lambda text: text[:24] or "nothing",
)
def test_what_is_no_answer_is_rejected_with_a_sentence(written):
    rejected_by_all(f"q:\n  a: {written}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "- q",
        "null",
        "q",
        "q: 3",
        "q: [a]",
        "q: [{a: 3}]",
        "[" * 20_000,
        "{" * 20_000,
        "- " * 20_000,
        "? " * 20_000,
        "q: {a: [1, 2\n",
        "q: {a: 3}\n\tb: 4",
        "%YAML 9.9\n---\nq: 3",
        "q: {a: 1}\n---\nq: {a: 2}\n",
        "\x07",
        "\ud800",
        "q: {b: 3}",
        "a: 3",
        "!!python/object x",
        "? [1]\n: 3\n",
        "!!timestamp soon",
        "!!bool maybe",
        "x" * (MAX_CHARACTERS + 1),
        "<<: 3",
    ],
    ids=lambda text: ascii(text[:16]),
)
def test_a_file_that_holds_no_such_answer_is_rejected_with_a_sentence(text):
    rejected_by_all(text)


def test_a_file_that_was_not_submitted_is_named():
    with pytest.raises(Rejected, match=r"answers\.yaml was not submitted"):
        read_answers(None).whole_number("q", "a")


def test_one_unreadable_answer_costs_its_own_line_alone():
    answers = read_answers(f"q: {{a: 0x{'f' * 5000}, b: 3}}")
    assert answers.whole_number("q", "b") == 3
    answers = read_answers("q: {a: .nan, b: 3}")
    assert answers.whole_number("q", "b") == 3


def test_a_line_of_broken_yaml_is_named():
    with pytest.raises(Rejected, match=r"not valid YAML, line 2"):
        read_answers("q:\n  a: [1, }\n").whole_number("q", "a")


SLIPS = {  # text, line, what is said of it
    "q:\n\ta: 3\n": (2, "there is a tab"),
    "q:\n  a:\t3\n": (2, "there is a tab"),
    "q:\n  a:3\n  b: 4\n": (2, "a space is missing after the colon"),
    "q:\n  a: 3\n  b:4\n\nr:\n  c: 1\n": (3, "a space is missing after the colon"),
    "q:\n  a = 3\n  b: 4\n": (2, "a colon is missing"),
    "q:\n  a [3, 4]\n  b: 4\n": (2, "a colon is missing"),
    "q:\n  a：3\n  b: 4\n": (2, "the colon is a full-width one"),
    "q:\n  a: [3, 4\n\nr:\n  c: 1\n": (2, "a bracket [ is opened and never closed"),
    "q:\n  a: [[3, 4], [5, 6]\n  b: 4\n": (2, "a bracket [ is opened and never closed"),
    "q:\n  a: {b: 4\nr: 1\n": (2, "a brace { is opened and never closed"),
    "q:\n  a: [3, 4]]\n": (2, "there is a ] too many"),
    "q:\n  a: '3\nr: 1\n": (2, "a quotation mark is opened and never closed"),
    "q:\n  a: %3\n": (2, "a value can't begin with %"),
    "q:\n  a: 3\n    b: 4\n": (3, "move it to the left"),
    "q:\n  a: 3\n b: 4\n": (3, "the line is indented differently"),
    "q:\n  a: b: 4\n": (2, "there are two colons"),
    "q:\n  a: 3\n  b: !!float x\n": (3, "what stands there is no float"),
    f"q:\n  a: 3\n  b: !!float {'9:' * 300}1\n": (3, "what stands there is no float"),
    "q:\n  a: 3\nr: !!timestamp 3.11.\n": (3, "what stands there is no timestamp"),
}


@pytest.mark.parametrize("text", SLIPS, ids=ascii)
def test_a_slip_of_yaml_is_told_in_plain_words_with_its_own_line(text):
    line, said = SLIPS[text]
    with pytest.raises(Rejected) as refused:
        read_answers(text).whole_number("q", "a")
    headline = refused.value.feedback.headline
    assert headline.startswith(f"answers.yaml is not valid YAML, line {line}: ")
    assert said in headline


@pytest.mark.parametrize("text", ["q: {a: 3, b: [1,2]}", "q:\n  a: 3  # 1,5, 2\n  b: [[1,2]]\n"])
def test_what_is_written_as_meant_gets_no_remark(text):
    answers = read_answers(text)
    assert answers.whole_number("q", "a") == 3
    assert answers.askew == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q:\n  a: 1\n  a: 3\n", "line 3: a stands twice under q; the last one counts."),
        ("q: {a: 1}\nr: 2\nq: {a: 3}\n", "line 3: q stands twice; the last one counts."),
        ("q:\n  a: 3\n  b: [[0,5, 1], [2, 3]]\n", "line 3: a comma separates numbers"),
    ],
)  # fmt: skip
def test_what_yaml_takes_and_hardly_anybody_means_is_remarked(text, said):
    answers = read_answers(text)
    assert answers.whole_number("q", "a") == 3
    (found,) = answers.askew
    assert found.startswith(f"answers.yaml, {said}")


@pytest.mark.parametrize("written", ["4,5", "0,040", "'1,00'", "4,0000", "40,"])
def test_a_decimal_comma_is_no_thousands_separator(written):
    with pytest.raises(Rejected, match="can't be read"):
        read_answers(f"q:\n  a: {written}\n").whole_number("q", "a")


def test_aliases_that_come_alive_once_the_words_are_cut_out_are_refused_as_well():
    levels = ["  ? &l0 [a, a]", *(f"  ? &l{n} [*l{n - 1}, *l{n - 1}]" for n in range(1, 20))]
    hidden = "\n".join(f"{level}\n  : 1" for level in levels)
    text = f'q1a: {{a: 1}}\nq1d: "words\nq2a:\n{hidden}\nq3: end"\n'
    started = time.process_time()
    answers = read_answers(text, "q1d")
    assert time.process_time() - started < 1
    assert answers.whole_number("q1a", "a") == 1


@pytest.mark.parametrize(
    "text", ["q: {a: 3}\n1: x\n'1': y\n", "? [1, 2]\n: x\nq: {a: 3}\n? [1, 2]\n: y\n"]
)
def test_keys_that_are_not_the_same_name_are_not_called_so(text):
    assert read_answers(text).askew == ()


def bomb(first: str, level: str) -> str:
    """Eight levels, each nine times the one before."""
    lines = [f"a: &a {first}"]
    for before, now in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{now}: &{now} " + level.format(", ".join([f"*{before} "] * 9)))
    return "\n".join([*lines, "q: {a: *i }\n"])


LONG_ROW = "[" + "0," * 12_000 + "0]"
BOMBS = {
    "lists of lists": bomb("[1, 1]", "[{}]"),
    "merged dictionaries": bomb("{x: 1, y: 2}", "{{<<: [{}]}}"),
    "the same long row many times": f"a: &a {LONG_ROW}\nq: {{a: [" + "*a ," * 8_000 + "*a ]}\n",
    "a list that holds itself": "q: {a: &a [*a , *a ]}\n",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_small_file_that_unfolds_to_a_huge_one_is_rejected_at_once(text):
    assert len(text) <= MAX_CHARACTERS
    rejected_by_all(text, seconds=3)


def test_a_negative_size_in_a_text_is_no_shape():
    with pytest.raises(Rejected):
        read_answers("q: {a: -99 x 8}").shape("q", "a")


@settings(max_examples=200)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text("[]{}:,-?&*!|>'\"%@ \n0123456789abqx./+_~<=\\", max_size=60),
    )
)
def test_any_text_is_an_answer_or_rejected(text):
    for whole in (text, f"q:\n  a: {text}\n", f"q: {{a: {text}}}"):
        answers = read_answers(whole, in_words="q")
        assert len(answers.words) <= 4_000
        for read in READERS.values():
            with contextlib.suppress(Rejected):
                read(answers)


def test_the_longest_file_is_read_in_moments():
    started = time.process_time()
    rejected_by_all("q:\n" + "  x: [1, 2]\n" * 4_000, seconds=30)
    assert time.process_time() - started < 20


FORMS_OF_WORDS = {  # how a student may write an answer in words
    "a colon in a sentence": "q1d: Two things: small\nq2a: {a: 28}\n",
    "a dash below": "q1d: >\n- one\n- two: three\nq2a: {a: 28}\n",
    "brackets and quotes": "q1d: [it's \"open\nq2a: {a: 28}\n",
    "a tab": "q1d:\n\tIt shrinks: fine\nq2a: {a: 28}\n",
    "at the end": "q2a: {a: 28}\nq1d: because: it: shrinks\n",
    "names and values": "q1d:\n  Pooling helps: it shrinks\nq2a: {a: 28}\n",
    "a list": "q1d:\n  - it shrinks\n  - it moves\nq2a: {a: 28}\n",
    "a number": "q1d: 42\nq2a: {a: 28}\n",
}


@pytest.mark.parametrize("text", FORMS_OF_WORDS.values(), ids=FORMS_OF_WORDS.keys())
def test_words_cost_no_other_answer_and_reach_staff_as_they_are_written(text):
    answers = read_answers(text, in_words="q1d")
    assert answers.whole_number("q2a", "a") == 28
    written = text.replace("q2a: {a: 28}\n", "").removeprefix("q1d:").removeprefix(" >")
    assert answers.words.split() == written.split()
    assert "q1d" in answers.slip
    assert "indented by two spaces" in answers.slip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("q1d: It shrinks.\nq2a: {a: 28}\n", "It shrinks."),
        ("q1d: >\n  It shrinks: yes.\n  And more.\nq2a: {a: 28}\n", "It shrinks: yes. And more."),
        ("q1d: |\n  One.\n  Two.\n", "One.\nTwo."),
        ('q1d: "It shrinks: yes."\n', "It shrinks: yes."),
    ],
)
def test_words_that_are_a_text_are_taken_without_a_remark(text, words):
    answers = read_answers(text, in_words="q1d")
    assert (answers.words, answers.slip) == (words, "")


@pytest.mark.parametrize("text", ["q1d: >\nq2a: {a: 28}\n", "q1d:\n", "q1d: ''\n", "q2a: {a: 1}\n"])
def test_where_there_are_no_words_there_is_nothing_to_remark(text):
    answers = read_answers(text, in_words="q1d")
    assert (answers.words, answers.slip) == ("", "")


def test_a_line_that_is_wrong_elsewhere_keeps_its_number():
    text = "q1d: One: two\n  three: four: five\nq2a:\n  a: [1, }\n"
    answers = read_answers(text, in_words="q1d")
    assert answers.words == "One: two\nthree: four: five"
    with pytest.raises(Rejected, match="not valid YAML, line 4:"):
        answers.whole_number("q2a", "a")


def test_words_are_cut_and_cleaned():
    answers = read_answers(f"q1d: a\x1b[31m: {'x' * 9_000}\n", in_words="q1d")
    assert len(answers.words) == 4_000
    assert "\x1b" not in answers.words
    assert read_answers(None, in_words="q1d").words == ""


NOT_READ = {"empty": "q1d: >\n", "text": "q1d: Two words.\n", "list": "q1d: [a, b]\n"}


@pytest.mark.parametrize("kind", NOT_READ)
def test_a_student_is_told_what_becomes_of_the_words(kind, submission):
    folder = submission(answers=NOT_READ[kind])
    with examine(Solution(Kind.REFERENCE, "changed", folder)) as exam:
        (note,) = notes(exam)
    assert note.startswith("1d is graded by hand (2 points): what you see")
    assert ("not answered it yet" in note) is (kind == "empty")
    assert ("Course staff read your 2 words as you wrote them." in note) is (kind != "empty")
    assert ("was read as a list" in note) is (kind == "list")


FIRST = [[0, 0, 0, 7, 0], [0, 6, 0, 0, 0], [0, 5, 2, 0, 0], [0, 0, 0, 8, 0], [0, 5, 0, 0, 0]]


@pytest.mark.parametrize(
    ("got", "is_named"),
    [
        ([[1.4, 1], [1.3, 1.1]], True),
        ([[1, 1], [1, 1]], True),
        ([[13 / 9, 1], [1.3, 10 / 9]], True),
        ([[1.5, 1], [1.3, 1.1]], False),
        ([[1.43, 1], [1.33, 1.11]], False),
        ([[2, 1], [1, 1]], False),
        ([[1.4, 1]], False),
    ],
    ids=str,
)
def test_averages_that_are_rounded_too_far_are_named(got, is_named):
    rules = load().pooling
    found = of_pooling(rules, got, rules.first, average=True)
    assert (found is ROUNDED_TOO_FAR) is is_named
    assert rules.first == FIRST


def test_the_hint_on_rounding_holds_no_number_of_the_key():
    rules = load().pooling
    keys = {
        round(value, 2) for one in (rules.first, rules.second) for row in rules.average(one)
        for value in row
    }  # fmt: skip
    said = re.findall(r"\d+/\d+|\d+\.?\d*", f"{ROUNDED_TOO_FAR.hint} {ROUNDED_TOO_FAR.explanation}")
    assert said == ["5/7"]
    assert round(5 / 7, 2) not in keys
