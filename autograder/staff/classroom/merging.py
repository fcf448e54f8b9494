"""Results put together from parts that were graded at different times.

A part is graded again only where something has changed that its verdict depends on. With each
part's lines stays what they were graded with, in extra_data's `regrade`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from autograder.homework import GRADED_PARTS
from autograder.staff.classroom.records import REGRADE, with_what

PER_LINE = ("for_a_person", "faults", "transformer")  # of extra_data, by the line
PART_OF_MODEL = {"fc": "2b", "cnn": "2c"}
PER_MODEL = ("trainings", "carry_over")
PART_OF_FIGURE = {"Fully connected": "2b", "CNN": "2c"}  # in the leaderboard's names
KEPT = "not graded again: nothing that it depends on has changed"
TAKEN_OVER = "trained before: the same layers, settings and data"


def part_of(place: str) -> str:
    """The part that a line, or a place such as "3a.1, afterwards", belongs to."""
    part = place[:2]
    return part if part in GRADED_PARTS else ""


def parts_of(results: Mapping[str, Any] | None) -> set[str]:
    """The parts that results tell of."""
    lines = (results or {}).get("tests")
    return {
        part
        for line in (lines if isinstance(lines, list) else [])
        if isinstance(line, dict) and (part := part_of(str(line.get("number", ""))))
    }


def graded_with(results: Mapping[str, Any] | None, part: str) -> Mapping[str, Any]:
    """What a part was graded with; empty where it isn't known."""
    parts = with_what(results).get("parts")
    known = parts.get(part) if isinstance(parts, dict) else None
    if isinstance(known, dict):
        return known
    extra = (results or {}).get("extra_data")
    made = extra.get("made_with") if isinstance(extra, dict) else None
    if not isinstance(extra, dict) or not isinstance(made, dict):
        return {}
    settings = made.get("parts")
    return {
        "grader": made.get("grader"),
        "settings": settings.get(part) if isinstance(settings, dict) else None,
        "seed": extra.get("seed"),
    }


def missing(results: Mapping[str, Any] | None, wanted: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The parts that have to be graded: what they were graded with isn't what is wanted."""
    there = parts_of(results)
    return {
        part
        for part, with_these in wanted.items()
        if part not in there or graded_with(results, part) != with_these
    }


def merged(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], parts: Collection[str]
) -> dict[str, Any]:
    """New results of some parts, and the old ones of all others."""
    if old is None or not parts_of(old) - set(parts):
        return dict(new)
    lines = [line for line in old["tests"] if part_of(str(line.get("number", ""))) not in parts]
    lines += [line for line in new["tests"] if part_of(str(line.get("number", ""))) in parts]
    lines.sort(key=lambda line: str(line.get("number", "")))
    figures = [one for one in _list(old.get("leaderboard")) if _figure_part(one) not in parts]
    figures += [one for one in _list(new.get("leaderboard")) if _figure_part(one) in parts]
    return {
        **new,
        "score": sum(float(line["score"]) for line in lines),
        "tests": lines,
        "leaderboard": figures,
        "extra_data": _extra(old, new, parts),
    }


def _extra(
    old: Mapping[str, Any], new: Mapping[str, Any], parts: Collection[str]
) -> dict[str, Any]:
    before, after = (_dict(one.get("extra_data")) for one in (old, new))
    extra = dict(after)
    for name in PER_LINE:
        extra[name] = {
            **{k: v for k, v in _dict(before.get(name)).items() if part_of(k) not in parts},
            **{k: v for k, v in _dict(after.get(name)).items() if part_of(k) in ("", *parts)},
        }
    for name in PER_MODEL:
        extra[name] = {
            **{k: v for k, v in _dict(before.get(name)).items() if PART_OF_MODEL[k] not in parts},
            **{k: v for k, v in _dict(after.get(name)).items() if PART_OF_MODEL[k] in parts},
        }
    flags = [one for one in _list(before.get("flags")) if part_of(one["line"]) not in parts]
    flags += [one for one in _list(after.get("flags")) if part_of(one["line"]) in ("", *parts)]
    return {**extra, "flags": flags}


def noted(
    results: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    wanted: Mapping[str, Mapping[str, Any]],
    parts: Collection[str],
    figures: Mapping[str, float],
) -> dict[str, Any]:
    """The results with what each part was graded with, what was taken over, what it took.

    parts:   those that were graded now
    figures: seconds, peak_mib
    """
    kept = {part: graded_with(old, part) for part in sorted(parts_of(results) - set(parts))}
    extra = _dict(results.get("extra_data"))
    taken: dict[str, str] = {}
    for line in results["tests"]:
        number = str(line.get("number", ""))
        if part_of(number) in kept:
            taken[number] = KEPT
    for model, line in (("fc", "2b.3"), ("cnn", "2c.4")):
        training = _dict(extra.get("trainings")).get(model)
        if isinstance(training, dict) and not training.get("process") and line not in taken:
            taken[line] = TAKEN_OVER
    used = {
        **figures,
        "parts": {**kept, **{part: dict(wanted[part]) for part in sorted(parts)}},
        "taken_over": taken,
    }
    return {**results, "extra_data": {**extra, REGRADE: used}}


def _figure_part(figure: object) -> str:
    name = str(_dict(figure).get("name", ""))
    return next((part for start, part in PART_OF_FIGURE.items() if name.startswith(start)), "")


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
