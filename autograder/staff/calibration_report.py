"""What the measured trainings say about chance, as Markdown.

A verdict goes wrong by chance in two ways: correct work misses the bar with the first seed
and again with each further seed that a near miss is given, or misses it at once by more than
the margin for near misses; mistaken work reaches the bar with one of these seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from autograder.hw5.assignment import Assignment
from autograder.staff.calibration import KINDS, CalibrationRun, rules_of
from autograder.staff.solutions import Kind, load_solutions

CONFIDENCE = 0.95
RARE = 1e-3  # how often a verdict may go wrong by chance
SEEDS_OF_A_RUN = 100  # seeds 0 to 99 are the first run, 100 to 199 the second, and so on
STEP = 0.0005  # thresholds are proposed in steps of this
NORMAL = statistics.NormalDist()

Group = tuple[str, str]  # submission and kind of model


def report(runs: list[CalibrationRun], assignment: Assignment) -> Iterator[str]:
    """The page: what was measured, what follows for each threshold, whether it repeats."""
    groups: dict[Group, list[float]] = {}
    epochs: dict[Group, list[int]] = {}
    later: dict[tuple[Group, int], list[float]] = {}
    for run in runs:
        key, number = (run.submission, run.kind), run.seed // SEEDS_OF_A_RUN + 1
        if number > 1:
            later.setdefault((key, number), []).append(run.best)
            continue
        groups.setdefault(key, []).append(run.best)
        reached = run.epochs_to(bar_of(assignment, run.kind))
        if reached is not None:
            epochs.setdefault(key, []).append(reached)
    groups = {key: values for key, values in sorted(groups.items()) if len(values) > 1}
    mistaken = {one.name for one in load_solutions() if one.kind is Kind.MISTAKES}
    right = {key: values for key, values in groups.items() if key[0] not in mistaken}
    wrong = {key: values for key, values in groups.items() if key[0] in mistaken}
    yield from _introduction()
    yield from _correct(right, epochs, assignment)
    yield from _thresholds(right, assignment)
    yield from _mistaken(wrong, assignment)
    yield from _repeated(groups, later, assignment)
    yield from _which_epoch(runs, assignment)


def _introduction() -> Iterator[str]:
    yield "# Calibration"
    yield ""
    yield (
        "Measured by `autograder calibrate`, which writes this page; `calibration.jsonl` holds "
        "each training. *Best* is the best epoch's accuracy on the 10,000 test images (for "
        "`vit`: after the grader's brief training, on the images that it uses). Intervals and "
        f"bounds hold at {CONFIDENCE:.0%} confidence and assume nothing about the distribution "
        "(Clopper and Pearson); a *tail* assumes a normal one, with the mean and the spread at "
        "the unfavourable ends of their confidence intervals."
    )


def _correct(
    right: dict[Group, list[float]], epochs: dict[Group, list[int]], assignment: Assignment
) -> Iterator[str]:
    yield ""
    yield "## Correct work: how often chance would fail it"
    yield ""
    yield (
        "*Verdict* is the bound for one seed, raised to the number of seeds that a near miss may "
        "use; *tail* is the probability that a verdict goes wrong, by near and far misses."
    )
    yield ""
    yield from _table_head(
        "submission",
        "model",
        "seeds",
        "best, mean ± sd",
        "lowest",
        "epochs needed",
        "threshold",
        "misses",
        "≤ per seed",
        "≤ verdict",
        "tail",
    )
    for (name, kind), values in right.items():
        bar, tries = bar_of(assignment, kind), tries_of(assignment, kind)
        misses = sum(value < bar for value in values)
        bound = upper_bound(misses, len(values))
        chance = chance_of_failing(values, assignment, kind)
        needed = sorted(epochs.get((name, kind), []))
        yield _row(
            name,
            kind,
            len(values),
            _spread(values),
            f"{min(values):.4f}",
            f"{needed[0]} to {needed[-1]}, median {statistics.median(needed):g}"
            if needed and kind != "vit"
            else "-",
            f"{bar:g}",
            misses,
            f"{bound:.3f}",
            f"{bound**tries:.1e}",
            f"{chance:.0e}",
        )


def _thresholds(right: dict[Group, list[float]], assignment: Assignment) -> Iterator[str]:
    yield ""
    yield "## Thresholds and retries"
    yield ""
    yield (
        "The reference at each threshold of the homework, for full and for partial credit, and at "
        "those proposed below: how many seeds miss it, the interval of that probability, and the "
        "bound for a verdict with one, two or three seeds."
    )
    yield ""
    yield from _table_head(
        "model", "threshold", "misses", "interval", "1 seed", "2 seeds", "3 seeds"
    )
    proposals = {}
    for kind in KINDS:
        correct = [values for (_, of), values in right.items() if of == kind]
        if not correct or ("reference", kind) not in right:
            continue
        margin, tries = margin_of(assignment, kind), tries_of(assignment, kind)
        proposals[kind] = [
            highest_bar(correct, margin, count) for count in dict.fromkeys((1, tries))
        ]
        bars = {bar_of(assignment, kind), *partial_bars(assignment, kind), *proposals[kind]}
        values = right["reference", kind]
        for bar in sorted(bars):
            misses = sum(value < bar for value in values)
            low, high = interval(misses, len(values))
            bound = upper_bound(misses, len(values))
            powers = (f"≤ {bound**count:.1e}" for count in (1, 2, 3))
            yield _row(
                kind, f"{bar:g}", f"{misses}/{len(values)}", f"{low:.3f} to {high:.3f}", *powers
            )
    yield ""
    for kind, (single, *retried) in proposals.items():
        yield (
            f"- `{kind}`: the highest threshold at which every correct submission above fails by "
            f"chance less than once in {1 / RARE:,.0f} verdicts is {single:g} with one seed"
            + (f", {retried[0]:g} with {tries_of(assignment, kind)}" if retried else "")
            + f"; in force: {bar_of(assignment, kind):g}."
        )


def _mistaken(wrong: dict[Group, list[float]], assignment: Assignment) -> Iterator[str]:
    yield ""
    yield "## Wrong work: how often chance would pass it"
    yield ""
    yield "*Verdict* is the probability that at least one of the seeds of a verdict passes."
    yield ""
    yield from _table_head(
        "submission",
        "model",
        "seeds",
        "best, mean ± sd",
        "highest",
        "threshold",
        "passes",
        "≤ per seed",
        "≤ verdict",
        "tail",
    )
    for (name, kind), values in wrong.items():
        bar = bar_of(assignment, kind)
        passes = sum(value >= bar for value in values)
        bound = upper_bound(passes, len(values))
        tries = tries_of(assignment, kind)
        yield _row(
            name,
            kind,
            len(values),
            _spread(values),
            f"{max(values):.4f}",
            f"{bar:g}",
            passes,
            f"{bound:.3f}",
            f"{1 - (1 - bound) ** tries:.3f}",
            f"{min(1.0, tries * tail([-value for value in values], -bar)):.0e}",
        )


def _repeated(
    groups: dict[Group, list[float]],
    later: dict[tuple[Group, int], list[float]],
    assignment: Assignment,
) -> Iterator[str]:
    yield ""
    yield "## Repeated with other seeds"
    yield ""
    yield (
        f"Every further {SEEDS_OF_A_RUN} seeds form a run of their own. It agrees if its share of "
        "misses lies within the interval from the first run. *Shift* is the difference of the "
        "means in standard errors; chance alone takes it beyond 2 in 1 of 20 comparisons."
    )
    yield ""
    yield from _table_head(
        "submission",
        "model",
        "run",
        "seeds",
        "best, mean ± sd",
        "first run",
        "shift",
        "misses",
        "interval",
        "agrees",
    )
    for (key, number), values in sorted(later.items()):
        if key not in groups or len(values) < 2:
            continue
        bar, first = bar_of(assignment, key[1]), groups[key]
        low, high = interval(sum(value < bar for value in first), len(first))
        misses = sum(value < bar for value in values)
        yield _row(
            *key,
            number,
            len(values),
            _spread(values),
            _spread(first),
            f"{shift(first, values):+.1f}",
            misses,
            f"{low:.3f} to {high:.3f}",
            "yes" if low <= misses / len(values) <= high else "**no**",
        )


def _which_epoch(runs: list[CalibrationRun], assignment: Assignment) -> Iterator[str]:
    """The best epoch on the test images against the one that the validation loss would choose."""
    chosen: dict[Group, list[tuple[float, float]]] = {}
    for run in runs:
        if run.by_validation is not None:
            pair = (run.best, run.by_validation)
            chosen.setdefault((run.submission, run.kind), []).append(pair)
    yield ""
    yield "## Which epoch counts"
    yield ""
    yield (
        "A verdict counts the *best* epoch by its accuracy on the test images, which flatters by "
        "the chance of that choice. *By validation* is the accuracy after the epoch with the "
        "lowest validation loss. *Flatters* is the mean difference; the last columns count the "
        "seeds that reach the bar either way."
    )
    yield ""
    yield from _table_head(
        "submission",
        "model",
        "seeds",
        "best, mean ± sd",
        "by validation, mean ± sd",
        "flatters",
        "bar",
        "best reaches",
        "by validation reaches",
    )
    for (name, kind), pairs in sorted(chosen.items()):
        if len(pairs) < 2:
            continue
        best, other = map(list, zip(*pairs, strict=True))
        bar = bar_of(assignment, kind)
        yield _row(
            name,
            kind,
            len(pairs),
            _spread(best),
            _spread(other),
            f"{statistics.fmean(best) - statistics.fmean(other):+.4f}",
            f"{bar:g}",
            sum(value >= bar for value in best),
            sum(value >= bar for value in other),
        )


def page(runs: list[CalibrationRun], assignment: Assignment) -> str:
    """The report as a file."""
    return "\n".join(report(runs, assignment)) + "\n"


def chance_of_failing(best: Sequence[float], assignment: Assignment, kind: str) -> float | None:
    """How likely a verdict on correct work goes wrong by chance; None for too few runs."""
    if len(best) < 2:
        return None
    bar, tries = bar_of(assignment, kind), tries_of(assignment, kind)
    return verdict_tail(best, bar, margin_of(assignment, kind), tries)


def bar_of(assignment: Assignment, kind: str) -> float:
    """The accuracy that gives full points."""
    if kind == "vit":
        return assignment.transformer.brief.accuracy
    return rules_of(assignment, kind).accuracy


def partial_bars(assignment: Assignment, kind: str) -> list[float]:
    """The accuracies that give some of the points."""
    return [] if kind == "vit" else [bar.accuracy for bar in rules_of(assignment, kind).partial]


def margin_of(assignment: Assignment, kind: str) -> float:
    """How near a miss must be to be tried again."""
    return 0.0 if kind == "vit" else rules_of(assignment, kind).retry_margin


def tries_of(assignment: Assignment, kind: str) -> int:
    """How many seeds a near miss is given."""
    return 1 if kind == "vit" else len(rules_of(assignment, kind).seeds)


def upper_bound(failures: int, runs: int, confidence: float = CONFIDENCE) -> float:
    """The highest failure probability that still explains so few failures.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of
    the binomial" (Biometrika 1934), one-sided, by bisection.
    """
    if failures >= runs:
        return 1.0
    low, high = failures / runs, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        at_most = sum(
            math.comb(runs, k) * middle**k * (1 - middle) ** (runs - k) for k in range(failures + 1)
        )
        low, high = (middle, high) if at_most > 1 - confidence else (low, middle)
    return high


def interval(failures: int, runs: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The two-sided interval of Clopper and Pearson for a failure probability."""
    one_sided = (1 + confidence) / 2
    low = 1 - upper_bound(runs - failures, runs, one_sided)
    return low, upper_bound(failures, runs, one_sided)


def tail(values: Sequence[float], bar: float, confidence: float = CONFIDENCE) -> float:
    """Probability below the bar under a normal distribution, pessimistic in mean and spread.

    The mean is taken at the lower end of its interval, the spread at its upper end (from the
    chi-square distribution in Wilson and Hilferty's approximation, PNAS 1931).
    """
    count = len(values)
    z = NORMAL.inv_cdf(confidence)
    free = count - 1
    chi_square = free * (1 - 2 / (9 * free) - z * math.sqrt(2 / (9 * free))) ** 3
    spread = statistics.stdev(values) * math.sqrt(free / max(chi_square, 1e-3))
    mean = statistics.fmean(values) - z * spread / math.sqrt(count)
    if spread == 0:
        return float(mean < bar)
    return 0.5 * math.erfc((mean - bar) / (spread * math.sqrt(2)))


def verdict_tail(values: Sequence[float], bar: float, margin: float, tries: int) -> float:
    """Probability that a verdict fails: misses with every seed, or one far miss at once."""
    far = tail(values, bar - margin) if tries > 1 else 0.0
    return min(1.0, far + tail(values, bar) ** tries)


def highest_bar(groups: Sequence[Sequence[float]], margin: float, tries: int) -> float:
    """The highest bar at which the verdict on each group goes wrong by chance only rarely."""
    bar = math.floor(max(max(values) for values in groups) / STEP) * STEP
    while bar > 0 and any(verdict_tail(values, bar, margin, tries) >= RARE for values in groups):
        bar -= STEP
    return round(bar, 4)


def shift(first: Sequence[float], second: Sequence[float]) -> float:
    """How far the second mean lies from the first, in standard errors of the difference."""
    error = math.sqrt(
        statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    )
    return (statistics.fmean(second) - statistics.fmean(first)) / error if error else 0.0


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}"


def _table_head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + "---|" * len(titles)


def _row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
