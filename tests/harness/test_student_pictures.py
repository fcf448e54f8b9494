"""The pictures: what is in them, for few and for many epochs, runs and heads."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from provided import plots
from provided.mnist import Split
from provided.training import Epoch


def epochs(*validation: float) -> list[Epoch]:
    return [Epoch(n, 2 * loss, loss, 0.9, 0.9) for n, loss in enumerate(validation, start=1)]


def drawn(figure):
    figure.draw_without_rendering()
    return figure


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("count", [1, 3, 10])
def test_loss_curves_show_both_sets_and_name_the_best_epoch(count):
    figure = drawn(plots.loss_curves(epochs(*(1 / n for n in range(1, count + 1))), "A title"))
    (axes,) = figure.axes
    assert axes.get_title() == "A title"
    assert axes.get_xlabel() == "epoch"
    assert "nats" in axes.get_ylabel()
    assert texts(axes) == ["training", "validation", f"best epoch: {count} ({1 / count:.3f})"]
    shown = [tick for tick in axes.get_xticks() if 1 <= tick <= count]
    assert all(tick == int(tick) for tick in shown)
    assert shown


def test_the_best_epoch_is_that_of_the_lowest_validation_loss():
    assert "best epoch: 2 (0.100)" in texts(plots.loss_curves(epochs(0.5, 0.1, 0.2), "").axes[0])


def test_losses_that_differ_much_are_on_a_log_scale_that_says_so():
    (axes,) = plots.loss_curves(epochs(1.0, 0.01), "").axes
    assert axes.get_yscale() == "log"
    assert "log scale" in axes.get_ylabel()


@pytest.mark.parametrize("losses", [(0.5, math.nan), (math.inf,), (0.0, 0.0)])
def test_losses_that_are_no_numbers_or_zero_are_no_obstacle(losses):
    drawn(plots.loss_curves(epochs(*losses), ""))


@pytest.mark.parametrize("heads", [1, 3, 8])
def test_attention_maps_are_square_panels_with_one_colour_bar(heads):
    figure = drawn(plots.attention_maps(torch.rand(heads, 17, 17), "A title"))
    panels = [axes for axes in figure.axes if axes.get_title().startswith("head")]
    bars = [axes for axes in figure.axes if axes.get_ylabel() == "attention weight"]
    assert (len(panels), len(bars)) == (heads, 1)
    for axes in panels:
        box = axes.get_window_extent()
        assert box.width == pytest.approx(box.height, rel=0.02)
    assert "token" in figure.get_supxlabel()


def test_step_losses_and_their_mean_have_one_point_for_each_step():
    (axes,) = drawn(plots.step_losses([1.0, 0.5, 0.25], "A title")).axes
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [3, 3]


def test_digits_and_patches_are_drawn_with_their_labels():
    images = Split.of(torch.zeros(3, 28, 28, dtype=torch.uint8), torch.tensor([3, 1, 4]))
    titles = [axes.get_title() for axes in drawn(plots.digits(images)).axes]
    assert [title for title in titles if title] == ["3", "1", "4"]
    (axes,) = drawn(plots.patches(images.images[0])).axes
    assert [text.get_text() for text in axes.texts] == [str(n) for n in range(1, 17)]


@pytest.mark.parametrize("count", [1, 5, 40])
def test_every_run_has_a_line_that_says_what_it_was(count):
    row = {
        "model": "fc",
        "learning_rate": "0.003",
        "schedule": "one_cycle",
        "epochs": "10",
        "architecture": "Flatten, Linear(784, 50), ReLU, Linear(50, 10)",
        "validation_accuracy": "0.98",
        "test_accuracy": "0.97",
    }
    (axes,) = drawn(plots.experiments_plot([row] * count)).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == min(count, plots.MOST_RUNS)
    assert labels[-1] == f"{count}: fc 784-50-10, adam 0.003 one cycle, 10 epochs"


COLUMN = 9 / 2.54  # inches, a text column
SMALLEST = 6  # points


def hidden(figure) -> set[Text]:
    """Texts of a figure that aren't drawn: of axes without a frame, of ticks outside of view."""
    found: set[Text] = set()
    for axis in [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not axis.axes.axison or not low <= tick.get_loc() <= high:
                found |= set(tick.findobj(Text))
    return found


def unreadable(figure) -> list[str]:
    """Texts of a figure that are too small, or that its border cuts off."""
    drawn(figure)
    left_out = hidden(figure)
    page = figure.bbox
    found = []
    for text in figure.findobj(Text):
        box = text.get_window_extent()
        if text in left_out or not text.get_text() or not text.get_visible():
            continue
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < page.x1 + 1 and box.y1 < page.y1 + 1
        if text.get_fontsize() < SMALLEST or not inside:
            found.append(text.get_text())
    return found


LONG_CNN = ", ".join(f"Conv2d({n}, {n + 1}, 3), ReLU" for n in range(1, 20)) + ", Linear(800, 10)"


def runs(count: int) -> list[dict[str, str]]:
    models = ("fc", "cnn", "vit")
    return [
        {
            "model": models[n % 3],
            "learning_rate": "0.00123",
            "schedule": "one_cycle",
            "epochs": "10",
            "architecture": LONG_CNN
            if n % 3 == 1
            else "Flatten, Linear(784, 200), Linear(200, 10)",
            "trial": "true",
            "validation_accuracy": "0.1" if n == 4 else f"0.9{n % 10}",
            "test_accuracy": f"0.9{n % 7}",
        }
        for n in range(count)
    ]


def test_one_run_far_below_the_others_takes_no_room_from_them():
    good = [dict(row, validation_accuracy=f"0.9{n}") for n, row in enumerate(runs(9))]
    bad = dict(good[0], validation_accuracy="0.1", test_accuracy="0.1", run="99")
    (alone,), (together,) = (
        drawn(plots.experiments_plot(rows)).axes for rows in (good, [*good, bad])
    )
    assert together.get_xlim() == alone.get_xlim()
    assert [text.get_text() for text in together.texts] == ["10.0 test, 10.0 validation"]
    assert together.get_yticklabels()[-1].get_text().startswith("99: ")


LONG = "Fully connected network, trained by the grader"
MAPS = "Last layer's attention, first validation image"
GRADERS = "Last layer, first validation image (weights after a moment)"
IMAGES = Split.of(torch.zeros(24, 28, 28, dtype=torch.uint8), torch.arange(24) % 10)
PICTURES = {
    "losses": lambda: plots.loss_curves(epochs(*(1 / n**2 for n in range(1, 11))), LONG),
    "losses that hardly differ": lambda: plots.loss_curves(epochs(2.3, 2.2, 2.1), LONG),
    "losses of one epoch": lambda: plots.loss_curves(epochs(0.5), LONG),
    "steps": lambda: plots.step_losses([1 / n for n in range(1, 201)], LONG),
    "attention maps": lambda: plots.attention_maps(torch.rand(8, 17, 17), MAPS),
    "attention maps of the grader": lambda: plots.attention_maps(torch.rand(8, 17, 17), GRADERS),
    "attention maps of 4 heads": lambda: plots.attention_maps(torch.rand(4, 17, 17), MAPS),
    "digits": lambda: plots.digits(IMAGES),
    "patches": lambda: plots.patches(IMAGES.images[0]),
    "one run": lambda: plots.experiments_plot(runs(1)),
    "some runs": lambda: plots.experiments_plot(runs(7)),
    "many runs": lambda: plots.experiments_plot(runs(40)),
}


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES.keys())
def test_pictures_fit_a_text_column_and_can_be_read_there(make):
    figure = make()
    assert figure.get_figwidth() <= COLUMN + 0.01
    assert unreadable(figure) == []


def test_texts_that_are_too_small_or_cut_off_are_found():
    figure = Figure(figsize=(COLUMN, 2))
    for place, size, text in ((0.1, 8, "fine"), (0.1, 5, "small"), (0.95, 8, "cut off")):
        figure.text(place, 0.5, text, fontsize=size)
    assert unreadable(figure) == ["small", "cut off"]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_names_of_runs_cover_neither_each_other_nor_the_marks(count):
    (axes,) = drawn(plots.experiments_plot(runs(count))).axes
    names = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(upper.y0 > lower.y1 for upper, lower in itertools.pairwise(names))
    marked = [line.get_window_extent() for line in axes.get_lines() if line.get_marker() != "None"]
    assert len(marked) >= 2 * len(names)  # an arrow is one mark, and a legend adds some
    assert not any(name.overlaps(mark) for name in names for mark in marked)


def test_numbers_of_patches_stand_out_from_white_and_from_black():
    (axes,) = plots.patches(IMAGES.images[0]).axes
    for text in axes.texts:
        box = text.get_bbox_patch()
        assert box.get_alpha() is None
        assert text.get_color() == "white"
        assert box.get_facecolor()[:3] != (1.0, 1.0, 1.0)
