"""The rooms of the package, who may import whom, and what breaks a rule, in words.

docs/architecture.md draws the same picture for people.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

from autograder.homework import GIVEN_CODE, STUDENT_MODULES

PACKAGE = "autograder"
GENERAL = ("intake", "sandbox", "confined", "rubric", "training")
HOMEWORK = "hw5"
STAFF = "staff"
TOP = ("__init__", "launch", "cli", "grade", "homework")  # modules that lie in no room
INSIDE_HOMEWORK = ("probes", "mistakes", "verdicts")  # each may import those before it
JUDGING = {"Rejected", "reject"}  # what a verdict is made with
OURS = (PACKAGE, "provided", "tests", "solutions", "student_template", "benchmarks")
OF_A_SUBMISSION = (
    "tests",
    "solutions",
    "student_template",
    *(STUDENT_MODULES - {GIVEN_CODE.name}),
)


def modules_below(root: Path) -> dict[str, Path]:
    """Every module of the package in a checkout, by its dotted name."""
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted((root / PACKAGE).rglob("*.py"))
    }


def imports(file: Path, name: str, known: Mapping[str, Path]) -> set[str]:
    """What a module imports, in functions too: modules where they are known, else packages."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            source = node.module or ""
            if node.level:
                source = importlib.util.resolve_name("." * node.level + source, package)
            for alias in node.names:
                deeper = f"{source}.{alias.name}"
                found.add(deeper if deeper in known else source)
    return found


def room_of(module: str) -> tuple[str, ...]:
    """The room that a module lies in: ("rubric",), ("hw5", "probes"), () at the top."""
    parts = module.split(".")[1:]
    if not parts or parts[0] in TOP:
        return ()
    if parts[0] == HOMEWORK and len(parts) > 1 and parts[1] in (*INSIDE_HOMEWORK, "confined"):
        return (HOMEWORK, parts[1])
    return (parts[0],)


def violations(root: Path) -> list[str]:
    """Every import that breaks a rule between rooms, as a sentence; empty where all is well."""
    known = modules_below(root)
    found = []
    for module, file in known.items():
        room = room_of(module)
        if room and room[0] not in (*GENERAL, HOMEWORK, STAFF):
            found.append(f"{module} lies in no room: see docs/architecture.md")
        imported = imports(file, module, known)
        found += [f"{module} {why}" for why in _wrong_imports(room, imported)]
        if room == (HOMEWORK, "probes"):
            judged = sorted(JUDGING & _names_in(file))
            found += [
                f"{module} uses {name}, but probes gather and verdicts judge" for name in judged
            ]
    return found


def _wrong_imports(room: tuple[str, ...], imported: set[str]) -> Iterator[str]:
    for other in sorted(imported):
        top, theirs = other.split(".")[0], room_of(other)
        if top in OF_A_SUBMISSION:
            yield f"imports {other}, which no module of the grader may"
        if "confined" in room:
            allowed = {("confined",), room}
            if top in OURS and (top != PACKAGE or theirs not in allowed):
                yield f"imports {other}, but what runs confined imports nothing of ours outside it"
            continue
        if top != PACKAGE:
            continue
        if room and room[0] in GENERAL and theirs[:1] == (HOMEWORK,):
            yield f"imports {other}, but general rooms never import the homework"
        if theirs == (STAFF,) and room != (STAFF,):
            yield f"imports {other}, but nothing that ships imports staff"
        if len(room) == 2 and room[1] in INSIDE_HOMEWORK and len(theirs) == 2:
            order = INSIDE_HOMEWORK
            if theirs[1] in order and order.index(theirs[1]) > order.index(room[1]):
                yield f"imports {other}, but inside the homework only verdicts > mistakes > probes"


def _names_in(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.id for node in nodes if isinstance(node, ast.Name)}
