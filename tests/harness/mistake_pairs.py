"""Random pairs of known mistakes, graded: are both named?

From the command line, with how many of each and a seed:

    .venv/bin/python -m tests.harness.mistake_pairs 500 --seed 7
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autograder.homework import HEAD as SLOT
from autograder.hw5.confined.questions import stand_in
from autograder.hw5.probes.head import BASE_SIZE, LARGE
from autograder.hw5.probes.layer import LayerSize
from autograder.staff.solutions import Kind, Solution

from .local_grading import examine, forget_student_modules, judge, suite_tests
from .written_mistakes import HEAD, TEXTS, Text

DROPOUT = 0.25
Evidence = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """A pair of mistakes, and the ids that were named for it, over all lines.

    is_twin: whether what was named does the same, number by number
    """

    pair: tuple[str, ...]
    named: frozenset[str]
    is_twin: bool = False

    @property
    def is_told(self) -> bool:
        """Whether both are named."""
        return set(self.pair) <= self.named

    @property
    def is_false(self) -> bool:
        """Whether something is named that isn't there, and does something else than what is."""
        return bool(self.named - set(self.pair)) and not self.is_twin


def drawn(text: Text, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Random pairs in which neither mistake hides the other."""
    pairs = list(text.pairs())
    random.Random(seed).shuffle(pairs)
    some = (pair for pair in pairs if hidden(text, pair) == "")
    for _ in range(count):
        pair = next(some, None)
        if pair is None:
            return
        yield pair


def judged(text: Text, pair: tuple[str, ...]) -> Judged:
    """A pair, graded by the real suite on its part."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / text.file).write_text(text.written(*pair), encoding="utf-8")
        solution = Solution(Kind.MISTAKES, "+".join(pair), Path(folder), (text.file,))
        lines = {number for number in suite_tests() if number.startswith(text.part)}
        with examine(solution) as exam:
            outcome = judge(solution, exam, lines)
    ids = {id for line in outcome.lines.values() for id in line.diagnosis.split("+") if id}
    twin = tuple(sorted(ids))
    known = ids <= text.mistakes.keys() and not _clash(text, twin)
    is_twin = known and does_the_same(text, evidence(text, pair), twin)
    return Judged(pair, frozenset(ids), is_twin)


def _clash(text: Text, mistakes: tuple[str, ...]) -> bool:
    places = [place for id in mistakes for place in text.mistakes[id]]
    return len(places) > len(set(places))


def hidden(text: Text, pair: tuple[str, ...]) -> str:
    """Why a pair can't show both of its mistakes; nothing where it can.

    It fails with an error, its numbers aren't finite, or they are those of a single mistake,
    whatever its parameters are called.
    """
    both = evidence(text, pair)
    if "error" in both:
        return "it fails"
    if not all(bool(value.isfinite().all()) for value in both["outputs"]):
        return "its numbers are not finite"
    for single in text.mistakes:
        if does_the_same(text, both, (single,)):
            return f"it is {single} alone"
    return ""


def does_the_same(text: Text, what: Evidence, mistakes: tuple[str, ...]) -> bool:
    """Whether these mistakes give the same evidence, whatever the parameters are called."""
    return any(
        alike(what, evidence(text, mistakes, renamed)) for renamed in range(len(text.renamings))
    )


@cache
def evidence(text: Text, mistakes: tuple[str, ...], renamed: int = 0) -> Evidence:
    """What a text with some mistakes does with random numbers, as far as a question shows it."""
    namespace: dict[str, Any] = {}
    sys.modules[SLOT.module] = stand_in(SLOT.module, SLOT.name)
    try:
        exec(compile(text.written(*mistakes, renamed=renamed), text.file, "exec"), namespace)
    finally:
        forget_student_modules()
    torch.manual_seed(0)
    try:
        if text is HEAD:
            size: Any = BASE_SIZE
            module = namespace["SingleHeadAttention"](size.input_dim, size.inner_dim, DROPOUT)
            x = torch.randn(size.batch, size.tokens, size.input_dim, dtype=torch.float64)
        else:
            size = LayerSize()
            module = namespace["ViTLayer"](**size.arguments(DROPOUT))
            x = torch.randn(size.out_shape, dtype=torch.float64)
        return observed(module.double(), x)
    except (RuntimeError, ValueError, IndexError, TypeError) as problem:
        return {"error": str(problem)}


def observed(module: nn.Module, x: Tensor) -> Evidence:
    """Outputs in evaluation and training, for usual and large numbers, and gradients."""
    shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}
    for value in module.parameters():
        value.data = torch.randn(value.shape, dtype=x.dtype)
    found: Evidence = {
        "shapes": shapes,
        "parts": [type(part).__name__ for part in module.modules()],
    }
    for what, factor in (("outputs", 1.0), ("large", LARGE)):
        with torch.no_grad():
            found[what] = outputs(module.eval(), x * factor)
    found["training"] = outputs(module.train(), x.clone())
    module.eval()
    leaf = x.clone().requires_grad_()
    result = outputs(module, leaf.clone())
    torch.manual_seed(1)
    main = max(result, key=lambda one: one.shape[-1] != x.shape[1])
    with suppress(RuntimeError):  # backward alone fails, which is evidence too
        if main.requires_grad:
            main.backward(torch.randn(main.shape, dtype=main.dtype))
        found["gradients"] = [
            torch.zeros_like(value) if value.grad is None else value.grad
            for value in (leaf, *module.parameters())
        ]
    return found


def outputs(module: nn.Module, x: Tensor) -> list[Tensor]:
    """What a forward returns, as a list; random zeros fall on the same places each time."""
    torch.manual_seed(2)
    result = module(x)
    return [one for one in (result if isinstance(result, tuple) else (result,)) if one is not None]


def alike(one: Any, other: Any) -> bool:
    """Whether two pieces of evidence are the same, numbers within rounding."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.allclose(one, other, 1e-6, 1e-9, equal_nan=True)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def main() -> None:
    """Grade pairs of both texts and print which aren't told, and the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--only", choices=TEXTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in [options.only] if options.only else TEXTS:
        pairs = drawn(TEXTS[name], options.count, options.seed)
        results = [judged(TEXTS[name], pair) for pair in pairs]
        for one in results:
            if not one.is_told or one.is_false:
                print(
                    f"  {' + '.join(one.pair)}: {', '.join(sorted(one.named)) or 'nothing'}", end=""
                )
                print(" (the same numbers)" if one.is_twin else "")
        apart = [one for one in results if one.is_told or not one.is_twin]
        told = sum(one.is_told for one in apart)
        print(
            f"{name}: both named in {told} of {len(apart)} pairs ({told / len(apart):.1%}), "
            f"{len(results) - len(apart)} can't be told from others; something false in "
            f"{sum(one.is_false for one in results)} (seed {options.seed})"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
