"""The pictures of a write-up: found, looked at, and named so that every program takes them."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from provided.writeup.prose import FOLDER

PLAIN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}  # that Typst and LaTeX both take
CONVERTED = (".gif", ".webp", ".bmp", ".tif", ".tiff")
DRAWN = (".svg", ".pdf")
MAX_BYTES = 20 << 20
MAX_SIDE = 2400  # pixels: more isn't seen on paper, and makes the PDF big


class NoPicture(Exception):
    """Why a picture can't be put in; what is said behind its name."""


@dataclass
class Pictures:
    """Pictures by the name that the document has for them; `root` is the template's folder."""

    root: Path
    contents: dict[str, bytes] = field(default_factory=dict)

    def add(self, file: Path, name: str = "") -> str:
        """Take a picture in; returns its name in the document. Raises NoPicture."""
        suffix = file.suffix.lower()
        if suffix not in (*PLAIN, *CONVERTED, *DRAWN):
            kinds = ", ".join(one.removeprefix(".") for one in (*PLAIN, *CONVERTED, *DRAWN))
            raise NoPicture(f"is of a kind that can't be shown; use one of {kinds}")
        try:
            if file.stat().st_size > MAX_BYTES:
                raise NoPicture(f"is larger than {MAX_BYTES >> 20} MB")
            content = file.read_bytes()
        except (OSError, ValueError):  # no name at all, such as one with a zero byte
            raise NoPicture("is not there") from None
        if suffix not in DRAWN:
            content, suffix = _checked(content, suffix)
        elif suffix == ".pdf" and not content.startswith(b"%PDF-"):
            raise NoPicture("is damaged, or no PDF")
        elif suffix == ".svg" and b"<svg" not in content:
            raise NoPicture("is damaged, or no SVG")
        name = f"figures/{name or f'own-{len(self.contents) + 1}'}{suffix}"
        self.contents[name] = content
        return name

    def add_own(self, target: str) -> str:
        """A picture that your words name, from the folder writeup or beside it.

        Raises NoPicture.
        """
        if "://" in target or target.startswith("data:"):
            raise NoPicture("is on the web: save it here, and name the file")
        names = [unquote(target), target]  # Markdown may write %20 for a blank; so may a name
        paths = [Path(name.replace("\\", "/")) for name in names]
        places = [self.root / folder / path for path in paths for folder in (FOLDER, "")]
        found = next((place for place in places if place.is_file()), places[0])
        return self.add(found)


def _checked(content: bytes, suffix: str) -> tuple[bytes, str]:
    """A picture of dots that can be opened, smaller where it has far too many of them."""
    from PIL import Image  # comes with torchvision

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as picture:
                picture.load()
                fits = max(picture.size) <= MAX_SIDE
                if fits and PLAIN.get(suffix) == picture.format:
                    return content, suffix
                picture.seek(0)
                plain = picture.convert("RGBA" if picture.mode in ("RGBA", "LA", "P") else "RGB")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        raise NoPicture("is damaged, or no picture") from None
    plain.thumbnail((MAX_SIDE, MAX_SIDE))
    stream = io.BytesIO()
    plain.save(stream, "PNG", optimize=True)
    return stream.getvalue(), ".png"
