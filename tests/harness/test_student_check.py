"""check.py: green on correct work however it is written, one clear sentence on each mistake."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autograder.homework import ARTIFACTS, CODE_FILES, PARTS, SUBMITTED
from autograder.hw5.probes import source_rules
from autograder.intake.submission import OTHER_NAMES, take, wanted
from autograder.staff.solutions import load_solutions
from provided.homework import OPTIONAL

from .conftest import left_to_the_full_set, spread
from .student_copy import REFERENCE, ROOT, replace, run, solved, untouched

SOLUTIONS = ROOT / "solutions"
HISTORY = "epoch,train_loss,validation_loss,train_accuracy,validation_accuracy\n"


@pytest.fixture
def template(tmp_path):
    return solved(tmp_path / "hw5")


def states(output: str) -> list[tuple[str, str, str]]:
    """Part, state and text of each line that says something about a part."""
    found = []
    for line in output.splitlines():
        state, text = line[4:9].strip(), line[10:]
        if line[:1].isdigit() and state in ("ok", "FIX", "TO DO"):
            found.append((line[:2], state, text))
    return found


def problems(output: str) -> list[tuple[str, str, str]]:
    return [line for line in states(output) if line[1] != "ok"]


def test_the_reference_has_nothing_to_mend_and_each_part_says_what_holds(template):
    ended = run(template, "check.py")
    assert ended.status == 0, ended.output
    assert problems(ended.output) == []
    parts = {part for part, _, _ in states(ended.output)}
    assert parts == PARTS.keys()
    assert "not the grade" in ended.output
    for said in ("200 hidden units", "9,642 parameters together", "192 parameters in Conv2d"):
        assert said in ended.output


def test_it_takes_seconds(template):
    """Of the processor's time, as others may use it too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "check.py"]
    subprocess.run(command, cwd=template, check=True, capture_output=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


def test_answers_are_repeated_as_they_are_graded_right_or_wrong(template):
    replace(template / "answers.yaml", "parameters: 40", "parameters: '1,041'")
    replace(template / "answers.yaml", "[13, 13, 8]", "13 x 12")
    replace(template / "answers.yaml", "[[6, 7], [5, 8]]", "[[5/7, 2.], ['1/3', 8]]")
    replace(template / "answers.yaml", "intensity", "Label")
    said = [text for _, _, text in states(run(template, "check.py", "1", "2a").output)]
    assert "read as parameters 1,041, output_shape [99, 8]" in said
    assert any(text.endswith("output_shape [13, 12]") for text in said)
    assert "read as first_maximum [[0.7143, 2], [0.3333, 8]]" in said
    assert any(text.endswith("test_images 10,000, pixel_value label") for text in said)


def test_no_answer_is_given_away(tmp_path):
    folder = untouched(tmp_path / "hw5")
    for output in (run(folder, "check.py", "1").output, run(folder, "check.py", "2a").output):
        assert not any(re.search(r"(?<!q)\d", text) for _, _, text in states(output))


def test_wrong_answers_of_the_right_kind_are_no_business_of_the_check(template):
    replace(template / "answers.yaml", "parameters: 40", "parameters: 41")
    replace(template / "answers.yaml", "[13, 13, 8]", "[1, 2]")
    assert run(template, "check.py", "1").status == 0


def test_the_zip_holds_exactly_what_the_grader_takes(template, tmp_path):
    (template / "artifacts" / "fc" / "loss.png").write_bytes(b"a picture")
    for name in OPTIONAL:
        (template / name).write_text("test_accuracy: 0.98\n")
    ended = run(template, "check.py", "--zip")
    assert ended.status == 0, ended.output
    with zipfile.ZipFile(template / "submission.zip") as archive:
        names = set(archive.namelist())
    assert names == {name for name, _ in wanted()} - {f"artifacts/{name}" for name in OTHER_NAMES}
    assert all(name in ended.output for name in names)
    taken = take(template / "submission.zip", tmp_path / "taken")
    assert set(taken.code) == {"models.py", "attention.py", "encoder.py"}
    assert taken.answers is not None
    assert len(taken.artifacts) == len(ARTIFACTS)
    assert taken.notes == []


def test_the_sizes_that_it_allows_are_those_that_the_grader_takes(template):
    script = template / "limits.py"
    script.write_text(
        "from provided.submission import SUBMITTED\n"
        "for name in SUBMITTED.items():\n    print(*name)\n"
    )
    limits = dict(line.split() for line in run(template, "limits.py").output.splitlines())
    assert {name: int(size) for name, size in limits.items()} == {
        name: size for name, size in wanted() if name in limits
    }


def test_an_untouched_template_is_told_kindly_what_is_to_do(tmp_path):
    ended = run(untouched(tmp_path / "hw5"), "check.py")
    assert ended.status == 1
    assert [state for _, state, _ in states(ended.output)] == ["TO DO"] * len(PARTS)
    assert "build_cnn in models.py" in ended.output
    assert "SingleHeadAttention in attention.py" in ended.output
    assert "Traceback" not in ended.output


def test_a_zip_of_an_unfinished_template_is_made_and_says_what_is_missing(tmp_path):
    folder = untouched(tmp_path / "hw5")
    ended = run(folder, "check.py", "--zip")
    assert ended.status == 1
    required = SUBMITTED.keys() - OPTIONAL
    assert ended.output.count("missing") == len(required) - len(CODE_FILES) - 1
    assert ended.output.count("optional") == len(OPTIONAL)
    assert f"{len(CODE_FILES) + 1} of {len(required)} files" in ended.output
    assert zipfile.is_zipfile(folder / "submission.zip")


@pytest.mark.parametrize("part", ["3a", "3A", "1", "2"])
def test_a_part_can_be_checked_alone(template, part):
    said = run(template, "check.py", part).output
    assert {found for found, _, _ in states(said)} == {
        known for known in PARTS if known.startswith(part.lower())
    }  # fmt: skip


def test_several_parts_can_be_checked_together(template):
    said = run(template, "check.py", "3b", "2a").output
    assert [found for found, _, _ in states(said)] == ["2a", "3b", "3b", "3b", "3b"]


def test_a_part_that_is_none_is_refused_with_a_list_of_those_that_are(template):
    ended = run(template, "check.py", "3a", "4x")
    assert ended.status == 2
    assert "parts are 1a" in ended.output


# file, old text, new text, part, sentence
BROKEN = {
    "a syntax error": ("attention.py", "class S", "clas S", "3a", "SyntaxError in attention.py, l"),
    "code that exits": ("models.py", "from torch", "raise SystemExit(3)\nfrom torch", "2b", "line"),
    "a slot that is gone": ("models.py", "def build_cnn", "def cnn", "2c", "no build_cnn"),
    "no nn.Sequential": (
        "models.py",
        "nn.Sequential(\n        nn.F",
        "nn.ModuleList(\n        nn.F",
        "2b",
        "models.py, line",
    ),
    "a list of layers": (
        "models.py",
        "build_fully_connected() -> nn.Sequential:",
        "build_fully_connected():\n    return nn.Linear(784, 10)",
        "2b",
        "returns Linear, not an nn.Sequential",
    ),
    "too many hidden units": ("models.py", "200", "300", "2b", "300 hidden units; at most 200"),
    "hidden units for each row": (
        "models.py",
        "nn.Flatten(),\n        nn.Linear(784, 200)",
        "nn.Linear(28, 30), nn.Flatten(), nn.Linear(840, 200)",
        "2b",
        "1,040 hidden units; at most 200",
    ),
    "a dropout that drops nothing": (
        "models.py",
        "nn.Dropout(0.1)",
        "nn.Dropout(0)",
        "2c",
        "drops nothing",
    ),
    "a layer that is not allowed": ("models.py", "nn.ReLU()", "nn.GELU()", "2b", "GELU not allow"),
    "nine classes": ("models.py", "nn.Linear(200, 10)", "nn.Linear(200, 9)", "2b", "(4, 9)"),
    "sizes that don't fit": (
        "models.py",
        "nn.Linear(198, 10)",
        "nn.Linear(199, 10)",
        "2c",
        "Linear (layer 12) can't take its input of shape (4, 198)",
    ),
    "rows that are not flattened": (
        "models.py",
        "nn.Flatten(),\n        nn.Linear(784, 200)",
        "nn.Linear(28, 200)",
        "2b",
        "come out with shape (4, 1, 28, 10): a Linear layer works on the last axis alone",
    ),
    "channels that are not flattened": (
        "models.py",
        "nn.Flatten(),\n        nn.Dropout(0.1)",
        "nn.Dropout(0.1)",
        "2c",
        "(4, 22, 3, 3): a Linear layer works on the last axis alone, and the image isn't flattened",
    ),
    "a Flatten of your own": (
        "models.py",
        "nn.Flatten(),\n        nn.Linear(784",
        'type("Flatten", (nn.Module,), {"forward": lambda self, x: x.flatten(1)})(),'
        "\n        nn.Linear(784",
        "2b",
        "your own class Flatten not allowed here; allowed are torch.nn's Linear",
    ),
    "a forward of your own": (
        "models.py",
        "return nn.Sequential(\n        nn.Flatten",
        'return type("Net", (nn.Sequential,), {"forward": lambda self, x: self[4](self[1](x))})('
        "\n        nn.Flatten",
        "2b",
        "your nn.Sequential Net, which has a forward of its own, not allowed here",
    ),
    "nothing that learns": (
        "models.py",
        "        nn.Linear(784, 200),\n        nn.ReLU(),\n        nn.Dropout(0.3),\n"
        "        nn.Linear(200, 10),\n",
        "",
        "2b",
        "no Linear and no Conv2d layer",
    ),
    "a lazy layer without a size": (
        "models.py",
        "nn.Linear(784, 200),\n        nn.ReLU()",
        "nn.Linear(28, 200), nn.LazyLinear(200), nn.ReLU()",
        "2b",
        "LazyLinear takes its size from what it gets first, and a batch of zeros (2, 1, 28, 28)",
    ),
    "softmax over the batch": (
        "models.py",
        "nn.Linear(200, 10)",
        "nn.Linear(200, 10), nn.Softmax(dim=0)",
        "2b",
        "depends on the others in the batch: a Softmax runs over the batch",
    ),
    "batches of all images": (
        "models.py",
        "FULLY_CONNECTED_TRAINING = Training(",
        "FULLY_CONNECTED_TRAINING = Training(batch_size=48000, ",
        "2b",
        "batch_size = 48000 is not a whole number from 1 to 4,096",
    ),
    "no epochs": (
        "models.py",
        "CNN_TRAINING = Training(",
        "CNN_TRAINING = Training(epochs=0, ",
        "2c",
        "epochs = 0 is not a whole number from 1",
    ),
    "an unknown setting": (
        "models.py",
        "CNN_TRAINING = Training(learning_rate",
        "CNN_TRAINING = Training(lr",
        "2c",
        "CNN_TRAINING has no setting lr; did you mean learning_rate?",
    ),
    "an unknown schedule": (
        "models.py",
        '"one_cycle"',
        '"cosine"',
        "2c",
        "schedule = 'cosine' is not one of constant, one_cycle",
    ),
    "a learning rate below zero": (
        "models.py",
        "learning_rate=3e-3",
        "learning_rate=-1",
        "2b",
        "learning_rate = -1 is not a number from 1e-08 to 10",
    ),
    "settings that are a dictionary": (
        "models.py",
        "CNN_TRAINING = Training(",
        "CNN_TRAINING = dict(",
        "2c",
        "should be a Training",
    ),
    "no dropout": ("models.py", "nn.Dropout(0.1),", "", "2c", "at least one Dropout"),
    "too many parameters": (
        "models.py",
        "nn.Linear(198, 10)",
        "nn.Linear(198, 300), nn.ReLU(), nn.Linear(300, 10)",
        "2c",
        "parameters; fewer than 50,000 are allowed",
    ),
    "biases": ("attention.py", "bias=False", "bias=True", "3a", "no biases are allowed"),
    "another layer in the head": (
        "attention.py",
        "nn.Dropout(dropout)",
        "nn.Tanh()",
        "3a",
        "line 18: nn.Tanh: not allowed",
    ),
    "ready-made attention": (
        "attention.py",
        "torch.matmul(attention, v)",
        "torch.nn.functional.scaled_dot_product_attention(q, k, v)",
        "3a",
        "scaled_dot_product_attention: not allowed",
    ),
    "softmax over the wrong axis": ("attention.py", "dim=-1", "dim=0", "3a", "don't sum to one"),
    "scores instead of weights": (
        "attention.py",
        "return out, attention",
        "return out, scores",
        "3a",
        "are negative",
    ),
    "one result": ("attention.py", "return out, attention", "return out", "3a", "two tensors"),
    "results exchanged": (
        "attention.py",
        "return out, attention",
        "return attention, out",
        "3a",
        "expected (3, 7, 5)",
    ),
    "NaN": (
        "attention.py",
        "self.scale = 1 /",
        "self.scale = float('nan') /",
        "3a",
        "contains NaN",
    ),
    "tokens seen in order": (
        "attention.py",
        "out = self",
        "out = v.cumsum(1); out = out + self",
        "3a",
        "reordering the tokens",
    ),
    "sequences that mix": (
        "attention.py",
        "q, k, v = self.query(x), ",
        "q, k, v = self.query(x - x.mean(0)), ",
        "3a",
        "depends on the others in the batch",
    ),
    "a detached query": (
        "attention.py",
        "q, k, v = self.query(x)",
        "q, k, v = self.query(x).detach()",
        "3a",
        "no gradient reaches query.weight",
    ),
    "a projection that is made and forgotten": (
        "attention.py",
        "self.key(x), self.value(x)",
        "self.query(x), self.value(x)",
        "3a",
        "no result depends on key.weight: is it forgotten?",
    ),
    "a scale that is learned": (
        "attention.py",
        "self.scale = 1 / math.sqrt(inner_dim)",
        "self.scale = nn.Parameter(torch.tensor(inner_dim**-0.5))",
        "3a",
        "a single number that is learned doesn't belong here: scale",
    ),
    "a frozen projection": (
        "attention.py",
        "self.softmax = ",
        "self.key.requires_grad_(False); self.softmax = ",
        "3a",
        "no gradient reaches key.weight",
    ),
    "a norm that is made and forgotten": (
        "encoder.py",
        "self.mlp(self.mlp_norm(x))",
        "self.mlp(self.attention_norm(x))",
        "3b",
        "no result depends on mlp_norm.weight, mlp_norm.bias: is it forgotten?",
    ),
    "dropout that never sleeps": (
        "attention.py",
        "self.dropout(torch",
        "nn.Dropout(self.dropout.p).train()(torch",
        "3a",
        "two passes in evaluation mode differ",
    ),
    "an error inside": (
        "attention.py",
        "k.transpose(-2, -1)",
        "k",
        "3a",
        "RuntimeError in attention.py, line 23",
    ),
    "a wrong shape in the layer": (
        "encoder.py",
        "return x, attention",
        "return x[:, :1], attention",
        "3b",
        "expected (2, 7, 12)",
    ),
    "a projection with a bias": (
        "encoder.py",
        "dim, bias=False",
        "dim",
        "3b",
        "has a bias: project",
    ),
    "a ready-made layer": (
        "encoder.py",
        "import Tensor, nn",
        "import Tensor, nn\nfrom torch.nn import MultiheadAttention",
        "3b",
        "line 4: MultiheadAttention: not allowed",
    ),
    "a layer without dropout": (
        "encoder.py",
        "super().__init__()",
        "super().__init__(); dropout = 0.0",
        "3b",
        "with dropout=0.5, two passes in training mode give the same result",
    ),
    "a layer that detaches": (
        "encoder.py",
        "x = x + self.mlp(self.mlp_norm(x))",
        "x = x + self.mlp(self.mlp_norm(x)).detach()",
        "3b",
        "no gradient reaches",
    ),
    "maps that get lost": ("encoder.py", "return x, attention", "return x", "3b", "two tensors"),
    "answers that are no YAML": (
        "answers.yaml",
        "q1b:",
        "q1b: }",
        "1b",
        "not valid YAML, line 4: there is a } too many",
    ),
    "a number in words": (
        "answers.yaml",
        "parameters: 40",
        "parameters: many",
        "1a",
        "q1a, parameters: many can't be read; write a whole number",
    ),
    "a number of thousands of digits": (
        "answers.yaml",
        "parameters: 40",
        f"parameters: 0x{'f' * 6000}",
        "1a",
        "a number with thousands of digits can't be read",
    ),
    "a shape in words": ("answers.yaml", "[99, 8]", "large", "1a", "write a list of whole numbers"),
    "half a matrix": (
        "answers.yaml",
        "[[6, 7], [5, 8]]",
        "[[6, 7], [5]]",
        "1c",
        "different lengths",
    ),
    "a matrix that is none": ("answers.yaml", "[[6, 7], [5, 8]]", "6", "1c", "write a matrix"),
    "a missing answer": (
        "answers.yaml",
        "image_width: 28",
        "image_width:",
        "2a",
        "q2a, image_width.",
    ),
    "an unknown pixel value": ("answers.yaml", "intensity", "bright", "2a", "write one of"),
}


@pytest.mark.parametrize("name", left_to_the_full_set(BROKEN, but=spread(BROKEN, 6)))
def test_a_broken_template_gets_one_clear_sentence(template, name):
    file, old, new, part, said = BROKEN[name]
    replace(template / file, old, new)
    ended = run(template, "check.py", part)
    found = problems(ended.output)
    assert ended.status == 1, ended.output
    assert len(found) == 1
    assert found[0][0] == part
    assert said in found[0][2]
    assert "Traceback" not in ended.output


# what code raises beside ordinary errors, and in place of which line of attention.py
IMPORTED, CALLED = "import torch\n", "super().__init__()\n"
ENDS_ALL = {
    "KeyboardInterrupt at import": (IMPORTED, "raise KeyboardInterrupt"),
    "KeyboardInterrupt in a call": (CALLED, "raise KeyboardInterrupt"),
    "GeneratorExit in a call": (CALLED, "raise GeneratorExit"),
    "one of its own at import": (IMPORTED, "raise type('Own', (BaseException,), {})"),
    "an exit at import": (IMPORTED, "exit(0)"),
    "MemoryError in a call": (CALLED, "raise MemoryError"),
}


@pytest.mark.parametrize("name", left_to_the_full_set(ENDS_ALL, but=spread(ENDS_ALL, 2)))
def test_whatever_your_code_raises_the_other_parts_are_checked(template, name):
    line, statement = ENDS_ALL[name]
    replace(template / "attention.py", line, f"{statement}\n")
    ended = run(template, "check.py", "1a", "3a", "2a", "--known-answer")
    assert "Traceback" not in ended.output
    found = states(ended.output)
    assert [part for part, state, _ in found if state == "FIX"] == ["3a"], ended.output
    assert "attention.py, line" in next(text for part, _, text in found if part == "3a")
    assert {part for part, state, _ in found if state == "ok"} == {"1a", "2a"}


AT_A_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
runpy.run_path("check.py", run_name="__main__")
"""


def test_ctrl_c_stops_it_wherever_your_code_is(template):
    pressed = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    replace(template / "models.py", "from torch import nn\n", f"from torch import nn\n{pressed}")
    (template / "at_a_terminal.py").write_text(AT_A_TERMINAL)
    ended = run(template, "at_a_terminal.py", "1a", "2b", "3a")
    assert ended.status == 1
    assert "Stopped before everything was checked." in ended.output
    assert "Traceback" not in ended.output
    assert [part for part, _, _ in states(ended.output)] == ["1a"]


# part, file, content, sentence
BROKEN_ARTIFACTS = {
    "history missing": ("2b", "fc/history.csv", None, "fc/history.csv is missing"),
    "history empty": ("2c", "cnn/history.csv", HISTORY, "contains no epochs"),
    "history of one set": (
        "2b",
        "fc/history.csv",
        "epoch,train_loss\n1,2\n",
        "no column validation",
    ),
    "history with NaN": ("3c", "vit/history.csv", HISTORY + "1,nan,1,1,1\n", "row 1: train_loss"),
    "history cut short": ("3c", "vit/history.csv", HISTORY + "1,0.5\n", "row 1: validation_loss"),
    "history misnumbered": (
        "2b",
        "fc/history.csv",
        HISTORY + "3,1,1,1,1\n",
        "not numbered 1, 2, 3",
    ),
    "history that is no text": (
        "2b",
        "fc/history.csv",
        b"\xff\xfe\x00",
        "can't be read as a table",
    ),
    "weights missing": ("3c", "vit/weights.safetensors", None, "weights.safetensors is missing"),
    "weights damaged": ("3c", "vit/weights.safetensors", b"not weights", "can't be read"),
}


@pytest.mark.parametrize(
    ("part", "file", "content", "said"), BROKEN_ARTIFACTS.values(), ids=BROKEN_ARTIFACTS.keys()
)
def test_a_broken_artifact_gets_one_clear_sentence(template, part, file, content, said):
    artifact = template / "artifacts" / file
    if content is None:
        artifact.unlink()
    else:
        artifact.write_bytes(content.encode() if isinstance(content, str) else content)
    ended = run(template, "check.py", part)
    assert ended.status == 1
    assert [said in text for _, _, text in problems(ended.output)] == [True]


def test_weights_of_another_model_are_named(template):
    weights = template / "artifacts" / "vit" / "weights.safetensors"
    save_file({"some": torch.zeros(2)}, weights)
    assert "no longer fits your code" in run(template, "check.py", "3c").output


def test_a_file_that_is_too_big_to_be_taken_is_named(template):
    with (template / "models.py").open("a") as file:
        file.write("#" * 200_000)
    ended = run(template, "check.py")
    assert ended.status == 1
    assert "FIX: at most 200,000" in ended.output


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ("trial: true\ntrial_because: 3 of 10 epochs\n", "is a trial (3 of 10 epochs)"),
        ("trial: false\n", ""),
        ("not: [closed", ""),
    ],
)
def test_a_trial_that_would_be_submitted_is_noted(template, notes, said):
    (template / "artifacts" / "fc" / "run.yaml").write_text(notes)
    ended = run(template, "check.py", "2b")
    assert ended.status == 0
    assert ("is a trial" in ended.output) == bool(said)
    assert said in ended.output


def test_a_short_history_is_fine_and_said_to_be_short(template):
    (template / "artifacts/vit/history.csv").write_text(HISTORY + "1,0.9,0.3,0.7,0.9\n")
    ended = run(template, "check.py", "3c")
    assert ended.status == 0
    assert "1 epoch, of 10: fine" in ended.output


# Correct work, written in another way.
DIFFERENT = {
    "no flatten": ("models.py", "nn.Flatten(),\n        nn.Linear(784", "nn.Linear(784", "2b"),
    "nested": (
        "models.py",
        "nn.Linear(784, 200),\n        nn.ReLU(),",
        "nn.Sequential(nn.Linear(784, 200), nn.ReLU()),",
        "2b",
    ),
    "a sequence of their own": (
        "models.py",
        "return nn.Sequential(\n        nn.Flatten",
        'return type("Net", (nn.Sequential,), {})(\n        nn.Flatten',
        "2b",
    ),
    "lazy layers": ("models.py", "nn.Linear(784, 200)", "nn.LazyLinear(200)", "2b"),
    "lazy convolutions": (
        "models.py",
        "nn.Conv2d(1, 12, 4, stride=2, bias=False),  # 13 x 13\n        nn.BatchNorm2d(12)",
        "nn.LazyConv2d(12, 4, stride=2, bias=False), nn.LazyBatchNorm2d()",
        "2c",
    ),
    "a softmax at the end": (
        "models.py",
        "nn.Linear(200, 10)",
        "nn.Linear(200, 10), nn.Softmax(dim=1)",
        "2b",
    ),
    "softmax as a function": (
        "attention.py",
        "self.softmax(scores)",
        "torch.softmax(scores, -1)",
        "3a",
    ),
    "functional": (
        "attention.py",
        "self.softmax(scores)",
        "nn.functional.softmax(scores, dim=-1)",
        "3a",
    ),
    "heads first": (
        "encoder.py",
        "return x, attention",
        "return x, attention.transpose(0, 1)",
        "3",
    ),
    "tried out below": (
        "attention.py",
        "import math",
        'import math\nif __name__ == "__main__":\n    print(nn.GELU())',
        "3a",
    ),
    "numbers as text": ("answers.yaml", "parameters: 40", 'parameters: "40"', "1a"),
    "a number with a point": ("answers.yaml", "parameters: 40", "parameters: 40.0", "1a"),
    "a shape as text": ("answers.yaml", "[99, 8]", "99 x 8", "1a"),
    "another word": ("answers.yaml", "intensity", "Intensity", "2a"),
}


@pytest.mark.parametrize(("file", "old", "new", "part"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_correct_work_written_differently_has_nothing_to_mend(template, file, old, new, part):
    replace(template / file, old, new)
    if file == "attention.py":
        (template / "artifacts/vit/weights.safetensors").unlink()
    ended = run(template, "check.py", part)
    assert ended.status == 0, ended.output


# Weights of its own for an alternative whose parameters aren't the reference's, then the check.
CHECK_WITH_WEIGHTS = """
import sys
from pathlib import Path

from safetensors.torch import save_file

import check

weights = Path("artifacts/vit/weights.safetensors")
if not weights.exists():
    from provided.vision_transformer import VisionTransformer

    save_file({name: v.clone() for name, v in VisionTransformer().state_dict().items()}, weights)
sys.exit(check.main([]))
"""
IMPORTING = "imports-out-of-habit"  # of packages that a student has, and nobody here
ALTERNATIVES = [one for one in load_solutions(["alternatives"]) if one.name != IMPORTING]


@pytest.mark.parametrize(
    "solution",
    left_to_the_full_set(ALTERNATIVES, spread(ALTERNATIVES, 4), spread(ALTERNATIVES, 24)),
    ids=lambda solution: solution.name,
)
def test_every_correct_alternative_has_nothing_to_mend(tmp_path, solution):
    folder = solution.assemble(untouched(tmp_path / "hw5"))
    (folder / "check_with_weights.py").write_text(CHECK_WITH_WEIGHTS)
    ended = run(folder, "check_with_weights.py")
    assert problems(ended.output) == []
    assert ended.status == 0, ended.output


def test_a_package_that_is_not_installed_here_is_told_apart_from_one_the_grader_lacks(template):
    models = template / "models.py"
    models.write_text(f"import tensorflow\n{models.read_text(encoding='utf-8')}")
    output = run(template, "check.py", "2b").output
    ((_, state, text),) = problems(output)
    assert state == "FIX"
    assert text.startswith("models.py, line 1: tensorflow is not installed here. The grader passes")
    assert "the import does no harm" in output


def test_a_file_that_another_needs_is_called_missing_by_each_part(template):
    (template / "attention.py").unlink()
    said = problems(run(template, "check.py", "3").output)
    assert said == [(part, "TO DO", "attention.py is missing.") for part in ("3a", "3b", "3c")]


def test_letters_that_the_terminal_lacks_are_replaced(template):
    replace(template / "answers.yaml", "intensity", "Helligkeit “ü” ４")
    ended = subprocess.run(
        [sys.executable, "check.py", "2a"],
        cwd=template,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert b"Helligkeit ??? ? can't be read; write one of intensity" in ended.stdout
    assert ended.stderr == b""


def test_a_layer_under_an_unknown_name_is_not_found(template):
    replace(template / "encoder.py", "class ViTLayer", "class Layer")
    (found,) = problems(run(template, "check.py", "3b").output)
    assert found[2] == "encoder.py defines no ViTLayer. encoder.py has Layer: call it ViTLayer."
    assert "ViTLayer" in problems(run(template, "check.py", "3c").output)[0][2]


def test_the_rules_about_source_are_the_graders(tmp_path):
    folder = untouched(tmp_path / "hw5")
    (folder / "judge.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from provided.source_rules import forbidden_in_head, forbidden_in_layer\n"
        "for file in map(Path, sys.argv[1:]):\n"
        "    judge = forbidden_in_head if file.name == 'attention.py' else forbidden_in_layer\n"
        "    try:\n"
        "        print(int(bool(judge(file.read_text()))))\n"
        "    except SyntaxError:\n"
        "        print(1)\n"
    )
    files = [*SOLUTIONS.rglob("attention.py"), *SOLUTIONS.rglob("encoder.py")]
    assert REFERENCE / "attention.py" in files
    found = run(folder, "judge.py", *map(str, files)).output.split()
    for file, answer in zip(files, found, strict=True):
        of_grader = (
            source_rules.head_violations
            if file.name == "attention.py"
            else source_rules.layer_violations
        )
        assert bool(int(answer)) == bool(of_grader(file.read_text())), shown(file)


def shown(file: Path) -> str:
    return str(file.relative_to(SOLUTIONS))
