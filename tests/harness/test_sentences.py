"""Every sentence of feedback on the networks is true of the network that it speaks of."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from autograder.hw5.examination import Examination
from autograder.rubric.feedback import Feedback
from autograder.staff.solutions import SOLUTIONS, Expected, Kind, Solution, load_solutions
from autograder.training.job import TrainingResult
from provided.homework import CNN, FULLY_CONNECTED

from .conftest import a_few_and_all
from .local_grading import examine, judged_line, suite_tests
from .network_claims import Said, false_sentences
from .network_evidence import Evidence

LINES = {"2b": ("2b.1", "2b.2", "2b.3"), "2c": ("2c.1", "2c.2", "2c.3", "2c.4")}
NETWORKS = {"2b": FULLY_CONNECTED, "2c": CNN}
WITH_NETWORKS = [one.name for one in load_solutions() if "models.py" in one.changed]


def told(solution: Solution) -> list[tuple[str, Said, Feedback]]:
    """What a solution reads on each line that speaks of a network, and what it is about."""
    with examine(solution) as exam:
        found = []
        for part, lines in LINES.items():
            said = None
            for line in lines:
                feedback = judged_line(line, suite_tests()[line], exam).feedback
                said = said or about(exam, part)
                if line == lines[-1]:
                    said = about(exam, part)
                found.append((line, said, feedback))
        return found


def about(exam: Examination, part: str) -> Said:
    """What the sentences of a part speak of."""
    network = NETWORKS[part]
    training = exam.fully_connected_training if part == "2b" else exam.cnn_training
    result = training.peek()
    return Said(
        Evidence(exam.submission.code[network.file], network.builder, network.settings),
        part,
        result if isinstance(result, TrainingResult) else None,
    )


def what_is_false(solution: Solution) -> list[str]:
    return [
        f"{line}: {sentence}"
        for line, said, feedback in told(solution)
        for sentence in false_sentences(said, feedback)
    ]


@pytest.mark.parametrize("names", a_few_and_all(WITH_NETWORKS, 10), ids=["a few", "all"])
def test_every_sentence_about_a_solution_is_true(names):
    found = {one.name: false for one in load_solutions(names) if (false := what_is_false(one))}
    assert found == {}


# Layers as students write them, right and wrong; what comes of putting them together is chance.
FIRST = ("nn.Flatten()", "nn.Flatten()", "Flatten()", "nn.Linear(28, 30)", "nn.Conv2d(1, 4, 3)",
         "nn.LazyConv2d(4, 3)", "nn.Conv2d(3, 4, 3)", "nn.Softmax(dim=0)")  # fmt: skip
MIDDLE = (
    "nn.Linear(784, 30)", "nn.Linear(784, 300)", "nn.LazyLinear(30)", "nn.ReLU()", "nn.ReLU()",
    "nn.Dropout(0.2)", "nn.Dropout(0.0)", "nn.Dropout(0.9)", "nn.BatchNorm2d(4)", "nn.PReLU()",
    "nn.LazyBatchNorm2d()", "nn.MaxPool2d(2)", "nn.Linear(30, 30)", "nn.Linear(30, 5)", "nn.GELU()",
    "nn.Flatten()", "Block(30)", "Plain(nn.Linear(30, 30), nn.ReLU())", "Odd(nn.Linear(30, 30))",
    "nn.Sequential(nn.ReLU(), nn.Dropout(0.1))", "nn.LazyLinear(6000)", "nn.Conv2d(4, 8, 3)",
    "nn.Softmax(dim=1)", "nn.Linear(784, 7000)", "nn.LayerNorm(30)",
)  # fmt: skip
LAST = ("nn.Linear(30, 10)", "nn.LazyLinear(10)", "nn.Linear(30, 9)", "nn.Softmax(dim=0)",
        "nn.ReLU()", "nn.Softmax(dim=1)", "nn.Linear(5, 10)")  # fmt: skip
CLASSES = """
from torch import nn

from provided.training import Training


class Flatten(nn.Module):
    def forward(self, x):
        return x.flatten(1)


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear, self.dropout = nn.Linear(size, size), nn.Dropout(0.2)

    def forward(self, x):
        return self.dropout(self.linear(x))


class Plain(nn.Sequential):
    pass


class Odd(nn.Sequential):
    def forward(self, x):
        return super().forward(x).relu()


FULLY_CONNECTED_TRAINING = CNN_TRAINING = Training(learning_rate=1e-3)
"""


def mutant(number: int) -> str:
    """A models.py with two networks of random layers."""
    chance = random.Random(number)
    text = CLASSES
    for builder in (FULLY_CONNECTED.builder, CNN.builder):
        layers = [chance.choice(FIRST), *chance.choices(MIDDLE, k=chance.randrange(5))]
        layers += [chance.choice(LAST)] * chance.choice((0, 1, 1))
        container = chance.choice(("nn.Sequential", "nn.Sequential", "Plain", "Odd"))
        text += f"\n\ndef {builder}():\n    return {container}({', '.join(layers)})\n"
    return text


@pytest.mark.parametrize("numbers", [range(15), range(15, 120)], ids=["a few", "many"])
def test_every_sentence_about_a_mutant_is_true(numbers, tmp_path):
    found = {}
    for number in numbers:
        folder = tmp_path / str(number)
        false = what_is_false(made(folder, mutant(number)))
        if false:
            found[number] = (mutant(number)[len(CLASSES) :], false)
    assert found == {}


def made(folder: Path, models: str) -> Solution:
    """A solution of these networks, whose trainings end below the thresholds."""
    folder.mkdir()
    (folder / "models.py").write_text(models)
    expected = Expected(fails=["2b.3", "2c.4"])
    return Solution(Kind.MISTAKES, folder.name, folder, ("models.py",), expected)


def test_a_sentence_that_is_false_or_new_is_found():
    reference = (SOLUTIONS / "reference" / "models.py").read_text()
    said = Said(Evidence(reference, CNN.builder, CNN.settings), "2c", None)
    assert false_sentences(said, Feedback("Correct: 9,642 parameters (limit: under 50,000).")) == []
    for sentence in FALSE:
        assert false_sentences(said, Feedback(sentence)) == [f"false: {sentence}"]
    for sentence in ("The model is fine.", "It has no Dropout.", "Correct!"):
        assert false_sentences(said, Feedback(sentence)) == [f"no claim covers: {sentence}"]
    likely = "the model ends in a ReLU: a digit whose logit is below zero for every image"
    assert false_sentences(said, Feedback("Correct: Conv2d.", likely=likely)) == [
        "false: Correct: Conv2d.", f"false: Likely mistake: {likely}",
    ]  # fmt: skip
    rows = (("layer", "parameters"), ("Conv2d (layer 0)", "193"), ("all", "9,643"))
    table = Feedback("The model can't be trained.", table=rows)
    assert "row of 0: 193" in false_sentences(said, table)
    assert "row of all: 9643" in [one.replace(",", "") for one in false_sentences(said, table)]


FALSE = (
    "Correct: 9,641 parameters (limit: under 50,000).",
    "The model has no Linear and no Conv2d layer.",
    "The network has no Dropout.",
    "The network has no BatchNorm2d and no Dropout.",
    "The network's Dropout drops nothing: its probability is 0.",
    "3 parameters too many.",
    "The model can't be trained.",
    "Conv2d (layer 0) is not on the list of allowed layers.",
    "Conv2d (layer 0) is a class of your own: the grader can't rebuild it.",
    "Linear (layer 12) can't take its input of shape (B, 198): it expects 199 inputs and gets 198",
    "For images of shape (B, 1, 28, 28) it returns (B, 9); expected (B, 10), one logit per digit.",
    "build_cnn() returned a ModuleList, not an nn.Sequential.",
    "Not done yet (models.py, line 3): this function still raises NotImplementedError.",
)
