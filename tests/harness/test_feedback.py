"""What a student sees beside the sentence: tables, and attention maps where theirs is wrong."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autograder.hw5 import assignment as assignments
from autograder.hw5.described import Model
from autograder.hw5.mistakes import networks as known
from autograder.hw5.probes.asker import Heads
from autograder.hw5.probes.given_model import SIZES
from autograder.hw5.probes.vit import Judgement
from autograder.hw5.verdicts import loss_history, pictures, vit
from autograder.hw5.verdicts import networks as verdicts
from autograder.hw5.verdicts.map_panels import difference_panels
from autograder.rubric.feedback import Feedback, Rejected, aligned
from autograder.rubric.page import fragment
from autograder.rubric.plugin import RubricLine
from autograder.staff.solutions import load_solutions
from autograder.training.job import Ending, TrainingResult, Trial
from autograder.training.layer import Layer, ModelProblem
from autograder.training.layer_list import LayerList
from provided.training import Epoch, Training

from .conftest import ROOT
from .local_grading import examine, examine_files, judge, suite_tests

NOTE = "Your attention weights differ from the expected ones by up to"
PNG = b"\x89PNG"
FORWARD = "calling ViTLayer on an input of shape (2, 7, 12) ("  # and then the line
BACKWARD = "calling ViTLayer on an input of shape (2, 7, 12), or in the backward pass."


def feedback_of(name, number, pictures=True):
    """What a solution reads on a rubric line; None where it passes."""
    test = suite_tests()[number]
    with examine(load_solutions([name])[0]) as exam:
        fixtures = {
            "exam": exam,
            "assignment": exam.assignment.model_copy(update={"pictures": pictures}),
            "line": RubricLine(number, "", 1.0),
        }
        try:
            test(**{name: fixtures[name] for name in inspect.signature(test).parameters})
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
        ("no-norms", "3b.2"),
    ],
)
def test_a_wrong_attention_map_is_shown_beside_the_expected_one(name, line):
    feedback = feedback_of(name, line)
    (picture,) = feedback.pictures
    assert picture.png.startswith(PNG)
    assert len(picture.png) < 100_000
    assert any(NOTE in note for note in feedback.notes)
    assert fragment(feedback).count("<img") == 1


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
    ],
)
def test_a_map_that_is_right_or_has_nothing_to_compare_with_is_not_shown(name, line):
    feedback = feedback_of(name, line)
    assert feedback.pictures == ()
    assert not any(NOTE in note for note in feedback.notes)


def test_right_maps_of_a_wrong_layer_say_on_which_side_to_look():
    right = feedback_of("mlp-on-unnormed", "3b.2")
    assert "look at what happens after them" in right.text()
    wrong = feedback_of("attention-on-unnormed", "3b.2")
    assert "behind the attention" not in wrong.text()


@pytest.mark.parametrize("line", ["3a.3", "3a.4", "3b.2"])
def test_the_reference_is_shown_nothing(line):
    assert feedback_of("reference", line) is None


def test_pictures_are_drawn_only_where_they_are_needed():
    script = (
        "import sys, torch\nfrom autograder.hw5.verdicts import head, layer\n"
        "from autograder.hw5.verdicts.pictures import difference_picture\n"
        "assert difference_picture(torch.eye(7), torch.ones(7, 7) / 7, 'A title').png\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_picture_that_cannot_be_drawn_is_left_out(monkeypatch):
    monkeypatch.setattr(pictures, "PANELS", "missing.py")
    pictures._drawn.cache_clear()
    feedback = feedback_of("no-scale", "3a.4")
    assert feedback.pictures == ()
    assert any(NOTE in note for note in feedback.notes)
    pictures._drawn.cache_clear()


def test_both_maps_share_a_colour_scale_and_the_difference_is_white_at_zero():
    got, expected = torch.rand(7, 7) - 0.5, torch.rand(7, 7)
    figure = difference_panels(got.tolist(), expected.tolist(), "A title")
    figure.draw_without_rendering()
    panels = figure.axes[:3]
    first, second, difference = (axes.get_images()[0].get_clim() for axes in panels)
    largest = float((got - expected).abs().max())
    highest = float(max(got.max(), expected.max()))
    assert first == second == pytest.approx((float(got.min()), highest))
    assert difference == pytest.approx((-1 * largest, largest))
    assert [axes.get_title() for axes in panels] == ["yours", "expected", "yours - expected"]
    for axes in panels:
        box = axes.get_window_extent()
        assert box.width == pytest.approx(box.height, rel=0.02)


@pytest.mark.parametrize("pictures", [True, False])
def test_maps_of_the_vision_transformer_with_wrong_rows_are_shown(pictures):
    rules = assignments.load().model_copy(update={"pictures": pictures})
    maps = torch.rand(1, SIZES.heads, SIZES.tokens, SIZES.tokens)
    with pytest.raises(Rejected, match="don't sum to one") as rejected:
        vit.check_attention_maps(Judgement(0.99, maps, Heads.STUDENT), rules)
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
    assert fragment(feedback).startswith("Headline.<br><br><pre")
    assert ">a    long<br>&lt;b&gt;     1<br></pre><p>Note.<br></p>" in fragment(feedback)
    assert aligned(()) == []


@pytest.mark.parametrize(
    ("accuracies", "head"),
    [
        ([[0.9, 0.96]], ("epoch", "training loss", "validation loss", "test accuracy")),
        (
            [[0.9], [0.96]],
            ("seed", "epoch", "training loss", "validation loss", "test accuracy"),
        ),
    ],
    ids=["one seed", "two seeds"],
)
def test_a_training_is_told_epoch_by_epoch(accuracies, head):
    trials = [
        Trial(seed, [Epoch(n, 0.5, 0.25, 0.9, 0.9) for n, _ in enumerate(found, start=1)], found)
        for seed, found in enumerate(accuracies)
    ]
    model = Model(LayerList((linear(0, 784, 10),)), Training(learning_rate=1e-3), "")
    rules = assignments.load().model_copy(update={"pictures": False})
    with pytest.raises(Rejected, match=r"96\.00%") as rejected:
        verdicts.judge_training(
            TrainingResult(trials, Ending.MISSED),
            rules.fully_connected.training,
            "It",
            rules,
            model,
        )
    assert rejected.value.points == 2
    table = rejected.value.feedback.table
    assert table[0] == head
    assert len(table) == 3
    assert table[2][-3:] == ("0.5000", "0.2500", "96.00%")


def test_a_dead_network_is_told_why_its_training_ended():
    trial = Trial(0, [Epoch(n, 2.3, 2.3, 0.1, 0.1) for n in (1, 2)], [0.098, 0.098])
    model = Model(LayerList((linear(0, 784, 10),)), Training(learning_rate=1e-3), "")
    rules = assignments.load().model_copy(update={"pictures": False})
    with pytest.raises(Rejected) as rejected:
        verdicts.judge_training(
            TrainingResult([trial], Ending.DEAD), rules.fully_connected.training, "It", rules, model
        )
    assert "the network gives every image the same output" in str(rejected.value)
    assert "ReLUs are off for every image" in rejected.value.feedback.likely


def test_without_one_epoch_the_notes_are_told_all_the_same():
    model = Model(LayerList((linear(0, 784, 10),)), Training(learning_rate=9.0), "", ("Noted.",))
    rules = assignments.load().fully_connected.training
    nothing = TrainingResult([], Ending.DIVERGED, carried_over=True)
    with pytest.raises(Rejected, match="in the first epoch") as rejected:
        verdicts.judge_training(nothing, rules, "It", assignments.load(), model)
    assert rejected.value.feedback.notes == (
        "Carried over from your previous submission: this model is unchanged.",
        "Noted.",
    )


def history(*rows):
    lines = ["epoch,train_loss,validation_loss", *(f"{n},{rest}" for n, rest in rows)]
    return "\n".join(lines).encode()


def test_one_epoch_is_told_in_the_singular():
    text = loss_history.check_history(history((1, "0.5,0.25")), "fc").text()
    assert text == (
        "Correct: 1 epoch (fewer than 10 are fine); training loss 0.500, validation loss 0.250."
    )


def test_a_history_is_told_from_its_first_to_its_last_epoch():
    text = loss_history.check_history(history((1, "0.5,0.25"), (2, "0.4,0.2")), "fc").text()
    assert "training loss from 0.500 to 0.400, validation loss from 0.250 to 0.200." in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (history((1, "0.5,nan")), "validation_loss in row 1 is not a finite number"),
        (history((1, "0.5")), "Got: nothing"),
        (history((1, "1,1"), (3, "1,1")), "the epochs are not numbered 1, 2, 3"),
        (b"epoch,train_loss\n1,0.5\n", "has no column validation_loss"),
        (b"\xff\xfe\x00", "can't be read"),
    ],
    ids=["NaN", "cut off", "a gap", "one set", "not text"],
)
def test_a_history_that_is_rejected_says_what_to_do_next(content, said):
    with pytest.raises(Rejected) as rejected:
        loss_history.check_history(content, "fc")
    assert said in rejected.value.feedback.text()
    assert rejected.value.feedback.next_step


def test_a_linear_layer_that_does_not_fit_is_told_in_plain_numbers():
    flatten = Layer("Flatten", "0", True, {"start_dim": 1, "end_dim": -1}, None)
    layers = LayerList((flatten, linear(1, 784, 50), linear(2, 40, 10)))
    with pytest.raises(ModelProblem, match="it expects 40 inputs and gets 50"):
        layers.build()


def test_few_units_are_named_as_too_few_and_few_channels_are_not():
    relu = Layer("ReLU", "1", True, {}, None)
    convolution = Layer("Conv2d", "0", True, {"out_channels": 6}, None)
    result = TrainingResult([Trial(0, [], [])], Ending.MISSED)

    def finding(first):
        layers = LayerList((first, relu, linear(2, 600, 10)))
        return known.why_inaccurate(layers, Training(learning_rate=1e-3), result)

    assert finding(linear(0, 784, 6)).mistakes == (known.TOO_SMALL,)
    assert finding(convolution) is None


@pytest.mark.parametrize(
    ("changes", "line", "doing"),
    [
        ({"        x = x +": "        x += 0 * x\n        x = x +"}, "3b.3", BACKWARD),
        ({"        x = x +": "        x = 1 / 0 +"}, "3b.1", FORWARD),
    ],
    ids=["raised by backward", "raised by forward"],
)
def test_what_backward_raises_is_not_told_as_raised_by_the_call_alone(changes, line, doing):
    text = Path(ROOT, "solutions/reference/encoder.py").read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new)
    with examine_files({"encoder.py": text}) as (solution, exam):
        said = judge(solution, exam, {line}).lines[line].text
    assert f"while {doing}" in said
