"""answers.yaml: read leniently; whatever else stands there is Rejected, and nothing else raised."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.rubric.answers import MAX_BYTES, Answers, read_answers
from autograder.rubric.feedback import Rejected


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
        "x" * (MAX_BYTES + 1),
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
    assert len(text) <= MAX_BYTES
    rejected_by_all(text, seconds=3)


def test_a_negative_size_in_a_text_is_no_shape():
    with pytest.raises(Rejected):
        read_answers("q: {a: -99 x 8}").shape("q", "a")


def test_free_text_is_cut_and_never_fails():
    assert read_answers("q: ' because '").free_text("q") == "because"
    assert len(read_answers(f"q: {'x' * 9000}").free_text("q")) == 4000
    for text in (None, "", "q: 3", "q: [x]", "[[["):
        assert read_answers(text).free_text("q") == ""


@settings(max_examples=200)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text("[]{}:,-?&*!|>'\"%@ \n0123456789abqx./+_~<=\\", max_size=60),
    )
)
def test_any_text_is_an_answer_or_rejected(text):
    for whole in (text, f"q:\n  a: {text}\n", f"q: {{a: {text}}}"):
        answers = read_answers(whole)
        answers.free_text("q")
        for read in READERS.values():
            with contextlib.suppress(Rejected):
                read(answers)


def test_the_longest_file_is_read_in_moments():
    started = time.process_time()
    rejected_by_all("q:\n" + "  x: [1, 2]\n" * 4_000, seconds=30)
    assert time.process_time() - started < 20
