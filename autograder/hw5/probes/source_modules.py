"""Which of the submission's files stand behind a slot, and what the rules find in all of them.

A slot's own list (from torch.nn only Linear, Softmax and Dropout) is about its own file. A file
that it imports from has a question of its own, and needs other layers for it: models.py has to
use Conv2d. What nobody may use counts in each of them: ready-made attention, and ways to reach
something without naming it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from autograder.homework import CODE_FILES, HEAD, LAYER
from autograder.hw5.probes import source_doubts, source_rules
from autograder.hw5.probes.source_rules import Violation


@dataclass(frozen=True)
class Searched:
    """What was found in the files behind a slot: against the rules, and for a person to look at."""

    violations: list[Violation]
    doubts: list[Violation]


def search_head(code: Mapping[str, str]) -> Searched:
    """The files behind the attention head, by name."""
    files = files_behind(HEAD.file, code)
    own = source_rules.head_violations(code[HEAD.file]) if HEAD.file in code else []
    return _with_doubts(own + _common(code, files[1:]), code, files)


def search_layer(code: Mapping[str, str]) -> Searched:
    """The files behind the encoder layer; what the head's bring along is paid for with the head."""
    files = files_behind(LAYER.file, code, but={HEAD.file})
    return _with_doubts(_common(code, files), code, files)


def files_behind(file: str, code: Mapping[str, str], but: Collection[str] = ()) -> list[str]:
    """A file, and those that it imports of the submission's own, directly or through others.

    but: files that are not followed
    """
    found = [file] if file in code else []
    for one in found:  # which grows on the way
        found += [
            other
            for other in _imported(code[one])
            if other in code and other not in but and other not in found
        ]
    return found


def _imported(source: str) -> Iterator[str]:
    """The submission's own files that a source imports from, wherever the statement stands."""
    try:
        tree = source_rules.parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # the rules say so
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    yield from (file for file in CODE_FILES if file.removesuffix(".py") in modules)


def _common(code: Mapping[str, str], files: Collection[str]) -> list[Violation]:
    return [one for file in files for one in source_rules.layer_violations(code[file], file)]


def _with_doubts(
    violations: list[Violation], code: Mapping[str, str], files: Collection[str]
) -> Searched:
    judged = {(one.file, one.line) for one in violations}
    doubts = [one for file in files for one in source_doubts.doubts(code[file], file)]
    return Searched(violations, [one for one in doubts if (one.file, one.line) not in judged])
