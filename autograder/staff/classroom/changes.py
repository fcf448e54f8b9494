"""What a regrade changed, and why: changes.csv, one row for each student and rubric line.

A cause is what differs between the two gradings of the line's part. Where nothing differs but
the seed, it was chance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.staff.classroom import cells, merging
from autograder.staff.classroom.records import SETTINGS, Entry, Student, read_json

FILE = "changes.csv"
HEADER = ("id", "name", "sid", "email", "line", "before", "after", "of", "cause", "detail")
ONLY_TEXT = "only the text"
GRADER, SETTING, SUBMISSION = "grader version", "setting", "submission"
ANOTHER_SEED, SAME_SEED = "chance: another seed", "chance: the same seed"
UNKNOWN = "not known: the earlier results don't say what they were graded with"
# What says where a verdict comes from, and nothing about the work.
TAKEN_OVER = re.compile(r"Carried over from your previous submission: this model is unchanged\.")
MAX_NAMED = 4  # settings


@dataclass(frozen=True)
class Change:
    """A rubric line that isn't what it was.

    before, after: points; None where the line wasn't there
    """

    line: str
    before: float | None
    after: float | None
    of: float
    cause: str
    detail: str = ""

    @property
    def fell(self) -> bool:
        """Whether points were lost."""
        return (self.after or 0.0) < (self.before or 0.0)


def changes(entry: Entry, settings: Path) -> list[Change]:
    """The lines of an entry that differ from before, in order; none where that isn't known.

    settings: the folder of what digests of settings stand for
    """
    if entry.results is None or entry.before is None:
        return []
    before, after = _lines(entry.before), _lines(entry.results)
    graded = {merging.part_of(line) for line in after}
    found = []
    for line in sorted(before.keys() | after.keys()):
        old, new = before.get(line), after.get(line)
        if old is None or new is None:
            if merging.part_of(line) in graded and merging.part_of(line) in merging.parts_of(
                entry.before
            ):
                found.append(_come_or_gone(line, old, new, entry, settings))
        elif _said(old) != _said(new):
            found.append(_changed(line, old, new, entry, settings))
    return found


def write_changes(entries: Iterable[Entry], folder: Path) -> list[tuple[str, Change]]:
    """Write the table; returns the changes with their entries' ids."""
    found: list[tuple[str, Change]] = []
    rows = []
    for entry in entries:
        for change in changes(entry, folder / SETTINGS):
            found.append((entry.id, change))
            rows += list(_rows(entry, change))
    cells.write_table(folder / FILE, HEADER, rows)
    return found


def _rows(entry: Entry, change: Change) -> Iterator[tuple[object, ...]]:
    for student in entry.students or (Student(),):
        yield (
            entry.id,
            student.name,
            student.sid,
            student.email,
            change.line,
            change.before,
            change.after,
            change.of,
            change.cause,
            change.detail,
        )


def _changed(
    line: str, old: Mapping[str, Any], new: Mapping[str, Any], entry: Entry, settings: Path
) -> Change:
    before, after = _points(old.get("score")), _points(new.get("score"))
    diagnoses = _diagnosis(old), _diagnosis(new)
    if before == after and diagnoses[0] == diagnoses[1]:
        cause, detail = ONLY_TEXT, ""
    else:
        cause, detail = why(entry, merging.part_of(line), settings)
    if diagnoses[0] != diagnoses[1]:
        named = " -> ".join(one or "no diagnosis" for one in diagnoses)
        detail = f"{detail}; {named}" if detail else named
    return Change(line, before, after, _points(new.get("max_score")) or 0.0, cause, detail)


def _come_or_gone(
    line: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    entry: Entry,
    settings: Path,
) -> Change:
    cause, _ = why(entry, merging.part_of(line), settings)
    there = new or old or {}
    return Change(
        line,
        None if old is None else _points(old.get("score")),
        None if new is None else _points(new.get("score")),
        _points(there.get("max_score")) or 0.0,
        cause,
        "the line is new" if old is None else "the line is gone",
    )


def why(entry: Entry, part: str, settings: Path) -> tuple[str, str]:
    """What differs between the two gradings of a part: in a few words, and in detail."""
    old = merging.graded_with(entry.before, part)
    new = merging.graded_with(entry.results, part)
    if not old.get("grader"):
        return UNKNOWN, ""
    causes, details = [], []
    for name, said in (("submission", SUBMISSION), ("grader", GRADER)):
        if old.get(name) not in (None, new.get(name)):
            causes.append(said)
    if old.get("torch") not in (None, new.get("torch")):
        causes.append(GRADER)
        details.append(f"torch {old['torch']} -> {new.get('torch')}")
    if old.get("settings") not in (None, new.get("settings")):
        causes.append(SETTING)
        details.append(_different_settings(settings, old["settings"], new.get("settings")))
    elif old.get("limits") not in (None, new.get("limits")):
        causes.append(SETTING)
        details.append("limits of time or memory")
    if not causes:
        causes.append(SAME_SEED if old.get("seed") == new.get("seed") else ANOTHER_SEED)
    return ", ".join(dict.fromkeys(causes)), "; ".join(detail for detail in details if detail)


def _different_settings(folder: Path, old: object, new: object) -> str:
    """The settings that differ, where both are known."""
    before, after = (read_json(folder / f"{one}.json") for one in (old, new))
    if before is None or after is None:
        return ""
    names = [
        name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)
    ]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return (
        "; ".join(f"{name}: {before.get(name)} -> {after.get(name)}" for name in names[:MAX_NAMED])
        + more
    )


def _lines(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    listed = results.get("tests")
    return {
        str(line["number"]): line
        for line in (listed if isinstance(listed, list) else [])
        if isinstance(line, dict) and merging.part_of(str(line.get("number", "")))
    }


def _said(line: Mapping[str, Any]) -> tuple[object, ...]:
    text = TAKEN_OVER.sub("", str(line.get("output", "")))
    return _points(line.get("score")), _diagnosis(line), " ".join(text.split())


def _diagnosis(line: Mapping[str, Any]) -> str:
    extra = line.get("extra_data")
    return str(extra.get("diagnosis", "")) if isinstance(extra, dict) else ""


def _points(value: object) -> float | None:
    try:
        return round(float(str(value)), 4)
    except ValueError:
        return None
