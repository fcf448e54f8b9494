"""The page: each part of a line set apart, causes told once, what was lost at the top."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
import torch

from autograder.hw5.verdicts.pictures import difference_picture
from autograder.rubric.feedback import Feedback, Picture, of_worker_error
from autograder.rubric.page import fragment, width
from autograder.rubric.plugin import GRADER_FAULT, NOT_REACHED, RubricLine
from autograder.rubric.repeated import told_once, what_was_lost
from autograder.sandbox.errors import StudentCodeRaised

# Elements and attributes that Rails' own list of safe ones holds; wbr and style may go.
KEPT = {"p", "b", "br", "pre", "img"}
KEPT_OF = {"img": {"alt", "src", "width"}}
WHOLE = Feedback(
    "It <failed>.",
    got="a & b\nand more",
    expected="c",
    likely="<img src=x>",
    next_step="Look.",
    table=(("epoch", "training loss"), ("1", "0.25")),
    notes=("Noted.",),
    pictures=(Picture(b"\x89PNG" + b"\0" * 12 + (720).to_bytes(4, "big"), "what it shows"),),
)


class Seen(HTMLParser):
    """The elements of a fragment, and its text with a line for each break."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.text += "\n" if tag == "br" else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_fragment_holds_only_elements_that_a_platform_keeps():
    for tag, attributes in Seen(fragment(WHOLE)).elements:
        assert tag in KEPT | {"wbr"}
        assert attributes.keys() <= KEPT_OF.get(tag, set()) | {"style"}


def test_each_part_is_a_line_of_its_own_even_where_every_element_is_dropped():
    assert Seen(fragment(WHOLE)).text.splitlines() == [
        "It <failed>.",
        "Got: a & b",
        "  | and more",
        "Expected: c",
        "Likely mistake: <img src=x>",
        "Next: Look.",
        "       training",
        "epoch      loss",
        "1          0.25",
        "Noted.",
        "",
    ]


def test_labels_stand_out_and_nothing_is_markup_but_ours():
    shown = fragment(WHOLE)
    assert [re.sub("<.*?>", "", one) for one in re.findall("<b>.*?</b>", shown)] == [
        "Got:",
        "Expected:",
        "Likely mistake:",
        "Next:",
    ]
    assert shown.count("<img") == 1
    assert "&lt;img src=x&gt;" in shown


def test_a_picture_is_no_wider_than_the_page_and_than_itself():
    (image,) = (found for tag, found in Seen(fragment(WHOLE)).elements if tag == "img")
    assert (image["width"], image["style"]) == ("100%", "max-width: 720px")
    picture = difference_picture(torch.eye(7), torch.ones(7, 7) / 7, "A title")
    assert width(picture.png) == 720


def test_a_long_word_can_be_broken_and_a_short_one_stays_whole():
    path = "/".join(["folder"] * 12)
    shown = fragment(Feedback(f"It failed in {path} at once."))
    assert max(map(len, re.split(r"\s|<wbr>|<br>", shown))) <= 15
    assert html.unescape(re.sub("<.*?>", "", shown)) == f"It failed in {path} at once."
    assert "<wbr>" not in fragment(Feedback("build_fully_connected() failed."))


@pytest.mark.parametrize(
    ("feedback", "kind"),
    [(Feedback("Correct."), "text"), (Feedback("No.", got="x"), "html"), (WHOLE, "html")],
    ids=["a headline", "a part", "all"],
)
def test_a_headline_alone_is_text_and_all_else_a_fragment(feedback, kind):
    result = RubricLine("1a.1", "It", 1.0, feedback=feedback).result()
    assert result.output_format == kind
    assert ("<" in result.output) is (kind == "html")


def lines(*outcomes: tuple[str, float, Feedback]) -> list[RubricLine]:
    """Lines of a point each: number, points earned, feedback."""
    return [
        RubricLine(number, "It", 1.0, earned, feedback is not NOT_REACHED, feedback)
        for number, earned, feedback in outcomes
    ]


def raised(doing: str, line: int = 3) -> Feedback:
    message = "No module named 'torchvision', which is quite a long story in this case"
    error = StudentCodeRaised("ModuleNotFoundError", message, "models.py", line)
    error.doing = doing
    return of_worker_error(error)


def test_what_raises_on_several_lines_is_told_once_and_referred_to():
    first, second, other = told_once(
        lines(
            ("2b.1", 0, raised("calling build_fully_connected()")),
            ("2c.1", 0, raised("calling build_cnn()")),
            ("2c.2", 0, raised("calling build_cnn()", line=9)),
        )
    )
    assert "Got: ModuleNotFoundError: No module" in first.feedback.text()
    assert second.feedback.text() == (
        "Your code raised ModuleNotFoundError while calling build_cnn() (models.py, line 3). "
        "Same cause as 2b.1: see there."
    )
    assert "Got: ModuleNotFoundError: No module" in other.feedback.text()


def test_a_mistake_on_several_lines_is_explained_once_with_each_lines_own_numbers():
    def wrong(got: str) -> Feedback:
        long = "the windows are summed but not divided, which gives nine times the average"
        return Feedback("It is wrong.", got=got, likely=long, next_step="Count.", diagnosis="sum")

    first, second = told_once(lines(("1c.1", 0, wrong("13")), ("1c.3", 0.5, wrong("11"))))
    assert first.feedback == wrong("13")
    assert second.feedback.text() == "It is wrong.\nGot: 11\nLikely mistake: the same as on 1c.1"
    assert second.feedback.diagnosis == "sum"


def test_a_long_note_is_told_once_and_a_short_one_wherever_it_belongs():
    long, short = "This line was graded with another head than yours. " * 3, "Carried over."
    said = Feedback("Correct.", notes=(long, short))
    first, second = told_once(lines(("3b.1", 1, said), ("3b.2", 1, said)))
    assert first.feedback == said
    assert second.feedback.notes == ("The note on 3b.1 is true here as well.", short)


def test_what_isnt_a_students_mistake_is_never_referred_to():
    for same in (NOT_REACHED, GRADER_FAULT, Feedback("Correct, and that is said at length " * 9)):
        earned = 1 if same.headline.startswith("Correct") else 0
        told = told_once(lines(("3b.1", earned, same), ("3b.2", earned, same)))
        assert [line.feedback for line in told] == [same, same]


PASSED = Feedback("Correct.")
LOST = Feedback("Wrong.")
WHAT_WAS_LOST = {
    "nothing": ((("1a.1", 1, PASSED), ("1a.2", 1, PASSED)), "Full marks: 2 points."),
    "one line": ((("1a.1", 0, LOST), ("1a.2", 1, PASSED)), "You lost 1 point, on 1a.1."),
    "two": (
        (("3a.2", 1, PASSED), ("3a.3", 0, LOST), ("3a.4", 0, LOST)),
        "You lost 2 points, on 3a.3 and 3a.4.",
    ),
    "a part, a run, half a point": (
        (
            ("1a.1", 0, LOST),
            ("1a.2", 0, LOST),
            ("2b.1", 1, PASSED),
            ("2b.2", 0, LOST),
            ("2b.3", 0.5, LOST),
            ("2b.4", 0, LOST),
        ),
        "You lost 4.5 points, on 1a and 2b.2 to 2b.4.",
    ),
    "all": ((("1a.1", 0, LOST), ("1b.1", 0, LOST)), "You lost 2 points, on all 2 lines."),
    "the grader's own": (
        (("1a.1", 0, GRADER_FAULT), ("1a.2", 1, PASSED), ("1b.1", 0, NOT_REACHED)),
        "2 points, on 1a.1 and 1b.1, could not be decided: see there why.",
    ),
    "both": (
        (("1a.1", 0, LOST), ("1a.2", 1, PASSED), ("1b.1", 0, NOT_REACHED)),
        "You lost 1 point, on 1a.1. 1 point, on 1b.1, could not be decided: see there why.",
    ),
}


@pytest.mark.parametrize(("outcomes", "said"), WHAT_WAS_LOST.values(), ids=WHAT_WAS_LOST.keys())
def test_the_top_says_what_was_lost_and_where(outcomes, said):
    assert what_was_lost(lines(*outcomes)) == said
