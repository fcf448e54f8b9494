"""What attention.py and encoder.py may use, seen from their text. Used by check.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator

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


def forbidden_in_head(source: str) -> list[str]:
    """What attention.py uses and may not, each with its line. Raises SyntaxError."""
    return [
        found for node in nodes(ast.parse(source)) for found in (*_ready_made(node), *_layers(node))
    ]


def forbidden_in_layer(source: str) -> list[str]:
    """What encoder.py uses and may not, each with its line. Raises SyntaxError."""
    return [found for node in nodes(ast.parse(source)) for found in _ready_made(node)]


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything in the source but what stands under `if __name__ == "__main__":`."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and "__name__" in ast.unparse(child.test)):
            yield from nodes(child)


def _ready_made(node: ast.AST) -> Iterator[str]:
    """Attention that torch has ready-made, and modules that a network has no use for."""
    if not isinstance(node, ast.stmt | ast.expr):
        return
    for module, name in _imported(node):
        if module.split(".")[0] in FOREIGN or (module.startswith("torch") and name in READY_MADE):
            yield f"line {node.lineno}: {name if name in READY_MADE else module}"
    if isinstance(node, ast.Attribute) and node.attr in READY_MADE:
        yield f"line {node.lineno}: {node.attr}"


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
