"""A worker may answer anything: well-formed lies end in a verdict, never in a fault."""

from __future__ import annotations

import json
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from autograder.confined import wire
from autograder.rubric.gradescope import Results
from autograder.rubric.plugin import RubricLine
from autograder.sandbox.budget import Budget
from autograder.sandbox.errors import WorkerError
from autograder.sandbox.replies import ModelReply, ModuleReply, OutputsReply
from autograder.sandbox.worker import Pipes, Worker
from autograder.staff.solutions import load_solutions

from . import local_grading
from .conftest import left_to_the_full_set
from .local_grading import LocalWorker, examine, judge_line, received, suite_tests

LYING_RUNS = 400
FRAMES = 10_000
LINES = tuple(
    number
    for number in suite_tests()
    if number.startswith(("3a", "3b")) or number in ("2b.1", "2b.2", "2c.1", "2c.2", "2c.3")
)
ODD_VALUES = (
    None,
    True,
    -1,
    0,
    1,
    3,
    10**9,
    10**18,
    10**30,
    0.5,
    -1e300,
    "",
    "x",
    "Linear",
    "é" * 90,
    "a\u0000b",
    "<b>",
    [],
    [[]],
    [1, 2],
    ["x"] * 9,
    {},
    {"": 1},
    {"error": 1},
    {"x": {"y": []}},
)
ODD_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.uint8, torch.bool)


def twisted(value: Any, chance: random.Random) -> Any:
    """JSON like the given, with something in it exchanged, dropped or added."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.15:
        return chance.choice(ODD_VALUES)
    if isinstance(value, list):
        place = chance.randrange(len(value))
        what = chance.random()
        if what < 0.2:
            return value[:place]
        if what < 0.4:
            return value + value * chance.choice((1, 60))
        return [*value[:place], twisted(value[place], chance), *value[place + 1 :]]
    name = chance.choice(sorted(value))
    what = chance.random()
    if what < 0.15:
        return {key: one for key, one in value.items() if key != name}
    if what < 0.3:
        return {**value, chance.choice(("more", "error", "progress", "")): 1}
    return {**value, name: twisted(value[name], chance)}


def distorted(tensor: Tensor, chance: random.Random) -> Tensor:
    """A dense tensor made from the given: other numbers, another type, another shape."""
    spoiled = tensor.clone()
    flat = spoiled.view(-1)
    changes: list[Callable[[], Tensor]] = [
        lambda: spoiled * chance.choice((0, -1, 1e-30, 1e30, 3)),
        lambda: torch.full_like(spoiled, chance.choice((float("nan"), float("inf"), 0.0, 1.0))),
        lambda: spoiled.to(chance.choice(ODD_TYPES)),
        lambda: flat.clone(),
        lambda: spoiled.unsqueeze(0),
        lambda: spoiled.transpose(0, -1).contiguous() if spoiled.ndim > 1 else flat[:0],
        lambda: flat[: chance.randrange(len(flat) + 1)].clone(),
        lambda: torch.zeros([1] * chance.randrange(9), dtype=spoiled.dtype),
        lambda: torch.zeros(0, 5, dtype=spoiled.dtype),
        lambda: spoiled + torch.randn(spoiled.shape),
    ]
    if len(flat) and spoiled.is_floating_point() and chance.random() < 0.3:
        flat[chance.randrange(len(flat))] = chance.choice((float("nan"), float("inf"), 1e30, 0.0))
        return spoiled
    return chance.choice(changes)()


def lie(truth: wire.Message, chance: random.Random) -> wire.Message:
    """A reply made from the true one."""
    content, tensors = dict(truth.content), dict(truth.tensors)
    if not tensors or chance.random() < 0.4:
        content = twisted(content, chance)
    else:
        name = chance.choice(sorted(tensors))
        what = chance.random()
        if what < 0.15:
            del tensors[name]
        elif what < 0.3:
            tensors[chance.choice(("output:7", "gradient:", "x"))] = tensors[name]
        elif what < 0.45:
            tensors[name] = tensors[chance.choice(sorted(tensors))]
        else:
            tensors[name] = distorted(tensors[name], chance)
    return wire.Message(content if isinstance(content, dict) else {"it": content}, tensors)


class LyingWorker(LocalWorker):
    """Tells the truth until a certain question, and from then on lies now and again."""

    chance = random.Random(0)

    def ask(self, question: str, schema: Any, *, doing: str, **rest: Any) -> Any:
        class Keeping:
            @staticmethod
            def model_validate(content: Any) -> Any:
                return content

        content, tensors = super().ask(question, Keeping, doing=doing, **rest)
        message = wire.Message(content, tensors)
        if self.chance.random() < 0.4:
            message = lie(message, self.chance)
        try:
            arrived = received(wire.encode(message))
            return schema.model_validate(arrived.content), arrived.tensors
        except (wire.WireError, ValidationError) as problem:
            raise self.refuse(str(problem)[:500], doing) from None


@pytest.mark.parametrize("part", left_to_the_full_set(range(8), but=(0,), full=(1, 2, 3)))
def test_no_lie_of_a_worker_is_more_than_a_verdict(part, monkeypatch, tmp_path):
    monkeypatch.setattr(local_grading, "LocalWorker", LyingWorker)
    chosen = load_solutions(["reference", "einsum", "no-scale", "post-norm", "fused-projections"])
    for number in range(part, LYING_RUNS, 8):
        LyingWorker.chance = random.Random(number)
        torch.manual_seed(number)
        lines = []
        with examine(chosen[number % len(chosen)]) as exam:
            for line in LINES:
                outcome = judge_line(line, suite_tests()[line], exam)  # raises on a fault
                lines.append(RubricLine(line, "a line", outcome.points, outcome.earned, True))
                assert 0 <= outcome.earned <= outcome.points, (number, line)
                assert len(outcome.text) < 20_000, (number, line)
        results = Results(tests=[line.result() for line in lines])
        results.write(tmp_path / "results.json")
        json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)


TRUTHS = (
    wire.Message({"outputs": 2}, {"output:0": torch.ones(3, 7, 5)}),
    wire.Message({"error": {"type": "E", "message": "m", "file": "attention.py", "line": 3}}),
    wire.Message({"progress": {"step": 1}}),
    wire.Message(
        {
            "handle": 0,
            "parameters": [{"name": "q.weight", "shape": [5, 12]}],
            "modules": [{"path": "q", "kind": "Linear", "from_torch": True, "p": None}],
        }
    ),
    wire.Message(
        {
            "layers": [
                {"kind": "ReLU", "path": "0", "known": True, "arguments": {}, "same_as": None}
            ],
            "settings": None,
            "settings_problem": "none",
        }
    ),
)


class NoSandbox:
    """Has nothing to end."""

    def end(self, worker: Worker, grace: bool) -> dict[str, Any]:
        return {}


def fuzzed(chance: random.Random) -> bytes:
    """A frame made from a true one: a lie, or damaged bytes."""
    truth = chance.choice(TRUTHS)
    kind = chance.random()
    if kind < 0.4:
        try:
            return wire.encode(lie(truth, chance))[:60_000]
        except wire.WireError:
            return b""
    frame = bytearray(wire.encode(truth))
    if kind < 0.7:
        for _ in range(chance.randrange(1, 6)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        return bytes(frame)
    if kind < 0.85:
        place = chance.randrange(len(frame))
        return bytes(frame[:place] + chance.randbytes(chance.randrange(40)) + frame[place:])
    text = chance.randbytes(chance.randrange(60))
    return wire.LENGTHS.pack(len(text), chance.choice((0, 5, 2**40))) + text


def answered(frame: bytes, schema: Any, folder: Path) -> Any:
    """What a client takes from a worker that answers a question with this frame and ends."""
    ends = [os.pipe() for _ in range(3)]
    (asked, questions), (replies, reply), (output, printed) = ends
    os.set_blocking(output, False)
    os.write(reply, frame)
    os.close(reply)
    os.close(printed)
    sandbox: Any = NoSandbox()
    worker = Worker(sandbox, 0, None, Pipes(questions, replies, output), folder, Budget())
    try:
        return worker.ask("run", schema, seconds=5, doing="answering")
    finally:
        worker.close()
        os.close(asked)


def test_no_frame_is_more_than_an_answer_or_an_error_of_the_worker(tmp_path):
    chance = random.Random(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = refused = 0
    for _ in range(FRAMES):
        schema = chance.choice((OutputsReply, ModuleReply, ModelReply))
        try:
            reply, tensors = answered(fuzzed(chance), schema, tmp_path)
        except WorkerError:
            refused += 1
        else:
            assert type(reply) is schema
            assert all(type(tensor) is Tensor for tensor in tensors.values())
            taken += 1
    assert taken > FRAMES / 100  # else nothing but broken frames was tried
    assert refused > FRAMES / 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
