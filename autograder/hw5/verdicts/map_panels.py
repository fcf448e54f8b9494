"""Two attention maps and their difference, side by side.

Run as a program it reads both maps and a title as JSON and writes a PNG: matplotlib's memory
is given back at once, while trainings need theirs.
"""

from __future__ import annotations

import json
import sys

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, MaxNLocator

SIZE = (3.6, 1.95)  # inches: readable at 9 cm
DOTS_PER_INCH = 200
Matrix = list[list[float]]

TICKS = 7  # at most, along one side


def difference_panels(got: Matrix, expected: Matrix, title: str) -> Figure:
    """Attention weights (T, T): the student's, the expected ones, the first minus the second.

    The maps share a colour scale; that of the difference has white at zero.
    """
    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    low = min(0.0, *map(min, got))
    high = max(*map(max, got), *map(max, expected))
    for axes, weights, name in zip(panels, (got, expected), ("yours", "expected"), strict=False):
        image = axes.imshow(weights, cmap="viridis", vmin=low, vmax=high)
        _finish(axes, name, len(weights))
    _bar(figure, image, list(panels[:2]), "attention weight")
    difference = [
        [mine - right for mine, right in zip(*rows, strict=True)]
        for rows in zip(got, expected, strict=True)
    ]
    largest = max(abs(value) for row in difference for value in row)
    image = panels[2].imshow(difference, cmap="PuOr", vmin=-largest, vmax=largest)
    _finish(panels[2], "yours - expected", len(difference))
    _bar(figure, image, [panels[2]], "difference")
    panels[0].set_ylabel("token that looks", fontsize=7, labelpad=2)
    panels[1].set_xlabel("token looked at", fontsize=7, labelpad=2)
    figure.suptitle(title, fontsize=8)
    return figure


def _finish(axes: Axes, name: str, tokens: int) -> None:
    axes.set_title(name, fontsize=7, pad=3)
    places = range(0, tokens, -(-tokens // TICKS))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(places))
        axis.set_major_formatter(lambda place, _: f"{place + 1:.0f}")
    axes.tick_params(labelsize=6, length=2, width=0.5, pad=1)
    axes.spines[:].set_linewidth(0.5)


def _bar(figure: Figure, image: AxesImage, panels: list[Axes], label: str) -> None:
    bar = figure.colorbar(image, ax=panels, location="bottom", aspect=12 * len(panels), pad=0.04)
    bar.set_label(label, fontsize=7, labelpad=2)
    bar.ax.xaxis.set_major_locator(MaxNLocator(2 + len(panels)))
    bar.ax.tick_params(labelsize=6, length=2, width=0.5, pad=1)
    bar.outline.set_linewidth(0.5)


if __name__ == "__main__":
    difference_panels(**json.load(sys.stdin)).savefig(sys.stdout.buffer, format="png")
