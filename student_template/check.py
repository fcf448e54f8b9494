"""See in seconds whether your files have the shape that grading needs. This is not the grade.

    python check.py              everything
    python check.py 3a           one part: 1, 2a, 2b, 2c, 3a, 3b or 3c
    python check.py --zip        everything, then submission.zip with what you submit

It looks at rules, shapes, sizes and files; whether answers are right it neither knows nor says.
"""

from __future__ import annotations

import argparse
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from provided.artifacts import Folder, count_parameters, read_history

HERE = Path(__file__).resolve().parent
SUBMITTED = (
    "models.py",
    "attention.py",
    "encoder.py",
    "answers.yaml",
    "artifacts/fc/history.csv",
    "artifacts/cnn/history.csv",
    "artifacts/vit/history.csv",
    "artifacts/vit/weights.safetensors",
)
FULLY_CONNECTED_LAYERS = (nn.Flatten, nn.Linear, nn.ReLU, nn.Softmax, nn.Dropout)
CNN_LAYERS = (
    nn.Linear, nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d, nn.Dropout, nn.ReLU, nn.Softmax, nn.Flatten,
)  # fmt: skip
HEAD_LAYERS = (nn.Linear, nn.Softmax, nn.Dropout)
MAX_HIDDEN_UNITS = 200
MAX_PARAMETERS = 50_000
ANSWERS: dict[str, tuple[str, ...]] = {
    "q1a": ("parameters", "output_shape"),
    "q1b": ("parameters", "output_shape"),
    "q1c": ("first_average", "first_maximum", "second_average", "second_maximum"),
    "q2a": ("image_height", "image_width", "pixel_value", "training_images", "test_images"),
}
PIXEL_VALUES = ("intensity", "color", "label", "probability")


class Problem(Exception):
    """Something to mend before you submit; one sentence."""


def main() -> int:
    """The command line; returns 0 where nothing is to mend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=sorted(CHECKS), help="one part alone")
    parser.add_argument("--zip", action="store_true", help="make submission.zip")
    options = parser.parse_args()
    wanted = {options.part: CHECKS[options.part]} if options.part else CHECKS
    problems = sum(run(part, check) for part, check in sorted(wanted.items()))
    if options.zip:
        make_zip()
    print("\nThis is not the grade: it says nothing about right or wrong.")
    return 1 if problems else 0


def run(part: str, check: Callable[[], str]) -> bool:
    """Run one part's check and say what came of it; True where something is to mend."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(f"{part:3} ok    {check()}")
    except Problem as problem:
        print(f"{part:3} MEND  {problem}")
        return True
    except NotImplementedError:
        print(f"{part:3} TO DO this slot still raises NotImplementedError")
        return True
    except Exception as problem:
        print(f"{part:3} MEND  {type(problem).__name__}{where(problem)}: {problem}")
        return True
    return False


def where(problem: BaseException) -> str:
    """The last of your own lines that an exception passed through."""
    if isinstance(problem, SyntaxError):
        return f" in {Path(problem.filename or '?').name}, line {problem.lineno}"
    place, trace = "", problem.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.parent == HERE and file.name != Path(__file__).name:
            place = f" in {file.name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def check_answers() -> str:
    """answers.yaml can be read, and every question of 1 is answered."""
    answers = read_answers()
    for question in ("q1a", "q1b", "q1c"):
        need_all(answers, question)
    for question in ("q1a", "q1b"):
        need_whole(answers[question], question, "parameters")
        if not is_list_of_numbers(answers[question]["output_shape"]):
            raise Problem(f"{question}, output_shape: write a list such as [5, 3]")
    for name in ANSWERS["q1c"]:
        matrix = answers["q1c"][name]
        if not isinstance(matrix, list) or not all(is_list_of_numbers(row) for row in matrix):
            raise Problem(f"q1c, {name}: write a matrix such as [[1, 2], [3, 4/3]]")
    if not str(answers.get("q1d") or "").strip():
        raise Problem("q1d is still empty; a person reads it")
    return "every question has an answer of the right kind"


def check_data_answers() -> str:
    """The answers to 2a are there and of the right kind."""
    answers = read_answers()
    need_all(answers, "q2a")
    for name in ANSWERS["q2a"]:
        if name != "pixel_value":
            need_whole(answers["q2a"], "q2a", name)
    if answers["q2a"]["pixel_value"] not in PIXEL_VALUES:
        raise Problem(f"q2a, pixel_value: write one of {', '.join(PIXEL_VALUES)}")
    return "every question has an answer of the right kind"


def check_fully_connected() -> str:
    """Layers, sizes and shapes of the fully connected network."""
    import models

    model = models.build_fully_connected()
    layers = flat_layers(model)
    need_allowed(layers, FULLY_CONNECTED_LAYERS)
    need_logits(model)
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    units = sum(layer.out_features for layer in linear[:-1])
    if units > MAX_HIDDEN_UNITS:
        raise Problem(f"{units} hidden units, at most {MAX_HIDDEN_UNITS} are allowed")
    return f"{units} of {MAX_HIDDEN_UNITS} hidden units; {settings(models, 'FULLY_CONNECTED')}"


def check_cnn() -> str:
    """Layers, sizes and shapes of the convolutional network."""
    import models

    model = models.build_cnn()
    layers = flat_layers(model)
    need_allowed(layers, CNN_LAYERS)
    for kind in (nn.Dropout, nn.BatchNorm2d):
        if not any(type(layer) is kind for layer in layers):
            raise Problem(f"the network needs at least one {kind.__name__}")
    need_logits(model)
    counts = [(type(layer).__name__, count_parameters(layer)) for layer in layers]
    listed = ", ".join(f"{name} {count:,}" for name, count in counts if count)
    total = count_parameters(model)
    if total >= MAX_PARAMETERS:
        raise Problem(f"{total:,} parameters, fewer than {MAX_PARAMETERS:,} are allowed: {listed}")
    return f"{total:,} parameters ({listed}); {settings(models, 'CNN')}"


def check_head() -> str:
    """Shapes and general properties of the attention head."""
    from attention import SingleHeadAttention

    head = SingleHeadAttention(12, 5, 0.0).eval()
    for module in list(head.modules())[1:]:
        is_container = isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.Sequential))
        if not is_container and type(module) not in HEAD_LAYERS:
            raise Problem(
                f"the head contains {type(module).__name__}: use Linear, Softmax, Dropout"
            )
    biased = [name for name, _ in head.named_parameters() if name.endswith("bias")]
    if biased:
        raise Problem(f"no biases are allowed: {', '.join(biased)}")
    x = torch.randn(3, 7, 12, requires_grad=True)
    out, attention = two_results(head(x), "SingleHeadAttention")
    need_shape(out, (3, 7, 5), "the head's output")
    need_shape(attention, (3, 7, 7), "the attention weights")
    if not torch.allclose(attention.sum(dim=-1), torch.ones(3, 7), atol=1e-4):
        raise Problem("the rows of the attention weights don't sum to one")
    need_token_order(lambda tokens: two_results(head(tokens), "SingleHeadAttention")[0], x)
    need_gradients(head, out, x)
    return "shapes, rows, order of tokens, batches and gradients are in order"


def check_layer() -> str:
    """Shapes and general properties of the encoder layer."""
    from encoder import ViTLayer

    layer = ViTLayer(12, 3, 5, 20, 0.0).eval()
    x = torch.randn(2, 7, 12, requires_grad=True)
    out, attention = two_results(layer(x), "ViTLayer")
    need_shape(out, (2, 7, 12), "the layer's output")
    if tuple(attention.shape) not in ((2, 3, 7, 7), (3, 2, 7, 7)):
        raise Problem(f"the attention maps have shape {tuple(attention.shape)}, not (2, 3, 7, 7)")
    need_token_order(lambda tokens: two_results(layer(tokens), "ViTLayer")[0], x)
    need_gradients(layer, out, x)
    return "shapes, order of tokens, batches and gradients are in order"


def check_artifacts() -> str:
    """What your trainings left behind is there and readable."""
    for name in ("fc", "cnn", "vit"):
        folder = Folder(HERE / "artifacts" / name)
        if not folder.history.exists():
            raise Problem(f"artifacts/{name}/history.csv is missing: run python train.py {name}")
        try:
            epochs = read_history(folder.history)
        except (KeyError, TypeError, ValueError) as problem:
            raise Problem(f"artifacts/{name}/history.csv can't be read: {problem}") from None
        if not epochs:
            raise Problem(f"artifacts/{name}/history.csv holds no epochs")
    weights = Folder(HERE / "artifacts" / "vit").weights
    if not weights.exists():
        raise Problem("artifacts/vit/weights.safetensors is missing: run python train.py vit")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from provided.vision_transformer import VisionTransformer

    try:
        VisionTransformer().load_state_dict(load_file(weights))
    except SafetensorError as problem:
        raise Problem(f"artifacts/vit/weights.safetensors can't be read: {problem}") from None
    except RuntimeError:
        raise Problem("the weights don't fit your code any more: train again") from None
    return "three loss histories, and weights that fit your code"


CHECKS: dict[str, Callable[[], str]] = {
    "1": check_answers,
    "2a": check_data_answers,
    "2b": check_fully_connected,
    "2c": check_cnn,
    "3a": check_head,
    "3b": check_layer,
    "3c": check_artifacts,
}


def make_zip() -> None:
    """submission.zip with exactly the files that are graded."""
    present = [name for name in SUBMITTED if (HERE / name).exists()]
    with zipfile.ZipFile(HERE / "submission.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in present:
            archive.write(HERE / name, name)
    print("\nsubmission.zip holds:")
    for name in SUBMITTED:
        print(f"  {name}{'' if name in present else '   MISSING'}")


def read_answers() -> dict:
    """answers.yaml as it stands."""
    file = HERE / "answers.yaml"
    if not file.exists():
        raise Problem("answers.yaml is missing")
    try:
        answers = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else "?"
        raise Problem(f"answers.yaml is not valid YAML at line {line}") from None
    if not isinstance(answers, dict):
        raise Problem("answers.yaml holds no questions")
    return answers


def need_all(answers: dict, question: str) -> None:
    """Every answer of a question is filled in."""
    section = answers.get(question)
    missing = [
        name
        for name in ANSWERS[question]
        if not isinstance(section, dict) or section.get(name) in (None, "")
    ]
    if missing:
        raise Problem(f"{question}: not answered yet: {', '.join(missing)}")


def need_whole(section: dict, question: str, name: str) -> None:
    """An answer is a whole number."""
    if not isinstance(section[name], int) or isinstance(section[name], bool):
        raise Problem(f"{question}, {name}: write a whole number")


def is_list_of_numbers(value: object) -> bool:
    """A list of numbers or fractions."""
    return isinstance(value, list) and all(
        (isinstance(one, (int, float)) and not isinstance(one, bool))
        or (isinstance(one, str) and one.replace("/", "").replace(" ", "").isdigit())
        for one in value
    )


def flat_layers(model: object) -> list[nn.Module]:
    """The layers of a possibly nested nn.Sequential."""
    if not isinstance(model, nn.Sequential):
        raise Problem(f"the builder returns {type(model).__name__}, not an nn.Sequential")
    layers: list[nn.Module] = []
    for layer in model:
        layers += flat_layers(layer) if isinstance(layer, nn.Sequential) else [layer]
    return layers


def need_allowed(layers: list[nn.Module], allowed: tuple[type, ...]) -> None:
    """Only layers on the list."""
    outside = {type(layer).__name__ for layer in layers if type(layer) not in allowed}
    if outside:
        names = ", ".join(kind.__name__ for kind in allowed)
        raise Problem(f"{', '.join(sorted(outside))} not allowed; allowed are {names}")


def need_logits(model: nn.Module) -> None:
    """Images go in, ten numbers each come out."""
    model.eval()
    try:
        out = model(torch.zeros(4, 1, 28, 28))
    except (RuntimeError, ValueError) as problem:
        raise Problem(f"images (B, 1, 28, 28) don't pass through: {problem}") from None
    need_shape(out, (4, 10), "the model's output for 4 images")


def settings(models: object, name: str) -> str:
    """The training settings in a few words."""
    from provided.training import SCHEDULES, Training

    training = getattr(models, f"{name}_TRAINING", None)
    if not isinstance(training, Training):
        raise Problem(f"{name}_TRAINING in models.py should be a Training(...)")
    if training.schedule not in SCHEDULES:
        raise Problem(f"{name}_TRAINING: schedule should be one of {', '.join(SCHEDULES)}")
    return f"learning rate {training.learning_rate:g}, {training.schedule}"


def two_results(results: object, name: str) -> tuple[Tensor, Tensor]:
    """The output and the attention weights that a forward returns."""
    if not isinstance(results, tuple) or len(results) != 2 or results[1] is None:
        raise Problem(f"{name} should return two tensors: its output and the attention weights")
    return results


def need_shape(tensor: Tensor, shape: tuple[int, ...], what: str) -> None:
    """A tensor has this shape and finite values."""
    if tuple(tensor.shape) != shape:
        raise Problem(f"{what}: shape {tuple(tensor.shape)}, expected {shape}")
    if not torch.isfinite(tensor).all():
        raise Problem(f"{what} holds NaN or infinity")


def need_token_order(forward: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Tokens in another order give the same output in that order; images don't mix."""
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    if not torch.allclose(forward(x)[:, order], forward(x[:, order]), atol=1e-4):
        raise Problem("tokens in another order should give the same results in that order")
    if not torch.allclose(forward(x)[:1], forward(x[:1]), atol=1e-4):
        raise Problem("the result for one sequence depends on the others in the batch")


def need_gradients(module: nn.Module, out: Tensor, x: Tensor) -> None:
    """Every parameter, and the input, gets a gradient."""
    out.square().sum().backward()
    without = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    if x.grad is None or not x.grad.any():
        without.append("the input")
    if without:
        raise Problem(f"no gradient reaches {', '.join(without[:4])}")


if __name__ == "__main__":
    sys.exit(main())
