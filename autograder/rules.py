"""What a slot's source may use, read as text: nothing here runs a student's code.

Names are followed through imports and aliases to their dotted form (`F.softmax` under
`import torch.nn.functional as F` is `torch.nn.functional.softmax`), so a rule is about what
is used and not about how it is spelled. Code under `if __name__ == "__main__":` never runs
while grading and is left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

# Question 3a: from torch.nn only Linear, Softmax and Dropout. A Module has to be subclassed,
# containers and Parameter compute nothing.
HEAD_LAYERS = frozenset({"Linear", "Softmax", "Dropout"})
NEUTRAL = frozenset(
    {"Module", "ModuleList", "ModuleDict", "Sequential", "Parameter", "ParameterList",
     "ParameterDict", "functional", "Identity", "init", "parameter"}
)  # fmt: skip
HEAD_FUNCTIONS = frozenset({"softmax", "dropout", "linear"})

# Ready-made attention under any of its names in torch, whatever module it is reached through.
BUILT_IN_ATTENTION = frozenset(
    {"scaled_dot_product_attention", "multi_head_attention_forward", "MultiheadAttention",
     "TransformerEncoderLayer", "TransformerEncoder", "TransformerDecoderLayer",
     "TransformerDecoder", "Transformer", "_scaled_dot_product_attention_math",
     "_scaled_dot_product_flash_attention_for_cpu", "_native_multi_head_attention",
     "flex_attention"}
)  # fmt: skip

# Ways to reach something without naming it, and modules that a network has no use for.
INDIRECT_CALLS = frozenset({"exec", "eval", "compile", "__import__", "globals", "vars"})
FOREIGN_MODULES = frozenset(
    {"importlib", "os", "sys", "subprocess", "socket", "ctypes", "inspect", "gc", "builtins",
     "pickle", "marshal", "threading", "multiprocessing", "signal", "shutil", "pathlib",
     "timm", "transformers", "torchvision", "xformers"}
)  # fmt: skip


@dataclass(frozen=True)
class Violation:
    """Something that a slot may not use: in which file, at which line, what."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.name}"


def head_violations(source: str, file: str = "attention.py") -> list[Violation]:
    """What attention.py uses beyond the list of question 3a. Empty for unreadable source."""
    return [
        Violation(file, line, name)
        for line, name in uses(source)
        if _is_built_in(name) or _is_outside_head(name) or _is_evasive(name)
    ]


def layer_violations(source: str, file: str = "encoder.py") -> list[Violation]:
    """Ready-made attention or indirect access in encoder.py. Empty for unreadable source."""
    return [
        Violation(file, line, name)
        for line, name in uses(source)
        if _is_built_in(name) or _is_evasive(name)
    ]


def uses(source: str) -> list[tuple[int, str]]:
    """Every dotted name that the source uses or imports from, with its line, in order."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    visitor = _Names()
    try:
        visitor.visit(tree)
    except RecursionError:
        return []
    return sorted(set(visitor.found))


def _is_built_in(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last in BUILT_IN_ATTENTION and name.split(".")[0] in ("torch", "?")


def _is_outside_head(name: str) -> bool:
    if name.startswith("torch.nn.functional."):
        return name.split(".")[3] not in HEAD_FUNCTIONS
    if name.startswith("torch.nn."):
        part = name.split(".")[2]
        return part[0] != "_" and part not in HEAD_LAYERS | NEUTRAL
    return name.split(".")[:2] in (["torch", "ops"], ["torch", "jit"], ["torch", "_C"])


def _is_evasive(name: str) -> bool:
    first = name.split(".")[0]
    return name in INDIRECT_CALLS or first in FOREIGN_MODULES or name == "getattr on torch"


class _Names(ast.NodeVisitor):
    """Collects dotted names, following aliases that imports and plain assignments make."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self.found: list[tuple[int, str]] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            self.aliases[bound] = alias.name if alias.asname else bound
            if alias.name.split(".")[0] in FOREIGN_MODULES:
                self.found.append((node.lineno, alias.name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module.split(".")[0] in FOREIGN_MODULES:
            self.found.append((node.lineno, module))
        for alias in node.names:
            if alias.name == "*" and module.startswith("torch"):
                for name in BUILT_IN_ATTENTION:
                    self.aliases[name] = f"{module}.{name}"
            self.aliases[alias.asname or alias.name] = f"{module}.{alias.name}"

    def visit_If(self, node: ast.If) -> None:
        if not _is_main_guard(node.test):
            self.generic_visit(node)
            return
        for statement in node.orelse:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        name = self._dotted(node.value)
        if name is not None and name.startswith("torch"):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    self.aliases[target.id] = name
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._dotted(node.func)
        if called == "getattr" and node.args:
            target = self._dotted(node.args[0]) or ""
            if target.split(".")[0] == "torch":
                self.found.append((node.lineno, _got_by_name(target, node)))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._dotted(node)
        if name is not None:
            self.found.append((node.lineno, name))
            return
        if node.attr in BUILT_IN_ATTENTION:
            self.found.append((node.lineno, f"?.{node.attr}"))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.found.append((node.lineno, self.aliases.get(node.id, node.id)))

    def _dotted(self, node: ast.expr) -> str | None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        return ".".join([self.aliases.get(node.id, node.id), *reversed(parts)])


def _got_by_name(target: str, call: ast.Call) -> str:
    """The dotted name of getattr(target, "name"), where the name is written out."""
    if len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
        return f"{target}.{call.args[1].value!s}"
    return "getattr on torch"


def _is_main_guard(test: ast.expr) -> bool:
    names = [part for part in ast.walk(test) if isinstance(part, ast.Name)]
    return isinstance(test, ast.Compare) and any(name.id == "__name__" for name in names)


def lines_of(violations: list[Violation]) -> Iterator[str]:
    """The first few violations, a line each."""
    for violation in violations[:5]:
        yield str(violation)
    if len(violations) > 5:
        yield f"… and {len(violations) - 5} more"
