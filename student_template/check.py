"""Check in seconds whether your files have the form that grading needs. This is not the grade.

    python check.py              everything
    python check.py 3a           one part or several; 3 stands for 3a, 3b and 3c
    python check.py --zip        everything, then submission.zip with what you submit
    python check.py 3a --known-answer    3a, and 3b: a small example with a known result as well

It checks rules, shapes, sizes and files, as the grader reads them: from .py files or a notebook.
It doesn't know whether your answers are right; of 3a and 3b it knows one example.
"""

from __future__ import annotations

import provided.names_in_the_way  # noqa: F401  before any import that they could spoil

# isort: split
import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import nn

from provided import answer_checks
from provided.answers import Read
from provided.architecture import in_short
from provided.artifacts import Folder, count_parameters
from provided.conditions import (
    Problem,
    Remark,
    ToDo,
    attribute,
    names_in_short,
    need_dropout,
    need_gradients,
    need_history,
    need_probabilities,
    need_settings,
    need_shape,
    need_silent_in_eval,
    need_token_order,
    need_used,
    need_weights,
    two_results,
    unused_parameters,
)
from provided.conditions import student_module as imported
from provided.ctrl_c import CtrlC
from provided.heads import (
    need_head_layers,
    need_no_biases,
    need_output_projection,
    on_copies,
    output_of,
    remark_on,
)
from provided.homework import (
    ANSWERS_FILE,
    ARTIFACTS_FOLDER,
    CNN,
    FULLY_CONNECTED,
    HEAD,
    LAYER,
    PARTS,
    TRANSFORMER,
    values,
)
from provided.known_answers import RIGHT, WRONG, CannotTell, judge_head, judge_layer
from provided.layers import (
    flat_layers,
    image_shape,
    kinds,
    need_allowed,
    need_dropping,
    need_few_parameters,
    need_few_units,
    need_logits,
    need_required,
    sized,
)
from provided.notebook import located
from provided.sanity import can_learn
from provided.slots import default_of, layer_name, still_to_write, what_was_raised
from provided.source_rules import HEAD_LAYERS, forbidden_in_head, forbidden_in_layer
from provided.submission import Submission, imported_as_taken, listed, take, told_about, write_zip
from provided.terminal import replace_unknown_letters

HERE = Path(__file__).resolve().parent
WITH_KNOWN_ANSWER = ("3a", "3b")

Check = Callable[[], Iterator[str]]  # yields what holds, raises Problem at what doesn't

ctrl_c = CtrlC()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0 if there is nothing to do or to fix."""
    options = parse(arguments)
    torch.set_num_threads(1)  # models this small are slower with more
    replace_unknown_letters()
    taken.cache_clear()
    try:
        with ctrl_c, imported_as_taken(taken()):
            problems = report(options)
    except KeyboardInterrupt:
        print("\nStopped before everything was checked.")
        return 1
    print()
    if problems:
        print(f"{problems} thing{'s' if problems > 1 else ''} to do or fix.", end=" ")
    print("This is not the grade: it doesn't say whether your answers are right.")
    return 1 if problems else 0


@cache
def taken() -> Submission:
    """Your files, as the grader would take them."""
    return take(HERE)


def student_module(name: str) -> object:
    """One of your files, imported. Raises ToDo where there is none."""
    return imported(name, taken().notes)


def answers() -> Read:
    """Your answers. Raises Problem where they can't be read."""
    return answer_checks.read_answers(taken().answers, taken().notes)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", type=str.lower, help="parts such as 3a, or 3 for 3a, 3b and 3c"
    )
    parser.add_argument("--zip", action="store_true", help="make submission.zip as well")
    parser.add_argument(
        "--known-answer", action="store_true", help="try an example of 3a and 3b as well"
    )
    options = parser.parse_args(arguments)
    for part in options.parts:
        if not any(known.startswith(part) for known in CHECKS):
            parser.error(f"there is no part {part}; parts are {', '.join(CHECKS)}")
    return options


def report(options: argparse.Namespace) -> int:
    """Say all that was asked for; returns how much is to do or to fix."""
    asked = tuple(options.parts)
    parts = [part for part in CHECKS if not asked or part.startswith(asked)]
    problems = 0
    by_answers = [part for part in parts if PARTS[part].files == (ANSWERS_FILE,)]
    if by_answers and not answers_can_be_read(by_answers):
        problems += 1
        parts = [part for part in parts if part not in by_answers]
    for part in parts:
        problems += run(part, CHECKS[part])
        if options.known_answer and part in WITH_KNOWN_ANSWER:
            problems += try_known_answer(part)
    for state, text in told_about(taken(), {f for part in parts for f in PARTS[part].files}):
        say("", state, text)
        problems += state == "FIX"
    if options.zip or not asked:
        print("\nFiles to submit:")
        for line, over in listed(taken()):
            print(line)
            problems += over
    if options.zip:
        try:
            print(f"\n{write_zip(taken(), HERE / 'submission.zip')}")
        except OSError as problem:
            say("", "FIX", f"submission.zip can't be written: {problem}")
            problems += 1
    return problems


def answers_can_be_read(parts: Sequence[str]) -> bool:
    """Whether answers.yaml can be read at all; says once what is wrong, and in YAML's meaning."""
    try:
        read = answers()
    except Problem as problem:
        state = "TO DO" if isinstance(problem, ToDo) else "FIX"
        say(parts[0], state, f"{problem} Nothing of it can be read for {', '.join(parts)}.")
        return False
    for note in (read.slip, *read.askew):
        if note:
            say("", "note", note)
    return True


def run(part: str, check: Check) -> bool:
    """Run one part's check and say what came of it; True where something is to do."""
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for fact in check():
                say(part, "note" if isinstance(fact, Remark) else "ok", fact)
    except Problem as problem:
        say(part, "TO DO" if isinstance(problem, ToDo) else "FIX", str(problem))
        return True
    except BaseException as problem:
        if ctrl_c.pressed:
            raise
        slot = still_to_write(problem)
        say(part, *(("TO DO", f"write {slot}.") if slot else ("FIX", what_was_raised(problem))))
        return True
    return False


def try_known_answer(part: str) -> bool:
    """Say whether the small example comes out as known; True where it doesn't."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict = judge_head(attribute(HEAD.name, student_module(HEAD.module)))
            if LAYER.file in PARTS[part].files:
                if verdict is not RIGHT:
                    raise CannotTell("the head of 3a comes first, and its answer is wrong")
                encoder = student_module(LAYER.module)
                verdict = judge_layer(attribute(layer_name(encoder), encoder))
    except (CannotTell, Problem) as problem:
        say(part, "note", f"known answer: can't tell: {str(problem).removesuffix('.')}.")
        return False
    except BaseException as problem:
        if ctrl_c.pressed:
            raise
        say(part, "note", f"known answer: can't tell: {what_was_raised(problem)}")
        return False
    say(part, verdict, "known answer")
    return verdict is WRONG


def say(part: str, state: str, text: str) -> None:
    """A line of the report; lines of a file made from a notebook are its cells'."""
    print(f"{part:3} {state:5} {located(text, taken().spans)}")


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
    yield from can_learn(model, image_shape(layers))
    yield from trained(FULLY_CONNECTED.kind)


def check_cnn() -> Iterator[str]:
    """Question 2c: layers, parameters, shapes, settings, history."""
    models = student_module("models")
    model = sized(attribute(CNN.builder, models)())
    layers = flat_layers(model)
    rules = values()["cnn"]
    need_allowed(layers, kinds(rules["allowed_layers"]))
    need_required(layers, kinds(rules["required_layers"]))
    need_dropping(layers)
    yield f"only allowed layers, {' and '.join(rules['required_layers'])} among them"
    yield from need_few_parameters(model, layers, rules["max_parameters"])
    yield need_logits(model, layers)
    yield need_settings(attribute(CNN.settings, models), CNN, model)
    yield from can_learn(model, image_shape(layers))
    yield from trained(CNN.kind)


def trained(kind: str) -> Iterator[str]:
    """The history of the run that would be submitted, and whether that is only a trial."""
    folder = Folder(HERE / ARTIFACTS_FOLDER / kind)
    yield need_history(folder.history, kind)
    because = folder.read_notes().get("trial_because")
    if because:
        yield Remark(
            f"the run in artifacts/{kind} is a trial ({because}); python train.py {kind} makes a "
            "full one"
        )


def check_head() -> Iterator[str]:
    """Question 3a: rules, and what holds for every attention head."""
    build = attribute(HEAD.name, student_module(HEAD.module))
    found = forbidden_in_head(taken().code[HEAD.file])
    if found:
        raise Problem(f"{HEAD.file}, {'; '.join(found[:3])}: not allowed in this question.")
    head = build(12, 5, 0.0).eval()
    need_head_layers(head)
    x = torch.randn(3, 7, 12, requires_grad=True)
    call = on_copies(head)
    unused = unused_parameters(head, lambda tokens: output_of(call(tokens)), x)
    results = call(x)  # only now: values were changed and put back
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
    need_token_order(lambda tokens: call(tokens)[0], x)
    need_gradients(head, out, x, unused)
    yield "rows sum to one; token order doesn't matter; sequences don't mix; gradients flow"
    yield from remark_on(unused)
    dropping = build(12, 5, 0.5)
    drop = on_copies(dropping)
    need_silent_in_eval(dropping, lambda tokens: drop(tokens)[0], x)
    yield "nothing is dropped in evaluation"


def check_layer() -> Iterator[str]:
    """Question 3b: rules, and what holds for every encoder layer."""
    encoder = student_module(LAYER.module)
    build = attribute(layer_name(encoder), encoder)
    found = forbidden_in_layer(taken().code[LAYER.file])
    if found:
        raise Problem(f"{LAYER.file}, {'; '.join(found[:3])}: not allowed in this question.")
    layer = build(12, 3, 5, 20, 0.0).eval()  # dim, heads, dim_head, mlp_dim, dropout
    x = torch.randn(2, 7, 12, requires_grad=True)
    call = on_copies(layer)
    unused = unused_parameters(layer, lambda tokens: output_of(call(tokens)), x)
    results = call(x)  # only now: values were changed and put back
    need_output_projection(layer, (12, 15), unused)
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
    need_token_order(lambda tokens: call(tokens)[0], x)
    need_gradients(layer, out, x, unused)
    yield "rows sum to one; token order doesn't matter; sequences don't mix; gradients flow"
    yield from remark_on(unused)
    dropping = build(12, 3, 5, 20, 0.5)
    drop = on_copies(dropping)
    need_silent_in_eval(dropping, lambda tokens: drop(tokens)[0], x)
    need_dropout(dropping, lambda tokens: drop(tokens)[0], x)
    yield "numbers are dropped in training, not in evaluation"


def check_transformer() -> Iterator[str]:
    """Question 3c: history, weights that fit, maps."""
    for slot in (HEAD, LAYER):
        student_module(slot.module)
    from provided.vision_transformer import VisionTransformer

    model = VisionTransformer().eval()
    folder = Folder(HERE / ARTIFACTS_FOLDER / TRANSFORMER)
    yield f"the Vision Transformer can be built: {count_parameters(model):,} parameters"
    yield from trained(TRANSFORMER)
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


CHECKS: dict[str, Check] = {
    "1a": lambda: answer_checks.check_convolution(answers(), "q1a"),
    "1b": lambda: answer_checks.check_convolution(answers(), "q1b"),
    "1c": lambda: answer_checks.check_pooling(answers()),
    "1d": lambda: answer_checks.check_text(answers()),
    "2a": lambda: answer_checks.check_data_answers(answers()),
    "2b": check_fully_connected,
    "2c": check_cnn,
    "3a": check_head,
    "3b": check_layer,
    "3c": check_transformer,
}


if __name__ == "__main__":
    sys.exit(main())
