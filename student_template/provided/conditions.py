"""What check.py looks for, each as a function that returns or raises Problem."""

from __future__ import annotations

import csv
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from provided.history import read_rows
from provided.homework import CODE_FILES, Network
from provided.near_names import definition_like
from provided.problems import Problem as Problem
from provided.problems import Remark as Remark
from provided.problems import ToDo as ToDo
from provided.problems import why_missing
from provided.settings import in_words, layer_names
from provided.settings_rules import as_graded, bounds_of, problem_of
from provided.training import EPOCHS, Training

CHANGED_IN_PLACE = (
    "a tensor that backward still needs is changed in place, as by x += ... or relu_(); make a "
    "new one, x = x + ..."
)
NAMES_SHOWN = 4  # of parameters in one sentence
IMAGES = 4  # in a batch to try a model with
TOLERANCE = 1e-4  # of float32 sums of a few dozen numbers
HISTORY_COLUMNS = ("epoch", "train_loss", "validation_loss")
HISTORY_HEADER = "epoch,train_loss,validation_loss,train_accuracy,validation_accuracy"


def student_module(name: str, notes: Sequence[str] = ()) -> ModuleType:
    """One of your files, imported; `notes` may say why it isn't there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if f"{missing.name}.py" not in CODE_FILES:
            raise
        raise ToDo(why_missing(f"{missing.name}.py", notes)) from None


def attribute(name: str, module: ModuleType) -> Any:
    """What one of your files has to define."""
    if not hasattr(module, name):
        file = f"{module.__name__}.py"
        loader = getattr(module.__spec__, "loader", None)
        source = loader.get_source(module.__name__) if loader else ""
        near = definition_like(name, source or "")
        found = f" {file} has {near}: call it {name}." if near else ""
        raise Problem(f"{file} defines no {name}.{found}")
    return getattr(module, name)


def need_settings(settings: object, network: Network, model: nn.Module) -> str:
    """A Training(...) that can be trained with."""
    if not isinstance(settings, Training):
        raise Problem(f"{network.settings} in models.py should be a Training(...).")
    bounds = bounds_of(network.kind)
    problem = problem_of(settings, network.settings, bounds, layer_names(model))
    if problem is not None:
        raise Problem(problem)
    settings, notes = as_graded(settings, bounds)
    return " ".join([in_words(settings), *(f"({note})" for note in notes)])


def two_results(results: object, name: str) -> tuple[Tensor, Tensor]:
    """The output and the attention weights that a forward returns."""
    pair = results if isinstance(results, tuple) and len(results) == 2 else (None, None)
    out, attention = pair
    if not isinstance(out, Tensor) or not isinstance(attention, Tensor):
        raise Problem(f"{name} should return two tensors: its output and the attention weights.")
    return out, attention


def need_shape(tensor: object, shape: tuple[int, ...], what: str) -> None:
    """A tensor of this shape and finite values."""
    if not isinstance(tensor, Tensor):
        raise Problem(f"{what} is {type(tensor).__name__}, not a tensor.")
    if tuple(tensor.shape) != shape:
        raise Problem(f"{what} has shape {tuple(tensor.shape)}, expected {shape}.")
    if not torch.isfinite(tensor).all():
        raise Problem(f"{what} contains NaN or infinity.")


def need_probabilities(weights: Tensor, what: str) -> None:
    """Rows of attention weights: none negative, sums of one."""
    if bool((weights < -TOLERANCE).any()):
        raise Problem(f"some of {what} are negative.")
    sums = weights.sum(dim=-1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise Problem(f"the rows of {what} don't sum to one.")


def need_token_order(forward: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Tokens in another order give the same results in that order; sequences don't mix."""
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(1))
    if not torch.allclose(forward(x)[:, order], forward(x[:, order]), atol=TOLERANCE):
        raise Problem("reordering the tokens should reorder the results in the same way.")
    if not torch.allclose(forward(x)[:1], forward(x[:1]), atol=TOLERANCE):
        raise Problem("the result for one sequence depends on the others in the batch.")


def need_silent_in_eval(module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """In evaluation mode nothing is left to chance."""
    module.eval()
    if not torch.equal(forward(x), forward(x)):
        raise Problem("two passes in evaluation mode differ: dropout should be off there.")


def need_dropout(module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """In training mode dropout has an effect."""
    module.train()
    if torch.equal(forward(x), forward(x)):
        raise Problem("with dropout=0.5, two passes in training mode give the same result.")


def need_gradients(
    module: nn.Module,
    out: Tensor,
    x: Tensor | None = None,
    unused: Sequence[str] = (),
) -> None:
    """Every parameter that does something, and the input, gets a gradient.

    A single number without one, such as a scale that is kept as a parameter, is a constant.
    """
    if not out.requires_grad:
        raise Problem("no gradient flows at all: something cuts off the output.")
    try:
        out.square().sum().backward()
    except RuntimeError as problem:
        if "inplace operation" not in str(problem):
            raise
        raise Problem(CHANGED_IN_PLACE) from None
    without = [
        name
        for name, p in module.named_parameters()
        if (p.grad is None or not p.grad.any()) and p.numel() != 1 and name not in unused
    ]
    if x is not None and (x.grad is None or not x.grad.any()):
        without.append("the input")
    if without:
        raise Problem(f"no gradient reaches {', '.join(without[:4])}.")


def unused_parameters(
    module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor
) -> list[str]:
    """Names of parameters that do nothing: with other values, the result is the same."""
    unused = []
    with torch.no_grad():
        before = forward(x)
        for name, value in module.named_parameters():
            kept = value.clone()
            value.add_(torch.randn_like(value))
            if torch.equal(forward(x), before):
                unused.append(name)
            value.copy_(kept)
    return unused


def need_used(
    module: nn.Module, unused: Sequence[str], needed: Mapping[tuple[int, ...], int]
) -> None:
    """Nothing that is needed was made and then forgotten.

    needed: numbers that parameters of a shape, either way round, must hold together
    """
    for shape, numbers in needed.items():
        alike = {n: p for n, p in module.named_parameters() if sorted(p.shape) == sorted(shape)}
        forgotten = [name for name in alike if name in unused]
        used = sum(value.numel() for name, value in alike.items() if name not in unused)
        if forgotten and used < numbers:
            raise Problem(f"no result depends on {names_in_short(forgotten)}: is it forgotten?")


def names_in_short(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def need_history(file: Path, model: str) -> str:
    """A readable loss history of both sets."""
    name = f"artifacts/{model}/{file.name}"
    if not file.exists():
        raise ToDo(f"{name} is missing: run python train.py {model}.")
    try:
        rows = read_rows(file)
    except (UnicodeDecodeError, csv.Error):
        raise Problem(f"{name} can't be read as a table.") from None
    except OSError as problem:
        raise Problem(f"{name} can't be read: {problem.strerror}.") from None
    if not rows:
        raise Problem(f"{name} contains no epochs.")
    missing = [column for column in HISTORY_COLUMNS if column not in rows[0]]
    if missing:
        raise Problem(f"{name} has no column {', '.join(missing)}; expected {HISTORY_HEADER}.")
    for number, row in enumerate(rows, start=1):
        for column in HISTORY_COLUMNS:
            if not is_finite(row[column]):
                raise Problem(f"{name}, row {number}: {column} is not a number.")
    if [float(row["epoch"]) for row in rows] != list(range(1, len(rows) + 1)):
        raise Problem(f"{name}: the epochs are not numbered 1, 2, 3 and so on.")
    shorter = f", of {EPOCHS}: fine" if len(rows) < EPOCHS else ""
    return f"loss history of {len(rows)} epoch{'s' if len(rows) > 1 else ''}{shorter}"


def is_finite(text: str | None) -> bool:
    """Text that says a finite number."""
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False


def need_weights(model: nn.Module, file: Path) -> None:
    """Weights that can be read and fit the model; loads them."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    name = "artifacts/vit/weights.safetensors"
    if not file.exists():
        raise ToDo(f"{name} is missing: run python train.py vit.")
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError):
        raise Problem(f"{name} can't be read: train again to rewrite it.") from None
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise Problem(f"{name} no longer fits your code: train again.") from None
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise Problem(f"{name} contains NaN or infinity: train again.")
