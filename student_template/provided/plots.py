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

from provided.mnist import Split
from provided.training import Epoch

# Okabe and Ito's palette, which stays distinct under colour blindness.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"
MARKS = {"fc": (BLUE, "o"), "cnn": (ORANGE, "s"), "vit": (GREEN, "^")}
WIDTH = 9 / 2.54  # inches
DOTS_PER_INCH = 220
LETTERS = 48  # of a title in one line
LARGE, MEDIUM, SMALL = 9, 8, 7  # points: titles, axes, numbers on axes and legends
SMOOTHED = 20  # steps
WIDE_RANGE = 10  # times the lowest loss: from here on a log scale shows more
MOST_RUNS = 30  # that one picture shows


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
    """A line for each of your runs, the newest at the bottom: its accuracy on both sets."""
    shown = list(enumerate(rows, start=1))[-MOST_RUNS:]
    figure = Figure(
        figsize=(WIDTH, 1.0 + 0.25 * len(shown)), dpi=DOTS_PER_INCH, layout="constrained"
    )
    axes = figure.subplots()
    labelled: set[str] = set()
    low, high = 100.0, 0.0
    for number, row in shown:
        color, mark = MARKS.get(row["model"], (GRAY, "o"))
        validation, test = (100 * float(row[f"{name}_accuracy"]) for name in ("validation", "test"))
        low, high = min(low, validation, test), max(high, validation, test)
        label = None if row["model"] in labelled else f"{row['model']}, test"
        labelled.add(row["model"])
        axes.axhline(number, color="#dddddd", linewidth=0.5, zorder=0)
        axes.plot([validation, test], [number] * 2, color=color, linewidth=0.8, alpha=0.5)
        axes.plot(test, number, mark, color=color, markersize=4, label=label)
        axes.plot(validation, number, mark, color=color, markerfacecolor="white", markersize=4)
    axes.plot([], [], "o", color=GRAY, markerfacecolor="white", markersize=4, label="validation")
    margin = max(0.3, 0.06 * (high - low))
    axes.set_xlim(low - margin, min(100, high + margin))
    axes.set_ylim(shown[-1][0] + 0.5, shown[0][0] - 0.9)
    _finish(axes, "What was tried", "accuracy (%)", "")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
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


def _labels_above(axes: Axes, labels: Mapping[int, str]) -> None:
    """Name each line of a picture inside it, above the line, where there is room to write."""
    axes.set_yticks([number - 0.4 for number in labels], list(labels.values()))
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
    rate, epochs = float(row["learning_rate"]), int(row["epochs"])
    counted = f"{epochs} epoch{'' if epochs == 1 else 's'}"
    schedule = row["schedule"].replace("_", " ")
    return f"{number}: {row['model']}, rate {rate:g} {schedule}, {counted}"


def _one_panel() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 2.6), dpi=DOTS_PER_INCH, layout="constrained")
    return figure, figure.subplots()


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(textwrap.fill(title, LETTERS), fontsize=LARGE)
    axes.set_xlabel(across, fontsize=MEDIUM)
    axes.set_ylabel(up, fontsize=MEDIUM)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
