"""What a slot's source may use, read as text: nothing here runs a student's code.

Names are followed through imports and aliases to their dotted form (`F.softmax` under
`import torch.nn.functional as F` is `torch.nn.functional.softmax`), so a rule is about what
is used and not about how it is spelled. A text that can't be read is a violation: nothing can be
said of what it uses.

Under `if __name__ == "__main__":`, which doesn't run while grading, ready-made attention counts
and nothing else; where the text gives `__name__` a value of its own, the block is like any other.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from autograder.homework import HEAD, LAYER
from provided import source_rules

# Question 3a: from torch.nn only Linear, Softmax and Dropout. A Module has to be subclassed,
# containers and Parameter compute nothing.
HEAD_LAYERS = frozenset(source_rules.HEAD_LAYERS)
NEUTRAL = frozenset(source_rules.CONTAINERS)
HEAD_FUNCTIONS = frozenset(source_rules.HEAD_FUNCTIONS)

# Ready-made attention under any of its names in torch, whatever module it is reached through.
BUILT_IN_ATTENTION = frozenset(source_rules.READY_MADE) | {
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_flash_attention_forward",
    "_efficient_attention_forward",
    "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
}

# Ways to reach something without naming it, and modules that a network has no use for.
INDIRECT_CALLS = frozenset({"exec", "eval", "compile", "__import__", "globals", "vars"})
FOREIGN_MODULES = frozenset(source_rules.FOREIGN) | {
    "socket",
    "ctypes",
    "inspect",
    "gc",
    "builtins",
    "pickle",
    "marshal",
    "threading",
    "multiprocessing",
    "signal",
    "shutil",
    "pathlib",
    "xformers",
    "autograder",
    "sandbox",
    "confined",
}


IMPORTED = " [import]"  # marks a foreign module where it is imported
UNREADABLE = "the file can't be searched"
TOO_DEEP = f"{UNREADABLE}: an expression is nested too deeply"
IN_MAIN = " [main block]"  # marks what stands under the plain guard
ABOUT_MAIN = 'the rule covers the whole file, also what is under if __name__ == "__main__"'


@dataclass(frozen=True)
class Violation:
    """Something that a slot may not use: in which file, at which line, what."""

    file: str
    line: int
    name: str
    remark: str = ""
    is_indirect: bool = False  # a way to reach something without naming it: what, it doesn't say

    @classmethod
    def of(cls, file: str, line: int, name: str) -> Violation:
        """For a name as it was found, with its marks."""
        bare = name.removesuffix(IMPORTED).removesuffix(IN_MAIN)
        remark = ABOUT_MAIN if name.endswith(IN_MAIN) else ""
        return cls(file, line, bare, remark, _is_evasive(name) and not _is_built_in(bare))

    @property
    def is_built_in(self) -> bool:
        """Whether it is ready-made attention."""
        return _is_built_in(self.name)

    @property
    def is_unreadable(self) -> bool:
        """Whether it is that nothing can be said of the file."""
        return self.name.startswith(UNREADABLE)

    def __str__(self) -> str:
        remark = f" ({self.remark})" if self.remark else ""
        return f"{self.file}, line {self.line}: {self.name}{remark}"


def head_violations(source: str, file: str = HEAD.file) -> list[Violation]:
    """What attention.py uses beyond the list of question 3a."""
    return [
        Violation.of(file, line, name)
        for line, name in uses(source)
        if _is_built_in(name) or _is_outside_head(name) or _is_evasive(name)
    ]


def layer_violations(source: str, file: str = LAYER.file) -> list[Violation]:
    """Ready-made attention or indirect access, which no file behind a slot may use."""
    return [
        Violation.of(file, line, name)
        for line, name in uses(source)
        if _is_built_in(name) or _is_evasive(name)
    ]


def uses(source: str) -> list[tuple[int, str]]:
    """Every dotted name that the source uses or imports from, with its line, in order.

    Where it can't be read, that stands in the place of names.
    """
    try:
        tree = parsed(source)
        names = _Names(tree)
        names.visit(tree)
    except SyntaxError as problem:
        return [(problem.lineno or 1, f"{UNREADABLE}: {problem.msg}")]
    except (RecursionError, MemoryError):
        return [(1, TOO_DEEP)]
    except ValueError as problem:  # a zero byte, or half a character
        return [(1, f"{UNREADABLE}: {problem}")]
    return sorted(set(names.found))


def parsed(source: str) -> ast.Module:
    """A source's syntax tree. Raises SyntaxError, ValueError, RecursionError or MemoryError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of "\\d" and the like, which is no error
        return ast.parse(source)


def _is_built_in(name: str) -> bool:
    last = name.removesuffix(IN_MAIN).rpartition(".")[2]
    return last in BUILT_IN_ATTENTION and name.split(".")[0] in ("torch", "?")


def _is_outside_head(name: str) -> bool:
    if name.endswith(IN_MAIN):
        return False
    if name.startswith("torch.nn.functional."):
        return name.split(".")[3] not in HEAD_FUNCTIONS
    if name.startswith("torch.nn."):
        part = name.split(".")[2]
        return part[0] != "_" and part not in HEAD_LAYERS | NEUTRAL
    return name.split(".")[:2] in (["torch", "ops"], ["torch", "jit"], ["torch", "_C"])


def _is_evasive(name: str) -> bool:
    return name.startswith(UNREADABLE) or name.endswith(("()", IMPORTED, ".__dict__", "[by name]"))


class _Names(ast.NodeVisitor):
    """Collects dotted names, following aliases that imports and plain assignments make.

    A foreign module stands as "os [import]", an indirect call as "eval()".
    """

    def __init__(self, tree: ast.Module) -> None:
        self.aliases: dict[str, str] = {}
        self.found: list[tuple[int, str]] = []
        self._own = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))
        }
        self._bound = _bound_names(tree)
        self._renamed = any(gives_own_name(node) for node in ast.walk(tree))
        for node in ast.walk(tree):  # wherever they stand, also behind their use
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            self.aliases[bound] = alias.name if alias.asname else bound

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        for alias in node.names:
            if alias.name == "*" and module.startswith("torch"):
                for name in _public_names(module):
                    self.aliases.setdefault(name, f"{module}.{name}")
            self.aliases[alias.asname or alias.name] = f"{module}.{alias.name}"

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.split(".")[0] in FOREIGN_MODULES:
                self.found.append((node.lineno, f"{alias.name}{IMPORTED}"))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module.split(".")[0] in FOREIGN_MODULES:
            self.found.append((node.lineno, f"{module}{IMPORTED}"))
        for alias in node.names:  # used or not: another file may have it from here
            if module.split(".")[0] == "torch" and alias.name in BUILT_IN_ATTENTION:
                self.found.append((node.lineno, f"{module}.{alias.name}"))

    def visit_If(self, node: ast.If) -> None:
        if self._renamed or not is_main_guard(node.test):
            self.generic_visit(node)
            return
        before, self.found = self.found, []
        for statement in node.body:
            self.visit(statement)
        self.found = before + [
            (n, f"{name}{IN_MAIN}") for n, name in self.found if _is_built_in(name)
        ]
        for statement in node.orelse:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assign(target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign(node.target, node.value)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._assign(node.target, node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._dotted(node.func)
        if called in INDIRECT_CALLS and called not in self._bound:
            self.found.append((node.lineno, f"{called}()"))
        if called == "getattr" and node.args:
            target = self._dotted(node.args[0]) or ""
            if target.split(".")[0] == "torch":
                self.found.append((node.lineno, _got_by_name(target, node)))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._dotted(node)
        if name is not None and name.split(".")[0] == "torch":
            self.found.append((node.lineno, name))
        elif node.attr in BUILT_IN_ATTENTION and node.attr not in self._own:
            self.found.append((node.lineno, f"?.{node.attr}"))
        if name is None:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.aliases:
            self.found.append((node.lineno, self.aliases[node.id]))

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        name = self._dotted(value)
        if isinstance(target, ast.Name) and name is not None and name.startswith("torch"):
            self.aliases[target.id] = name

    def _dotted(self, node: ast.expr) -> str | None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        return ".".join([self.aliases.get(node.id, node.id), *reversed(parts)])


def _bound_names(tree: ast.Module) -> set[str]:
    """Names that the source itself gives a meaning: variables, arguments, functions."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and _is_store(n)}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return names | {
        n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))
    }


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _public_names(module: str) -> list[str]:
    """What a star import from one of torch's modules brings."""
    found = sys.modules.get(module)
    if type(found) is not ModuleType:  # torch.ops and the like make up names when asked
        return []
    return [name for name in vars(found) if not name.startswith("_")]


def _got_by_name(target: str, call: ast.Call) -> str:
    """The dotted name of getattr(target, "name"), where the name is written out."""
    if len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
        return f"{target}.{call.args[1].value!s}"
    return f"{target} [by name]"


def gives_own_name(node: ast.AST) -> bool:
    """Whether something may give `__name__` another value, so that a main block runs."""
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = node.id if isinstance(node, ast.Name) else node.attr
        return name == "__name__" and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Constant):
        return node.value == "__name__"
    named = (getattr(node, field, None) for field in ("name", "asname", "arg", "rest"))
    return "__name__" in named


def is_main_guard(test: ast.expr) -> bool:
    """`__name__ == "__main__"`, either way round, and nothing else."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or type(test.ops[0]) is not ast.Eq:
        return False
    sides = {ast.unparse(side) for side in (test.left, *test.comparators)}
    return sides == {"__name__", repr("__main__")}


def lines_of(violations: list[Violation]) -> Iterator[str]:
    """The first few violations, a line each."""
    for violation in violations[:5]:
        yield str(violation)
    if len(violations) > 5:
        yield f"… and {len(violations) - 5} more"
