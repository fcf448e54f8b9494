"""What honest work hardly ever uses, and a hidden program needs: for a person to look at.

None of it costs a point. Python can reach anything from anything, so a list of what is forbidden
never ends; this names what leaves the plain paths, and a person reads the line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from autograder.homework import STUDENT_MODULES
from autograder.hw5.probes.source_rules import FOREIGN_MODULES, Violation, is_main_guard, parsed

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
BY_NAME = frozenset({"getattr", "setattr", "delattr", "hasattr"})
REACHING = frozenset({"locals", "open", "breakpoint", "memoryview"})


@lru_cache(maxsize=16)
def doubts(source: str, file: str) -> tuple[Violation, ...]:
    """What a person should look at in a file, in order; nothing where it can't be read."""
    try:
        found = set(_seen(parsed(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # the rules say so
    return tuple(Violation(file, line, what) for line, what in sorted(found))


def _seen(tree: ast.Module) -> Iterator[tuple[int, str]]:
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and is_main_guard(node.test):
            todo += node.orelse  # the block itself doesn't run
        else:
            todo += ast.iter_child_nodes(node)
        for what in _of_node(node):
            yield getattr(node, "lineno", 1), what


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
        if node.id in REACHING or (_is_dunder(node.id) and node.id not in USUAL_DUNDERS):
            yield node.id
        elif node.id == "__name__" and not isinstance(node.ctx, ast.Load):
            yield "__name__ is given a value"
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_attribute(node: ast.Attribute) -> Iterator[str]:
    name = node.attr
    if name in FRAMES or (_is_dunder(name) and name not in USUAL_DUNDERS):
        yield f".{name}"
    elif isinstance(node.value, ast.Name):
        owner = node.value.id
        if name in FOREIGN_MODULES and owner not in ("self", "torch"):
            yield f"{owner}.{name}"
        elif owner == "torch" and (
            name in INNER_TORCH or name[0] == "_" or name in FOREIGN_MODULES - {"signal"}
        ):
            yield f"torch.{name}"


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
        return not any(part in INNER_TORCH or part[0] == "_" for part in rest.split(".") if part)
    return top in USUAL_MODULES


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
