"""Submissions of different people with the same content, for a person to judge.

Two files are the same where their digests are: of code, without formatting and comments. That
is a fact about files and none about people: short code comes out alike by itself, and all may
have it from the same place. A file as students were given it has no digest (records.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autograder.staff.classroom.roster import Member, people


@dataclass(frozen=True)
class Group:
    """Files that are the same in each of these submissions, and in no other."""

    files: tuple[str, ...]
    members: tuple[Member, ...]


def groups(members: Sequence[Member]) -> list[Group]:
    """All groups, those with most files first."""
    owners: dict[tuple[str, str], list[int]] = {}
    for place, member in enumerate(members):
        for file, digest in member.entry.digests.items():
            if digest:
                owners.setdefault((file, digest), []).append(place)
    shared: dict[tuple[int, ...], list[str]] = {}
    for (file, _), places in owners.items():
        if _of_several([members[place] for place in places]):
            shared.setdefault(tuple(places), []).append(file)
    found = [
        Group(tuple(sorted(files)), tuple(members[place] for place in places))
        for places, files in shared.items()
    ]
    return sorted(found, key=lambda one: (-len(one.files), len(one.members), one.files))


def _of_several(members: Sequence[Member]) -> bool:
    """Whether there are at least two of them that no student has in common, also by way of a third.

    A person's second submission and a group's equals the first in any case.
    """
    joined: list[frozenset[str]] = []
    unknown = 0
    for member in members:
        mine = people(member.entry.students)
        unknown += not mine
        apart = [those for those in joined if not those & mine]
        mine = mine.union(*(those for those in joined if those & mine))
        joined = [*apart, mine] if mine else apart
    return len(joined) + unknown > 1
