"""The pictures inside the feedback: loss curves and attention maps, as PNG."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from autograder.rubric.feedback import Picture
from provided.training import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = Path(__file__).with_name("map_panels.py")  # the program that draws attention maps
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
            [sys.executable, "-I", str(PANELS)],
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
