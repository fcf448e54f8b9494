"""The run.yaml that a submission may bring along: a student's own figures, beside the grader's.

It is a claim, and no more: it is read within bounds, gives and costs no points, and only
numbers of it are shown. Failures:

    none was submitted                     nothing is said
    no YAML, aliases, tags, too deep       a note that it can't be read
    a value of another kind or size        as if it weren't there
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from provided.homework import MAX_RUN_BYTES, RUN
from provided.yaml_slips import PlainLoader

UNREADABLE = f"Your {RUN} can't be read; this costs nothing."
MAX_EPOCHS = 10_000  # more than any training of this homework has
MAX_PARAMETERS = 10**9
USUAL = 0.005  # accuracies of the same network differ by less between seeds and machines


@dataclass(frozen=True)
class RunRecord:
    """What a run.yaml says of a training; None where it doesn't, or says no sensible number.

    accuracy  best share of the test images, or that after the last epoch
    epoch     after which it was reached, where that is said
    last      share after the last epoch, whose weights are submitted
    trial     whether the run was no full training
    """

    accuracy: float | None
    epoch: int | None
    last: float | None
    parameters: int | None
    trial: bool


def read_record(content: bytes) -> RunRecord | None:
    """The figures of a run.yaml; None where it can't be read."""
    if len(content) > MAX_RUN_BYTES:
        return None
    try:
        values = yaml.load(content.decode("utf-8-sig"), Loader=PlainLoader)  # a SafeLoader
    except Exception:  # noqa: BLE001  odd tags and numbers raise ValueError, KeyError and more
        return None
    if not isinstance(values, dict):
        return None
    best, last = _share(values.get("best_test_accuracy")), _share(values.get("test_accuracy"))
    return RunRecord(
        accuracy=last if best is None else best,
        epoch=None if best is None else _count(values.get("best_test_epoch"), MAX_EPOCHS),
        last=last,
        parameters=_count(values.get("parameters"), MAX_PARAMETERS),
        trial=values.get("trial") is True,
    )


def beside_ours(
    content: bytes | None, ours: float, parameters: int | None = None, *, stopped: bool = False
) -> tuple[str, ...]:
    """A student's accuracy beside the grader's `ours`, as notes; none where none was submitted.

    parameters  those of the network that was submitted, where they can be counted
    stopped     whether the grader's training ended as soon as the threshold was met
    """
    if content is None:
        return ()
    record = read_record(content)
    if record is None:
        return (UNREADABLE,)
    if record.accuracy is None:
        return ()
    after = "" if record.epoch is None else f" after epoch {record.epoch}"
    trial = ", from a trial" if record.trial else ""
    said = f"Your {RUN} says {record.accuracy:.2%}{after}{trial}; here: {ours:.2%}."
    return (" ".join([said, _why(record, ours, parameters, stopped)]).rstrip(),)


def of_weights(content: bytes | None, ours: float) -> tuple[str, ...]:
    """Likewise for submitted weights, which are those of the last epoch."""
    record = None if content is None else read_record(content)
    if record is None:
        return () if content is None else (UNREADABLE,)
    if record.last is None:
        return ()
    return (f"Your {RUN} says {record.last:.2%} after the last epoch; here: {ours:.2%}.",)


def _why(record: RunRecord, ours: float, parameters: int | None, stopped: bool) -> str:
    """What can explain a difference, where something does; no word of blame."""
    assert record.accuracy is not None
    if record.parameters and parameters and record.parameters != parameters:
        return (
            f"The run in it had {record.parameters:,} parameters, the network that you submitted "
            f"has {parameters:,}: the figures may be of two networks."
        )
    if stopped and record.accuracy > ours:
        return "The grader stops at the first epoch that meets the threshold."
    if not record.trial and 0 < abs(record.accuracy - ours) < USUAL:
        return "Such a difference is usual: seeds and machines differ."
    return ""


def _share(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= 1 else None


def _count(value: Any, most: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 1 <= value <= most else None
