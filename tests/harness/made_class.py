"""A class that nobody handed in: entries as a regrade leaves them, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Any

from autograder.homework import SUITES
from autograder.hw5 import assignment as assignments
from autograder.rubric.outline import outline
from autograder.staff.classroom.records import Entry, Student

FIRST = ("Ada", "Bram", "Chiara", "Dmitri", "Élodie", "Fatima", "Hyun-woo", "Ines", "José", "Linh")
LAST = ("Abara", "Byrne", "Castro", "Dvořák", "Eriksen", "García", "Huang", "Ito", "O'Neill", "Öz")
HOSTILE = (
    '=HYPERLINK("http://evil.example","click")',
    "+1+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "{{ 7*7 }} {% raw %}",
    "Robert'); DROP TABLE students;--",
    "\u202egro.elpmaxe\u202c Mallory",
    'Quo"te, Comma\nNewline',
    "محمد الأمين",
    "名無し" * 40,
    "</script><!--",
)
MISTAKES = {  # line -> known mistakes, the usual ones more than once
    "3a.4": ["no-scale", "no-scale", "softmax-over-queries", "scale-by-input-dim"],
    "3a.2": ["projection-bias"],
    "3b.4": ["output-bias", "output-bias", "output-bias+gelu-for-relu", "gelu-for-relu"],
    "3b.5": ["no-dropout-inside-mlp", "no-dropout-after-mlp"],
    "3b.2": ["post-norm"],
    "2b.2": ["too-many-units"],
    "2c.3": ["too-many-parameters"],
    "1a.1": ["bias-forgotten"],
}


@cache
def rubric() -> tuple[tuple[str, str, float], ...]:
    """Number, title and points of every rubric line."""
    lines = outline(SUITES, assignments.load(), frozenset())
    return tuple((line.number, line.title, line.points) for line in lines)


def results(scores: dict[str, float], mistakes: dict[str, str] | None = None, **extra: Any) -> Any:
    """A results.json in which some lines have these scores, and all others full marks."""
    tests = []
    for number, title, points in rubric():
        score = scores.get(number, points)
        line: dict[str, Any] = {
            "name": f"{number} {title}",
            "number": number,
            "score": score,
            "max_score": points,
            "status": "passed" if score >= points else "failed",
            "output": "Correct." if score >= points else "The output is wrong.\nNext: Look.",
            "output_format": "text",
            "visibility": "visible",
        }
        if mistakes and number in mistakes:
            line["extra_data"] = {"diagnosis": mistakes[number]}
        tests.append(line)
    board = extra.pop("leaderboard", [])
    return {
        "score": sum(line["score"] for line in tests),
        "tests": tests,
        "leaderboard": board,
        "extra_data": {"complete": True, "faults": {}, "flags": [], **extra},
    }


def made_class(count: int, seed: int = 0) -> list[Entry]:
    """So many submissions: able and less able students, groups, hostile names, a few faults."""
    draw = random.Random(seed)
    entries = [_entry(place, draw) for place in range(count)]
    for one, other in ((3, 8), (3, 21), (40, 41)):
        if other < count:
            digests = {
                **entries[other].digests,
                "attention.py": entries[one].digests["attention.py"],
            }
            if one == 40:
                digests |= {"artifacts/vit/weights.safetensors": "w"}
                entries[one] = replace(
                    entries[one],
                    digests={**entries[one].digests, "artifacts/vit/weights.safetensors": "w"},
                )
            entries[other] = replace(entries[other], digests=digests)
    if count > 12:
        entries[11] = replace(entries[11], results=None, trouble="It is not a zip file.")
        entries[12] = _with_extra(entries[12], faults={"3a.4": "Traceback …\nKeyError: 'x'"})
    return entries


def _with_extra(entry: Entry, **extra: Any) -> Entry:
    assert entry.results is not None
    told = {**entry.results, "extra_data": {**entry.results["extra_data"], **extra}}
    return replace(entry, results=told)


def _entry(place: int, draw: random.Random) -> Entry:
    ability = min(1.0, max(0.05, draw.betavariate(6, 1.4)))
    scores, mistakes = {}, {}
    for number, _, points in rubric():
        if draw.random() > ability + 0.15 * (number < "2b"):
            scores[number] = draw.choice([0.0, 0.0, points / 2])
            if number in MISTAKES:
                mistakes[number] = draw.choice(MISTAKES[number])
    now = results(
        scores,
        mistakes,
        trainings=_trainings(ability, draw),
        for_a_person={
            "1d": "Pooling.",
            **({"3a.2": "einsum in line 9"} if place % 29 == 0 else {}),
        },
    )
    extra = now["extra_data"]
    extra["networks"] = {
        kind: {"parameters": one.pop("parameters")} for kind, one in extra["trainings"].items()
    }
    now["leaderboard"] = _board(extra["trainings"], extra["networks"]["cnn"]["parameters"])
    earlier = {number: points for number, points in scores.items() if number != "3b.4"}
    before = results(earlier if place % 7 == 0 else scores) if place % 10 else None
    tries = draw.choice([1, 1, 2, 3, 4, 6, 9])
    last = float(now["score"])
    return Entry(
        id=str(90_000 + place),
        students=tuple(_student(place, other, draw) for other in range(1 + (place % 12 == 5))),
        results=now,
        before=before,
        created_at=f"2026-11-{1 + place % 20:02}T{place % 24:02}:{place % 60:02}:00+00:00",
        attempts=tries,
        history=tuple(max(0.0, last - 4.0 * back) for back in range(tries - 1, 0, -1)),
        seconds=round(draw.lognormvariate(3.1, 0.5), 2),
        peak_mib=float(draw.randint(340, 620)),
        digests={
            name: draw.randbytes(8).hex()
            for name in ("attention.py", "encoder.py", "models.py", "artifacts/cnn/history.csv")
        },
    )


def _student(place: int, other: int, draw: random.Random) -> Student:
    name = f"{draw.choice(FIRST)} {draw.choice(LAST)}"
    if not other and place % 20 == 4:
        name = HOSTILE[place // 20 % len(HOSTILE)]
    number = place * 2 + other
    return Student(name, f"00{number:05}", f"s{number}@school.example")


def _trainings(ability: float, draw: random.Random) -> dict[str, Any]:
    made = {}
    for kind, good, sizes in (("fc", 0.981, (30_000, 160_000)), ("cnn", 0.991, (3_000, 70_000))):
        best = min(0.9965, draw.gauss(good - 0.012 * (1 - ability), 0.003))
        if draw.random() < 0.02:
            best = draw.uniform(0.1, 0.9)
        size = int(sizes[0] * (sizes[1] / sizes[0]) ** draw.random())
        made[kind] = {"ended": "reached", "parameters": size, "trials": [{"test_accuracy": [best]}]}
    return made


def _board(trainings: dict[str, Any], size: int) -> list[dict[str, Any]]:
    best = {kind: round(one["trials"][0]["test_accuracy"][0], 4) for kind, one in trainings.items()}
    return [
        {"name": "Fully connected: test accuracy", "value": best["fc"], "order": "desc"},
        {"name": "CNN: test accuracy", "value": best["cnn"], "order": "desc"},
        {"name": "CNN: parameters", "value": size, "order": "asc"},
    ]
