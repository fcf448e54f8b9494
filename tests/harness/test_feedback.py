"""What a student sees beside the sentence: tables, and attention maps where theirs is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from autograder import assignment as assignments
from autograder import attention_verdicts, encoder_verdicts, verdicts
from autograder.attention_panels import difference_panels
from autograder.feedback import Feedback, Rejected, aligned
from autograder.layers import Layer, LayerList
from autograder.solutions import load_solutions
from autograder.transformer import Judgement

from .conftest import ROOT
from .local_grading import examine

NOTE = "Your attention weights differ from the expected ones by up to"
PNG = b"\x89PNG"


def feedback_of(name, line, pictures=True):
    """What a solution reads on a line of 3a or 3b; None where it passes."""
    with examine(load_solutions([name])[0]) as exam:
        try:
            if line == "3a.3":
                attention_verdicts.check_head_rows(exam.head.get(), pictures)
            elif line == "3a.4":
                attention_verdicts.check_head_values(exam.head.get(), pictures)
            else:
                encoder_verdicts.check_layer_values(exam.layer.get(), pictures)
        except Rejected as rejected:
            return rejected.feedback
    return None


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("no-scale", "3a.4"),
        ("softmax-over-queries", "3a.3"),
        ("softmax-over-queries", "3a.4"),
        ("scores-returned", "3a.3"),
        ("weights-transposed", "3a.3"),
        ("attention-on-unnormed", "3b.2"),
    ],
)
def test_a_wrong_attention_map_is_shown_beside_the_expected_one(name, line):
    feedback = feedback_of(name, line)
    (picture,) = feedback.pictures
    assert picture.png.startswith(PNG)
    assert len(picture.png) < 100_000
    assert any(NOTE in note for note in feedback.notes)
    assert feedback.html().count("<img") == 1


@pytest.mark.parametrize(("name", "line"), [("no-scale", "3a.4"), ("scores-returned", "3a.3")])
def test_without_pictures_the_sentence_still_says_that_the_map_is_wrong(name, line):
    feedback = feedback_of(name, line, pictures=False)
    assert feedback.pictures == ()
    assert any(NOTE in note for note in feedback.notes)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("transposed-value-product", "3a.4"),
        ("constant-factor", "3a.4"),
        ("shared-query-key", "3a.4"),
        ("mlp-on-unnormed", "3b.2"),
        ("no-norms", "3b.2"),
    ],
)
def test_a_map_that_is_right_or_has_nothing_to_compare_with_is_not_shown(name, line):
    feedback = feedback_of(name, line)
    assert feedback.pictures == ()
    assert not any(NOTE in note for note in feedback.notes)


def test_right_maps_of_a_wrong_layer_say_on_which_side_to_look():
    right = feedback_of("mlp-on-unnormed", "3b.2")
    assert "the mistake lies behind the attention" in right.text()
    wrong = feedback_of("attention-on-unnormed", "3b.2")
    assert "behind the attention" not in wrong.text()


@pytest.mark.parametrize("line", ["3a.3", "3a.4", "3b.2"])
def test_the_reference_is_shown_nothing(line):
    assert feedback_of("reference", line) is None


def test_pictures_are_drawn_only_where_they_are_needed():
    script = (
        "import sys\nfrom autograder import plugin, attention_verdicts, encoder_verdicts\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_both_maps_share_a_colour_scale_and_the_difference_is_white_at_zero():
    got, expected = torch.rand(7, 7) - 0.5, torch.rand(7, 7)
    figure = difference_panels(got, expected, "A title")
    figure.draw_without_rendering()
    panels = figure.axes[:3]
    first, second, difference = (axes.get_images()[0].get_clim() for axes in panels)
    assert first == second == (float(got.min()), float(max(got.max(), expected.max())))
    assert difference[0] == -difference[1] == -float((got - expected).abs().max())
    assert [axes.get_title() for axes in panels] == ["yours", "expected", "yours - expected"]
    for axes in panels:
        box = axes.get_window_extent()
        assert box.width == pytest.approx(box.height, rel=0.02)


@pytest.mark.parametrize("pictures", [True, False])
def test_maps_of_the_vision_transformer_with_wrong_rows_are_shown(pictures):
    rules = assignments.load().model_copy(update={"pictures": pictures})
    maps = torch.rand(1, verdicts.HEADS, verdicts.TOKENS, verdicts.TOKENS)
    with pytest.raises(Rejected, match="don't sum to one") as rejected:
        verdicts.check_attention_maps(Judgement(0.99, 0.99, maps, "student"), rules)
    assert len(rejected.value.feedback.pictures) == pictures


def linear(place, inputs, outputs):
    arguments = {"in_features": inputs, "out_features": outputs, "bias": True}
    return Layer("Linear", str(place), True, arguments, None)


def test_too_many_parameters_are_listed_layer_by_layer():
    layers = LayerList((linear(0, 784, 100), linear(1, 100, 10)))
    with pytest.raises(Rejected, match="29,511 parameters too many") as rejected:
        verdicts.check_parameters(layers, assignments.load().cnn)
    assert rejected.value.feedback.table == (
        ("layer", "parameters"),
        ("Linear (layer 0)", "78,500"),
        ("Linear (layer 1)", "1,010"),
        ("all", "79,510"),
    )


def test_a_table_stands_in_columns_between_what_is_said_and_the_notes():
    feedback = Feedback("Headline.", table=(("a", "long"), ("<b>", "1")), notes=("Note.",))
    assert feedback.lines() == ["Headline.", "a    long", "<b>     1", "Note."]
    assert feedback.html() == (
        "<p>Headline.</p><pre>a    long<br>&lt;b&gt;     1</pre><p>Note.</p>"
    )
    assert aligned(()) == []
    assert Feedback("Headline.").html() == "<p>Headline.</p>"
