"""The write-up from a student's folder to its pages, read back from the PDF."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
from collections import Counter

import pytest
from PIL import Image
from pypdf import PdfReader
from pypdf.generic import DictionaryObject, IndirectObject

from provided.writeup import prose
from provided.writeup.questions import honour_statement, questions

from .student_copy import run, untouched
from .write_ups import ACCURACY, COLORS, add, is_newer, make_run, written

SPAN = re.compile(r"^  (.+?) +(\d+)(?:-(\d+))?$", re.MULTILINE)
MAX_BYTES = 5_000_000
QUESTIONS = questions()

pytestmark = pytest.mark.xdist_group("writeup")  # what is built once is read by all


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder whose write-up was built, and what was printed."""
    made = written(tmp_path_factory.mktemp("writeup") / "hw5")
    ended = run(made.folder, "writeup.py")
    assert ended.status == 0, ended.output
    return made, ended.output


@pytest.fixture(scope="module")
def pdf(built):
    return PdfReader(built[0].folder / "writeup.pdf")


@pytest.fixture(scope="module")
def pages(pdf):
    """The text of each page, in lines without blanks at their ends."""
    return [page.extract_text() for page in pdf.pages]


@pytest.fixture(scope="module")
def spans(built):
    """The first and the last page of each section, as printed."""
    return {
        title: (int(first), int(last or first)) for title, first, last in SPAN.findall(built[1])
    }


def on_pages(pages, words):
    return [number for number, text in enumerate(pages, start=1) if words in text]


def test_who_helped_stands_alone_on_the_first_page(pages):
    rest = pages[0].replace("Collaborators", "").replace("I worked with Zoë on question 1.", "")
    assert re.fullmatch(rf"\s*1 of {len(pages)}\s*", rest)


def test_the_statement_is_the_staffs_and_the_name_the_students(pages):
    text = " ".join(pages[1].split())
    assert honour_statement() in text
    assert "Signed: Ada Lovelace" in text


def test_every_question_has_its_words_and_pages_of_its_own(built, pages, spans):
    taken: Counter[int] = Counter()
    for question in QUESTIONS:
        first, last = spans[question.heading]
        assert f"{question.heading}" in " ".join(pages[first - 1].split())
        words = on_pages(pages, built[0].words[question.part])
        assert words
        assert first <= min(words) <= max(words) <= last
        taken.update(range(first, last + 1))
    code = [span for title, span in spans.items() if title.startswith("Code of question")]
    assert len(code) == 4
    for first, last in code:
        taken.update(range(first, last + 1))
    assert set(taken.values()) == {1}


def test_code_stands_on_its_questions_pages_alone(pages, spans):
    for part, own in {
        "2b": "def build_fully_connected",
        "2c": "def build_cnn",
        "3a": "class SingleHeadAttention",
        "3b": "class ViTLayer",
    }.items():
        assert on_pages(pages, own) == [spans[f"Code of question {part}"][0]]


def test_the_last_page_says_where_everything_is(pages, spans):
    text = " ".join(pages[-1].split())
    for question in QUESTIONS:
        first, last = spans[question.heading]
        span = f"{first}" if first == last else f"{first}–{last}"
        assert f"{question.heading} {span}" in text


def test_numbers_are_those_of_the_runs_and_of_the_answers(pages, spans):
    for kind, part in {"fc": "2b", "cnn": "2c", "vit": "3c"}.items():
        question = next(one for one in QUESTIONS if one.part == part)
        first, last = spans[question.heading]
        text = "".join(pages[first - 1 : last])
        assert f"{ACCURACY[kind]:.2%}" in text
        assert f"The run in artifacts/{kind}: seed 0" in " ".join(text.split())
    assert "[99, 8]" in pages[spans[QUESTIONS[0].heading][0] - 1]


def test_every_figure_is_there_once_at_its_question(pdf, spans):
    found = [
        (Image.open(io.BytesIO(image.data)).convert("RGB").getpixel((100, 100)), number)
        for number, page in enumerate(pdf.pages, start=1)
        for image in page.images
    ]
    wanted = {**COLORS, "maps": "purple"}
    assert len(found) == len(wanted)
    for name, color in wanted.items():
        part = {"fc": "2b", "cnn": "2c"}.get(name, "3c")
        first, last = spans[next(one.heading for one in QUESTIONS if one.part == part)]
        (page,) = [number for dots, number in found if is_near(dots, color)]
        assert first <= page <= last


def is_near(dots, color) -> bool:
    wanted = Image.new("RGB", (1, 1), color).getpixel((0, 0))
    return all(abs(one - other) < 4 for one, other in zip(dots, wanted, strict=True))


def test_it_is_small_and_every_font_is_inside(pdf, built):
    assert (built[0].folder / "writeup.pdf").stat().st_size < MAX_BYTES
    for page in pdf.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            description = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
            assert any(name.startswith("/FontFile") for name in description.get_object())


def elements(node, seen) -> list[DictionaryObject]:
    """All elements of a PDF's structure tree."""
    node = node.get_object()
    if not isinstance(node, DictionaryObject) or id(node) in seen:
        return []
    seen.add(id(node))
    below = node.get("/K", [])
    below = below.get_object() if isinstance(below, IndirectObject) else below
    children = below if isinstance(below, list) else [below]
    found = [node] if "/S" in node else []
    for child in children:
        if isinstance(child, (IndirectObject, DictionaryObject)):
            found += elements(child, seen)
    return found


def test_it_is_tagged_and_pictures_and_formulas_say_what_they_show(pdf):
    catalog = pdf.trailer["/Root"]
    assert catalog["/MarkInfo"]["/Marked"]
    assert catalog["/Lang"].startswith("en")
    assert b"pdfuaid:part" in catalog["/Metadata"].get_data()
    assert pdf.metadata.title == "HW5 write-up"
    tags = elements(catalog["/StructTreeRoot"], set())
    kinds = Counter(tag["/S"] for tag in tags)
    assert kinds["/H1"] == len(QUESTIONS) + 4 + 3  # code, two first pages, the map
    assert kinds["/TH"] > 0
    described = [tag for tag in tags if tag["/S"] in ("/Figure", "/Formula")]
    alts = [str(tag["/Alt"]) for tag in described]
    assert sum("cross entropy" in alt for alt in alts) == 3
    assert sum("Heat maps" in alt for alt in alts) == 1
    assert any("pmatrix" in alt for alt in alts)


def test_words_are_never_overwritten_and_a_signature_is_never_filled_in(tmp_path):
    folder = untouched(tmp_path / "hw5")
    made = prose.create(folder, QUESTIONS)
    assert len(made) == len(QUESTIONS) + 2
    assert prose.read(folder, "honour").signature() == ""
    add(folder, "1a", "Mine.")
    before = {file: file.read_bytes() for file in (folder / "writeup").iterdir()}
    assert prose.create(folder, QUESTIONS) == []
    assert before == {file: file.read_bytes() for file in (folder / "writeup").iterdir()}


def test_latex_for_overleaf_has_the_same_pictures_words_and_code(built):
    with zipfile.ZipFile(built[0].folder / "writeup_overleaf.zip") as archive:
        names = set(archive.namelist())
        source = archive.read("main.tex").decode()
    assert names == {
        "main.tex",
        *(f"figures/{kind}-loss.png" for kind in COLORS),
        "figures/vit-attention.png",
    }
    assert all(words in source for words in built[0].words.values())
    assert source.count("\\includegraphics") == 4
    assert source.count("\\clearpage") == len(QUESTIONS) + 4 + 2
    assert "build\\_cnn" in source


@pytest.mark.long
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_latex_makes_the_same_pages(built, spans, tmp_path):
    with zipfile.ZipFile(built[0].folder / "writeup_overleaf.zip") as archive:
        archive.extractall(tmp_path)
    for _ in range(2):  # the second time with page numbers
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-3000:]
    pages = [page.extract_text() for page in PdfReader(tmp_path / "main.pdf").pages]
    for question in QUESTIONS:
        assert len(on_pages(pages, f"Question {question.part}:")) == 2  # and in the map
        assert on_pages(pages, built[0].words[question.part])
    assert "??" not in "".join(pages)


@pytest.mark.parametrize(
    ("missing", "said", "made"),
    [
        ("typst", "Typst is missing", ["writeup_overleaf.zip"]),
        ("pypandoc", "Pandoc is missing", []),
    ],
)
def test_without_a_package_the_rest_is_made_and_one_sentence_says_so(missing, said, made, tmp_path):
    folder = untouched(tmp_path / "hw5")
    (folder / f"{missing}.py").write_text(
        "import os\nos.environ['PATH'] = ''\nraise ImportError('no wheel')\n"
    )
    ended = run(folder, "writeup.py")
    assert ended.status == 1
    (line,) = [line for line in ended.output.splitlines() if said in line]
    assert "requirements-writeup.txt" in line
    assert "Windows on ARM" in line
    assert "Traceback" not in ended.output
    assert [
        name for name in ("writeup.pdf", "writeup_overleaf.zip") if (folder / name).exists()
    ] == made


WITHOUT_TORCH = """
import runpy, sys
for name in ("torch", "safetensors", "numpy", "matplotlib", "tqdm"):
    sys.modules[name] = None  # importing it fails
runpy.run_path("writeup.py", run_name="__main__")
"""


def test_it_needs_nothing_that_only_trainings_need(tmp_path):
    made = written(tmp_path / "hw5").folder
    (made / "without_torch.py").write_text(WITHOUT_TORCH)
    built = run(made, "without_torch.py")
    assert built.status == 0, built.output
    reviewed = run(made, "without_torch.py", "--check")
    assert reviewed.status == 0, reviewed.output
    assert reviewed.output.count("torch is not installed here") == 2  # 2b and 2c


def test_a_character_that_no_font_has_is_named_and_the_rest_is_built(tmp_path):
    folder = untouched(tmp_path / "hw5")
    prose.create(folder, QUESTIONS)
    add(folder, "collaborators", "With \U0010fffd and Łukasz.")
    ended = run(folder, "writeup.py")
    assert ended.status == 1
    assert "FIX   writeup/collaborators.md, line 6: no font here has \U0010fffd" in ended.output
    assert "With □ and Łukasz." in PdfReader(folder / "writeup.pdf").pages[0].extract_text()


def test_an_untouched_template_is_told_on_one_screen_what_is_to_do(tmp_path):
    ended = run(untouched(tmp_path / "hw5"), "writeup.py", "--check")
    lines = ended.output.splitlines()
    assert ended.status == 1
    assert 20 <= len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert {line[:2].strip() for line in lines if "TO DO" in line} >= {
        "",
        *(question.part for question in QUESTIONS),
    }
    assert "FIX" not in ended.output
    assert not (tmp_path / "hw5" / "writeup").exists()


CNN = "artifacts/cnn/run.yaml"


def test_what_is_finished_has_nothing_to_do_and_what_is_changed_has(tmp_path):
    made = written(tmp_path / "hw5")
    folder = made.folder
    cnn = folder / CNN
    model = "import models, train\nprint(models.build_cnn())\n"
    (folder / "shown.py").write_text(model)
    architecture = run(folder, "shown.py").output.splitlines()
    make_run(folder, "cnn", architecture=architecture)
    (folder / "writeup.pdf").write_bytes(b"%PDF-")
    is_newer(folder / "writeup.pdf")
    ended = run(folder, "writeup.py", "--check")
    assert ended.status == 0, ended.output
    assert "signed by Ada Lovelace" in ended.output

    make_run(folder, "cnn", architecture=architecture, learning_rate=0.5)
    make_run(folder, "fc", architecture=["Sequential(", ")"])
    make_run(folder, "vit", trial=True)
    (folder / "artifacts/vit/attention.png").unlink()
    file = prose.path_of(folder, "1a")
    file.write_text(file.read_text().replace(made.words["1a"], ""))
    is_newer(cnn)
    is_newer(folder / "writeup/1a.md")
    is_newer(folder / "writeup.pdf")
    is_newer(folder / "writeup/2b.md")
    said = run(folder, "writeup.py", "--check").output
    for line in (
        "1a  TO DO writeup/1a.md: nothing is written yet.",
        "2b  FIX   build_fully_connected has changed since artifacts/fc was made",
        "2c  FIX   CNN_TRAINING has changed since artifacts/cnn was made (learning rate)",
        "3c  TO DO The run in artifacts/vit is only a trial: python train.py vit",
        "3c  FIX   attention.png is missing in artifacts/vit",
        "    TO DO writeup.pdf is older than writeup/2b.md: python writeup.py",
    ):
        assert line in said, said
