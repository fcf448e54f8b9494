"""Correct heads and layers drawn at random: no line of 3a and 3b is lost, nothing false is said.

Some with seeds of their own for each run, some that are always the same; a failure names its
seed. As many as you like:

    HW5_PAIRS=2000 HW5_FIRST_SEED=1 .venv/bin/pytest -n 0 -s tests/harness/test_random_modules.py
"""

from __future__ import annotations

import ast
import os
import secrets
import time

import pytest

from autograder.hw5.mistakes.program import with_own_heads

from .local_grading import examine_files, judge, suite_tests
from .random_modules import RandomPair, draw

LINES = {number for number in suite_tests() if number.startswith(("3a", "3b"))}
NOTES = {"3a.2": "idle_in_head", "3b.4": "idle_in_layer"}
FEW = 20
ALWAYS = (0, 17, 25)  # a wrong reading of own norms, norms with another epsilon, W_O as a matrix


def faults(pair: RandomPair) -> list[str]:
    """What a correct pair is told that it shouldn't be, or isn't told that it should."""
    files = {"attention.py": pair.attention, "encoder.py": pair.encoder}
    with examine_files(files) as (solution, exam):
        outcome = judge(solution, exam, LINES)
        program = with_own_heads(exam.layer.get(), exam.head.get()) if not outcome.lost else []
    found = [f"{number}: {outcome.lines[number].text}" for number in outcome.lost]
    for number, line in outcome.lines.items():
        idle = getattr(pair, NOTES[number]) if number in NOTES else frozenset()
        said, _, note = line.text.partition(" No result depends on ")
        named = set(note.partition(":")[0].partition(" and ")[0].split(", ")) - {""}
        if not said.startswith("Correct") or not named <= idle or bool(named) != bool(idle):
            found.append(f"{number} says: {line.text}")
    if not outcome.lost and not (program and program[0].is_reference):
        found.append("3c has no program for it")
    return found


def tried(seeds: range | list[int]) -> dict[int, list[str]]:
    return {seed: found for seed in seeds if (found := faults(draw(seed)))}


def test_correct_work_however_it_is_written_loses_nothing():
    count, first = int(os.environ.get("HW5_PAIRS", FEW)), os.environ.get("HW5_FIRST_SEED")
    start = int(first) if first else 1_000_000 + secrets.randbelow(10**9)
    began = time.monotonic()
    found = tried(range(start, start + count))
    assert found == {}, "\n".join(f"seed {seed}: {said}" for seed, said in found.items())
    print(f"{count} pairs from seed {start}: {time.monotonic() - began:.0f} s")


@pytest.mark.full
def test_more_of_them_lose_nothing():
    start = secrets.randbelow(10**9)
    assert tried(range(start, start + 40)) == {}


@pytest.mark.parametrize("seed", ALWAYS)
def test_pairs_that_once_lost_points_lose_none(seed):
    assert faults(draw(seed)) == []


def test_a_seed_stands_for_one_pair_and_others_for_others():
    pairs = [draw(seed) for seed in range(50)]
    assert pairs == [draw(seed) for seed in range(50)]
    assert len({pair.attention for pair in pairs} | {pair.encoder for pair in pairs}) == 100
    for pair in pairs:
        ast.parse(pair.attention)
        ast.parse(pair.encoder)


WRONG = {  # what makes any pair wrong, and a line that it loses
    "no mix": ("attention", "return", "out = 2 * out; return", "3a.4"),
    "one more step": ("encoder", "return x, maps", "return x + 1, maps", "3b.2"),
}


@pytest.mark.parametrize(("file", "old", "new", "line"), WRONG.values(), ids=WRONG.keys())
def test_wrong_work_is_not_taken_for_correct(file, old, new, line):
    pair = draw(3)
    before, last, after = getattr(pair, file).rpartition(old)
    assert last
    changed = RandomPair(**{**vars(pair), file: before + new + after})
    assert any(found.startswith(line) for found in faults(changed))
