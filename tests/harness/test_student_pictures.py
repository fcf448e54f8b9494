"""The pictures: what is in them, for few and for many epochs, runs and heads."""

from __future__ import annotations

import math

import pytest
import torch

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
        "model": "fc", "learning_rate": "0.003", "schedule": "one_cycle", "epochs": "10",
        "validation_accuracy": "0.98", "test_accuracy": "0.97",
    }  # fmt: skip
    (axes,) = drawn(plots.experiments_plot([row] * count)).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == min(count, plots.MOST_RUNS)
    assert labels[-1] == f"{count}: fc, rate 0.003 one cycle, 10 epochs"
