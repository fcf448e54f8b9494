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

from provided.mnist import CLASSES, IMAGE_SIZE
from provided.training import BATCH_SIZE, EPOCHS, LEAST_DROPOUT, SCHEDULES, Training

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
        answers = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except yaml.MarkedYAMLError as problem:
        line = f" at line {problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise Problem(f"{file.name} is not valid YAML{line}: {problem.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Problem(f"{file.name} is not valid YAML: save it as plain text (UTF-8).") from None
    if not isinstance(answers, dict):
        raise Problem(f"{file.name} contains no questions.")
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
        raise Problem(f"{question}, {name}: write a matrix such as [[1, 2], [3, 4/3]].")
    if len({len(row) for row in rows}) > 1:
        raise Problem(f"{question}, {name}: the rows of the matrix have different lengths.")


def need_word(section: dict[str, Any], question: str, name: str, words: Sequence[str]) -> None:
    """An answer is one of some words."""
    if str(section[name]).strip().lower() not in words:
        raise Problem(f"{question}, {name}: write one of {', '.join(words)}.")


def is_number(value: object) -> bool:
    """A number, also as text or as a fraction: 12, 1.5, '4/3'."""
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


def flat_layers(model: object) -> list[nn.Module]:
    """The layers of a possibly nested nn.Sequential."""
    if not isinstance(model, nn.Sequential):
        raise Problem(f"the builder returns {type(model).__name__}, not an nn.Sequential.")
    layers: list[nn.Module] = []
    for layer in model:
        layers += flat_layers(layer) if type(layer) is nn.Sequential else [layer]
    return layers


def need_allowed(layers: Sequence[nn.Module], allowed: Sequence[type[nn.Module]]) -> None:
    """Only layers on the list."""
    outside = sorted({type(layer).__name__ for layer in layers if type(layer) not in allowed})
    if outside:
        names = ", ".join(kind.__name__ for kind in allowed)
        raise Problem(f"{', '.join(outside)} not allowed here; allowed are {names}.")


def need_few_units(model: nn.Module, layers: Sequence[nn.Module], most: int) -> str:
    """All Linear layers but the last put out few numbers for one image."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    put_out: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: put_out.append(out[0].numel()))
        for layer in linear[:-1]
    ]
    first = next(iter(layers), None)
    flat = isinstance(first, nn.Linear) and first.in_features == IMAGE_SIZE**2
    shape = (IMAGE_SIZE**2,) if flat else (1, IMAGE_SIZE, IMAGE_SIZE)
    try:
        model.eval()(torch.zeros(1, *shape))
    except (RuntimeError, ValueError, IndexError):  # need_logits says what is wrong
        put_out = [layer.out_features for layer in linear[:-1]]
    finally:
        for hook in hooks:
            hook.remove()
    units = sum(put_out)
    if units > most:
        rows = units > sum(layer.out_features for layer in linear[:-1])
        why = " A Linear before Flatten has its units for each row of the image." if rows else ""
        raise Problem(f"{units:,} hidden units; at most {most} are allowed.{why}")
    return f"{units} hidden units of at most {most}"


def need_dropping(layers: Sequence[nn.Module]) -> None:
    """A Dropout, where there is one, that drops something."""
    shares = [layer.p for layer in layers if type(layer) is nn.Dropout]
    if shares and max(shares) < LEAST_DROPOUT:
        raise Problem(f"the Dropout drops nothing: its probability is {max(shares):g}.")


def need_logits(model: nn.Module) -> str:
    """Images go in, ten numbers for each come out, whatever else is in the batch."""
    model.eval()
    images = torch.rand(IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE)
    said = f"images (B, 1, {IMAGE_SIZE}, {IMAGE_SIZE}) give (B, {CLASSES})"
    try:
        out = model(images)
    except (RuntimeError, ValueError, IndexError) as problem:
        first = next(model.children(), None)
        if not isinstance(first, nn.Linear) or first.in_features != IMAGE_SIZE**2:
            text = str(problem).splitlines()[0]
            raise Problem(f"images (B, 1, 28, 28) don't pass through the model: {text}") from None
        images = images.flatten(1)
        out = model(images)
        said = f"flat images (B, {IMAGE_SIZE**2}) give (B, {CLASSES}); train.py needs a Flatten"
    need_shape(out, (IMAGES, CLASSES), f"the model's output for {IMAGES} images")
    if not torch.allclose(out[:1], model(images[:1]), atol=TOLERANCE):
        raise Problem("the result for one image depends on the others in the batch.")
    need_gradients(model, out)
    return f"{said}, gradients reach every parameter"


def need_settings(settings: object, name: str) -> str:
    """A Training(...) within what the homework fixes."""
    if not isinstance(settings, Training):
        raise Problem(f"{name} in models.py should be a Training(...).")
    if not is_positive(settings.learning_rate):
        raise Problem(f"{name}: learning_rate should be a positive number.")
    if settings.schedule not in SCHEDULES:
        raise Problem(f"{name}: schedule should be one of {', '.join(SCHEDULES)}.")
    if settings.batch_size != BATCH_SIZE:
        raise Problem(f"{name}: batch_size is {BATCH_SIZE} in this homework.")
    if settings.epochs not in range(1, EPOCHS + 1):
        raise Problem(f"{name}: epochs should be from 1 to {EPOCHS}.")
    return f"learning rate {settings.learning_rate:g}, {settings.schedule.replace('_', ' ')}"


def is_positive(value: object) -> bool:
    """A number above zero."""
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and value > 0


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
