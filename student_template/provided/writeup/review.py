"""python writeup.py --check: what is empty, missing, or older than what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provided.homework import ANSWERS_FILE, CODE_FILES, HEAD, LAYER, RUN, TRANSFORMER
from provided.writeup import prose, runs
from provided.writeup.document import IN_WORDS, Document
from provided.writeup.problem import CannotBuild, counted, in_a_row
from provided.writeup.questions import COLLABORATORS, HONOUR, SIGNED, Question
from provided.writeup.runs import Run

PDF = "writeup.pdf"
TO_DO, FIX, NOTE, OK = "TO DO", "FIX", "note", "ok"
Finding = tuple[str, str]  # a state, and a sentence


@dataclass
class Review:
    """The write-up of the template in `root`, looked over. `open` counts what is to do or fix."""

    root: Path
    open: int = 0

    def __post_init__(self) -> None:
        self.document = Document(self.root)

    def show(self) -> int:
        """Print a report; returns 0 if there is nothing to do."""
        self._say("", self._about_collaborators())
        self._say("", self._about_honour())
        for question in self.document.questions:
            self._say(question.part, self._about(question))
        self._say("", self._about_words())
        self._say("", self._about_pdf())
        print()
        if self.open:
            print(f"{counted(self.open, 'thing')} to do or fix.", end=" ")
        print("This looks for what is missing; whether it is right, it doesn't know.")
        return 1 if self.open else 0

    def _say(self, part: str, findings: Iterator[Finding]) -> None:
        try:
            for state, text in findings:
                self.open += state in (TO_DO, FIX)
                print(f"{part:3} {state:5} {text}")
        except CannotBuild as problem:
            self.open += 1
            print(f"{part:3} {FIX:5} {problem}")

    def _about_collaborators(self) -> Iterator[Finding]:
        words = prose.read(self.root, COLLABORATORS)
        if words.words:
            yield OK, "collaborators are stated"
        else:
            yield TO_DO, f"{words.name}: say with whom you worked, or that you worked alone."

    def _about_honour(self) -> Iterator[Finding]:
        words = prose.read(self.root, HONOUR)
        name = words.signature()
        if name:
            yield OK, f"signed by {name}"
        else:
            yield TO_DO, f'{words.name}: sign it, with your name behind "{SIGNED}".'

    def _about(self, question: Question) -> Iterator[Finding]:
        found: list[str] = []
        if question.answers:
            yield from self._about_answers(question, found)
        if question.part != IN_WORDS:
            yield from self._about_prose(question, found)
        if question.kind:
            yield from self._about_run(question.kind, found)
        if question.code:
            listing = self.document.listing(question)
            if listing is None:
                names = " or ".join(question.code.names[:1])
                yield TO_DO, f"no code yet: {names} in {question.code.file}."
            else:
                found.append(f"code from {listing.origin}")
        if found:
            yield OK, ", ".join(found)

    def _about_answers(self, question: Question, found: list[str]) -> Iterator[Finding]:
        assert question.answers
        section, names = question.answers
        given = self.document.answered.get(section)
        if question.part == IN_WORDS:
            own = prose.read(self.root, question.part).words
            words = len(f"{given if isinstance(given, str) else ''} {own}".split())
            if words:
                found.append(counted(words, "word"))
            else:
                yield TO_DO, f"no words yet: {section} in {ANSWERS_FILE}."
            return
        values = given if isinstance(given, dict) else {}
        missing = [name for name in names if values.get(name) in (None, "")]
        if missing:
            what = section if len(missing) == len(names) else f"{section}, {in_a_row(missing)}"
            yield TO_DO, f"not answered yet in {ANSWERS_FILE}: {what}."
        else:
            found.append("answered")

    def _about_prose(self, question: Question, found: list[str]) -> Iterator[Finding]:
        words = prose.read(self.root, question.part)
        empty = words.empty_sections()
        titles = [f'"{title}"' for title in empty if title]
        if titles:
            yield TO_DO, f"{words.name}: nothing is written below {in_a_row(titles)}."
        elif empty and question.required:
            yield TO_DO, f"{words.name}: nothing is written yet."
        elif words.words:
            found.append(counted(len(words.words.split()), "word"))

    def _about_run(self, kind: str, found: list[str]) -> Iterator[Finding]:
        run = runs.read_run(self.root, kind)
        if run is None:
            yield TO_DO, f"no training yet: python train.py {kind}"
            return
        if run.is_trial:
            yield TO_DO, f"{run.name} is only a trial{run.trial_because}: python train.py {kind}"
        pictures = [runs.LOSSES, *([runs.MAPS] if kind == TRANSFORMER else [])]
        missing = [name for name in pictures if not (run.folder / name).is_file()]
        if missing:
            place = run.folder.relative_to(self.root).as_posix()
            yield FIX, f"{in_a_row(missing)} is missing in {place}: python train.py {kind}"
        if not run.is_recorded:
            yield TO_DO, f"{run.in_short()}: python train.py {kind}"
            return
        yield from self._about_age(run)
        yield OK, run.in_short()

    def _about_age(self, run: Run) -> Iterator[Finding]:
        """Whether the run was made with the code as it is now."""
        if run.kind == TRANSFORMER:
            made = (run.folder / RUN).stat().st_mtime
            changed = [
                name
                for name in (HEAD.file, LAYER.file)
                if (self.root / name).is_file() and (self.root / name).stat().st_mtime > made
            ]
            if changed:
                yield (
                    NOTE,
                    f"{in_a_row(changed)} changed after the training: if more than comments did, "
                    "train again.",
                )
            return
        try:
            from provided.writeup.age import difference
        except ImportError:  # it needs torch, which the write-up can do without
            yield NOTE, "torch is not installed here, so the age of this run can't be told."
            return
        told = difference(self.root, run)
        if told:
            yield FIX, told

    def _about_words(self) -> Iterator[Finding]:
        """What of the words, pictures and formulas can't be printed."""
        if not (self.root / prose.FOLDER).is_dir():
            yield TO_DO, f"{prose.FOLDER}/ isn't there yet: python writeup.py makes it."
            return
        try:
            _ = self.document.sections
        except CannotBuild as missing:  # without pandoc nothing in them can be looked at
            yield FIX, str(missing)
        for problem in dict.fromkeys(self.document.manuscript.problems):
            yield FIX, problem

    def _about_pdf(self) -> Iterator[Finding]:
        file = self.root / PDF
        if not file.is_file():
            yield TO_DO, f"{PDF} isn't built yet: python writeup.py"
            return
        sources = [
            *(self.root / prose.FOLDER).rglob("*"),
            *((self.root / name) for name in (ANSWERS_FILE, *CODE_FILES)),
            *self.root.glob(f"artifacts/*/{RUN}"),
        ]
        times = {one: one.stat().st_mtime for one in sources if one.is_file()}
        newest = max(times, key=lambda one: times[one], default=None)
        if newest is not None and times[newest] > file.stat().st_mtime:
            name = newest.relative_to(self.root).as_posix()
            yield TO_DO, f"{PDF} is older than {name}: python writeup.py"
        else:
            yield OK, f"{PDF} is up to date"


def review(root: Path) -> int:
    """The report on the template in `root`; returns 0 if there is nothing to do."""
    return Review(root).show()
