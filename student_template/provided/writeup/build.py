"""Making the files of a write-up, and saying what came of it."""

from __future__ import annotations

from pathlib import Path

from provided.run_notes import whole
from provided.writeup import overleaf, pdf, prose
from provided.writeup.document import Document
from provided.writeup.problem import CannotBuild, counted
from provided.writeup.questions import questions

PDF = "writeup.pdf"
OVERLEAF = "writeup_overleaf.zip"
SHOWN = 12  # problems in a report


def build(root: Path) -> int:
    """Make what can be made of the template in `root`; returns 0 if nothing is wrong."""
    try:
        created = prose.create(root, questions())
        if created:
            print(
                f"Made {counted(len(created), 'file')} in {prose.FOLDER}/: write your words there."
            )
        document = Document(root)
        problems = _make_pdf(document)
        problems += _make_overleaf(document)
    except CannotBuild as problem:
        print(problem)
        return 1
    except OSError as problem:
        print(f"{problem.filename or prose.FOLDER} can't be written: {problem.strerror}.")
        return 1
    problems = [*document.manuscript.problems, *problems]
    for text in dict.fromkeys(problems[:SHOWN]):
        print(f"FIX   {text}")
    if len(problems) > SHOWN:
        print(f"FIX   and {len(problems) - SHOWN} more.")
    print("What is still to do: python writeup.py --check")
    return 1 if problems else 0


def pictures(root: Path, dots_per_inch: int) -> list[bytes]:
    """Every page as a PNG; none where they can't be made, which `build` explains."""
    try:
        return pdf.make_pictures(Document(root), dots_per_inch)
    except CannotBuild:
        return []


def _make_pdf(document: Document) -> list[str]:
    """Write writeup.pdf; returns what is wrong with it."""
    try:
        made = pdf.make_pdf(document)
        _write(document.root / PDF, made.content)
    except CannotBuild as problem:
        return [str(problem)]
    print(f"{PDF}: {len(made.content) / 1e6:.1f} MB. On Gradescope, assign these pages:")
    for section in document.sections:
        first, last = made.pages[section.name]
        span = f"{first}" if first == last else f"{first}-{last}"
        print(f"  {section.title:52} {span:>7}")
    if not made.not_shown:
        return []
    return [
        f"{_place(document, made.not_shown[0])}: no font here has {made.not_shown}: "
        f"{pdf.IN_PLACE} stands there instead. Put a font file that has them, such as one of Noto, "
        f"into {pdf.FONTS}/."
    ]


def _make_overleaf(document: Document) -> list[str]:
    """Write writeup_overleaf.zip; returns what is wrong with it."""
    content, lost = overleaf.make_zip(document)
    _write(document.root / OVERLEAF, content)
    print(f"{OVERLEAF}: the same for Overleaf (New Project, Upload Project).")
    if lost:
        print(f"note  In {OVERLEAF} pdfLaTeX shows a box for {lost}; {PDF} is not concerned.")
    return []


def _place(document: Document, letter: str) -> str:
    """Where a character stands: the first file of words that has it."""
    words = next((one for one in document.manuscript.read if letter in one.text), None)
    return words.line_of(letter) if words else "your code, answers or settings"


def _write(file: Path, content: bytes) -> None:
    try:
        with whole(file) as new:
            new.write_bytes(content)
    except OSError as problem:
        raise CannotBuild(
            f"{file.name} can't be written ({problem.strerror}): close it where it is open, and "
            "see that you may write to its folder and its disk has room."
        ) from None
