"""Who is who in a report: a label for each submission, or a number where names are left out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from autograder.sandbox.text import one_line
from autograder.staff.classroom.reading import Reading, read
from autograder.staff.classroom.records import Entry, Student

MAX_LABEL = 80  # characters of a name, and of each member's in a group
LEFT_OUT = "[left out]"
LEAST_WORD = 3  # letters of a part of a name that is left out by itself


@dataclass(frozen=True)
class Member:
    """A submission as the report shows it.

    label: names, or what stands in for them
    about: ids and addresses, to find the submission by; empty where names are left out
    """

    entry: Entry
    label: str
    about: str
    anonymous: bool = False

    @cached_property
    def now(self) -> Reading:
        """What its results say."""
        return read(self.entry.results)

    @cached_property
    def before(self) -> Reading | None:
        """What counted before; None where it isn't known."""
        return None if self.entry.before is None else read(self.entry.before)

    @cached_property
    def again(self) -> Reading | None:
        """What another seed led to; None where it wasn't tried."""
        return None if self.entry.again is None else read(self.entry.again)

    @property
    def tries(self) -> int:
        """How often it was handed in; 0 where it isn't known."""
        return max(self.entry.attempts, 0)

    def told(self, text: str) -> str:
        """A text about it, without what names its students where names are left out."""
        return self._without.sub(LEFT_OUT, text) if self.anonymous else text

    @cached_property
    def _without(self) -> re.Pattern[str]:
        words = [self.entry.id]
        for student in self.entry.students:
            words += [student.name, student.sid, student.email, student.email.partition("@")[0]]
            words += [part for part in student.name.split() if len(part) >= LEAST_WORD]
        longest_first = sorted({word.strip() for word in words} - {""}, key=len, reverse=True)
        choices = "|".join(map(re.escape, longest_first))
        return re.compile(rf"(?<!\w)(?:{choices})(?!\w)", re.IGNORECASE)


def roster(entries: Iterable[Entry], *, anonymous: bool) -> list[Member]:
    """The members of a class, in the order of the entries or, without names, of their numbers."""
    if not anonymous:
        return [Member(entry, _label(entry), _about(entry)) for entry in entries]
    return [
        Member(entry, f"Submission {place}", "", anonymous=True)
        for place, entry in enumerate(sorted(entries, key=_says_nothing), 1)
    ]


def _says_nothing(entry: Entry) -> tuple[float, str]:
    """An order that tells no more than the scores, which the report shows in any case.

    By id, the first number would be the first who handed in, or the first in the alphabet.
    """
    content = json.dumps([entry.results, dict(entry.digests)], sort_keys=True, default=str)
    score = read(entry.results).score
    digest = hashlib.sha256(content.encode(errors="replace")).hexdigest()
    return (-1.0 if score is None else -score, digest)


def _label(entry: Entry) -> str:
    named = [student.name or student.email or student.sid for student in entry.students]
    shown = [one_line(name, MAX_LABEL) for name in named if name.strip()]
    return ", ".join(shown) or one_line(entry.id, MAX_LABEL)


def _about(entry: Entry) -> str:
    known = [entry.id]
    for student in entry.students:
        known += [student.sid, student.email]
    return " · ".join(dict.fromkeys(one_line(one, MAX_LABEL) for one in known if one.strip()))


def people(students: Iterable[Student]) -> frozenset[str]:
    """What identifies students, the same for each of their submissions as far as that is known."""
    return frozenset(
        identity
        for student in students
        if (identity := (student.email or student.sid or student.name).strip().casefold())
    )


def number_of_people(entries: Sequence[Entry]) -> int:
    """How many students stand behind the submissions; one whose name isn't known counts as one."""
    named = frozenset().union(*(people(entry.students) for entry in entries))
    return len(named) + sum(not people(entry.students) for entry in entries)
