"""Pictures for your write-up: loss curves, attention maps, what you tried.

Each function returns a matplotlib Figure: show it in a notebook by naming it last in a
cell, or save it with figure.savefig("name.png"). They are drawn at the width of a text
column, 9 cm, where no letter is smaller than 6 points: put them in without shrinking them.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullLocator,
    StrMethodFormatter,
)
from torch import Tensor

from provided.experiments import architecture_name
from provided.history import Epoch
from provided.homework import TRANSFORMER
from provided.mnist import Split

# Okabe and Ito's palette, which stays distinct under colour blindness.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"
MARKS = {"fc": (BLUE, "o"), "cnn": (ORANGE, "s"), "vit": (GREEN, "^")}
WIDTH = 9 / 2.54  # inches
DOTS_PER_INCH = 220
LETTERS = 48  # of a title in one line
LETTERS_OF_A_RUN = 66  # that fit above its line
LARGE, MEDIUM, SMALL = 9, 8, 7  # points: titles, axes, numbers on axes and legends
SMOOTHED = 20  # steps
WIDE_RANGE = 10  # times the lowest loss: from here on a log scale shows more
MOST_RUNS = 30  # that one picture shows
LEAST_ERROR = 0.01  # percent: one of 10,000 images
MOST_TIMES_THE_ERROR = 20  # of the best run: beyond it an arrow stands for a run
TICKS: tuple[float, ...] = (98, 90, 99, 95, 97, 50, 80, 96, 98.5, 97.5, 99.5, 99.9, 70, 85, 10, 30)
TICKS += (60, 98.2, 98.8, 97.2, 97.8, 93, 92, 94, 99.2, 40, 20, 0, 75, 88)  # percent, welcome first


def loss_curves(epochs: Sequence[Epoch], title: str) -> Figure:
    """Mean cross entropy of the training and the validation set, the best epoch marked."""
    figure, axes = _one_panel()
    numbers = [epoch.epoch for epoch in epochs]
    training = [epoch.train_loss for epoch in epochs]
    validation = [epoch.validation_loss for epoch in epochs]
    axes.plot(numbers, training, "o-", color=BLUE, markersize=3, linewidth=1.2, label="training")
    axes.plot(
        numbers, validation, "s--", color=ORANGE, markersize=3, linewidth=1.2, label="validation"
    )
    known = [index for index, loss in enumerate(validation) if math.isfinite(loss)]
    if known:
        best = min(known, key=validation.__getitem__)
        axes.plot(
            numbers[best],
            validation[best],
            "o",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=GRAY,
            label=f"best epoch: {numbers[best]} ({validation[best]:.3f})",
        )
    scale = _loss_axis(axes, [loss for loss in training + validation if math.isfinite(loss)])
    _finish(axes, title, "epoch", f"mean cross entropy (nats{scale})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(numbers[0] - 0.4, numbers[-1] + 0.4)
    axes.legend(frameon=False, fontsize=SMALL, loc="best")
    return figure


def step_losses(losses: Sequence[float], title: str) -> Figure:
    """The loss of every step, and its mean over 20 of them."""
    figure, axes = _one_panel()
    steps = range(1, len(losses) + 1)
    half = SMOOTHED // 2
    windows = [losses[max(0, step - half) : step + half] for step in steps]
    smooth = [sum(window) / len(window) for window in windows]
    axes.plot(steps, losses, color=BLUE, linewidth=0.5, alpha=0.6, label="each step")
    axes.plot(steps, smooth, color=ORANGE, linewidth=1.2, label=f"mean of {SMOOTHED} steps")
    _finish(axes, title, "step", "cross entropy (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=SMALL, loc="best")
    return figure


def attention_maps(maps: Tensor, title: str) -> Figure:
    """Attention weights (heads, T, T) as square heat maps; row: who looks, column: at whom."""
    heads, last = len(maps), maps.shape[-1] - 1
    columns = min(4, heads)
    rows = -(-heads // columns)
    beside = 1.06  # inches for labels and the colour bar
    panel = (WIDTH - beside) / max(2, columns)
    figure = Figure(
        figsize=(panel * columns + beside, (panel + 0.15) * rows + 0.5),
        dpi=DOTS_PER_INCH,
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02),
    )
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    highest = float(maps.max())
    for index, axes in enumerate(panels.flat):
        if index >= heads:
            axes.set_visible(False)
            continue
        image = axes.imshow(
            maps[index].tolist(), cmap="viridis", vmin=0, vmax=highest, interpolation="nearest"
        )
        axes.set_title(f"head {index + 1}", fontsize=SMALL, pad=2)
        axes.xaxis.set_major_locator(FixedLocator(range(0, last + 1, max(1, last // 2))))
        axes.yaxis.set_major_locator(FixedLocator(range(0, last + 1, max(1, last // 2))))
        axes.tick_params(labelsize=6, length=1.5, width=0.5, pad=1.5)
        axes.spines[:].set_linewidth(0.5)
    figure.supxlabel("token looked at (0: class token)", fontsize=MEDIUM)
    figure.supylabel("token that looks", fontsize=MEDIUM)
    figure.suptitle(textwrap.fill(title, LETTERS), fontsize=LARGE)
    bar = figure.colorbar(image, ax=panels, shrink=0.95, aspect=25, pad=0.02)
    bar.set_label("attention weight", fontsize=MEDIUM)
    bar.ax.tick_params(labelsize=6, length=1.5, width=0.5, pad=1.5)
    bar.outline.set_linewidth(0.5)
    return figure


def digits(images: Split) -> Figure:
    """Some images in rows of eight, their digit above each."""
    columns = 8
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(WIDTH, rows * 0.58), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    pictures, labels = images.images, images.labels
    for index, axes in enumerate(panels.flat):
        axes.set_axis_off()
        if index < len(images):
            axes.imshow(pictures[index].tolist(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(str(int(labels[index])), fontsize=MEDIUM, pad=1.5)
    return figure


def patches(image: Tensor, size: int = 7) -> Figure:
    """One image (H, W), cut into the tokens of a Vision Transformer; each with its number."""
    figure = Figure(figsize=(2.4, 2.6), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.imshow(image.tolist(), cmap="gray", vmin=0, vmax=255)
    across = image.shape[1] // size
    label = {"facecolor": ORANGE, "edgecolor": "none", "pad": 1.2}
    for number in range(across * (image.shape[0] // size)):
        row, column = divmod(number, across)
        left, top = column * size - 0.5, row * size - 0.5
        axes.add_patch(Rectangle((left, top), size, size, fill=False, edgecolor=ORANGE))
        axes.text(
            left + 0.3,
            top + 0.3,
            f"{number + 1}",
            color="white",
            fontsize=SMALL,
            ha="left",
            va="top",
            bbox=label,
        )
    axes.set_title("tokens (0: class token)", fontsize=LARGE)
    axes.set_axis_off()
    return figure


def experiments_plot(rows: Sequence[Mapping[str, str]]) -> Figure:
    """A line for each of your runs, the newest at the bottom: its accuracy on both sets.

    The axis is one of errors with a log scale, on which 98% and 99% are as far apart as 90% and
    95%. It leaves out what has more than twenty times the error of the best run, which a run far
    below the others has: an arrow at the border stands for it, with its accuracy.
    """
    shown = list(enumerate(rows, start=1))[-MOST_RUNS:]
    figure = Figure(
        figsize=(WIDTH, 1.0 + 0.28 * len(shown)), dpi=DOTS_PER_INCH, layout="constrained"
    )
    axes = figure.subplots()
    pairs = {number: _accuracies(row) for number, row in shown}
    highest = max(max(pair) for pair in pairs.values())
    least_error = max(100 - highest, LEAST_ERROR)
    lowest = max(100 - MOST_TIMES_THE_ERROR * least_error, 0)
    seen = [one for pair in pairs.values() for one in pair if one >= lowest]
    left, right = _place(min(seen)), _place(highest)
    margin = max(0.03, 0.08 * (right - left))
    axes.set_xlim(left - margin, right + margin)
    labelled: set[str] = set()
    for number, row in shown:
        color, mark = MARKS.get(row["model"], (GRAY, "D"))
        validation, test = pairs[number]
        axes.axhline(number, color="#dddddd", linewidth=0.5, zorder=0)
        if min(validation, test) < lowest:
            _beyond(axes, number, validation, test, color)
            continue
        label = None if row["model"] in labelled else f"{row['model']}, test"
        labelled.add(row["model"])
        places = [_place(validation), _place(test)]
        axes.plot(places, [number] * 2, color=color, linewidth=0.8, alpha=0.5)
        axes.plot(places[1], number, mark, color=color, markersize=4, label=label)
        axes.plot(places[0], number, mark, color=color, markerfacecolor="white", markersize=4)
    axes.plot([], [], "o", color=GRAY, markerfacecolor="white", markersize=4, label="validation")
    axes.set_ylim(shown[-1][0] + 0.5, shown[0][0] - 0.9)
    _finish(axes, "What was tried", "accuracy (%, log scale of errors)", "")
    _accuracy_ticks(axes)
    _labels_above(axes, {number: _run_label(number, row) for number, row in shown})
    figure.legend(
        frameon=False,
        fontsize=SMALL,
        loc="outside lower center",
        ncols=4,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    return figure


def _accuracies(row: Mapping[str, str]) -> tuple[float, float]:
    """Validation and test accuracy of a row, in percent."""
    return 100 * float(row["validation_accuracy"]), 100 * float(row["test_accuracy"])


def _place(accuracy: float) -> float:
    """Where an accuracy (percent) stands on an axis of errors with a log scale."""
    return -math.log10(max(100 - accuracy, LEAST_ERROR))


def _beyond(axes: Axes, number: int, validation: float, test: float, color: str) -> None:
    """An arrow at the left border for a run that lies beyond it, with its accuracies."""
    left, right = axes.get_xlim()
    step = 0.02 * (right - left)
    axes.plot(left + step, number, "<", color=color, markersize=4)
    axes.text(
        left + 2 * step,
        number,
        f"{test:.1f} test, {validation:.1f} validation",
        fontsize=6.5,
        color=color,
        va="center_baseline",
    )


def _accuracy_ticks(axes: Axes) -> None:
    """Round accuracies that lie on the axis, so many that their numbers don't touch."""
    low, high = axes.get_xlim()
    even = MaxNLocator(4).tick_values(100 - 10**-low, 100 - 10**-high)
    chosen: list[float] = []
    for accuracy in (*TICKS, *(float(one) for one in even)):
        place = _place(accuracy)
        apart = [abs(place - _place(other)) for other in chosen]
        if (
            accuracy >= 0
            and low <= place <= high
            and min(apart, default=high - low) >= 0.11 * (high - low)
        ):
            chosen.append(accuracy)
    axes.set_xticks([_place(one) for one in chosen], [f"{one:g}" for one in chosen])
    axes.xaxis.set_minor_locator(NullLocator())


def _labels_above(axes: Axes, labels: Mapping[int, str]) -> None:
    """Name each line of a picture inside it, above the line, where there is room to write."""
    axes.set_yticks([number - 0.43 for number in labels], list(labels.values()))
    axes.tick_params(axis="y", labelsize=6.5, length=0, pad=-3)
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.spines["left"].set_visible(False)


def _loss_axis(axes: Axes, losses: Sequence[float]) -> str:
    """Set the axis of losses from 0, or with powers of ten where they differ much."""
    if not losses:
        return ""
    low, high = min(losses), max(losses)
    if low <= 0 or high < WIDE_RANGE * low:
        axes.set_ylim(0, 1.12 * high or 1)
        return ""
    axes.set_yscale("log")
    axes.set_ylim(low / 1.3, high * 1.6)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return ", log scale"


def _run_label(number: int, row: Mapping[str, str]) -> str:
    """What a run was: "3: fc 784-200-10, adam 0.003 one cycle, 10 epochs, trial"."""
    epochs, model = int(row["epochs"]), row["model"]
    start = f"{row.get('run') or number}: {model}"
    settings = f", {row.get('optimizer') or 'adam'} {float(row['learning_rate']):g}"
    settings += f" {row['schedule'].replace('_', ' ')}, {epochs} epoch{'' if epochs == 1 else 's'}"
    settings += ", trial" if row.get("trial") == "true" else ""
    if model != TRANSFORMER:  # which is always the same
        longest = LETTERS_OF_A_RUN - len(start) - len(settings)
        start += f" {architecture_name(row['architecture'], longest)}"
    return start + settings


def _one_panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 2.6), dpi=DOTS_PER_INCH, layout="constrained")
    return figure, figure.subplots()


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(textwrap.fill(title, LETTERS), fontsize=LARGE)
    axes.set_xlabel(across, fontsize=MEDIUM)
    axes.set_ylabel(up, fontsize=MEDIUM)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
