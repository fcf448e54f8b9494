"""What people look at: the table in the terminal, and the pictures inside the feedback."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from torch import Tensor

from autograder.feedback import Picture
from autograder.gradescope import Results
from provided.training import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autograder.plugin import RubricLine


PANELS = "autograder.attention_panels"  # the program that draws attention maps
ROOT = Path(__file__).resolve().parent.parent
DRAWING_SECONDS = 20  # half a second of work; the smallest container has half a processor


def loss_picture(epochs: Sequence[Epoch], title: str) -> Picture:
    """The loss curves of a training."""
    from provided import plots  # matplotlib takes a second to import

    last = epochs[-1]
    return Picture(
        _png(plots.loss_curves(epochs, title)),
        f"{title}: after epoch {last.epoch} the loss is {last.train_loss:.3f} on the training and "
        f"{last.validation_loss:.3f} on the validation set",
    )


def step_picture(losses: Sequence[float], title: str) -> Picture:
    """The loss of each step of a short training."""
    from provided import plots

    return Picture(
        _png(plots.step_losses(losses, title)),
        f"{title}: the loss goes from {losses[0]:.2f} to {losses[-1]:.2f} in {len(losses)} steps",
    )


def attention_picture(maps: Tensor, title: str) -> Picture:
    """Attention maps (heads, T, T)."""
    from provided import plots

    return Picture(
        _png(plots.attention_maps(maps, title)),
        f"{title}: {len(maps)} heat maps of {maps.shape[-2]} by {maps.shape[-1]} tokens",
    )


def difference_picture(got: Tensor, expected: Tensor, title: str) -> Picture | None:
    """Two attention maps (T, T), a student's and the expected one, and their difference.

    Drawn early in a run, so in a process of its own; None where that fails.
    """
    drawn = _drawn(json.dumps({"got": got.tolist(), "expected": expected.tolist(), "title": title}))
    if drawn is None:
        return None
    largest = float((got - expected).abs().max())
    return Picture(
        drawn,
        f"{title}: yours, the expected ones, and the difference of up to {largest:.2g}",
    )


@lru_cache(maxsize=2)  # two lines of a head show the same map
def _drawn(content: str) -> bytes | None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", PANELS],
            cwd=ROOT,
            input=content.encode(),
            capture_output=True,
            timeout=DRAWING_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def results_table(results: Results, lines: Sequence[RubricLine]) -> Table:
    """Every rubric line with its points and headline, and the total."""
    table = Table(
        title=f"{_points(results.score)} of {_points(results.max_score)} points",
        title_style="bold",
        show_lines=False,
        expand=False,
    )
    table.add_column("line", no_wrap=True)
    table.add_column("what is checked", ratio=4)
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("verdict", ratio=6)
    part = ""
    for line in lines:
        if part and line.part != part:
            table.add_section()
        part = line.part
        full = line.earned >= line.points
        style = "green" if full else "yellow" if line.earned > 0 else "red"
        table.add_row(
            line.number,
            Text(line.title),
            Text(f"{_points(line.earned)}/{_points(line.points)}", style=style),
            Text(line.feedback.headline),
        )
    return table


def _points(points: float) -> str:
    return f"{points:g}"


class Progress:
    """One live line in the terminal that says what goes on; silent where there is none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._topics: dict[str, str] = {}
        self._live = Live(
            console=console, transient=True, refresh_per_second=8, get_renderable=self._render
        )

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, topic: str, text: str) -> None:
        """What is going on with one topic."""
        with self._lock:
            self._topics[topic] = text

    def _render(self) -> Text:
        with self._lock:
            parts = [f"{topic} {text}" for topic, text in self._topics.items()]
        return Text("  ·  ".join(parts) or "starting", style="cyan", overflow="ellipsis")
