"""The progress bar of a training."""

from __future__ import annotations

import sys
import warnings

from tqdm import TqdmWarning

from provided.training import Step

with warnings.catch_warnings():  # without ipywidgets the bar is one of text: fine
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

RUNNING_MEAN = 100  # steps that loss and accuracy beside the bar look back, about


class Bar:
    """The progress bar: steps of all epochs, time left, loss and accuracy of late."""

    def __init__(self, steps_per_epoch: int, first: int, last: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.last = last
        self.loss = self.accuracy = 0.0
        self.seen = 0
        self.bar = tqdm(
            total=steps_per_epoch * last,
            initial=steps_per_epoch * (first - 1),
            unit="step",
            dynamic_ncols=True,
            disable=not (sys.stderr.isatty() or "ipykernel" in sys.modules),  # no bar in a log
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def show(self, step: Step) -> None:
        """Move on by a step; loss and accuracy are running means over the latest."""
        self.seen = min(self.seen + 1, RUNNING_MEAN)
        self.loss += (step.loss - self.loss) / self.seen
        self.accuracy += (step.accuracy - self.accuracy) / self.seen
        epoch = (step.number - 1) // self.steps_per_epoch + 1
        self.bar.set_description_str(f"epoch {epoch}/{self.last}", refresh=False)
        shown = f"loss {self.loss:.3f}, accuracy {self.accuracy:.1%}"
        self.bar.set_postfix_str(shown, refresh=False)
        self.bar.update()

    def write(self, line: str) -> None:
        """A line of text above the bar."""
        self.bar.write(line)
