"""What attention.py and encoder.py may use, seen from their text. Used by check.py."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from provided.homework import values

HEAD_LAYERS: tuple[str, ...] = tuple(values()["head"]["allowed_layers"])
HEAD_FUNCTIONS = tuple(name.lower() for name in HEAD_LAYERS)
CONTAINERS = (
    "Module",
    "ModuleList",
    "ModuleDict",
    "Sequential",
    "Identity",
    "Parameter",
    "ParameterList",
    "ParameterDict",
    "functional",
    "init",
    "parameter",
)
READY_MADE = (
    "MultiheadAttention",
    "Transformer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
    "flex_attention",
)
FOREIGN = ("os", "sys", "subprocess", "importlib", "torchvision", "timm", "transformers")
NN = ("nn", "torch.nn")
FUNCTIONAL = ("F", "functional", "nn.functional", "torch.nn.functional")


def forbidden_in_head(source: str | bytes) -> list[str]:
    """What attention.py uses and may not, each with its line. Raises SyntaxError."""
    return _found(source, lambda node, in_main: () if in_main else _layers(node))


def forbidden_in_layer(source: str | bytes) -> list[str]:
    """What encoder.py uses and may not, each with its line. Raises SyntaxError."""
    return _found(source, lambda node, in_main: ())


def _found(source: str | bytes, besides: Callable[[ast.AST, bool], Iterable[str]]) -> list[str]:
    """What no file may use, and what is forbidden besides."""
    try:
        return [
            found
            for node, in_main in nodes(ast.parse(source))
            for found in (*_ready_made(node, in_main), *besides(node, in_main))
        ]
    except RecursionError:
        return ["an expression is nested too deeply to be searched"]


def nodes(tree: ast.AST, in_main: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Everything in the source, and whether it stands under `if __name__ == "__main__":`."""
    yield tree, in_main
    for child in ast.iter_child_nodes(tree):
        is_main = isinstance(child, ast.If) and "__name__" in ast.unparse(child.test)
        yield from nodes(child, in_main or is_main)


def _ready_made(node: ast.AST, in_main: bool) -> Iterator[str]:
    """Attention that torch has ready-made, and modules that a network has no use for.

    The main block may use other modules, but no ready-made attention: that rule covers the file.
    """
    if not isinstance(node, ast.stmt | ast.expr):
        return
    place = " (also under if __name__ == '__main__')" if in_main else ""
    for module, name in _imported(node):
        if module.startswith("torch") and name in READY_MADE:
            yield f"line {node.lineno}: {name}{place}"
        elif module.split(".")[0] in FOREIGN and not in_main:
            yield f"line {node.lineno}: {module}"
    if isinstance(node, ast.Attribute) and node.attr in READY_MADE:
        yield f"line {node.lineno}: {node.attr}{place}"


def _layers(node: ast.AST) -> Iterator[str]:
    """Parts of torch.nn that question 3a doesn't list."""
    if not isinstance(node, ast.stmt | ast.expr):
        return
    used = list(_imported(node))
    if isinstance(node, ast.Attribute):
        used.append((ast.unparse(node.value), node.attr))
    for module, name in used:
        listed = (
            (*HEAD_LAYERS, *CONTAINERS)
            if module in NN
            else HEAD_FUNCTIONS
            if module in FUNCTIONAL
            else None
        )
        if listed is not None and name not in (*listed, *READY_MADE):
            yield f"line {node.lineno}: {module}.{name}"


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of everything that an import statement brings."""
    if isinstance(node, ast.ImportFrom):
        yield from ((node.module or "", alias.name) for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] in FOREIGN)
