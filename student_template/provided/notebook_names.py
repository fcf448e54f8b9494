"""Which definitions of a notebook a slot needs, found by following names through the text.

The text is parsed, never run. A slot's definition brings along what it names: imports,
functions, classes and constants, each as it stood where a run from top to bottom would have
looked it up. Trainings, prints and plots define nothing that a slot names, so they stay out.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

MAX_STATEMENTS = 4_000
MAX_STEPS = 200_000  # from name to name; a notebook of a course takes some hundreds
# What parsing a text that is damaged or made to hurt can raise.
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
# Modules whose star imports may bring a name that nothing else defines.
STARRED = frozenset({"torch", "math", "numpy", "typing", "provided", "attention"})


class TooTangled(Exception):
    """More definitions, or more names between them, than any homework has."""


@dataclass(frozen=True)
class Statement:
    """A statement at the top level of a cell that gives names a meaning.

    cell, line  where it stands: the cell counted from 1, the line within the cell
    now, later  the names that it looks up when it runs, and when its functions are called
    module      where it imports from, empty where it is no import
    """

    cell: int
    line: int
    text: str
    binds: frozenset[str]
    now: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    module: str = ""


def read_statements(source: str, cell: int) -> list[Statement]:
    """The defining statements of a cell, in order. Raises TooTangled and UNPARSABLE."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as one about an unknown escape in a string
        body = ast.parse(source).body
        if len(body) > MAX_STATEMENTS:
            raise TooTangled
        lines = source.split("\n")
        return [
            statement
            for place, node in enumerate(body)
            if _defines(node)
            for statement in _statements(node, _text(lines, body, place), cell)
        ]


def needed(
    statements: Sequence[Statement], slots: Sequence[str], stem: str, other_slots: Mapping[str, str]
) -> list[Statement]:
    """The statements that a file needs to define its slots, in order; none without a slot.

    stem:        the file's name as a module: it can't import from itself
    other_slots: slots that stand in another file -> its module; they are imported from there
    Raises TooTangled.
    """
    kept = [
        _imported(statement, other_slots) for statement in statements if statement.module != stem
    ]
    if len(kept) > MAX_STATEMENTS:
        raise TooTangled
    places = _places(kept)
    roots = [
        own[-1]
        for slot in slots
        if (own := [place for place in places.get(slot, []) if not kept[place].module])
    ]
    if not roots:
        return []
    found, unknown = _follow(kept, places, roots)
    found |= {place for place, one in enumerate(kept) if one.module == "__future__"}
    if unknown:
        found |= {place for place, one in enumerate(kept) if _is_star(one)}
    in_order = [kept[place] for place in sorted(found)]
    return sorted(in_order, key=lambda one: one.module != "__future__")  # Python wants them first


def _follow(
    statements: Sequence[Statement], places: Mapping[str, list[int]], roots: Sequence[int]
) -> tuple[set[int], set[str]]:
    """Places of all that the roots need, and the names that nothing defines.

    What a function looks up is what stood there when it was called, so each step carries the
    place up to which the notebook had been run.
    """
    unknown: set[str] = set()
    seen: set[tuple[int, int]] = set()
    todo = [(root, len(statements)) for root in roots]
    steps = 0
    while todo:
        place, run_up_to = todo.pop()
        if (place, run_up_to) in seen:
            continue
        seen.add((place, run_up_to))
        one = statements[place]
        steps += 1 + len(one.now) + len(one.later)
        if steps > MAX_STEPS:
            raise TooTangled
        for names, moment in ((one.now, place), (one.later, run_up_to)):
            for name in names:
                if name in places:
                    todo.append((_last_before(places[name], moment), moment))
                elif not hasattr(builtins, name):
                    unknown.add(name)
    return {place for place, _ in seen}, unknown


def _last_before(places: Sequence[int], moment: int) -> int:
    """The last place before a moment; where there is none, the last of all."""
    return places[bisect_left(places, moment) - 1]


def _places(statements: Sequence[Statement]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, statement in enumerate(statements):
        for name in statement.binds:
            places.setdefault(name, []).append(place)
    return places


def _imported(statement: Statement, other_slots: Mapping[str, str]) -> Statement:
    """A definition that stands in another file becomes an import from there."""
    if len(statement.binds) != 1 or statement.module:
        return statement
    (name,) = statement.binds
    if name not in other_slots:
        return statement
    module, nothing = other_slots[name], frozenset[str]()
    text = f"from {module} import {name}"
    return replace(statement, text=text, now=nothing, later=nothing, module=module)


def _is_star(statement: Statement) -> bool:
    return "*" in statement.binds and statement.module.split(".")[0] in STARRED


def _defines(node: ast.stmt) -> bool:
    """Whether a statement gives names a meaning and does nothing else."""
    if isinstance(node, ast.If):
        return all(_defines(one) for one in (*node.body, *node.orelse))
    if isinstance(node, ast.Try):
        handled = [one for handler in node.handlers for one in handler.body]
        return all(_defines(one) for one in (*node.body, *handled, *node.orelse, *node.finalbody))
    return isinstance(
        node,
        (
            ast.Import,
            ast.ImportFrom,
            ast.FunctionDef,
            ast.AsyncFunctionDef,
            ast.ClassDef,
            ast.Assign,
            ast.AnnAssign,
            ast.AugAssign,
            ast.Pass,
        ),
    )


def _statements(node: ast.stmt, text: str, cell: int) -> Iterator[Statement]:
    """A statement as it stands; an import of several names as one statement for each."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            own = ast.unparse(ast.Import([alias]))
            extends = frozenset([bound]) if "." in alias.name and not alias.asname else frozenset()
            yield Statement(cell, node.lineno, own, frozenset([bound]), extends, module=alias.name)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            own = ast.unparse(ast.ImportFrom(node.module, [alias], node.level))
            binds = frozenset([alias.asname or alias.name])
            yield Statement(
                cell, node.lineno, own, binds, module=f"{'.' * node.level}{node.module or ''}"
            )
    elif binds := frozenset(_bound(node)):
        now, later = _looked_up(text)
        if isinstance(node, (ast.If, ast.Try, ast.AugAssign)):
            now |= binds  # what they were before may still count
        yield Statement(cell, _first_line(node), text, binds, frozenset(now), frozenset(later))


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a statement gives a meaning, or changes the meaning of."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name):
        yield node.id
    else:
        for part in _binding_parts(node):
            yield from _bound(part)


def _binding_parts(node: ast.AST) -> list[ast.AST]:
    """The parts of a statement or of a target that may give names a meaning."""
    if isinstance(node, ast.Assign):
        return [*node.targets]
    if isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        return [] if node.value is None else [node.target]
    if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        return [node.value]
    if isinstance(node, (ast.Tuple, ast.List)):
        return [*node.elts]
    if isinstance(node, (ast.If, ast.Try, ast.ExceptHandler)):
        return [one for one in ast.iter_child_nodes(node) if not isinstance(one, ast.expr)]
    return []


def _looked_up(text: str) -> tuple[set[str], set[str]]:
    """The global names that a statement reads when it runs, and when its functions are called."""
    now: set[str] = set()
    later: set[str] = set()
    scopes = [(symtable.symtable(text, "cell", "exec"), now)]
    while scopes:
        scope, names = scopes.pop()
        is_module = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (is_module or symbol.is_global()):
                names.add(symbol.get_name())
        for child in scope.get_children():
            called = child.get_type() == "function" and not child.get_name().endswith(
                ("comp", "genexpr")
            )
            scopes.append((child, later if called else names))
    return now, later


def _text(lines: Sequence[str], body: Sequence[ast.stmt], place: int) -> str:
    """A statement's lines as they stand in the cell, or anew where it shares a line."""
    node = body[place]
    first, last = _first_line(node), node.end_lineno or node.lineno
    shared = (place > 0 and (body[place - 1].end_lineno or 0) >= first) or (
        place + 1 < len(body) and _first_line(body[place + 1]) <= last
    )
    return ast.unparse(node) if shared else "\n".join(lines[first - 1 : last])


def _first_line(node: ast.stmt) -> int:
    """Where a statement starts, its decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
