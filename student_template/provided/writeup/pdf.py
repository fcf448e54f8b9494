"""writeup.pdf by Typst: fonts inside, tagged for those who can't see the page (PDF/UA-1)."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provided.writeup import blocks as made
from provided.writeup import pandoc
from provided.writeup.blocks import Element
from provided.writeup.document import Document
from provided.writeup.problem import CannotBuild
from provided.writeup.prose import FOLDER

STANDARD = "ua-1"
PREAMBLE = Path(__file__).with_name("preamble.typ")
FONTS = f"{FOLDER}/fonts"  # where you may put fonts of your own
IN_PLACE = "□"  # stands where no font has a character
ROUNDS = 10  # of taking characters out that no font has
NO_FONT = re.compile(r'the text `"(.*?)"` could not be displayed')
ESCAPED = re.compile(r"\\u\{([0-9a-fA-F]+)\}")
INSTALL = (
    "pip install -r requirements-writeup.txt brings it. Where pip has no wheel of it, as on "
    "Windows on ARM, upload writeup_overleaf.zip to overleaf.com instead"
)


@dataclass(frozen=True)
class Pdf:
    """A PDF, the first and last page of each section, and the characters that no font has."""

    content: bytes
    pages: Mapping[str, tuple[int, int]]
    not_shown: str


def make_pdf(document: Document) -> Pdf:
    """Build the PDF. Raises CannotBuild."""
    with _compiler(document) as (compiler, not_shown):
        content = compiler.compile(format="pdf", pdf_standards=[STANDARD])
        names = [section.name for section in document.sections]
        found = ", ".join(
            f"(locate(<{name}>).page(), locate(<{name}-end>).page())" for name in names
        )
        pages = json.loads(compiler.eval(f"({found},)"))
        spans = {name: (first, last) for name, (first, last) in zip(names, pages, strict=True)}
        return Pdf(content, spans, not_shown)


def make_pictures(document: Document, dots_per_inch: int) -> list[bytes]:
    """Every page as a PNG. Raises CannotBuild."""
    with _compiler(document) as (compiler, _):
        pages = compiler.compile(format="png", ppi=dots_per_inch)
        return pages if isinstance(pages, list) else [pages]


def for_typst(content: list[Element]) -> list[Element]:
    """Blocks with formulas and pictures in Typst's own words, each with its alt text.

    A formula that can't be read stands there as it was written.
    """
    formulas = [
        (one["c"][1], one["c"][0]["t"] == "DisplayMath")
        for one in made.walk(content)
        if one["t"] == "Math"
    ]
    known = {(one.tex, one.alone): one.typst for one in pandoc.in_typst(formulas)}

    def own_words(one: Element, alone: bool = False) -> list[Element] | None:
        if one["t"] == "Math":
            tex = one["c"][1]
            typst = known[tex, one["c"][0]["t"] == "DisplayMath"]
            if typst is None:
                return [made.code(tex)]
            alt = _quoted(tex.strip() or "an empty formula")
            return [made.raw_inline("typst", f"#[#set math.equation(alt: {alt});{typst}]")]
        if one["t"] == "Figure":
            return [{**one, "c": made.exchanged(one["c"], lambda each: own_words(each, True))}]
        return _image(one, alone=alone)

    return list(made.exchanged(content, own_words))


def _image(one: Element, *, alone: bool) -> list[Element] | None:
    if one["t"] != "Image":
        return None
    (_, _, pairs), _, (target, _) = one["c"]
    given = dict(pairs)
    width = given.get("width", "")
    size = f", width: {width}" if re.fullmatch(r"\d+(\.\d+)?(%|cm|mm|in|pt|em)", width) else ""
    image = f"image({_quoted(target)}{size}, alt: {_quoted(given['alt'])})"
    return [made.raw_inline("typst", f"#{image}" if alone else f"#box({image})")]


def _quoted(text: str) -> str:
    words = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{words}"'


@contextmanager
def _compiler(document: Document) -> Iterator[tuple[Any, str]]:
    """Typst with the document, and the characters that were taken out of it."""
    try:
        import typst
    except ImportError:
        raise CannotBuild(f"Typst is missing, which makes the PDF: {INSTALL}.") from None
    source = pandoc.write(for_typst(document.blocks()), "typst")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _unpack(folder, document.manuscript.pictures.contents)
        main = folder / "main.typ"
        not_shown = ""
        fonts = [str(document.root / FONTS)] if (document.root / FONTS).is_dir() else []
        for _ in range(ROUNDS):
            main.write_text(f"{PREAMBLE.read_text(encoding='utf-8')}\n{source}", encoding="utf-8")
            compiler = typst.Compiler(str(main), root=str(folder), font_paths=fonts)
            try:
                compiler.compile(format="pdf", pdf_standards=[STANDARD])
            except typst.TypstError as problem:
                missing = _without_font(problem.diagnostic)
                if not missing:
                    raise CannotBuild(_told(problem)) from None
                not_shown += missing
                source = source.translate({ord(letter): IN_PLACE for letter in missing})
            else:
                yield compiler, not_shown
                return
        raise CannotBuild("Too many kinds of characters that no font here has.")


def _unpack(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def _without_font(diagnostic: str) -> str:
    """The characters that Typst finds in no font, each once."""
    texts = NO_FONT.findall(diagnostic)
    plain = "".join(ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) for text in texts)
    return "".join(dict.fromkeys(letter for letter in plain if not letter.isascii()))


def _told(problem: Any) -> str:
    """What Typst can't do, and the line of its source that it stumbles over."""
    place = re.search(r"^ *\d+ │ ?(.*)$", problem.diagnostic, re.MULTILINE)
    near = f", at: {place[1].strip()[:100]}" if place else ""
    return f"Typst can't make the PDF: {problem.message}{near}"
