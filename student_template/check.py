"""Check in seconds whether your files have the form that grading needs. This is not the grade.

    python check.py              everything
    python check.py 3a           one part or several; 3 stands for 3a, 3b and 3c
    python check.py --zip        everything, then submission.zip with what you submit

It checks rules, shapes, sizes and files. It doesn't know whether your answers are right.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from provided.artifacts import Folder, count_parameters
from provided.conditions import (
    Problem,
    ToDo,
    answered,
    attribute,
    names_in_short,
    need_dropout,
    need_gradients,
    need_history,
    need_matrix,
    need_probabilities,
    need_settings,
    need_shape,
    need_silent_in_eval,
    need_sizes,
    need_token_order,
    need_used,
    need_weights,
    need_whole,
    need_word,
    read_answers,
    student_module,
    two_results,
    unused_parameters,
)
from provided.experiments import in_short, layer_in_short
from provided.homework import (
    ANSWERS_FILE,
    ARTIFACTS_FOLDER,
    CNN,
    CODE_FILES,
    FULLY_CONNECTED,
    HEAD,
    LAYER,
    OPTIONAL,
    PARTS,
    SUBMITTED,
    TRANSFORMER,
    values,
)
from provided.layers import (
    flat_layers,
    need_allowed,
    need_dropping,
    need_few_units,
    need_logits,
    sized,
)
from provided.packages import notes_on_imports
from provided.slots import layer_name, place_of, still_to_write
from provided.source_rules import CONTAINERS, HEAD_LAYERS, forbidden_in_head, forbidden_in_layer

HERE = Path(__file__).resolve().parent
POOLED = ("first_average", "first_maximum", "second_average", "second_maximum")
COUNTS = ("image_height", "image_width", "training_images", "test_images")
PIXEL_VALUES = ("intensity", "color", "label", "probability")

Check = Callable[[], Iterator[str]]  # yields what holds, raises Problem at what doesn't


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0 if there is nothing to do or to fix."""
    options = parse(arguments)
    asked = tuple(options.parts)
    parts = [part for part in CHECKS if not asked or part.startswith(asked)]
    problems = sum(run(part, CHECKS[part]) for part in parts)
    files = {file for part in parts for file in PARTS[part].files if file in CODE_FILES}
    for note in [note for file in sorted(files) for note in notes_on_imports(HERE / file)]:
        say("", "note", note)
    if options.zip or not asked:
        problems += show_files()
    if options.zip:
        make_zip()
    print()
    if problems:
        print(f"{problems} thing{'s' if problems > 1 else ''} to do or fix.", end=" ")
    print("This is not the grade: it doesn't say whether your answers are right.")
    return 1 if problems else 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", type=str.lower, help="parts such as 3a, or 3 for 3a, 3b and 3c"
    )
    parser.add_argument("--zip", action="store_true", help="make submission.zip as well")
    options = parser.parse_args(arguments)
    for part in options.parts:
        if not any(known.startswith(part) for known in CHECKS):
            parser.error(f"there is no part {part}; parts are {', '.join(CHECKS)}")
    return options


def run(part: str, check: Check) -> bool:
    """Run one part's check and say what came of it; True where something is to do."""
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for fact in check():
                say(part, "ok", fact)
    except Problem as problem:
        say(part, "TO DO" if isinstance(problem, ToDo) else "FIX", str(problem))
        return True
    except (Exception, SystemExit) as problem:  # noqa: BLE001  your code's own
        slot = still_to_write(problem)
        if slot is not None:
            say(part, "TO DO", f"write {slot}.")
        else:
            place = place_of(problem)
            text = str(problem).splitlines()[0] if str(problem) else "no message"
            say(part, "FIX", f"{type(problem).__name__}{f' in {place}' if place else ''}: {text}")
        return True
    return False


def say(part: str, state: str, text: str) -> None:
    """A line of the report."""
    print(f"{part:3} {state:5} {text}")


def check_convolution(question: str) -> Iterator[str]:
    """Questions 1a and 1b: a number and a shape."""
    answers = answered(read_answers(HERE / ANSWERS_FILE), question, ("parameters", "output_shape"))
    need_whole(answers, question, "parameters")
    need_sizes(answers, question, "output_shape")
    yield "answered"


def check_pooling() -> Iterator[str]:
    """Question 1c: four matrices."""
    answers = answered(read_answers(HERE / ANSWERS_FILE), "q1c", POOLED)
    for name in POOLED:
        need_matrix(answers, "q1c", name)
    yield "answered"


def check_text() -> Iterator[str]:
    """Question 1d: some text."""
    text = read_answers(HERE / ANSWERS_FILE).get("q1d")
    if not isinstance(text, str) or not text.strip():
        raise ToDo("not answered yet in answers.yaml: q1d, write a few sentences.")
    yield f"{len(text.split())} words, graded by hand"


def check_data_answers() -> Iterator[str]:
    """Question 2a: numbers and a word."""
    answers = answered(read_answers(HERE / ANSWERS_FILE), "q2a", (*COUNTS, "pixel_value"))
    for name in COUNTS:
        need_whole(answers, "q2a", name)
    need_word(answers, "q2a", "pixel_value", PIXEL_VALUES)
    yield "answered"


def check_fully_connected() -> Iterator[str]:
    """Question 2b: layers, size, shapes, settings, history."""
    models = student_module("models")
    model = sized(attribute(FULLY_CONNECTED.builder, models)())
    layers = flat_layers(model)
    rules = values()["fully_connected"]
    need_allowed(layers, kinds(rules["allowed_layers"]))
    yield in_short(nn.Sequential(*layers))
    yield need_few_units(layers, rules["max_hidden_units"])
    yield need_logits(model, layers)
    yield need_settings(attribute(FULLY_CONNECTED.settings, models), FULLY_CONNECTED, model)
    yield need_history(artifacts(FULLY_CONNECTED.kind).history, FULLY_CONNECTED.kind)


def check_cnn() -> Iterator[str]:
    """Question 2c: layers, parameters, shapes, settings, history."""
    models = student_module("models")
    model = sized(attribute(CNN.builder, models)())
    layers = flat_layers(model)
    rules = values()["cnn"]
    need_allowed(layers, kinds(rules["allowed_layers"]))
    missing = [
        kind.__name__
        for kind in kinds(rules["required_layers"])
        if not any(type(layer) is kind for layer in layers)
    ]
    if missing:
        raise Problem(f"the network needs at least one {' and one '.join(missing)}.")
    need_dropping(layers)
    yield f"only allowed layers, {' and '.join(rules['required_layers'])} among them"
    for layer in layers:
        if count := count_parameters(layer):
            yield f"{count:9,} parameters in {layer_in_short(layer)}"
    total = count_parameters(model)
    limit = rules["max_parameters"]
    if total >= limit:
        raise Problem(f"{total:,} parameters; fewer than {limit:,} are allowed.")
    yield f"{total:9,} parameters together, of fewer than {limit:,}"
    yield need_logits(model, layers)
    yield need_settings(attribute(CNN.settings, models), CNN, model)
    yield need_history(artifacts(CNN.kind).history, CNN.kind)


def kinds(names: Sequence[str]) -> list[type[nn.Module]]:
    """Layers of torch by their names."""
    return [getattr(nn, name) for name in names]


def artifacts(kind: str) -> Folder:
    """What the training of a model left behind."""
    return Folder(HERE / ARTIFACTS_FOLDER / kind)


def check_head() -> Iterator[str]:
    """Question 3a: rules, and what holds for every attention head."""
    build = attribute(HEAD.name, student_module(HEAD.module))
    found = forbidden_in_head((HERE / HEAD.file).read_bytes())
    if found:
        raise Problem(f"{HEAD.file}, {'; '.join(found[:3])}: not allowed in this question.")
    head = build(12, 5, 0.0).eval()
    need_head_layers(head)
    x = torch.randn(3, 7, 12, requires_grad=True)
    unused = unused_parameters(head, lambda tokens: output_of(head(tokens)), x)
    results = head(x)  # only now: values were changed and put back
    need_no_biases(head, unused)
    yield f"only {', '.join(HEAD_LAYERS)}, no biases"
    out, attention = two_results(results, HEAD.name)
    need_shape(out, (3, 7, 5), "the output for x (3, 7, 12) and inner_dim 5")
    need_shape(attention, (3, 7, 7), "the tensor of attention weights for x (3, 7, 12)")
    held = sum(value.numel() for name, value in head.named_parameters() if name not in unused)
    if unused and held < 3 * 12 * 5:  # query, key and value
        raise Problem(f"no result depends on {names_in_short(unused)}: is it forgotten?")
    yield "shapes (B, T, inner_dim) and (B, T, T)"
    need_probabilities(attention, "the attention weights")
    need_token_order(lambda tokens: head(tokens)[0], x)
    need_gradients(head, out, x, unused)
    yield "rows sum to one; token order doesn't matter; sequences don't mix; gradients flow"
    yield from remark_on(unused)
    dropping = build(12, 5, 0.5)
    need_silent_in_eval(dropping, lambda tokens: dropping(tokens)[0], x)
    yield "nothing is dropped in evaluation"


def output_of(results: object) -> torch.Tensor:
    """The first of a forward's results, or the one that there is."""
    first = results[0] if isinstance(results, (tuple, list)) and results else results
    return first if isinstance(first, torch.Tensor) else torch.empty(0)


def remark_on(unused: Sequence[str]) -> Iterator[str]:
    """A remark on parameters that do nothing."""
    if unused:
        yield f"no result depends on {names_in_short(unused)}: fine if it is left over"


def need_head_layers(head: nn.Module) -> None:
    """The head is made of the layers on the list."""
    foreign = {
        type(part).__name__
        for part in list(head.modules())[1:]
        if type(part).__module__.startswith("torch.nn.")
    } - {*HEAD_LAYERS, *CONTAINERS}
    if foreign:
        raise Problem(f"the head contains {', '.join(sorted(foreign))}: not allowed here.")


def need_no_biases(head: nn.Module, unused: Sequence[str]) -> None:
    """No projection has a bias, and nothing else is learned but the projections."""
    vectors = [
        (name, value)
        for name, value in head.named_parameters()
        if value.dim() < 2 and name not in unused
    ]
    biases = [name for name, value in vectors if value.numel() != 1]
    if biases:
        raise Problem(f"no biases are allowed in the head: {', '.join(biases)}.")
    numbers = [name for name, value in vectors if value.requires_grad]
    if numbers:
        raise Problem(f"a single number that is learned doesn't belong here: {', '.join(numbers)}.")


def check_layer() -> Iterator[str]:
    """Question 3b: rules, and what holds for every encoder layer."""
    encoder = student_module(LAYER.module)
    build = attribute(layer_name(encoder), encoder)
    found = forbidden_in_layer((HERE / LAYER.file).read_bytes())
    if found:
        raise Problem(f"{LAYER.file}, {'; '.join(found[:3])}: not allowed in this question.")
    layer = build(12, 3, 5, 20, 0.0).eval()  # dim, heads, dim_head, mlp_dim, dropout
    x = torch.randn(2, 7, 12, requires_grad=True)
    unused = unused_parameters(layer, lambda tokens: output_of(layer(tokens)), x)
    results = layer(x)  # only now: values were changed and put back
    for name, part in layer.named_modules():
        is_output = isinstance(part, nn.Linear) and part.weight.shape == (12, 15)
        if is_output and part.bias is not None and f"{name}.bias" not in unused:
            raise Problem(f"W_O, the Linear from heads * dim_head to dim, has a bias: {name}.")
    yield "no ready-made attention, W_O without bias"
    out, attention = two_results(results, LAYER.name)
    need_shape(out, (2, 7, 12), "the output for x (2, 7, 12)")
    heads_first = tuple(attention.shape) == (3, 2, 7, 7)
    need_shape(
        attention.transpose(0, 1) if heads_first else attention,
        (2, 3, 7, 7),
        "the tensor of attention maps for x (2, 7, 12) and 3 heads",
    )
    need_used(layer, unused, {(12, 15): 180, (12, 20): 480, (12,): 48})  # W_O, MLP, two norms
    yield "shapes (B, T, dim) and (B, heads, T, T)"
    need_probabilities(attention, "the attention maps")
    need_token_order(lambda tokens: layer(tokens)[0], x)
    need_gradients(layer, out, x, unused)
    yield "rows sum to one; token order doesn't matter; sequences don't mix; gradients flow"
    yield from remark_on(unused)
    dropping = build(12, 3, 5, 20, 0.5)
    need_silent_in_eval(dropping, lambda tokens: dropping(tokens)[0], x)
    need_dropout(dropping, lambda tokens: dropping(tokens)[0], x)
    yield "numbers are dropped in training, not in evaluation"


def check_transformer() -> Iterator[str]:
    """Question 3c: history, weights that fit, maps."""
    from provided.vision_transformer import VisionTransformer

    model = VisionTransformer().eval()
    folder = artifacts(TRANSFORMER)
    yield f"the Vision Transformer can be built: {count_parameters(model):,} parameters"
    yield need_history(folder.history, TRANSFORMER)
    need_weights(model, folder.weights)
    yield "the trained weights fit your code"
    with torch.inference_mode():
        logits, maps = model(torch.rand(1, 1, 28, 28), return_attention=True)
    need_shape(logits, (1, 10), "the output for 1 image")
    if maps is None:
        raise Problem("your ViTLayer returns no attention maps: return them as the second result.")
    heads, tokens = default_of(VisionTransformer, "heads"), model.positions.shape[1]
    shape = (1, heads, tokens, tokens)
    stacked_first = (heads, 1, tokens, tokens)
    need_shape(
        maps, stacked_first if maps.shape == stacked_first else shape, "the last layer's maps"
    )
    need_probabilities(maps, "the attention maps")
    yield f"{heads} attention maps of {tokens} by {tokens} tokens, rows sum to one"


def default_of(build: Callable[..., object], argument: str) -> int:
    """The value that an argument has where none is given."""
    return int(inspect.signature(build).parameters[argument].default)


CHECKS: dict[str, Check] = {
    "1a": lambda: check_convolution("q1a"),
    "1b": lambda: check_convolution("q1b"),
    "1c": check_pooling,
    "1d": check_text,
    "2a": check_data_answers,
    "2b": check_fully_connected,
    "2c": check_cnn,
    "3a": check_head,
    "3b": check_layer,
    "3c": check_transformer,
}


def show_files() -> int:
    """List what would be submitted; returns how many files are too big to be taken."""
    print("\nFiles to submit:")
    too_big = 0
    for name, limit in SUBMITTED.items():
        file = HERE / name
        size = file.stat().st_size if file.is_file() else None
        over = size is not None and size > limit
        too_big += over
        absent = "optional" if name in OPTIONAL else "missing"
        state = absent if size is None else f"{size:,} bytes"
        print(f"  {name:35}{state:>18}{f'   FIX: at most {limit:,}' if over else ''}")
    return too_big


def make_zip() -> None:
    """Write submission.zip with exactly the files that are graded."""
    present = [name for name in SUBMITTED if (HERE / name).is_file()]
    with zipfile.ZipFile(HERE / "submission.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in present:
            archive.write(HERE / name, name)
    required = SUBMITTED.keys() - OPTIONAL
    print(f"\nsubmission.zip holds {len(required.intersection(present))} of {len(required)} files.")


if __name__ == "__main__":
    sys.exit(main())
