"""Definitions out of a notebook, for those who hand it in instead of the code files.

Its code cells are read as text and never run: what the slots need is kept (functions,
classes, constants, imports, each in its last version), experiments are left out. A cell that
begins with `%%writefile NAME` is that file.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

SLOTS = {
    "models.py": (
        "build_fully_connected", "FULLY_CONNECTED_TRAINING", "build_cnn", "CNN_TRAINING",
    ),
    "attention.py": ("SingleHeadAttention",),
    "encoder.py": ("ViTLayer", "TransformerEncoderLayer"),
}  # fmt: skip
WRITABLE = frozenset({*SLOTS, "answers.yaml"})
MAX_BYTES = 20 << 20  # outputs and pictures included
MAX_CELLS = 2_000
MAX_CODE = 400_000  # characters of all code cells together
MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?{1,2})$")
HARMLESS_MAGICS = frozenset({"%%time", "%%timeit", "%%capture", "%%prun"})


class NotebookError(Exception):
    """The file is no notebook that can be read; says why."""


@dataclass(frozen=True)
class _Definition:
    """A statement that binds names, where it stands, and the names that it needs."""

    order: int
    cell: int
    text: str
    needs: frozenset[str]
    imported: bool


@dataclass
class Notebook:
    """What a notebook offers: whole files, definitions by name, and what couldn't be read."""

    written: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, _Definition] = field(default_factory=dict)
    unreadable: list[int] = field(default_factory=list)

    def file(self, name: str) -> str | None:
        """The text of a code file: as it was written, or put together; None where it has none."""
        if name in self.written:
            return self.written[name]
        slots = [slot for slot in SLOTS.get(name, ()) if self._defines(slot)]
        if not slots:
            return None
        elsewhere = {
            slot: f"from {file.removesuffix('.py')} import {slot}"
            for file, names in SLOTS.items()
            for slot in names
            if file != name and self._defines(slot)
        }
        imported: list[str] = []
        needed: dict[int, _Definition] = {}
        stars = [one for one in self.definitions if one.startswith("*")]
        waiting, seen = [*slots, *stars], set[str]()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if one in elsewhere:
                imported.append(elsewhere[one])
            elif one in self.definitions:
                definition = self.definitions[one]
                needed[definition.order] = definition
                waiting += definition.needs
        in_order = [one for _, one in sorted(needed.items())]
        imports = dict.fromkeys([*sorted(imported), *(o.text for o in in_order if o.imported)])
        texts = dict.fromkeys((one.cell, one.text) for one in in_order if not one.imported)
        parts = ["\n".join(imports), *(f"# cell {cell}\n{text}" for cell, text in texts)]
        return "\n\n\n".join(part for part in parts if part) + "\n"

    def _defines(self, slot: str) -> bool:
        return slot in self.definitions and not self.definitions[slot].imported

    def add(self, name: str, new: _Definition) -> None:
        """The latest definition of a name counts; `import a.b` doesn't undo `import a.c`."""
        old = self.definitions.get(name)
        if old is not None and old.text.startswith("import ") and new.text.startswith("import "):
            both = "\n".join(dict.fromkeys([*old.text.splitlines(), new.text]))
            new = replace(new, text=both)
        self.definitions[name] = new


def read_notebook(content: bytes) -> Notebook:
    """What the code cells of an .ipynb file define. Raises NotebookError."""
    notebook = Notebook()
    order = 0
    for number, source in _code_cells(content):
        first, _, rest = source.partition("\n")
        if first.startswith("%%"):
            words = first.split()
            if words[0] == "%%writefile" and words[-1] in WRITABLE:
                notebook.written[words[-1]] = rest
                continue
            if words[0] not in HARMLESS_MAGICS:
                continue
            source = rest
        source = "\n".join(_without_magic(line) for line in source.split("\n"))
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            notebook.unreadable.append(number)
            continue
        lines = source.split("\n")
        for node in tree.body:
            imported = isinstance(node, ast.Import | ast.ImportFrom)
            needs = frozenset[str]() if imported else _free(node)
            for name, text in _bindings(node, lines):
                order += 1
                notebook.add(name, _Definition(order, number, text, needs, imported))
    return notebook


def is_stub(text: str) -> bool:
    """Whether a code file is still as the template has it: every function only raises."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return bool(functions) and all(
        isinstance(one.body[-1], ast.Raise)
        and one.body[-1].exc is not None
        and ast.unparse(one.body[-1].exc).startswith("NotImplementedError")
        for one in functions
    )


def _code_cells(content: bytes) -> Iterator[tuple[int, str]]:
    """Number, from 1, and source of each code cell."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError, MemoryError) as problem:
        raise NotebookError("it is not a notebook: no valid JSON") from problem
    cells = whole.get("cells") if isinstance(whole, dict) else None
    if not isinstance(cells, list):
        raise NotebookError("it is not a notebook: it has no cells")
    total = 0
    for number, cell in enumerate(cells[:MAX_CELLS], start=1):
        source = _source_of(cell)
        total += len(source)
        if total > MAX_CODE:
            raise NotebookError(f"its code has more than {MAX_CODE:,} characters")
        if source:
            yield number, source


def _source_of(cell: Any) -> str:
    """The source of a code cell, empty for any other; as one text, however it is stored."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return ""
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    return source if isinstance(source, str) else ""


def _without_magic(line: str) -> str:
    """The line, or `pass` where it is for the notebook and not for Python."""
    match = MAGIC.match(line)
    return f"{match[1]}pass" if match else line


def _bindings(node: ast.stmt, lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each name that a statement at the top of a cell defines, and the text that defines it."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            renamed = f" as {alias.asname}" if alias.asname else ""
            yield alias.asname or alias.name.split(".")[0], f"import {alias.name}{renamed}"
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            renamed = f" as {alias.asname}" if alias.asname else ""
            name = f"*{module}" if alias.name == "*" else alias.asname or alias.name
            if module != "__future__":
                yield name, f"from {module} import {alias.name}{renamed}"
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, _text(node, lines)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [name.id for target in targets for name in _names(target)]
        for name in names:
            yield name, _text(node, lines)


def _names(target: ast.expr) -> Iterator[ast.Name]:
    """The plain names of an assignment's target: of `a, b = …` both, of `a.b = …` none."""
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _names(part)


def _text(node: ast.stmt, lines: list[str]) -> str:
    """A statement's source, decorators included."""
    decorators: Iterable[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)])
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return ast.unparse(node)  # others may share its lines, as in `a = 1; train()`
    return "\n".join(lines[first - 1 : node.end_lineno])


def _free(node: ast.stmt) -> frozenset[str]:
    """Names that a definition uses and doesn't bind itself."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        bound = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)} | {
            n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        outside = {
            n.id
            for part in (*node.decorator_list, *node.args.defaults, node.returns)
            if part is not None
            for n in ast.walk(part)
            if isinstance(n, ast.Name)
        }
        return frozenset(used - bound | outside)
    if isinstance(node, ast.ClassDef):
        inside = [_free(one) for one in node.body]
        outside_body = (*node.bases, *node.decorator_list, *(word.value for word in node.keywords))
        named = {n.id for part in outside_body for n in ast.walk(part) if isinstance(n, ast.Name)}
        return frozenset(named).union(*inside)
    return frozenset(
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    )
