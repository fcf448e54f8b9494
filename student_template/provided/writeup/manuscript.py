"""Your words as blocks of a document, and whatever in them can't be printed as it stands."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from provided.writeup import blocks as made
from provided.writeup import pandoc
from provided.writeup.blocks import Element
from provided.writeup.listings import wrapped
from provided.writeup.pictures import NoPicture, Pictures
from provided.writeup.prose import Prose

MATHS = re.compile(r"\\begin\{(align|aligned|equation|gather|multline|eqnarray)(\*?)\}")
NUMBERED = re.compile(r"\\(?:label\{[^}]*\}|tag\*?\{[^}]*\}|nonumber|notag)")
NAMED = ("Code", "CodeBlock", "Div", "Figure", "Image", "Link", "Span", "Table")
MAX_SHOWN = 40  # characters of a formula or a piece of LaTeX in a sentence


@dataclass
class Manuscript:
    """What was read: the words of each file, the pictures in them, and what is wrong."""

    root: Path
    read: list[Prose] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    pictures: Pictures = field(init=False)

    def __post_init__(self) -> None:
        self.pictures = Pictures(self.root)

    def blocks_of(self, prose: Prose) -> list[Element]:
        """A file's words as blocks; what can't be printed is noted among `problems`."""
        self.read.append(prose)
        parsed = pandoc.parse(prose.text)
        found = made.exchanged(parsed, lambda one: self._printable(one, prose))
        self._note_formulas(found, prose)
        self._note_dollars(found, prose)
        level = 1
        for one in made.walk(found):
            if one["t"] == "Header":
                level = min(max(2, one["c"][0]), level + 1)  # PDF/UA: no level is skipped
                one["c"] = [level, ["", ["unnumbered"], []], one["c"][2]]
            elif one["t"] in NAMED:  # a name could be that of a section
                one["c"] = [["", *one["c"][0][1:]], *one["c"][1:]]
        return list(found)

    def figure(self, file: Path, name: str, caption: list[Element], alt: str) -> Element:
        """One of train.py's pictures, or the place where it is missing."""
        try:
            return made.figure(self.pictures.add(file, name), caption, alt, "10cm")
        except NoPicture as problem:
            shown = file.relative_to(self.root).as_posix()
            self.problems.append(f"{shown} {problem}.")
            return made.para(made.emphasised(f"{shown} {problem}."))

    def _printable(self, one: Element, prose: Prose) -> list[Element] | None:
        """What takes an element's place; None where it stays."""
        kind = one["t"]
        if kind in ("RawBlock", "RawInline"):
            return self._without_raw(one, prose)
        if kind == "Image":
            return [self._picture(one, prose)]
        if kind == "CodeBlock":
            return [{**one, "c": [one["c"][0], wrapped(one["c"][1])[0]]}]
        if kind == "Math" and one["c"][0]["t"] == "InlineMath":
            formula = NUMBERED.sub("", one["c"][1]).strip()
            return [{**one, "c": [one["c"][0], formula]}] if formula else []
        if kind == "Link" and one["c"][2][0].startswith("#"):  # to a name, which is gone
            words = made.exchanged(one["c"][1], lambda each: self._printable(each, prose))
            return list(words)
        return None

    def _without_raw(self, one: Element, prose: Prose) -> list[Element]:
        form, text = one["c"]
        is_block = one["t"] == "RawBlock"
        if form == "html":
            if not text.lstrip().startswith("<!--"):
                self._note(prose, text, f"HTML is not printed: {_short(text)}. Use Markdown")
            return []
        begins = MATHS.match(text.strip())
        if not begins:
            self._note(
                prose,
                text,
                f"LaTeX outside of a formula is not printed: {_short(text)}. "
                "Put formulas between dollar signs",
            )
            return []
        inside = re.sub(
            r"\\(begin|end)\{(?:(align|gather)|eqnarray)\*?\}",
            lambda found: f"\\{found[1]}{{{found[2] or 'align'}*}}",
            text.strip(),
        )
        inside = re.sub(r"\\(begin|end)\{(equation|multline)\*?\}", "", inside)
        inside = NUMBERED.sub("", inside).strip()
        formula = {"t": "Math", "c": [{"t": "DisplayMath"}, inside]}
        return [made.para(formula)] if is_block else [formula]

    def _picture(self, one: Element, prose: Prose) -> Element:
        (_, _, pairs), words, (target, _) = one["c"]
        try:
            name = self.pictures.add_own(target)
        except NoPicture as problem:
            self._note(prose, target, f"the picture {target} {problem}")
            return made.emphasised(f"The picture {target} {problem}.")
        size = [pair for pair in pairs if pair[0] == "width"]
        alt = next((value for key, value in pairs if key in ("alt", "fig-alt")), "")
        alt = alt or made.as_text(words)
        if not alt:
            self._note(
                prose,
                target,
                f"say what the picture {target} shows, between the brackets of ![...]({target})",
            )
            alt = f"The picture {target}."
        return {"t": "Image", "c": [["", [], [*size, ["alt", alt]]], words, [name, ""]]}

    def _note_formulas(self, content: list[Element], prose: Prose) -> None:
        formulas = [
            (one["c"][1], one["c"][0]["t"] == "DisplayMath")
            for one in made.walk(content)
            if one["t"] == "Math"
        ]
        seen: Counter[str] = Counter()
        for formula in pandoc.in_typst(formulas):
            if formula.typst is None:
                where = prose.line_of(formula.tex, seen[formula.tex])
                seen[formula.tex] += 1
                self.problems.append(
                    f"{where}: the formula {_short(formula.tex)} can't be read ({formula.why})."
                )

    def _note_dollars(self, content: list[Element], prose: Prose) -> None:
        """A formula that is opened and never closed is printed as plain text, dollar and all."""
        loose = [one for one in made.walk(content) if one["t"] == "Str" and "$" in one["c"]]
        if loose and "\\$" not in prose.text:
            where = prose.line_of(loose[0]["c"])
            self.problems.append(
                f"{where}: a dollar sign stands alone. Close the formula, or write \\$ for it."
            )

    def _note(self, prose: Prose, piece: str, text: str) -> None:
        self.problems.append(f"{prose.line_of(piece.strip())}: {text}.")


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= MAX_SHOWN else f"{words[: MAX_SHOWN - 3]}..."
