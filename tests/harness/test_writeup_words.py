"""What students write and what they forget: each slip named, each right way accepted."""

from __future__ import annotations

import json

import pytest
import yaml
from PIL import Image
from pydantic import ValidationError

from autograder.hw5.assignment import AssignmentError, Writeup, load
from provided.homework import VALUES_FILE
from provided.submission import take
from provided.writeup import listings, pdf, prose, runs
from provided.writeup import pandoc as pandocs
from provided.writeup.blocks import as_text, walk
from provided.writeup.document import Document
from provided.writeup.manuscript import Manuscript
from provided.writeup.problem import CannotBuild
from provided.writeup.prose import Prose
from provided.writeup.questions import questions

from .student_copy import REFERENCE, TEMPLATE, replace, solved, untouched

CODE = {question.part: question.code for question in questions() if question.code}


@pytest.fixture
def manuscript(tmp_path):
    folder = tmp_path / "writeup"
    folder.mkdir()
    Image.new("RGB", (30, 20), "red").save(folder / "plot.png")
    Image.new("RGB", (30, 20), "red").save(folder / "my plot.gif")
    Image.new("RGB", (30, 20), "red").save(folder / "the%20plot.png")
    Image.new("RGB", (30, 20), "red").save(tmp_path / "beside.jpg")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "empty.pdf").write_bytes(b"")
    return Manuscript(tmp_path)


# what is written, and what must be said of it
WRONG = {
    "a brace left open": (r"a" + "\n\n" + r"$\frac{1$", "line 3: the formula \\frac{1 can't be"),
    "an unknown command": (r"$\softmx(x)$", "line 1: the formula \\softmx(x) can't be read"),
    "the second of two alike": ("$\\foo$\n\n$\\foo$", "line 3: the formula \\foo can't"),
    "a formula left open": ("It is $x = 3.", "line 1: a dollar sign stands alone"),
    "LaTeX outside of a formula": ("a \\newpage b", "line 1: LaTeX outside of a formula"),
    "HTML": ('<img src="plot.png">', "line 1: HTML is not printed"),
    "a picture that isn't there": ("x\n\n![It](no.png)", "line 3: the picture no.png is not there"),
    "a path of Windows": (r"![It](C:\me\p.png)", r"the picture C:\me\p.png is not there"),
    "a picture on the web": ("![It](https://a.b/c.png)", "is on the web: save it here"),
    "a picture that isn't there either way": ("![It](no%20plot.png)", "no%20plot.png is not there"),
    "a damaged picture": ("![It](broken.png)", "the picture broken.png is damaged"),
    "a PDF that is none": ("![It](empty.pdf)", "the picture empty.pdf is damaged"),
    "another kind of file": ("![It](notes.docx)", "is of a kind that can't be shown"),
    "a picture without words": ("![](plot.png)", "line 1: say what the picture plot.png shows"),
}
RIGHT = {
    "formulas of every kind": r"$\frac{1}{2}$, \(x\), \[y\], $$\begin{cases}1\\2\end{cases}$$",
    "an environment without dollars": "\\begin{align}\na &= b \\\\\n  &= c\n\\end{align}",
    "a tag": r"$x \tag{1}$",
    "a price": r"It costs \$5.",
    "dollars in code": "`$x`\n\n```\n$ python\n```",
    "a comment": "<!-- <b> $ \\newpage -->",
    "a picture": "![It](plot.png)",
    "a picture with a blank in its name": "![It](my plot.gif)",
    "a blank written as %20": "![It](my%20plot.gif)",
    "a picture with %20 in its name": "![It](the%20plot.png)",
    "a picture beside the folder": "![It](../beside.jpg) ![It](beside.jpg)",
    "a mail address, a citation that is none": "<me@b.c> @name #hash",
    "a link to a heading": "# A\n\n[above](#a)",
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_slip_is_named_with_its_file_and_line(text, said, manuscript):
    manuscript.blocks_of(Prose("writeup/1a.md", text))
    assert any(said in problem for problem in manuscript.problems), manuscript.problems
    assert all(problem.startswith("writeup/1a.md") for problem in manuscript.problems)


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_what_is_right_is_not_complained_about(text, manuscript):
    manuscript.blocks_of(Prose("writeup/1a.md", text))
    assert manuscript.problems == []


def test_an_environment_without_dollars_is_a_formula(manuscript):
    text = RIGHT["an environment without dollars"]
    blocks = manuscript.blocks_of(Prose("writeup/1a.md", text))
    assert [one["c"][0]["t"] for one in walk(blocks) if one["t"] == "Math"] == ["DisplayMath"]
    assert "a & = b" in pandocs.write(pdf.for_typst(blocks), "typst")


def test_a_formula_that_cant_be_read_is_printed_as_it_was_written(manuscript):
    blocks = manuscript.blocks_of(Prose("writeup/1a.md", r"So $\frac{1$."))
    assert "`\\frac{1`" in pandocs.write(pdf.for_typst(blocks), "typst")


def test_words_in_a_formula_stay_together():
    (formula,) = pandocs.in_typst([(r"\mathrm{softmax}(x)", False)])
    assert formula.typst is not None
    assert 'upright("softmax")' in formula.typst


def test_headings_never_skip_a_level(manuscript):
    blocks = manuscript.blocks_of(Prose("x", "# A\n\n#### B\n\n## C\n\n###### D\n"))
    levels = [one["c"][0] for one in walk(blocks) if one["t"] == "Header"]
    assert levels == [2, 3, 2, 3]


IDS = {
    "a division": "::: {#q1a .note}\nwords\n:::",
    "a span": "[words]{#q1a .note}",
    "code": "`words`{#q1a .note}",
    "a block of code": "```{#q1a .note}\nwords\n```",
    "a heading": "# words {#q1a .note}",
    "a link": "[words](https://a.b){#q1a .note}",
    "a picture": "words\n\n![It](plot.png){#q1a .note}",
    "a table": "| a |\n|---|\n| words |\n\n: A table {#q1a .note}",
}


@pytest.mark.parametrize("text", IDS.values(), ids=IDS.keys())
def test_names_of_elements_are_not_those_of_sections_and_the_words_stay(text, manuscript):
    blocks = manuscript.blocks_of(Prose("x", text))
    assert "q1a" not in json.dumps(blocks)
    assert "words" in json.dumps(blocks)
    assert manuscript.problems == []


ENCODED = {
    "Windows line ends": b"one\r\n\r\ntwo\r\n",
    "a byte order mark": b"\xef\xbb\xbfone\n\ntwo\n",
    "old Mac line ends": b"one\r\rtwo\r",
    "Notepad's Unicode": "one\r\n\r\ntwo\r\n".encode("utf-16"),
}


@pytest.mark.parametrize("content", ENCODED.values(), ids=ENCODED.keys())
def test_words_are_read_as_any_editor_saves_them(content, tmp_path):
    (tmp_path / "writeup").mkdir()
    (tmp_path / "writeup/1a.md").write_bytes(content)
    assert prose.read(tmp_path, "1a").text == "one\n\ntwo\n"


@pytest.mark.parametrize("content", [b"\x00\x01", b"caf\xe9", b"x" * (prose.MAX_BYTES + 1)])
def test_what_is_no_text_is_told_in_a_sentence(content, tmp_path):
    (tmp_path / "writeup").mkdir()
    (tmp_path / "writeup/1a.md").write_bytes(content)
    with pytest.raises(CannotBuild, match=r"writeup/1a\.md is "):
        prose.read(tmp_path, "1a")


EMPTY = {
    "nothing": ("", [""]),
    "a comment alone": ("<!-- hint -->\n", [""]),
    "a comment left open": ("<!-- hint\nmore", [""]),
    "headings alone": ("## A\n\n<!-- x -->\n\n## B\n", ["A", "B"]),
    "one of two": ("## A\nwords\n## B\n", ["B"]),
    "a heading above others": ("# A\n## B\nwords\n", []),
    "a comment in Python": ("## A\n```\n# no heading\n```\n", []),
    "words alone": ("words", []),
}


@pytest.mark.parametrize(("text", "empty"), EMPTY.values(), ids=EMPTY.keys())
def test_sections_without_words_are_found(text, empty):
    assert Prose("x", text).empty_sections() == empty


SIGNATURES = {
    "not": ("Signed: \n", ""),
    "in a comment": ("<!-- Signed: Ada -->\nSigned:\n", ""),
    "a line": ("Signed: ______\n", ""),
    "a name": ("Signed: Ada\n", "Ada"),
    "a name below": ("Signed:\n\nAda\n", "Ada"),
    "in bold": ("**Signed:** Ada", "Ada"),
    "in Chinese": ("signed: 王小明", "王小明"),
    "nothing to sign": ("Ada", ""),
}


@pytest.mark.parametrize(("text", "name"), SIGNATURES.values(), ids=SIGNATURES.keys())
def test_a_signature_is_a_name_that_was_typed(text, name):
    assert Prose("x", text).signature() == name


@pytest.mark.parametrize("words", ["x" * 400, "ab " * 200, "王" * 150, "\tx = 1", "short"])
def test_long_lines_are_wrapped_and_nothing_is_cut(words):
    shown, too_long = listings.wrapped(words)
    lines = shown.split("\n")
    assert max(map(len, lines)) <= listings.COLUMNS
    assert "".join([lines[0], *(line.removeprefix(listings.CONTINUED) for line in lines[1:])]) == (
        words.expandtabs(4).rstrip()
    )
    assert too_long == (len(lines) > 1)


def listing(folder, part):
    others = [code for other, code in CODE.items() if other != part]
    return listings.listing_of(take(folder), CODE[part], others)


def test_each_network_has_its_own_code_and_what_both_use(tmp_path):
    folder = solved(tmp_path / "hw5")
    models = folder / "models.py"
    models.write_text(
        models.read_text()
        .replace("def build_fully_connected", "def shared():\n    return 1\n\n\ndef build_fully")
        .replace("def build_fully() ", "def build_fully_connected() ")
        .replace("def build_cnn", "WIDTH = 12\n\n\ndef build_cnn")
        .replace("nn.Conv2d(1, 12,", "nn.Conv2d(1, WIDTH,")
    )
    fully, cnn = listing(folder, "2b"), listing(folder, "2c")
    for own, foreign in ((fully.source, cnn.source), (cnn.source, fully.source)):
        assert "from torch import nn" in own
        assert "def shared" in own
        assert own != foreign
    assert "WIDTH" not in fully.source
    assert "WIDTH = 12" in cnn.source
    assert "build_cnn" not in fully.source
    assert "FULLY_CONNECTED_TRAINING" not in cnn.source


def test_a_stub_is_no_code_and_a_notebook_takes_its_place(tmp_path):
    folder = untouched(tmp_path / "hw5")
    assert all(listing(folder, part) is None for part in CODE)
    cells = ["%matplotlib inline\nimport math", "from torch import nn\nprint(", "!ls\nHALF = 0.5"]
    head = (REFERENCE / "attention.py").read_text().replace("1 / math", "HALF * 2 / math")
    notebook = {
        "cells": [{"cell_type": "code", "source": [cell]} for cell in [*cells, head]],
        "nbformat": 4,
    }
    (folder / "work.ipynb").write_text(json.dumps(notebook))
    found = listing(folder, "3a")
    assert found.origin == "work.ipynb"
    assert "class SingleHeadAttention" in found.source
    assert "HALF = 0.5" in found.source
    assert "print(" not in found.source
    (folder / "attention.py").write_text((REFERENCE / "attention.py").read_text())
    assert listing(folder, "3a").origin == "attention.py"


def test_code_that_is_no_python_is_told_with_its_line(tmp_path):
    folder = solved(tmp_path / "hw5")
    (folder / "models.py").write_text("def build(:\n")
    with pytest.raises(CannotBuild, match=r"models\.py, line 1, is not valid Python"):
        listing(folder, "2b")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("attention.py", b"x = 1\0", "attention.py is not a text file"),
        ("attention.py", b"#" * 300_000, "attention.py is too large"),
        ("mine.ipynb", b"{", "mine.ipynb is not a readable notebook"),
    ],
    ids=["no text", "too large", "a broken notebook"],
)
def test_code_that_is_not_taken_is_told_with_its_reason(name, content, said, tmp_path):
    folder = solved(tmp_path / "hw5")
    (folder / "attention.py").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(CannotBuild, match=said):
        listing(folder, "3a")


def test_a_letter_that_cannot_be_read_is_told_beside_the_code(tmp_path):
    folder = solved(tmp_path / "hw5")
    with (folder / "attention.py").open("ab") as file:
        file.write(b"# caf\xe9\n")
    assert "# caf�" in listing(folder, "3a").source
    (said,) = Document(folder).manuscript.problems
    assert said.startswith("attention.py is not written in UTF-8 throughout")


RUNS = {
    "full, of an earlier train.py": (
        {"epochs": 10, "epochs_done": 10, "test_accuracy": 0.9},
        False,
    ),
    "stopped early": ({"epochs": 10, "epochs_done": 3, "test_accuracy": 0.9}, True),
    "full": ({"trial": False, "run": 7, "epochs": 10, "epochs_done": 3}, False),
    "a trial": ({"trial": True, "run": 8, "epochs": 10, "epochs_done": 10}, True),
    "nothing said": ({}, True),
}


@pytest.mark.parametrize(("content", "trial"), RUNS.values(), ids=RUNS.keys())
def test_a_trial_is_told_from_a_full_training(content, trial, tmp_path):
    run = runs.Run("fc", tmp_path, content)
    assert run.is_trial is trial
    assert run.name == (f"Run {content['run']}" if "run" in content else "The run in artifacts/fc")


def test_the_best_accuracy_is_shown_where_it_is_known(tmp_path):
    content = {"best_test_accuracy": 0.981, "best_test_epoch": 8, "test_accuracy": 0.979}
    told = " ".join(runs.Run("fc", tmp_path, content).accuracies())
    assert "98.10% after epoch 8" in told
    assert "last epoch: 97.90%" in told


def test_runs_are_told_by_their_numbers_and_networks_by_letters(tmp_path):
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/experiments.csv").write_text(
        "model,epochs,parameters,test_accuracy,architecture,run,trial\n"
        'fc,3,159010,0.9666,"Linear(784, 200)",4,True\ncnn,10,9642,0.99,Conv2d,5,False\n'
        'fc,10,159010,nonsense,"Linear(784, 100)",6,False\n'
    )
    tried = runs.read_tried(tmp_path, "fc")
    networks = runs.networks_of(tried)
    columns = [name for name, _ in runs.columns_of(tried)]
    assert columns == ["run", "epochs", "parameters", "test_accuracy", "architecture"]
    first, second = ([runs.cell_of(name, row, networks) for name in columns] for row in tried)
    assert first == ["4", "3 (trial)", "159,010", "96.66%", "A"]
    assert second == ["6", "10", "159,010", "nonsense", "B"]


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[1, 2", b"- a\n", b"!!python/object:os.x {}"]
)
def test_a_run_that_cant_be_read_is_told_in_a_sentence(content, tmp_path):
    folder = solved(tmp_path / "hw5")
    (folder / "artifacts/fc/run.yaml").write_bytes(content)
    document = Document(folder)
    assert document.sections
    assert any("artifacts/fc/run.yaml" in problem for problem in document.manuscript.problems)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_run_of_which_only_the_history_is_left_says_so_and_nothing_else(recorded, tmp_path):
    folder = solved(tmp_path / "hw5")
    text = "run: 1\nmodel: fc\ntrial: false\nepochs_done: 10\n"
    if recorded:
        text += "seed: 3\noptimizer: adam\nlearning_rate: 0.01\nschedule: constant\n"
    (folder / "artifacts/fc/run.yaml").write_text(text)
    page = next(one for one in Document(folder).sections if one.name == "q2b")
    shown = as_text(page.blocks)
    assert "None" not in shown
    assert ("isn't recorded" in shown) is not recorded
    assert ("adam" in shown) is recorded


def test_answers_that_are_missing_say_so_and_others_are_shown(tmp_path):
    folder = solved(tmp_path / "hw5")
    replace(folder / "answers.yaml", "parameters: 40", "parameters:")
    page = next(one for one in Document(folder).sections if one.name == "q1a")
    assert "not answered yet" in as_text(page.blocks)
    assert "[99, 8]" in as_text(page.blocks)


def test_the_words_to_sign_are_a_setting(tmp_path):
    text = VALUES_FILE.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    assert load().writeup.honour_statement == content["writeup"]["honour_statement"]
    with pytest.raises(ValidationError):
        Writeup(honour_statement="")
    content["writeup"] = {"honor_statement": "Mine."}
    file = tmp_path / "homework.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(AssignmentError, match="honour_statement"):
        load(homework=file)


def test_the_template_has_no_words_of_its_own():
    assert not (TEMPLATE / "writeup").exists()
