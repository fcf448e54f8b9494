"""What people see in a terminal: the table of results, and a line of progress."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from autograder.rubric.feedback import Feedback
from autograder.rubric.gradescope import Results
from autograder.rubric.plugin import RubricLine
from autograder.rubric.repeated import told_once, what_was_lost
from autograder.sandbox.text import one_line

MAX_SAID = 60  # characters about one topic


def results_table(results: Results, lines: Sequence[RubricLine]) -> Table:
    """Every rubric line with its points, headline and likely mistake, and the total."""
    table = Table(
        title=f"{_points(results.score)} of {_points(results.max_score)} points\n"
        f"{what_was_lost(lines)}",
        title_style="bold",
        show_lines=False,
        expand=False,
    )
    table.add_column("line", no_wrap=True)
    table.add_column("what is checked", ratio=4)
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("verdict", ratio=6)
    part = ""
    for line in told_once(lines):
        if part and line.part != part:
            table.add_section()
        part = line.part
        full = line.earned >= line.points
        style = "green" if full else "yellow" if line.earned > 0 else "red"
        table.add_row(
            line.number,
            Text(line.title),
            Text(f"{_points(line.earned)}/{_points(line.points)}", style=style),
            Text(_verdict(line.feedback)),
        )
    return table


def _verdict(feedback: Feedback) -> str:
    """The headline, and the likely mistake where one is named."""
    mistake = f"Likely mistake: {feedback.likely}" if feedback.likely else ""
    return "\n".join(filter(None, (feedback.headline, mistake)))


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
            self._topics[topic] = one_line(text, MAX_SAID)

    def _render(self) -> Text:
        with self._lock:
            parts = [f"{topic} {text}" for topic, text in self._topics.items()]
        return Text("  ·  ".join(parts) or "starting", style="cyan", overflow="ellipsis")
