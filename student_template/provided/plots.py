"""Pictures for your write-up: loss curves and attention maps.

Each function returns a matplotlib Figure: show it in a notebook by naming it last in a
cell, or save it with figure.savefig("name.png").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from provided.mnist import Split
from provided.training import Epoch

# Okabe and Ito's palette, which stays distinct under colour blindness.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"
DOTS_PER_INCH = 110


def loss_curves(epochs: Sequence[Epoch], title: str) -> Figure:
    """Mean cross entropy of the training and the validation set, the best epoch marked."""
    figure = Figure(figsize=(5, 3.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    numbers = [epoch.epoch for epoch in epochs]
    validation = [epoch.validation_loss for epoch in epochs]
    axes.plot(numbers, [epoch.train_loss for epoch in epochs], "o-", color=BLUE, label="training")
    axes.plot(numbers, validation, "s--", color=ORANGE, label="validation")
    best = min(range(len(epochs)), key=validation.__getitem__)
    axes.axvline(numbers[best], color=GRAY, linewidth=0.8, linestyle=":")
    axes.annotate(
        f"best epoch: {numbers[best]}",
        (numbers[best], 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right" if numbers[best] > numbers[0] else "left",
        va="top",
        fontsize=8,
        color=GRAY,
    )
    _finish(axes, title, "epoch", "cross entropy (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center right")
    return figure


def step_losses(losses: Sequence[float], title: str) -> Figure:
    """The loss of every step, and its mean over the last 20 of them."""
    figure = Figure(figsize=(5, 3.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    steps = range(1, len(losses) + 1)
    smooth = [
        sum(losses[max(0, i - 19) : i + 1]) / (i + 1 - max(0, i - 19)) for i in range(len(losses))
    ]
    axes.plot(steps, losses, color=BLUE, linewidth=0.6, alpha=0.5, label="each step")
    axes.plot(steps, smooth, color=ORANGE, label="mean of 20")
    _finish(axes, title, "step", "cross entropy (nats)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper right")
    return figure


def attention_maps(maps: Tensor, title: str) -> Figure:
    """Attention weights (heads, T, T) as square heat maps; row: who looks, column: at whom."""
    heads = len(maps)
    columns = min(4, heads)
    rows = -(-heads // columns)
    figure = Figure(
        figsize=(1.9 * columns + 0.7, 2.05 * rows + 0.4), dpi=DOTS_PER_INCH, layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    highest = float(maps.max())
    for index, axes in enumerate(panels.flat):
        if index >= heads:
            axes.set_visible(False)
            continue
        image = axes.imshow(maps[index].tolist(), cmap="viridis", vmin=0, vmax=highest)
        axes.set_title(f"head {index + 1}", fontsize=9)
        axes.set_xticks([0, maps.shape[-1] - 1])
        axes.set_yticks([0, maps.shape[-2] - 1])
        axes.tick_params(labelsize=7)
    figure.supxlabel("token looked at (0: class token)", fontsize=9)
    figure.supylabel("token that looks", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.colorbar(image, ax=panels, shrink=0.8, label="attention weight")
    return figure


def digits(images: Split) -> Figure:
    """Some images in a row or two, their digit above each."""
    columns = 8
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(columns * 0.8, rows * 1.0), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    pictures, labels = images.images, images.labels
    for index, axes in enumerate(panels.flat):
        axes.set_axis_off()
        if index < len(images):
            axes.imshow(pictures[index].tolist(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(str(int(labels[index])), fontsize=9)
    return figure


def experiments_plot(rows: Sequence[Mapping[str, str]]) -> Figure:
    """Test accuracy of every run so far, in the order they were made, a mark per model."""
    figure = Figure(figsize=(5, 3.2), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for model, color, mark in (("fc", BLUE, "o"), ("cnn", ORANGE, "s"), ("vit", GREEN, "^")):
        points = [
            (number, 100 * float(row["test_accuracy"]))
            for number, row in enumerate(rows, start=1)
            if row["model"] == model
        ]
        if points:
            axes.plot(*zip(*points, strict=True), mark, color=color, label=model)
    _finish(axes, "What was tried", "run", "test accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False)
    return figure


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
