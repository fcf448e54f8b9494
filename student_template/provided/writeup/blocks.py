"""Pieces of a document as pandoc knows them: its JSON, built by hand for what is put in.

An element is {"t": its kind, "c": its content}; an attribute is [id, classes, pairs].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Element = dict[str, Any]
Piece = Callable[[Element], "list[Element] | None"]  # what takes its place; None: it stays

NO_ATTRIBUTES: list[Any] = ["", [], []]


def text(words: str) -> list[Element]:
    """Words as inline elements; nothing in them is markup."""
    found: list[Element] = []
    for word in words.split():
        found += [{"t": "Space"}, {"t": "Str", "c": word}]
    return found[1:]


def code(words: str) -> Element:
    """Words in a typewriter's letters, inside a sentence."""
    return {"t": "Code", "c": [NO_ATTRIBUTES, words]}


def para(*inlines: Element) -> Element:
    """A paragraph."""
    return {"t": "Para", "c": list(inlines)}


def emphasised(words: str) -> Element:
    """Words in italics."""
    return {"t": "Emph", "c": text(words)}


def heading(level: int, words: str, name: str = "") -> Element:
    """A heading; `name` is what pages refer to it by."""
    return {"t": "Header", "c": [level, [name, ["unnumbered"], []], text(words)]}


def listing(source: str, language: str = "python") -> Element:
    """Lines of code."""
    return {"t": "CodeBlock", "c": [["", [language] if language else [], []], source]}


def raw(form: str, words: str) -> Element:
    """A block for one form alone, typst or latex; the other leaves it out."""
    return {"t": "RawBlock", "c": [form, words]}


def raw_inline(form: str, words: str) -> Element:
    """The same inside a sentence."""
    return {"t": "RawInline", "c": [form, words]}


def new_page() -> list[Element]:
    """What follows begins on a page of its own."""
    return [raw("typst", "#pagebreak(weak: true)"), raw("latex", "\\clearpage")]


def end_of(name: str) -> list[Element]:
    """Marks the last page of the section `name`."""
    return [
        raw("typst", f"#metadata(none)<{name}-end>"),
        raw("latex", f"\\label{{{name}-end}}"),
    ]


def pages_of(name: str) -> list[Element]:
    """The pages of the section `name`, such as 4 or 4–5."""
    return [raw_inline("typst", f'#pages("{name}")'), raw_inline("latex", f"\\pages{{{name}}}")]


def figure(file: str, caption: Sequence[Element], alt: str, width: str = "") -> Element:
    """A picture with a caption. `alt` says what it shows to those who can't see it."""
    size = [["width", width]] if width else []
    image = {"t": "Image", "c": [["", [], [*size, ["alt", alt]]], [], [file, ""]]}
    return {
        "t": "Figure",
        "c": [NO_ATTRIBUTES, [None, [para(*caption)]], [{"t": "Plain", "c": [image]}]],
    }


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[Sequence[Element]]],
    numbers: Sequence[bool] = (),
) -> Element:
    """A table with a row of titles. A cell is a list of inline elements.

    numbers: for each column whether it is set to the right
    """
    across = len(titles)
    sides = [{"t": "AlignRight" if one else "AlignLeft"} for one in numbers or [False] * across]
    columns = [[side, {"t": "ColWidthDefault"}] for side in sides]

    def row(cells: Sequence[Sequence[Element]]) -> list[Any]:
        plain = [[{"t": "Plain", "c": list(cell)}] if cell else [] for cell in cells]
        return [
            NO_ATTRIBUTES,
            [[NO_ATTRIBUTES, {"t": "AlignDefault"}, 1, 1, blocks] for blocks in plain],
        ]

    head = [NO_ATTRIBUTES, [row([text(title) for title in titles])]]
    body = [NO_ATTRIBUTES, 0, [], [row(cells) for cells in rows]]
    return {
        "t": "Table",
        "c": [NO_ATTRIBUTES, [None, []], columns, head, [body], [NO_ATTRIBUTES, []]],
    }


def walk(content: Any) -> Iterator[Element]:
    """Every element inside some content, in the order of the page."""
    if isinstance(content, list):
        for one in content:
            yield from walk(one)
    elif isinstance(content, dict):
        if isinstance(content.get("t"), str):
            yield content
        yield from walk(content.get("c"))


def exchanged(content: Any, piece: Piece) -> Any:
    """A copy with elements exchanged; what takes an element's place is not looked at again."""
    if isinstance(content, list):
        found: list[Any] = []
        for one in content:
            instead = piece(one) if isinstance(one, dict) and "t" in one else None
            found += [exchanged(one, piece)] if instead is None else instead
        return found
    if isinstance(content, dict):
        return {name: exchanged(value, piece) for name, value in content.items()}
    return content


def as_text(content: Any) -> str:
    """The words in some content."""
    words: list[str] = []
    for one in walk(content):
        kind, inner = one["t"], one.get("c", "")
        if kind == "Str":
            words.append(inner)
        elif kind in ("Code", "Math"):
            words.append(inner[1])
        elif kind in ("Space", "SoftBreak", "LineBreak"):
            words.append(" ")
    return "".join(words)
