"""The assignment as staff set it up, and the answer keys that follow from it.

Two files make it up: what students must know (homework.yaml, in the given code) and what
they need not (assignment.yaml, beside this module). No value stands in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, ValidationError, model_validator

from autograder.homework import VALUES_FILE
from autograder.hw5.answer_keys import (
    Convolution1d,
    Convolution2d,
    Pooling,
    Positive,
    Section,
)
from autograder.hw5.settings_checks import complaints
from autograder.hw5.settings_file import (
    Place,
    SettingsFile,
    UnreadableSettings,
    did_you_mean,
    dotted,
    read_settings_file,
)
from autograder.rubric.feedback import joined

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = Path(__file__).with_name("assignment.yaml")

UNHURRIED_SECONDS = 86_400.0  # a day: more than any training of this homework takes
UNHURRIED_WAITING = 20.0  # times as long on the clock: ten other processes want each core

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]


class AssignmentError(Exception):
    """A settings file is not what it must be; says which, and where."""


class Bar(Section):
    """An accuracy and the points that reaching it gives."""

    accuracy: Share
    points: Annotated[float, Field(ge=0)]


class TrainingRules(Section):
    """When a training passes, and how often it is tried."""

    accuracy: Share
    partial: list[Bar]
    retry_margin: Share
    seeds: Annotated[list[int], Field(min_length=1)]
    training_images: Annotated[int, Field(ge=32, le=48_000)]
    cpu_seconds: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> TrainingRules:
        check_bars(self.accuracy, self.partial)
        return self

    @property
    def partial_credit(self) -> str:
        """The partial bars in words: "3 points from 97%, 2 from 95%"."""
        return partial_credit(self.partial)


class FullyConnected(Section):
    """The limits of question 2b."""

    max_hidden_units: Positive
    max_batch_size: Positive
    max_epochs: Positive
    allowed_layers: tuple[str, ...]
    training: TrainingRules

    @property
    def listed(self) -> str:
        """The layers in a sentence; a Flatten is given and needs no mention."""
        return joined(name for name in self.allowed_layers if name != "Flatten")


Part = TypeVar("Part", "FullyConnected", "Cnn")


class Cnn(Section):
    """The limits of question 2c."""

    max_parameters: Positive
    small_parameters: Positive
    allowed_layers: tuple[str, ...]
    required_layers: tuple[str, ...]
    training: TrainingRules

    @property
    def required_kinds(self) -> str:
        """The required layers as a phrase: "Dropout and one BatchNorm2d"."""
        return " and one ".join(self.required_layers)

    @property
    def listed(self) -> str:
        """The layers in a list: "Linear, Conv2d, …"."""
        return ", ".join(self.allowed_layers)


class FixedTraining(Section):
    """What the homework fixes about trainings, those of question 2b aside."""

    batch_size: Positive
    epochs: Positive


class HeadRules(Section):
    """What question 3a allows from torch.nn."""

    allowed_layers: tuple[str, ...]

    @property
    def listed(self) -> str:
        """The layers in a sentence: "Linear, Softmax and Dropout"."""
        return joined(self.allowed_layers)


class BriefTraining(Section):
    """The grader's own short training of the Vision Transformer."""

    steps: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    training_images: Annotated[int, Field(ge=64, le=48_000)]
    test_images: Annotated[int, Field(ge=100, le=10_000)]
    accuracy: Share


class Transformer(Section):
    """The limits of question 3c."""

    accuracy: Share
    partial: list[Bar]
    perturbed_images: Annotated[int, Field(ge=100, le=10_000)]
    perturbation: Annotated[int, Field(ge=1, le=16)]
    max_perturbed_loss: Share
    max_unlearned: Share
    brief: BriefTraining

    @model_validator(mode="after")
    def _ordered(self) -> Transformer:
        check_bars(self.accuracy, self.partial)
        return self

    @property
    def partial_credit(self) -> str:
        """The partial bars in words: "1 point from 95%"."""
        return partial_credit(self.partial)


class OneCore(Section):
    """Seconds where everything has to share one core; of trainings, processor seconds."""

    fully_connected: Seconds
    cnn: Seconds
    brief_training: Seconds
    predictions: Seconds


class TimeLimits(Section):
    """Seconds that questions to a submission's code, and the whole run, may take.

    All but `total` are processor seconds; `waiting` is the factor to time on the clock.
    """

    question: Seconds
    part: Seconds
    brief_training: Seconds
    predictions: Seconds
    waiting: Annotated[float, Field(ge=1)]
    total: Seconds
    one_core: OneCore
    when_short: Literal["shorten", "stop"]


class WorkerLimits(Section):
    """What a worker may use."""

    memory_mib: Positive
    cpu_seconds: Positive
    processes: Positive
    open_files: Positive
    file_mib: Positive
    scratch_mib: Positive


class Writeup(Section):
    """The words of the write-up that staff set."""

    honour_statement: Annotated[str, Field(min_length=1, max_length=2000)]


class Assignment(Section):
    """Everything in homework.yaml and assignment.yaml."""

    title: str
    training: FixedTraining
    head: HeadRules
    conv1d: Convolution1d
    conv2d: Convolution2d
    pooling: Pooling
    fully_connected: FullyConnected
    cnn: Cnn
    transformer: Transformer
    writeup: Writeup
    seconds: TimeLimits
    worker: WorkerLimits
    pictures: bool

    def unhurried(self) -> Assignment:
        """The same with all the time that is needed: no training is shortened or stopped."""
        seconds = self.seconds.model_copy(
            update={
                "total": UNHURRIED_SECONDS,
                "brief_training": UNHURRIED_SECONDS,
                "predictions": UNHURRIED_SECONDS,
                "waiting": UNHURRIED_WAITING,
                "when_short": "stop",
            }
        )
        worker = self.worker.model_copy(update={"cpu_seconds": int(UNHURRIED_SECONDS)})
        return self.model_copy(
            update={
                "fully_connected": _limited(self.fully_connected, UNHURRIED_SECONDS),
                "cnn": _limited(self.cnn, UNHURRIED_SECONDS),
                "seconds": seconds,
                "worker": worker,
            }
        )

    def on(self, cores: int) -> Assignment:
        """The same with the limits for a machine of so many cores."""
        if cores > 1:
            return self
        few = self.seconds.one_core
        shorter = {"brief_training": few.brief_training, "predictions": few.predictions}
        return self.model_copy(
            update={
                "fully_connected": _limited(
                    self.fully_connected,
                    min(self.fully_connected.training.cpu_seconds, few.fully_connected),
                ),
                "cnn": _limited(self.cnn, min(self.cnn.training.cpu_seconds, few.cnn)),
                "seconds": self.seconds.model_copy(
                    update={
                        name: min(seconds, getattr(self.seconds, name))
                        for name, seconds in shorter.items()
                    }
                ),
            }
        )


def _limited(part: Part, seconds: float) -> Part:
    """A part of the assignment whose trainings may take so many processor seconds."""
    training = part.training.model_copy(update={"cpu_seconds": seconds})
    return part.model_copy(update={"training": training})


def load(file: Path = FILE, homework: Path = VALUES_FILE, *, ships: bool = True) -> Assignment:
    """The assignment in two YAML files.

    ships: whether the settings are for the platform, which ends a run by itself

    Raises AssignmentError that names every wrong value with its file and line.
    """
    try:
        given, own = read_settings_file(homework), read_settings_file(file)
    except UnreadableSettings as problem:
        raise AssignmentError(str(problem)) from problem
    both = sorted(dotted(place) for place in given.values() & own.values())
    if both:
        raise AssignmentError(
            f"{', '.join(both)} in {file}: this value stands in {homework}, and belongs there alone"
        )
    try:
        assignment = Assignment.model_validate(_merged(given.content, own.content))
    except ValidationError as problem:
        wrong = [_told(error, given, own) for error in problem.errors()]
        raise AssignmentError("\n".join(["The settings are wrong:", *wrong])) from problem
    wrong = [_said(place, why, given, own) for place, why in complaints(assignment, ships)]
    if wrong:
        raise AssignmentError("\n".join(["The settings are wrong:", *wrong]))
    return assignment


def _told(error: ErrorDetails, given: SettingsFile, own: SettingsFile) -> str:
    """What pydantic found, as a line that says where and how to mend it."""
    place = tuple(error["loc"])
    if error["type"] == "extra_forbidden":
        names = _names_in(place[:-1])
        return _said(place, f"unknown{did_you_mean(str(place[-1]), names)}", given, own)
    if error["type"] == "missing":
        files = [file for file in (given, own) if file.has(place[:-1])] or [given, own]
        where = " or ".join(file.where(place) for file in files)
        return f"  {where}: {dotted(place)}: missing"
    if error["type"] in ("model_type", "dict_type"):
        return _said(place, "this is a section: its values stand below it, indented", given, own)
    why = error["msg"].removeprefix("Value error, ")
    got = error["input"]
    shown = f" (got {got!r})" if isinstance(got, (str, int, float, bool)) else ""
    return _said(place, f"{why}{shown}", given, own)


def _said(place: Place, why: str, given: SettingsFile, own: SettingsFile) -> str:
    """A line about a value: the file that has it, else the file with most of what is around it."""
    around = place
    while around and not given.has(around) and not own.has(around):
        around = around[:-1]
    file = given if given.has(around) and not own.has(around) else own
    return f"  {file.where(place)}: {dotted(place)}: {why}"


def _names_in(place: Place) -> list[str]:
    """The names that a section may have."""
    section: Any = Assignment
    for part in place:
        section = (
            get_args(section)[0] if isinstance(part, int) else section.model_fields[part].annotation
        )
    return list(section.model_fields)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both, section by section."""
    return {
        name: _merged(first[name], second[name])
        if isinstance(first.get(name), dict) and isinstance(second.get(name), dict)
        else second.get(name, first.get(name))
        for name in {**first, **second}
    }


def partial_credit(bars: Sequence[Bar]) -> str:
    """Bars in words: "3 points from 97%, 2 from 95%"; "nothing" where there are none."""
    words = [f"{bar.points:g} from {bar.accuracy:.1%}".replace(".0%", "%") for bar in bars]
    if not words:
        return "nothing"
    points = "point" if bars[0].points == 1 else "points"
    return ", ".join([words[0].replace(" from", f" {points} from", 1), *words[1:]])


def check_bars(accuracy: float, partial: list[Bar]) -> None:
    """Raise ValueError unless the bars fall from just below full marks."""
    steps = [accuracy, *(bar.accuracy for bar in partial)]
    points = [bar.points for bar in partial]
    if steps != sorted(set(steps), reverse=True) or points != sorted(points, reverse=True):
        raise ValueError("partial: list the bars from the highest accuracy to the lowest")
