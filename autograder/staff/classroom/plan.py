"""What of a class has to be graded: each submission looked at, and compared with what is there."""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autograder.intake.archives import UNREADABLE
from autograder.staff.classroom import handed_in, merging
from autograder.staff.classroom.export import Export, Source
from autograder.staff.classroom.grading import RUNNING, Grading
from autograder.staff.classroom.metadata import Told
from autograder.staff.classroom.records import (
    ABOUT,
    AGAIN,
    BEFORE,
    RESULTS,
    TROUBLE,
    read_json,
    write_json,
)
from autograder.staff.classroom.settings import Settings

SEED_BITS = 48


@dataclass
class Plan:
    """A class as it is to be graded.

    chosen: the ids of the submissions that were asked for
    todo:   those of them that have to be graded
    """

    folder: Path
    export: Export
    settings: Settings
    parts: Collection[str]
    notes: list[str]
    chosen: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    def gradings(self) -> Iterator[Grading]:
        """What is to be graded, each extracted when it is asked for."""
        for one in self.todo:
            yield self.grading(one, self.settings)

    def grading(self, one: str, settings: Settings, room: str = RESULTS) -> Grading:
        """What a worker is told of one submission; its files are there afterwards."""
        seed = self.seed(one) + (room == AGAIN)
        return Grading(
            one,
            str(self.folder.resolve()),
            str(_placed(self.export.sources[one], self.folder).resolve()),
            settings.wanted(self.parts, self.digests[one], seed),
            seed,
            (*settings.options, *self._metadata(one, room)),
            settings.seconds,
            room,
        )

    def seed(self, one: str) -> int:
        """That of the earlier results, so that chance changes nothing; else one of its own."""
        for room in (RESULTS, BEFORE):
            extra = (read_json(self.folder / room / f"{one}.json") or {}).get("extra_data")
            seed = extra.get("seed") if isinstance(extra, dict) else None
            if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**63:
                return seed
        number = int.from_bytes(hashlib.sha256(one.encode()).digest()[:8], "big")
        return number >> (64 - SEED_BITS)

    def clean_up(self, one: str) -> None:
        """Remove what was extracted for a grading that is done."""
        shutil.rmtree(self.folder / RUNNING / one, ignore_errors=True)
        for file in (self.folder / RUNNING).glob(f"{one}-metadata*.json"):
            file.unlink(missing_ok=True)

    def _metadata(self, one: str, room: str) -> tuple[str, ...]:
        """The platform's signed trainings, for the grader to take over."""
        extra = (read_json(self.folder / BEFORE / f"{one}.json") or {}).get("extra_data")
        signed = extra.get("carry_over") if isinstance(extra, dict) else None
        if not signed or room == AGAIN:
            return ()
        file = self.folder / RUNNING / f"{one}-metadata.json"
        earlier = {"results": {"extra_data": {"carry_over": signed}}}
        number = int(one) if one.isdecimal() else one
        write_json(file, {"id": number, "previous_submissions": [earlier]})
        return ("--metadata", str(file.resolve()))


def _placed(source: Source, folder: Path) -> Path:
    place = folder / RUNNING / source.id
    if source.path is None:
        shutil.rmtree(place, ignore_errors=True)
    return source.place(place)


def look_through(plan: Plan, students: Collection[str]) -> None:
    """Read the export through, leave what it says in the class's folder, find what is to be done.

    students: ids, student numbers or e-mail addresses; all where there are none
    """
    said = _told(plan)
    wanted = {one.strip().casefold() for one in students}
    found: set[str] = set()
    tried_before: list[str] = []
    for one, source in plan.export.sources.items():
        told = said.pop(one, Told(one))
        names = {one.casefold(), *_names(told)}
        if wanted and not names & wanted:
            continue
        found |= names & wanted
        digest = _look_at(plan, source, told)
        if not digest:
            continue
        plan.digests[one] = digest
        plan.chosen.append(one)
        todo = plan.settings.wanted(plan.parts, digest, plan.seed(one))
        if not merging.missing(read_json(plan.folder / RESULTS / f"{one}.json"), todo):
            continue
        troubled = (plan.folder / TROUBLE / f"{one}.json").exists()
        (tried_before if troubled else plan.todo).append(one)
    if not plan.todo:  # all others are done: these are tried again
        plan.todo = tried_before
    elif tried_before:
        plan.notes.append(
            f"{len(tried_before)} could not be graded before; the same command tries them again "
            "once all others are done."
        )
    for one in said:
        plan.notes.append(f"The export tells of submission {one}, but does not hold it.")
    plan.notes += [f"No submission of {one} is in the export." for one in sorted(wanted - found)]


def _told(plan: Plan) -> dict[str, Told]:
    """What the export says, by submission; results go to the class's folder at once."""
    said: dict[str, Told] = {}
    of_student: dict[str, list[str]] = defaultdict(list)
    foreign = 0
    for told in plan.export.told():
        if told.id in said:
            plan.notes.append(f"Submission {told.id} is described twice: the first one counts.")
            continue
        for student in told.students:
            of_student[student["sid"] or student["email"].strip().casefold()].append(told.id)
        results = told.results
        if results is not None and results.get("tests") and not merging.parts_of(results):
            foreign, results = foreign + 1, None
        file = plan.folder / BEFORE / f"{told.id}.json"
        if results is not None and told.id in plan.export.sources and not file.exists():
            write_json(file, results)
        said[told.id] = Told(**{**vars(told), "results": None})
    if foreign:
        plan.notes.append(
            f"The results of {foreign} submissions are of another assignment: nothing is compared "
            "with them."
        )
    for owner, ids in sorted(of_student.items()):
        if owner and len(ids) > 1:
            plan.notes.append(f"Student {owner} has several submissions: {', '.join(ids)}.")
    if said:
        plan.notes += [
            f"Submission {one} is not described in the export: whose it is isn't known."
            for one in plan.export.sources
            if one not in said
        ]
    return said


def _names(told: Told) -> set[str]:
    names = {one for each in told.students for one in (each["sid"], each["email"]) if one}
    return {name.strip().casefold() for name in names}


def _look_at(plan: Plan, source: Source, told: Told) -> str:
    """Leave what is known of a submission in the class's folder; its digest, or nothing."""
    try:
        looked = handed_in.look(source.open())
    except UNREADABLE as problem:
        looked = handed_in.HandedIn()
        why = f"It can't be opened: {problem or type(problem).__name__}."
        write_json(plan.folder / TROUBLE / f"{source.id}.json", {"trouble": why})
        plan.notes.append(f"Submission {source.id} can't be opened: {problem}.")
    about = {
        "students": list(told.students),
        "created_at": told.created_at,
        "attempts": told.attempts,
        "history": list(told.history),
        "digest": looked.digest,
        "digests": looked.digests,
        "notes": looked.notes,
    }
    file = plan.folder / ABOUT / f"{source.id}.json"
    if read_json(file) != about:
        write_json(file, about)
    return looked.digest
