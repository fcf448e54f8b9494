"""What check.py looks for, each as a function that returns or raises Problem."""

from __future__ import annotations

import csv
import importlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from provided.homework import Network
from provided.own_words import without_own_words
from provided.settings import in_words, layer_names
from provided.settings_rules import as_graded, bounds_of, problem_of
from provided.training import EPOCHS, Training

IN_WORDS = "q1d"  # the question that is answered in words
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)( */ *\d+(\.\d+)?)?")
NAMES_SHOWN = 4  # of parameters in one sentence
IMAGES = 4  # in a batch to try a model with
TOLERANCE = 1e-4  # of float32 sums of a few dozen numbers
HISTORY_COLUMNS = ("epoch", "train_loss", "validation_loss")
HISTORY_HEADER = "epoch,train_loss,validation_loss,train_accuracy,validation_accuracy"


class Problem(Exception):
    """Something to fix before you submit; one sentence."""


class ToDo(Problem):
    """Something that is still missing; one sentence."""


def read_answers(file: Path) -> dict[str, Any]:
    """answers.yaml as it stands."""
    if not file.exists():
        raise ToDo(f"{file.name} is missing.")
    try:
        text = file.read_text(encoding="utf-8-sig")
        rest, words = without_own_words(text, IN_WORDS)
        try:
            answers = yaml.safe_load(text)
        except yaml.MarkedYAMLError:
            answers = {**yaml.safe_load(rest), IN_WORDS: words} if words else yaml.safe_load(text)
    except yaml.MarkedYAMLError as problem:
        line = f" at line {problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise Problem(f"{file.name} is not valid YAML{line}: {problem.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError):
        raise Problem(f"{file.name} is not valid YAML: save it as plain text (UTF-8).") from None
    if not isinstance(answers, dict):
        raise Problem(f"{file.name} contains no questions.")
    if not isinstance(answers.get(IN_WORDS), str | None):
        answers[IN_WORDS] = words  # a list, a number: the words are those that you wrote
    return answers


def answered(answers: dict[str, Any], question: str, names: Sequence[str]) -> dict[str, Any]:
    """A question's answers, all of them filled in."""
    section = answers.get(question)
    found = section if isinstance(section, dict) else {}
    missing = [name for name in names if found.get(name) in (None, "")]
    if missing:
        raise ToDo(f"not answered yet in answers.yaml: {question}, {', '.join(missing)}.")
    return found


def need_whole(section: dict[str, Any], question: str, name: str) -> None:
    """An answer is a whole number."""
    if not is_whole(section[name]):
        raise Problem(f"{question}, {name}: write a whole number such as 12.")


def need_sizes(section: dict[str, Any], question: str, name: str) -> None:
    """An answer is a shape, a list of whole numbers."""
    value = section[name]
    parts = re.split(r"[x,]", value.strip("[]() ")) if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts or not all(is_whole(one) for one in parts):
        raise Problem(f"{question}, {name}: write a list of whole numbers such as [5, 3].")


def need_matrix(section: dict[str, Any], question: str, name: str) -> None:
    """An answer is a matrix, a list of rows of numbers."""
    rows = section[name]
    are_rows = isinstance(rows, list) and rows and all(isinstance(row, list) for row in rows)
    if not are_rows or not all(is_number(one) for row in rows for one in row):
        raise Problem(f"{question}, {name}: write a matrix such as [[1, 2], [3, 5/7]].")
    if len({len(row) for row in rows}) > 1:
        raise Problem(f"{question}, {name}: the rows of the matrix have different lengths.")


def need_word(section: dict[str, Any], question: str, name: str, words: Sequence[str]) -> None:
    """An answer is one of some words."""
    if str(section[name]).strip().lower() not in words:
        raise Problem(f"{question}, {name}: write one of {', '.join(words)}.")


def is_number(value: object) -> bool:
    """A number, also as text or as a fraction: 12, 1.5, '5/7'."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    return bool(NUMBER.fullmatch(plain(value)))


def plain(value: object) -> str:
    """A number as it is written, without separators between thousands."""
    return str(value).replace(",", "").replace("_", "").strip()


def is_whole(value: object) -> bool:
    """A whole number: 12, 12.0, '12'."""
    return (
        is_number(value) and "/" not in str(value) and float(str(value).replace(",", "")) % 1 == 0
    )


def student_module(name: str) -> ModuleType:
    """One of your files, imported."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        raise ToDo(f"{name}.py is missing.") from None


def attribute(name: str, module: ModuleType) -> Any:
    """What one of your files has to define."""
    if not hasattr(module, name):
        raise Problem(f"{module.__name__}.py defines no {name}.")
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
    is_pair = isinstance(results, tuple) and len(results) == 2
    if not is_pair or not all(isinstance(one, Tensor) for one in results):
        raise Problem(f"{name} should return two tensors: its output and the attention weights.")
    return results


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
    out.square().sum().backward()
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
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        raise Problem(f"{name} can't be read as a table.") from None
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
