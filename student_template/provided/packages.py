"""Which packages the grader has, and which it lacks and takes the import of."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Collection, Iterator

from provided.homework import CODE_FILES

SUBMITTED_MODULES = frozenset(file.removesuffix(".py") for file in CODE_FILES)
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


def notes_on_imports(file: str, source: str, beside: Collection[str]) -> list[str]:
    """What to know about the packages that one of your files imports; nothing of most.

    beside: modules of your own in the same folder
    """
    return [
        f"{file} imports {name}, which the grader hasn't got: the import does no harm, but don't "
        "use it in what is graded."
        for name in dict.fromkeys(name for name, _ in imported(parsed(source)))
        if name in ABSENT and name not in beside
    ]


def lost_imports(file: str, source: str, beside: Collection[str]) -> list[str]:
    """What a file imports and will not find when it is graded; a sentence each.

    Nothing under `try:` or `if __name__ == "__main__":`, which may do without.
    """
    known = PRESENT | ABSENT | sys.stdlib_module_names | SUBMITTED_MODULES
    notes = []
    for name in dict.fromkeys(name for name, needed in imported(parsed(source)) if needed):
        if name in beside and name not in SUBMITTED_MODULES | {"provided"}:
            notes.append(
                f"{file} imports {name}, a file that isn't submitted: move what you need of it "
                f"into {file}."
            )
        elif name not in known:
            notes.append(
                f"{file} imports {name}, which the grader hasn't got: it can't be graded so."
            )
    return notes


def parsed(source: str) -> ast.Module:
    """A file's text; nothing where it can't be read as Python, which its own check tells."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


def imported(tree: ast.AST, needed: bool = True) -> Iterator[tuple[str, bool]]:
    """The packages that a file imports, wherever in it; and whether it can't do without."""
    if isinstance(tree, ast.Import):
        yield from ((one.name.partition(".")[0], needed) for one in tree.names)
    elif isinstance(tree, ast.ImportFrom) and tree.module and not tree.level:
        yield tree.module.partition(".")[0], needed
    is_main = isinstance(tree, ast.If) and "__name__" in ast.unparse(tree.test)
    for child in ast.iter_child_nodes(tree):
        yield from imported(child, needed and not is_main and not isinstance(tree, ast.Try))
