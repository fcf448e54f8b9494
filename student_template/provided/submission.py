"""Your files as the grader takes them: from the folder, or out of a notebook. Used by check.py."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from provided.decoding import texts_of
from provided.homework import ANSWERS_FILE, CODE_FILES, OPTIONAL, SUBMITTED
from provided.near_names import NOTEBOOK, missing_files
from provided.notebook import MAX_BYTES, MAX_NOTEBOOKS, Span, in_place_of
from provided.packages import lost_imports, notes_on_imports
from provided.run_notes import whole

TEXTS = (*CODE_FILES, ANSWERS_FILE)


@dataclass(frozen=True)
class Submission:
    """What the grader would take of a folder.

    code:     the text of each code file
    answers:  the text of answers.yaml, None where it is missing
    notebook: the notebook that some of them were read from; empty where none was
    made:     the files that were read from it
    spans:    where their lines come from
    notes:    what was found elsewhere, refused or ignored
    texts:    those of the notes that say how the letters of a file were read
    """

    folder: Path
    code: Mapping[str, str]
    answers: str | None
    notebook: str = ""
    made: frozenset[str] = frozenset()
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """The files to hand in, by their names in the folder: those that are there."""
        there = [name for name in SUBMITTED if is_there(self.folder / name)]
        return [*there, self.notebook] if self.notebook else there


def take(folder: Path) -> Submission:
    """What the grader would take of a folder."""
    notes: list[str] = []
    there = sorted(path.name for path in folder.iterdir() if path.is_file())
    read: dict[str, bytes] = {}
    for name in TEXTS:
        size = (folder / name).stat().st_size if name in there else 0
        if size > SUBMITTED[name]:
            notes.append(
                f"{name} is too large ({size:,} bytes, limit {SUBMITTED[name]:,}): ignored."
            )
        elif name in there:
            read[name] = (folder / name).read_bytes()
    about_texts: list[str] = []
    texts = texts_of(read, about_texts)
    notes += about_texts
    found = in_place_of(texts, _notebooks(folder, there, notes), notes)
    made = found.files if found else {}
    texts |= {name: extract.text for name, extract in made.items()}
    notes += missing_files(there, texts)
    return Submission(
        folder,
        {name: texts[name] for name in CODE_FILES if name in texts},
        texts.get(ANSWERS_FILE),
        found.name if found and made else "",
        frozenset(made),
        {name: extract.spans for name, extract in made.items()},
        tuple(notes),
        tuple(about_texts),
    )


def told_about(submission: Submission, files: Collection[str]) -> Iterator[tuple[str, str]]:
    """What to know about some files beside their contents: "note" or "FIX", and a sentence.

    Packages that the grader lacks, and where files were taken from. What is missing, its part says.
    """
    beside = {path.stem for path in submission.folder.glob("*.py")}
    for file in sorted(files):
        source = submission.code.get(file, "")
        yield from (("note", note) for note in notes_on_imports(file, source, beside))
        yield from (("FIX", problem) for problem in lost_imports(file, source, beside))
    others = {*TEXTS} - {*files}
    for note in submission.notes:
        if note.partition(" ")[0] not in others and " is missing" not in note:
            yield "note", note


def listed(submission: Submission) -> Iterator[tuple[str, bool]]:
    """A line for each file to submit, and whether it is too big to be taken."""
    for name, limit in SUBMITTED.items():
        file = submission.folder / name
        size = file.stat().st_size if is_there(file) else None
        over = size is not None and size > limit
        absent = "optional" if name in OPTIONAL else "missing"
        state = absent if size is None else f"{size:,} bytes"
        if name in submission.made:
            state = f"in {submission.notebook}"
        yield f"  {name:35}{state:>18}{f'   FIX: at most {limit:,}' if over else ''}", over


def write_zip(submission: Submission, file: Path) -> str:
    """Write a zip with exactly the files that are graded, the notebook among them where it is.

    Returns what it holds, in a sentence. Raises OSError, and leaves an earlier zip as it was.
    """
    files = submission.files
    with whole(file) as new, _new_zip(new) as archive:
        for name in files:
            archive.write(submission.folder / name, name)
    required = SUBMITTED.keys() - OPTIONAL
    held = [f"{len(required.intersection(files))} of {len(required)} files"]
    if OPTIONAL.intersection(files):
        held.append(f"{len(OPTIONAL.intersection(files))} optional ones")
    if submission.notebook:
        held.append(submission.notebook)
    return f"{file.name} holds {', '.join(held[:-1])}{' and ' if held[1:] else ''}{held[-1]}."


def _new_zip(file: Path) -> zipfile.ZipFile:
    """An empty zip; files from before 1980, which no zip has, count as made then."""
    return zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False)


def is_there(file: Path) -> bool:
    """Whether there is a file of just this name, capital letters and all."""
    return file.is_file() and file.name in {path.name for path in file.parent.iterdir()}


def _notebooks(folder: Path, there: Sequence[str], notes: list[str]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the notebooks beside your other files."""
    for name in [name for name in there if name.endswith(NOTEBOOK)][:MAX_NOTEBOOKS]:
        if (folder / name).stat().st_size > MAX_BYTES:
            notes.append(f"{name} is larger than {MAX_BYTES >> 20} MB: ignored.")
        else:
            yield name, (folder / name).read_bytes()


class _Texts(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Imports code files from the text that the grader takes, whatever the folder holds."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A code file's; None for other names. Raises ModuleNotFoundError where it isn't taken."""
        if f"{fullname}.py" not in CODE_FILES:
            return None
        if f"{fullname}.py" not in self._submission.code:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        file = self.get_filename(fullname)
        return importlib.util.spec_from_file_location(fullname, file, loader=self)

    def get_filename(self, fullname: str) -> str:
        """The file that the text stands for."""
        return str(self._submission.folder / f"{fullname}.py")

    def get_source(self, fullname: str) -> str:
        """The text."""
        return self._submission.code[f"{fullname}.py"]

    def is_package(self, fullname: str) -> bool:
        """None is."""
        return False


@contextmanager
def imported_as_taken(submission: Submission) -> Iterator[None]:
    """While the block runs, imports of your files bring what the grader would take of them."""
    finder = _Texts(submission)
    forget()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        forget()


def forget() -> None:
    """Import your files, and what is built on them, anew the next time."""
    own = {file.removesuffix(".py") for file in CODE_FILES}
    for name in [*own, "provided.multi_head", "provided.vision_transformer"]:
        sys.modules.pop(name, None)
