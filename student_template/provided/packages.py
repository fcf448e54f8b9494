"""Which packages the grader has, and which it lacks and takes the import of."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PRESENT = frozenset({"numpy", "provided", "torch", "yaml"})
ABSENT = frozenset(  # people import these out of habit
    """
    IPython PIL cv2 einops google graphviz ipywidgets jax joblib keras kornia lightning
    matplotlib mpl_toolkits nltk opt_einsum pandas plotly psutil pytorch_lightning requests
    rich scipy seaborn skimage sklearn tabulate tensorboard tensorboardX tensorflow timm
    torchaudio torchinfo torchmetrics torchsummary torchtext torchvision torchviz tqdm
    transformers wandb
    """.split()  # noqa: SIM905  a list of so many is hard to read
)


def notes_on_imports(file: Path) -> list[str]:
    """What to know about the packages that one of your files imports; nothing of most."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    own = {other.stem for other in file.parent.glob("*.py")}
    known = PRESENT | sys.stdlib_module_names | own
    notes = []
    for name in dict.fromkeys(imported(tree)):
        if name in ABSENT:
            notes.append(
                f"{file.name} imports {name}, which the grader hasn't got: the import does no "
                "harm, but don't use it in what is graded."
            )
        elif name not in known:
            notes.append(
                f"{file.name} imports {name}, which the grader hasn't got: it can't be graded so."
            )
    return notes


def imported(tree: ast.Module) -> Iterator[str]:
    """The packages that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
