"""check.py and the grader give the same word on files: taken or refused, and why.

What they say about settings is compared in test_training_settings.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from autograder.hw5.figures import notes
from autograder.staff.solutions import Kind, Solution

from .conftest import left_to_the_full_set, spread
from .local_grading import examine, judge
from .student_copy import REFERENCE, TEMPLATE, replace, run, solved

HEAD = (REFERENCE / "attention.py").read_text(encoding="utf-8")
MODELS = (REFERENCE / "models.py").read_text(encoding="utf-8")


class Case(NamedTuple):
    """What is done to a right submission, which part and line it touches, what both say of it."""

    line: str
    change: Callable[[Path], None]
    said: str = ""
    refused: bool = True


def right(line: str, change: Callable[[Path], None], said: str = "") -> Case:
    return Case(line, change, said, refused=False)


def written(name: str, content: str | bytes) -> Callable[[Path], None]:
    encoded = content.encode() if isinstance(content, str) else content

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(encoded)

    return change


def changed(name: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: replace(folder / name, old, new)


def encoded(name: str, encoding: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_bytes(text.encode(encoding))

    return change


def answers(old: str, new: str) -> Callable[[Path], None]:
    return changed("answers.yaml", old, new)


def renamed(name: str, other: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).rename(folder / other) and None


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def in_a_notebook(*sources: str) -> str:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})


def in_place_of_head(*sources: str, name: str = "hw5_final.ipynb") -> Callable[[Path], None]:
    return both(removed("attention.py"), written(name, in_a_notebook(*sources)))


NOT_YAML = "answers.yaml is not valid YAML, line"
CASES = {
    "nothing": right("3a.1", lambda folder: None),
    "no file": Case("3a.1", removed("attention.py"), "attention.py is missing."),
    "in capitals": Case(
        "3a.1", renamed("attention.py", "Attention.py"), "Attention.py is there: rename it to"
    ),
    "downloaded twice": Case(
        "3a.1", renamed("attention.py", "attention (1).py"), "attention (1).py is there: rename it"
    ),
    "saved as text": Case(
        "2b.1", renamed("models.py", "models.py.txt"), "models.py.txt is there: rename it to"
    ),
    "Windows line ends": right("3a.1", written("attention.py", HEAD.replace("\n", "\r\n"))),
    "a byte order mark": right("3a.1", written("attention.py", b"\xef\xbb\xbf" + HEAD.encode())),
    "a letter of Latin-1": right(
        "3a.1", written("attention.py", b"# \xe9\n" + HEAD.encode()), "not written in UTF-8"
    ),
    "Latin-1 by name": right(
        "3a.1", written("attention.py", b"# coding: latin-1\n# \xe9\n" + HEAD.encode())
    ),
    "UTF-16": right(
        "3a.1", written("attention.py", HEAD.encode("utf-16")),
        "attention.py was saved as UTF-16 and read as such.",
    ),
    "a program under its name": Case(
        "3a.1", written("attention.py", b"\x7fELF\x02\x01\x01\0\0" + HEAD.encode()),
        "attention.py is not a text file, as it has zero bytes: ignored.",
    ),
    "a slip of syntax": Case(
        "3a.1", changed("attention.py", "class S", "clas S"), "attention.py, line"
    ),
    "a tab among spaces": Case(
        "3a.1", changed("attention.py", "        super()", "\tsuper()"), "attention.py, line"
    ),
    "a call to exit": Case("3a.1", written("attention.py", "exit(3)\n" + HEAD), "attention.py"),
    "a name nobody knows": Case(
        "3a.1", written("attention.py", "scael\n" + HEAD), "name 'scael' is not defined"
    ),
    "too large": Case(
        "2b.1", written("models.py", MODELS + "#" * 200_000), "models.py is too large ("
    ),
    "a builder in capitals": Case(
        "2c.1", changed("models.py", "build_cnn", "build_CNN"),
        "models.py has build_CNN: call it build_cnn",
    ),
    "a class of another name": Case(
        "3a.1", changed("attention.py", "class SingleHeadAttention", "class SingleHeadAttn"),
        "attention.py has SingleHeadAttn: call it SingleHeadAttention",
    ),
    "no builder": Case(
        "2c.1", changed("models.py", "build_cnn", "xyz"), "models.py defines no build_cnn"
    ),
    "a builder that is not written": Case(
        "2c.1", written("models.py", (TEMPLATE / "models.py").read_bytes()), "models.py"
    ),
    "an import of torchvision": right(
        "2b.1",
        both(
            written("torchvision/__init__.py", "datasets = transforms = None"),  # as if installed
            written("models.py", "from torchvision import datasets, transforms\n" + MODELS),
        ),
    ),
    "an import of a file of one's own": Case(
        "3a.1",
        both(written("tools.py", ""), written("attention.py", "import tools\n" + HEAD)),
        "tools",
    ),
    "an import of what nobody has": Case(
        "3a.1", written("attention.py", "import no_such_thing\n" + HEAD),
        "No module named 'no_such_thing'",
    ),
    "a notebook": right(
        "3a.1",
        in_place_of_head("!pip install einops\n%matplotlib inline", HEAD, "plot(1)"),
        "attention.py was read from the notebook hw5_final.ipynb.",
    ),
    "a notebook beside the stub": right(
        "3a.1",
        both(
            written("attention.py", (TEMPLATE / "attention.py").read_bytes()),
            written("mine.ipynb", in_a_notebook(HEAD)),
        ),
        "attention.py was read from the notebook mine.ipynb.",
    ),
    "a notebook beside what is written": right(
        "3a.1", written("mine.ipynb", in_a_notebook("class SingleHeadAttention: pass"))
    ),
    "a cell that writes a file": right(
        "3a.1", in_place_of_head("%%writefile attention.py\n" + HEAD), "was read from the notebook"
    ),
    "a slip in a notebook": Case(
        "3a.1", in_place_of_head("1 + 1", HEAD.replace("math.sqrt", "math.sqr")), "cell 2, line"
    ),
    "a cell that is no Python": Case(
        "3a.1", in_place_of_head(HEAD.replace("class S", "clas S")), "is not valid Python and was"
    ),
    "a notebook that is none": Case(
        "3a.1", both(removed("attention.py"), written("x.ipynb", "{")), "not a readable notebook"
    ),
    "a notebook without a head": Case(
        "3a.1", in_place_of_head("1 + 1", name="attention.ipynb"),
        "the notebook attention.ipynb defines nothing of it",
    ),
    "a change in place": Case(
        "3b.3", both(changed("encoder.py", "x = x + self.a", "x += self.a"),
                     removed("artifacts/vit/weights.safetensors")),
        "a tensor that backward still needs is changed in place",
    ),
    "no answers": Case("1a.1", removed("answers.yaml"), "answers.yaml is missing"),
    "answers of another ending": Case(
        "1a.1", renamed("answers.yaml", "answers.yml"), "answers.yml is there: rename it to"
    ),
    "a blank": Case("1a.1", answers("parameters: 40", "parameters:"), "ot answered yet"),
    "a tab": Case(
        "1a.1", answers("  parameters: 40", "\tparameters: 40"), f"{NOT_YAML} 2: there is a tab"
    ),
    "no space after a colon": Case(
        "1a.1", answers("parameters: 40", "parameters:40"),
        f"{NOT_YAML} 2: a space is missing after the colon",
    ),
    "no space anywhere": Case(
        "1a.1", answers("parameters: 40\n  output_shape: [", "parameters:40\n  output_shape:["),
        "answers.yaml, line 2: a space is missing after the colon",
    ),
    "an equals sign": Case(
        "1a.1", answers("parameters: 40", "parameters = 40"), f"{NOT_YAML} 2: a colon is missing"
    ),
    "a full-width colon": Case(
        "1a.1", answers("parameters: 40", "parameters： 40"), f"{NOT_YAML} 2: the colon is a full"
    ),
    "an open bracket": Case(
        "1a.1", answers("[99, 8]", "[99, 8"), f"{NOT_YAML} 3: a bracket [ is opened and never"
    ),
    "an open bracket in a matrix": Case(
        "1c.1", answers("[[6, 7], [5, 8]]", "[[6, 7], [5, 8]"), ": a bracket [ is opened and never"
    ),
    "a bracket too many": Case(
        "1a.1", answers("[99, 8]", "[99, 8]]"), f"{NOT_YAML} 3: there is a ] too many"
    ),
    "an open quotation mark": Case(
        "1a.1", answers("[99, 8]", '"99 x 8'), f"{NOT_YAML} 3: a quotation mark is opened and"
    ),
    "a line moved to the right": Case(
        "1a.1", answers("  output_shape: [99", "     output_shape: [99"),
        f"{NOT_YAML} 3: the line is indented differently",
    ),
    "a line moved to the left": Case(
        "1a.1", answers("  output_shape: [99", " output_shape: [99"),
        f"{NOT_YAML} 3: the line is indented differently",
    ),
    "a decimal comma": Case("1a.1", answers("parameters: 40", "parameters: 4,5"), "can't be read"),
    "decimal commas in a matrix": Case(
        "1c.1", answers("[[13/9, 9/9], [12/9, 10/9]]", "[[1,44, 1], [1,33, 1,11]]"),
        "a comma separates numbers: write 0.5 where 0,5 is meant",
    ),
    "a name that stands twice": right(
        "1a.1", answers("  parameters: 40", "  parameters: 4\n  parameters: 40"),
        "answers.yaml, line 3: parameters stands twice under q1a; the last one counts.",
    ),
    "a word for a number": Case(
        "1a.1", answers("parameters: 40", "parameters: many"), "can't be read"
    ),
    "a number with a fraction": Case(
        "1a.1", answers("parameters: 40", "parameters: 40.5"), "can't be read"
    ),
    "words of another kind": Case("2a.2", answers("intensity", "bright"), "can't be read"),
    "thousands": right("2a.3", answers("training_images: 60000", "training_images: 60,000")),
    "numbers as text": right("1a.1", answers("parameters: 40", 'parameters: "40"')),
    "answers with Windows line ends": right("1a.1", answers("\n", "\r\n")),
    "answers with a byte order mark": right("1a.1", answers("q1a:", "\ufeffq1a:")),
    "answers as UTF-16": right(
        "1a.1", encoded("answers.yaml", "utf-16"),
        "answers.yaml was saved as UTF-16 and read as such.",
    ),
    "answers with zero bytes": Case(
        "1a.1", answers("q1a:", "\0q1a:"), "answers.yaml is not a text file, as it has zero bytes"
    ),
    "answers with a letter of Latin-1": right(
        "1a.1", written("answers.yaml", b"# \xe9\n" + (REFERENCE / "answers.yaml").read_bytes()),
        "answers.yaml is not written in UTF-8 throughout",
    ),
    "a control character": Case(
        "1a.1", answers("q1a:", "q1a: \x07"), f"{NOT_YAML} 1: there is a character that nobody can"
    ),
    "a zero in front": right("1a.1", answers("parameters: 40", "parameters: 040")),
    "minutes and seconds": Case("1a.1", answers("parameters: 40", "parameters: 0:40"), "0:40"),
    "a word that YAML takes for a truth value": Case(
        "2a.2", answers("intensity", "no"), "can't be read"
    ),
    "a colon among one's words": right(
        "1a.1", answers("q1d: >\n", "q1d: Two things: \n"), "What stands under q1d is not valid"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", left_to_the_full_set(CASES, but=spread(CASES, 9), full=spread(CASES, 27))
)
def test_both_take_or_refuse_it_and_say_the_same(name, tmp_path):
    case = CASES[name]
    folder = solved(tmp_path / "hw5")
    case.change(folder)
    part, _, _ = case.line.partition(".")
    checked = run(folder, "check.py", part)
    solution = Solution(Kind.REFERENCE, name, folder)
    with examine(solution) as exam:
        line = judge(solution, exam, {case.line}).lines[case.line]
        graded = " ".join((*exam.submission.notes, *notes(exam), line.text))
    assert (checked.status == 1) is case.refused, checked.output
    assert (line.earned < line.points) is case.refused, graded
    assert case.said in " ".join(checked.output.split()), checked.output
    assert case.said in located(graded, exam), graded
    assert "Traceback" not in checked.output


def located(text: str, exam) -> str:
    """A text as results.json shows it."""
    from provided.notebook import located as in_cells

    return in_cells(text, exam.submission.spans)


def test_what_is_wrong_with_the_whole_of_the_answers_is_said_once(tmp_path):
    folder = solved(tmp_path / "hw5")
    replace(folder / "answers.yaml", "parameters: 40", "parameters:40")
    said = run(folder, "check.py", "1", "2a").output
    assert said.count("is not valid YAML") == 1
    assert "Nothing of it can be read for 1a, 1b, 1c, 1d, 2a." in said
    assert "1 thing to do or fix" in said
