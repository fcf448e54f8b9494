"""Files of yours that Python takes for a module of the same name, such as random.py.

Importing this, before anything else, lets an error that ends a script name them. Nothing is
needed here but what Python loads before it looks into your folder.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NEEDED = {"matplotlib", "numpy", "PIL", "pypandoc", "safetensors", "torch", "tqdm", "typst", "yaml"}


def in_the_way(folder: str) -> list[str]:
    """The files and folders that would be imported in place of a module that is needed."""
    found = []
    for name in sorted(os.listdir(folder)):
        module = name.removesuffix(".py")
        is_module = module != name or os.path.exists(f"{folder}/{name}/__init__.py")
        if is_module and module in NEEDED | sys.stdlib_module_names:
            found.append(name)
    return found


def _told(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    if kind.__name__ == "UnreadableValues":  # says all that there is to say
        print(problem, file=sys.stderr)
        return
    sys.__excepthook__(kind, problem, trace)
    for name in in_the_way(HERE):
        module = name.removesuffix(".py")
        print(
            f"\n{name} in this folder is taken for the module {module}, which others need: "
            "give it another name.",
            file=sys.stderr,
        )


sys.excepthook = _told
