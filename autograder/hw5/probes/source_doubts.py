"""What honest work hardly ever uses, and a hidden program needs: for a person to look at.

None of it costs a point. Python can reach anything from anything, so a list of what is forbidden
never ends; this names what leaves the plain paths, and a person reads the line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from autograder.homework import STUDENT_MODULES
from autograder.hw5.probes.source_rules import (
    FOREIGN_MODULES,
    Violation,
    gives_own_name,
    is_main_guard,
    parsed,
    uses,
)

USUAL_MODULES = frozenset(
    {
        "__future__",
        "abc",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "einops",
        "enum",
        "functools",
        "itertools",
        "jaxtyping",
        "logging",
        "math",
        "matplotlib",
        "numbers",
        "numpy",
        "pprint",
        "random",
        "string",
        "textwrap",
        "time",
        "torch",
        "tqdm",
        "typing",
        "typing_extensions",
        "warnings",
    }
) | {name.partition(".")[0] for name in STUDENT_MODULES}
USUAL_DUNDERS = frozenset(
    {
        "__init__",
        "__call__",
        "__name__",
        "__doc__",
        "__class__",
        "__len__",
        "__getitem__",
        "__setitem__",
        "__repr__",
        "__str__",
        "__post_init__",
        "__qualname__",
        "__version__",
        "__all__",
        "__file__",
        "__annotations__",
        "__future__",
        "__enter__",
        "__exit__",
        "__iter__",
        "__next__",
        "__eq__",
        "__hash__",
        "__add__",
        "__mul__",
        "__matmul__",
        "__setattr__",
        "__main__",
    }
)
FRAMES = frozenset(
    {"f_back", "f_globals", "f_locals", "f_builtins", "tb_frame", "gi_frame", "cr_frame", "gi_code"}
)
# Parts of torch that compile, load, hook or dispatch; a network needs none of them.
INNER_TORCH = frozenset(
    {
        "ops",
        "jit",
        "library",
        "overrides",
        "compile",
        "compiler",
        "fx",
        "func",
        "load",
        "package",
        "hub",
        "serialization",
        "export",
        "autograd",
        "profiler",
        "classes",
    }
)
NAME = re.compile(r"[A-Za-z_]\w*")
BY_NAME = frozenset({"getattr", "setattr", "delattr", "hasattr"})
REACHING = frozenset({"locals", "open", "breakpoint", "memoryview"})


@lru_cache(maxsize=16)
def doubts(source: str, file: str) -> tuple[Violation, ...]:
    """What a person should look at in a file, in order; nothing where it can't be read."""
    try:
        found = set(_seen(parsed(source))) | set(_of_torch(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # the rules say so
    return tuple(Violation(file, line, what) for line, what in sorted(found))


def _of_torch(source: str) -> Iterator[tuple[int, str]]:
    """Inner parts of torch, by whatever alias they are reached."""
    for line, name in uses(source):
        parts = name.split(".")[1:] if name.startswith("torch.") else []
        if any(_is_inner(part) for part in parts):
            yield line, name


def _is_inner(part: str) -> bool:
    private = part.startswith("_") and not _is_dunder(part)
    return private or part in INNER_TORCH or part in FOREIGN_MODULES - {"signal"}


def _seen(tree: ast.Module) -> Iterator[tuple[int, str]]:
    nodes = list(ast.walk(tree))
    plain_calls = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    renamed = any(gives_own_name(node) for node in nodes)
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and is_main_guard(node.test) and not renamed:
            todo += node.orelse  # the block itself doesn't run
        else:
            todo += ast.iter_child_nodes(node)
        line = getattr(node, "lineno", 1)
        for what in _of_node(node):
            yield line, what
        if isinstance(node, ast.Name) and node.id in BY_NAME and id(node) not in plain_calls:
            yield line, f"{node.id} under another name"
        if gives_own_name(node):
            yield line, "__name__ is given a value"


def _of_node(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (f"import {alias.name}" for alias in node.names if not _is_usual(alias.name))
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        yield from (
            f"from {module} import {alias.name}"
            for alias in node.names
            if not _is_usual(module) or alias.name in FOREIGN_MODULES
        )
    elif isinstance(node, ast.Attribute):
        yield from _of_attribute(node)
    elif isinstance(node, ast.Name):
        if node.id in REACHING or _reaches(node.id):
            yield node.id
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from (f"{name} in a text" for name in NAME.findall(node.value) if _reaches(name))
    elif isinstance(node, ast.MatchClass):
        yield from (f"{name} in a pattern" for name in node.kwd_attrs if _reaches(name))
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_attribute(node: ast.Attribute) -> Iterator[str]:
    owner = node.value.id if isinstance(node.value, ast.Name) else "…"
    if _reaches(node.attr):
        yield f".{node.attr}"
    elif owner != "self" and node.attr in (FOREIGN_MODULES | {"torch"}) - {"signal"}:
        yield f"{owner}.{node.attr}"


def _of_call(node: ast.Call) -> Iterator[str]:
    """Access to something by a name that is made at run time; a module's own parts are plain."""
    if not isinstance(node.func, ast.Name) or node.func.id not in BY_NAME or len(node.args) < 2:
        return
    of_self = isinstance(node.args[0], ast.Name) and node.args[0].id == "self"
    if not of_self and not isinstance(node.args[1], ast.Constant):
        yield f"{node.func.id}() with a name made at run time"


def _is_usual(module: str) -> bool:
    top, _, rest = module.partition(".")
    if top == "torch":
        return not any(_is_inner(part) for part in rest.split("."))
    return top in USUAL_MODULES


def _reaches(name: str) -> bool:
    """Whether a name leads from an object to its code, its module or what called it."""
    return name in FRAMES or (_is_dunder(name) and name not in USUAL_DUNDERS)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
