"""writeup_overleaf.zip: the same document as LaTeX, with its figures, for Overleaf."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from provided.writeup import blocks as made
from provided.writeup import pandoc
from provided.writeup.blocks import Element
from provided.writeup.document import Document

TEMPLATE = Path(__file__).with_name("template.tex")
MAIN = "main.tex"
FIXED_TIME = (2024, 1, 1, 0, 0, 0)  # the same words make the same zip
BOX = "□"  # stands for what code can't show
NO_LATEX = (".svg",)  # kinds of pictures that LaTeX doesn't take
# Characters that pdfLaTeX knows of itself, in a text and in code.
KNOWN = re.compile(r"[\u00a0-\u017f\u2013\u2014\u2018-\u201d\u2022\u2026\u20ac\u2122]")
CHINESE = re.compile(r"[\u2e80-\u30ff\u31c0-\u9fff\uf900-\ufaff\uff00-\uffef]+")
SYMBOLS = dict(  # characters that pdfLaTeX lacks, as it calls them in a formula
    pair.split("=")
    for pair in """
    α=alpha β=beta γ=gamma δ=delta ε=varepsilon η=eta θ=theta λ=lambda μ=mu π=pi ρ=rho
    σ=sigma τ=tau φ=varphi χ=chi ψ=psi ω=omega Δ=Delta Σ=Sigma Ω=Omega →=to ←=leftarrow
    ⇒=Rightarrow ↔=leftrightarrow ↪=hookrightarrow ≤=le ≥=ge ≠=ne ≈=approx ∈=in ∞=infty
    ∑=sum √=surd ·=cdot −=text{-} ∂=partial ⊤=top □=square
    """.split()  # noqa: SIM905  a list of so many is hard to read
)


def make_zip(document: Document) -> tuple[bytes, str]:
    """The zip, and the characters in it that LaTeX will not show. Raises CannotBuild."""
    source = pandoc.write(for_latex(document.blocks()), "latex", TEMPLATE)
    outside = CHINESE.sub("", source)
    unknown = sorted({letter for letter in outside if _is_unknown(letter)})
    symbols = "".join(_declared(letter) for letter in unknown)
    source = source.replace("%characters%", symbols)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [
            (MAIN, source.encode()),
            *sorted(document.manuscript.pictures.contents.items()),
        ]:
            archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), content, zipfile.ZIP_DEFLATED)
    lost = "".join(letter for letter in unknown if letter not in SYMBOLS)
    return stream.getvalue(), lost


def for_latex(content: list[Element]) -> list[Element]:
    """Blocks as LaTeX can have them: other scripts marked, broken formulas as they stand."""
    formulas = [
        (one["c"][1], one["c"][0]["t"] == "DisplayMath")
        for one in made.walk(content)
        if one["t"] == "Math"
    ]
    broken = {one.tex for one in pandoc.in_typst(formulas) if one.typst is None}

    def own_words(one: Element) -> list[Element] | None:
        if one["t"] == "Math":
            return [made.code(one["c"][1])] if one["c"][1] in broken else None
        if one["t"] == "Image" and one["c"][2][0].endswith(NO_LATEX):
            return [made.emphasised(f"The picture {one['c'][2][0]} is one that LaTeX can't show.")]
        if one["t"] in ("CodeBlock", "Code"):
            return [{**one, "c": [one["c"][0], CHINESE.sub(_boxes, one["c"][1])]}]
        if one["t"] == "Str" and CHINESE.search(one["c"]):
            return _in_chinese(one["c"])
        return None

    return list(made.exchanged(content, own_words))


def _in_chinese(words: str) -> list[Element]:
    found: list[Element] = []
    place = 0
    for run in CHINESE.finditer(words):
        found += [{"t": "Str", "c": words[place : run.start()]}] if run.start() > place else []
        found.append(made.raw_inline("latex", f"\\chinese{{{run[0]}}}"))
        place = run.end()
    return [*found, *([{"t": "Str", "c": words[place:]}] if place < len(words) else [])]


def _boxes(run: re.Match[str]) -> str:
    return BOX * len(run[0])


def _is_unknown(letter: str) -> bool:
    return not letter.isascii() and not KNOWN.match(letter)


def _declared(letter: str) -> str:
    """What pdfLaTeX is to print for a character that it doesn't know."""
    name = SYMBOLS.get(letter)
    shown = f"\\ensuremath{{\\{name or 'square'}}}"
    return f"\\DeclareUnicodeCharacter{{{ord(letter):04X}}}{{{shown}}}\n"
