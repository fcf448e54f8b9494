"""An explanation as staff read it, and a paragraph of it that they may send to the student."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from autograder.hw5.assignment import TrainingRules
from autograder.hw5.versions import versions
from autograder.rubric.feedback import counted
from autograder.staff.calibration_report import interval
from autograder.staff.explanation import Explanation, NetworkEvidence, SeedRuns, message_of
from autograder.training.job import TrainingResult, Trial
from autograder.training.machine import cores

HITS = 10_000  # accuracies are counted in so many parts: the number of test images
WIDTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)  # of a bin, in these parts
MAX_BINS = 12


def report(found: Explanation) -> Iterator[str]:
    """The explanation, a line of text each."""
    line = found.line
    yield f"Line {line.number}  {line.title}: {line.earned:g} of {line.points:g} points"
    yield ""
    yield from _indented(line.feedback.lines())
    if found.network is not None:
        yield from _network(found.network)
    yield from _evidence(found)
    if found.network is not None and found.network.seeds is not None:
        yield from _section("What you may tell the student")
        yield for_the_student(found.network)


def _evidence(found: Explanation) -> Iterator[str]:
    """What only staff see: names of mistakes, doubts, whatever went wrong, versions."""
    yield from _section("For staff")
    yield f"  diagnosis: {found.line.feedback.diagnosis or 'none'}"
    if found.doubt:
        yield f"  for a person: {found.doubt}"
    for error in found.errors:
        yield from _indented(f"worker: {message_of(error)}".splitlines())
    for flag in found.flags:
        yield from _indented(f"flag: {flag['what']}\n{flag['trace']}".splitlines())
    for place, fault in found.faults.items():
        yield from _indented(f"grader fault ({place}):\n{fault}".splitlines())
    for worker in found.workers:
        yield f"  worker: {_pairs(worker)}"
    yield f"  {_pairs(versions())}, seed {found.seed}"


def _network(evidence: NetworkEvidence) -> Iterator[str]:
    network = evidence.network
    yield from _section("The network")
    yield from _indented(network["layers"])
    if "parameters" in network:
        yield f"  {network['parameters']:,} parameters"
    if "settings" in network:
        yield from _section("Its settings")
        yield from (f"  {name} = {value}" for name, value in network["settings"].items())
    if evidence.own_run is not None:
        yield from _own_run(evidence.own_run)
    if evidence.seeds is not None:
        yield from _distribution(evidence.seeds, evidence.rules)


def _own_run(result: TrainingResult) -> Iterator[str]:
    yield from _section(f"The grader's own run, on {counted(cores(), 'core')} here")
    yield from (f"  {told(trial)}" for trial in result.trials)
    yield f"  ended: {result.ended.value}; {result.shortened or 'not shortened'}"


def told(trial: Trial) -> str:
    """A training in a sentence."""
    epochs = counted(len(trial.test_accuracy), "epoch")
    if not trial.test_accuracy:
        return f"seed {trial.seed}: {epochs}"
    best = trial.test_accuracy.index(trial.best) + 1
    return f"seed {trial.seed}: {epochs}, best {trial.best:.2%} after epoch {best}"


def _distribution(runs: SeedRuns, rules: TrainingRules) -> Iterator[str]:
    best = runs.best
    seeds = [trial.seed for trial in runs.trials]
    epochs = max(len(trial.test_accuracy) for trial in runs.trials)
    yield from _section(f"The same network with {counted(len(best), 'seed')}, {_range(seeds)}")
    yield (
        f"  {counted(epochs, 'epoch')} each, {runs.shortened or 'not shortened'}; of each "
        "training the best epoch's accuracy on the test images"
    )
    low, *middle, high = quartiles(best)
    quarters = ", ".join(f"{one:.2%}" for one in middle)
    yield f"  lowest {low:.2%}, quartiles {quarters}, highest {high:.2%}"
    for accuracy, worth in [
        (rules.accuracy, "full points"),
        *(
            (bar.accuracy, f"{bar.points:g} {'point' if bar.points == 1 else 'points'}")
            for bar in rules.partial
        ),
    ]:
        yield f"  {_share(best, accuracy)} reach {accuracy:.1%} ({worth})"
    yield ""
    yield from _indented(histogram(best, rules.accuracy))


def quartiles(values: Sequence[float]) -> tuple[float, float, float, float, float]:
    """Lowest, the three quartiles, highest."""
    if len(values) == 1:
        return (values[0],) * 5
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return min(values), first, median, third, max(values)


def _share(values: Sequence[float], bar: float) -> str:
    reached = sum(value >= bar for value in values)
    low, high = interval(reached, len(values))
    return (
        f"{reached} of {len(values)} ({reached / len(values):.0%}, 95% interval {low:.0%} to "
        f"{high:.0%})"
    )


def histogram(values: Sequence[float], bar: float) -> list[str]:
    """How often which accuracy came, lowest first, with the threshold between two rows."""
    hits = [round(value * HITS) for value in values]
    edge = -round(-bar * HITS)
    spread = max(*hits, edge) - min(*hits, edge)
    width = next((one for one in WIDTHS if spread / one < MAX_BINS), WIDTHS[-1])
    bins = [(hit - edge) // width for hit in hits]
    rows = []
    for number in range(min(*bins, 0), max(*bins, -1) + 1):
        if number == 0:
            rows.append(f"{'':16}── threshold {bar:.1%}")
        start = edge + number * width
        count = bins.count(number)
        reach = f"{start / HITS:.2%} to {(start + width - 1) / HITS:.2%}"
        rows.append(f"{reach:>16}  {'█' * count} {count}".rstrip())
    if max(bins) < 0:
        rows.append(f"{'':16}── threshold {bar:.1%}")
    return rows


def for_the_student(evidence: NetworkEvidence) -> str:
    """A paragraph for the student: what was measured, and what follows from it."""
    assert evidence.seeds is not None
    best, bar = evidence.seeds.best, evidence.rules.accuracy
    low, first, _, third, high = quartiles(best)
    reached = sum(value >= bar for value in best)
    text = [
        f"We trained your network {counted(len(best), 'time')} with your settings, each time "
        "from another random start. At its best epoch it got "
        f"{low:.2%} to {high:.2%} of the test images right, half of the time {first:.2%} to "
        f"{third:.2%}; {reached} of {len(best)} trainings reached {bar:.1%}."
    ]
    if evidence.own_run is not None:
        tries, top = len(evidence.own_run.trials), evidence.own_run.best.best
        text.append(
            f"Your points come from {counted(tries, 'training')}, of which the best got {top:.2%}. "
            "The grader always uses the same random starts, so the same network gets the same "
            "result each time."
        )
    text.append(_conclusion(reached, len(best), bar))
    return " ".join(text)


def _conclusion(reached: int, trainings: int, bar: float) -> str:
    if reached == trainings:
        return (
            f"Your network reaches {bar:.1%} reliably; we will check why the line says otherwise."
        )
    if reached == 0:
        return (
            "A higher number elsewhere was most likely measured on other images (the training or "
            "validation set), after training on more images than the 48,000 of the training set, "
            "or with other settings than those in the file you submitted."
        )
    return (
        "Your network is close to the threshold, and a single training on another machine can "
        "end on either side of it. Give it some room: a few more units, less or more dropout, or a "
        "learning rate that falls towards the end."
    )


def _section(title: str) -> Iterator[str]:
    yield from ("", title)


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _range(seeds: Sequence[int]) -> str:
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
