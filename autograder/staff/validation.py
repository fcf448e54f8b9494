"""Proof that the grader is right: every solution graded, and compared with what is known.

Solutions are graded as students' submissions are, by the grader's own command, many at once
(`executor`). Of a solution that changes some files of the reference only the lines are graded
that these files can change. Equal trainings are done once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autograder.homework import SUITES, VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5.jobs import JOBS
from autograder.rubric.outline import numbers
from autograder.staff.classroom.reading import plain
from autograder.staff.executor import keeping
from autograder.staff.executor.cluster import ClusterError
from autograder.staff.executor.one_core import deadline, with_time
from autograder.staff.executor.task import Executor, Run
from autograder.staff.executor.task import Outcome as Ended
from autograder.staff.solutions import SUBMISSIONS, Kind, Solution, placed

WEIGHTS_LINE = "3c.2"
TRAINED = frozenset(line for job in JOBS for line in job.lines)  # lines that wait for a training


@dataclass(frozen=True)
class LineOutcome:
    """What a rubric line came to."""

    earned: float
    points: float
    diagnosis: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """What a solution came to: the lines that were asked, and faults of the grader.

    collected: every line that the suites have; without trainings, those that need none
    """

    solution: Solution
    lines: dict[str, LineOutcome]
    faults: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    collected: frozenset[str] = frozenset()

    @property
    def lost(self) -> list[str]:
        """Lines without full points."""
        return [number for number, line in self.lines.items() if line.earned < line.points]

    @property
    def diagnoses(self) -> list[str]:
        """Every diagnosis that was named, once."""
        return list(dict.fromkeys(one.diagnosis for one in self.lines.values() if one.diagnosis))

    def differences(self) -> list[str]:
        """Where it isn't what the solution expects, a sentence each."""
        solution = self.solution
        found = [f"{place}: a fault of the grader\n{text}" for place, text in self.faults.items()]
        if solution.kind is Kind.TEMPLATE:
            return found + [text for name, one in self.lines.items() for text in _unkind(name, one)]
        if solution.kind is Kind.MISTAKES and not solution.expected.lost:
            found.append("it expects full marks, which no mistake may get")
        for number, line in self.lines.items():
            found += _differences(solution, number, line)
        unknown = [n for n in solution.expected.lost if n.split(".")[0] not in solution.parts]
        return found + [f"{number}: none of its files can change this line" for number in unknown]


def _differences(solution: Solution, number: str, line: LineOutcome) -> Iterator[str]:
    points = solution.expected.points(number, line.points)
    if line.earned not in points:
        wanted = " or ".join(f"{one:g}" for one in points)
        yield f"{number}: {line.earned:g} points, expected {wanted}: {line.text}"
    elif solution.expected.named(number) not in ("", line.diagnosis):
        yield (
            f"{number}: names {line.diagnosis or 'nothing'}, expected "
            f"{solution.expected.named(number)}: {line.text}"
        )


def _unkind(number: str, line: LineOutcome) -> Iterator[str]:
    """What is wrong with a line of the untouched template."""
    if line.earned:
        yield f"{number}: {line.earned:g} points for the untouched template"
    kind = ("Not done yet", "Not answered yet", "artifacts/", "No trained weights")
    if not line.text.startswith(kind) or "Traceback" in line.text:
        yield f"{number}: no kind message: {line.text}"


@dataclass(frozen=True)
class Gradings:
    """Solutions as the grader's command grades them.

    folder:  a new one, for all that is made on the way; every worker has to see it
    program: which runs instead of the grader; in tests alone
    """

    folder: Path
    training: bool
    program: tuple[str, ...] = ()

    def prepare(self) -> float:
        """Leave the settings in the folder; the seconds that a grading may take."""
        own = yaml.safe_load(assignments.FILE.read_text(encoding="utf-8"))
        settings = {**own, "seconds": with_time(own), "pictures": False}
        self._settings.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return deadline(assignments.load(self._settings, VALUES_FILE, ships=False))

    def run_of(self, solution: Solution, lines: Collection[str], seconds: float) -> Run:
        """The grading of a solution, whose files are there afterwards."""
        place = placed(solution, self.folder)
        options = ["--only", ",".join(sorted(lines)), "--assignment", str(self._settings)]
        if self.training:
            options += ["--trainings", str(self.folder / "trainings")]
        return Run(
            place.name,
            str(self.folder),
            # the code is our own: a machine that can't confine it may grade it all the same
            ("grade", str(place), *options, "--unsafe-local"),
            seconds,
            self.program,
        )

    @property
    def _settings(self) -> Path:
        return self.folder / assignments.FILE.name


def validate(
    solutions: Sequence[Solution], executor: Executor, gradings: Gradings
) -> Iterator[Outcome]:
    """Grade all solutions; yields each outcome as it comes. Raises ClusterError."""
    lines = frozenset(numbers(SUITES)) - (frozenset() if gradings.training else TRAINED)
    seconds = gradings.prepare()
    under_way: dict[str, Solution] = {}

    def runs() -> Iterator[Run]:
        for solution in solutions:
            if asked := [number for number in lines if asked_of(solution, number)]:
                run = gradings.run_of(solution, asked, seconds)
                under_way[run.id] = solution
                yield run

    for solution in solutions:
        if not any(asked_of(solution, number) for number in lines):
            yield Outcome(solution, {}, collected=lines)
    for ended in executor.run(runs()):
        if ended.stop:
            raise ClusterError(f"Stopped. {ended.stop} Then run the same command again.")
        file = gradings.folder / f"{ended.id}.json"
        yield outcome_of(under_way.pop(ended.id), ended, file, lines)
        shutil.rmtree(gradings.folder / SUBMISSIONS / ended.id)
        file.unlink(missing_ok=True)


def asked_of(solution: Solution, number: str) -> bool:
    """Whether a line is graded: its part can differ, and its weights are the code's own."""
    in_parts = number.partition(".")[0] in solution.parts
    return in_parts and (solution.asked_for_weights or number != WEIGHTS_LINE)


def outcome_of(solution: Solution, ended: Ended, file: Path, collected: frozenset[str]) -> Outcome:
    """What a grading came to, by the results that it left."""
    results, trouble = {}, ended.trouble
    if not trouble:
        results = _read(file)
        trouble = keeping.trouble_in(results, "its results can't be read")
    extra = results.get("extra_data", {})
    flagged = {flag["line"]: f"{flag['what']}\n{flag['trace']}" for flag in extra.get("flags", ())}
    faults = {**flagged, **extra.get("faults", {})}
    if trouble and not faults:
        faults = {"grading": trouble}
    lines = {one["number"]: _line(one) for one in results.get("tests", ())}
    return Outcome(solution, lines, faults, extra.get("seed", 0), collected)


def _read(file: Path) -> dict[str, Any]:
    """Results; nothing where they can't be read, as where a disk isn't shared."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _line(test: Mapping[str, Any]) -> LineOutcome:
    """A rubric line, as results.json has it."""
    diagnosis = (test.get("extra_data") or {}).get("diagnosis", "")
    output = test["output"]
    text = plain(output.replace("<br>", " ")) if test.get("output_format") == "html" else output
    return LineOutcome(test["score"], test["max_score"], diagnosis, " ".join(text.split()))
