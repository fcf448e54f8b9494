"""HTML of a rubric line as a page may show it: only what the grader itself writes remains.

The platform cleans what it is given. A page of our own does the same, so that a results.json
from anywhere can be shown: elements and attributes that aren't on the list go, texts stay.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

KEPT = ("p", "b", "strong", "i", "em", "code", "pre", "ul", "ol", "li")
EMPTY = ("br", "wbr")  # these have no end
SILENT = ("script", "style", "template", "title", "iframe", "object", "svg", "math")
PNG = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")
WIDEST = re.compile(r"max-width: (\d{1,5})px")


def cleaned(markup: str) -> str:
    """The markup with nothing in it but the elements above and PNGs that it holds itself."""
    cleaner = _Cleaner()
    cleaner.feed(markup)
    cleaner.close()
    return "".join([*cleaner.kept, *(f"</{tag}>" for tag in reversed(cleaner.open))])


class _Cleaner(HTMLParser):
    """Collects what is kept, each element ended in its turn."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.kept: list[str] = []
        self.open: list[str] = []
        self._silenced: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self._silenced.append(tag)
        elif self._silenced:
            return
        elif tag in EMPTY:
            self.kept.append(f"<{tag}>")
        elif tag == "img":
            self.kept.append(image(dict(attrs)))
        elif tag in KEPT:
            self.open.append(tag)
            self.kept.append('<pre tabindex="0">' if tag == "pre" else f"<{tag}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that says it is empty: what has no end is as ever, else there is nothing."""
        if tag in EMPTY or tag == "img":
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silenced:
            while self._silenced.pop() != tag:
                pass
        elif not self._silenced and tag in self.open:
            while True:
                last = self.open.pop()
                self.kept.append(f"</{last}>")
                if last == tag:
                    break

    def handle_data(self, data: str) -> None:
        if not self._silenced:
            self.kept.append(html.escape(data, quote=False))


def image(attributes: dict[str, str | None]) -> str:
    """A picture that the markup holds itself, else the sentence that stands for it."""
    said = html.escape(attributes.get("alt") or "", quote=True)
    source = attributes.get("src") or ""
    if not PNG.fullmatch(source):
        return f"[picture: {said}]" if said else ""
    widest = WIDEST.search(attributes.get("style") or "")
    style = f' style="max-width: min(100%, {widest[1]}px)"' if widest else ""
    return f'<img alt="{said}" src="{source}"{style}>'
