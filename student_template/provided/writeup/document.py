"""The whole write-up as blocks, page by page: yours, and what is put in from your work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from provided.answer_checks import IN_WORDS as QUESTION_IN_WORDS
from provided.answer_checks import read_answers
from provided.homework import TRANSFORMER
from provided.problems import Problem
from provided.submission import take
from provided.writeup import blocks as made
from provided.writeup import prose, runs
from provided.writeup.blocks import Element
from provided.writeup.listings import CONTINUED, Listing, listing_of, wrapped
from provided.writeup.manuscript import Manuscript
from provided.writeup.problem import CannotBuild, counted
from provided.writeup.questions import (
    COLLABORATORS,
    HONOUR,
    Question,
    honour_statement,
    questions,
)
from provided.writeup.runs import Run

IN_WORDS = "1d"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?: ?/ ?\d+)?")
APPENDIX = "code-"  # begins the name of a question's page in the appendix


@dataclass(frozen=True)
class Section:
    """Pages that belong together, for the map at the end; `name` is what refers to them."""

    name: str
    title: str
    blocks: list[Element]


class Document:
    """The write-up of the template in `root`. `manuscript` knows what is wrong with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.taken = take(root)
        self.manuscript = Manuscript(root)
        self.manuscript.problems += self.taken.texts
        self.questions = questions()

    @cached_property
    def sections(self) -> list[Section]:
        """All pages but the map. Raises CannotBuild where the words can't be read."""
        return [
            self._collaborators(),
            self._honour(),
            *(self._question(question) for question in self.questions),
            *(self._code(question) for question in self.questions if question.code),
        ]

    def blocks(self) -> list[Element]:
        """The document, each section on pages of its own, the map of pages last."""
        found: list[Element] = []
        for section in self.sections:
            found += [
                made.heading(1, section.title, section.name),
                *section.blocks,
                *made.end_of(section.name),
                *made.new_page(),
            ]
        return [*found, made.heading(1, "Where everything is", "pages"), self._map()]

    def _collaborators(self) -> Section:
        words = prose.read(self.root, COLLABORATORS)
        return Section(COLLABORATORS, "Collaborators", self._words(words))

    def _honour(self) -> Section:
        words = prose.read(self.root, HONOUR)
        signed = self._words(words) if words.signature() else [_gap("Not signed yet", words.name)]
        statement = made.para(*made.text(honour_statement()))
        return Section(HONOUR, "Statement of honour", [statement, *signed])

    def _question(self, question: Question) -> Section:
        words = prose.read(self.root, question.part)
        blocks: list[Element] = []
        if question.part == IN_WORDS:
            blocks += self._own_words(question)
        elif question.answers:
            blocks += self._answers(question)
        if words.words or (question.required and question.part != IN_WORDS):
            blocks += self._words(words)
        if question.kind:
            blocks += self._run(question.kind)
        if question.code:
            blocks.append(_pointer(question))
        return Section(f"q{question.part}", question.heading, blocks)

    def _words(self, words: prose.Prose) -> list[Element]:
        blocks = self.manuscript.blocks_of(words)
        return blocks if words.words else [_gap("Nothing is written yet", words.name)]

    @cached_property
    def answered(self) -> Mapping[str, Any]:
        """answers.yaml; nothing where it can't be read."""
        try:
            read = read_answers(self.taken.answers, self.taken.notes)
        except Problem as problem:
            self.manuscript.problems.append(str(problem))
            return {}
        return {**read.values, QUESTION_IN_WORDS: read.words}

    def _own_words(self, question: Question) -> list[Element]:
        assert question.answers
        words = self.answered.get(question.answers[0])
        if not isinstance(words, str) or not words.strip():
            return []
        return [made.para(*made.text(part)) for part in re.split(r"\n\s*\n", words.strip())]

    def _answers(self, question: Question) -> list[Element]:
        assert question.answers
        section, names = question.answers
        values = self.answered.get(section)
        values = values if isinstance(values, dict) else {}
        rows = []
        for name in names:
            value = values.get(name)
            missing = value is None or value == ""
            cell = [made.emphasised("not answered yet")] if missing else [_value(value)]
            rows.append([made.text(name.replace("_", " ")), cell])
        return [made.table(["From answers.yaml", "Answer"], rows)]

    def _run(self, kind: str) -> Iterator[Element]:
        """What artifacts/ knows of a model: its run, what was tried, figures."""
        run, tried = self._read_run(kind), self._read_tried(kind)
        yield made.heading(2, "The run")
        if run is None:
            yield _gap("No training yet", f"python train.py {kind}")
        else:
            yield from _about(run)
        if tried:
            yield made.heading(2, "Every run")
            yield from _table_of(tried)
        if run is not None:
            yield made.heading(2, "Figures")
            yield from self._figures(run)

    def _figures(self, run: Run) -> Iterator[Element]:
        losses = runs.losses_in_words(runs.read_losses(run))
        yield self.manuscript.figure(
            run.folder / runs.LOSSES,
            f"{run.kind}-loss",
            made.text(f"Losses. {run.in_short()}."),
            losses,
        )
        if run.kind == TRANSFORMER:
            yield self.manuscript.figure(
                run.folder / runs.MAPS,
                f"{run.kind}-attention",
                made.text(
                    f"The last layer's attention for the first validation image. {run.in_short()}."
                ),
                "Heat maps, one for each head of the last layer: rows are the tokens that look, "
                "columns those looked at, token 0 is the class token.",
            )

    def _read_run(self, kind: str) -> Run | None:
        try:
            return runs.read_run(self.root, kind)
        except CannotBuild as problem:
            self.manuscript.problems.append(str(problem))
            return None

    def _read_tried(self, kind: str) -> list[dict[str, str]]:
        try:
            return runs.read_tried(self.root, kind)
        except CannotBuild as problem:
            problems = self.manuscript.problems
            problems += [str(problem)] if str(problem) not in problems else []
            return []

    def listing(self, question: Question) -> Listing | None:
        """A question's code; None where it isn't written yet. Raises CannotBuild."""
        assert question.code
        others = [other.code for other in self.questions if other.code and other != question]
        return listing_of(self.taken, question.code, others)

    def _code(self, question: Question) -> Section:
        try:
            listing = self.listing(question)
        except CannotBuild as problem:
            self.manuscript.problems.append(str(problem))
            listing = None
        assert question.code
        if listing is None:
            blocks = [_gap("Not written yet", question.code.file)]
        else:
            origin = [
                *made.text("From"),
                {"t": "Space"},
                made.code(listing.origin),
                *made.text("."),
            ]
            if listing.wrapped_lines:
                lines = counted(listing.wrapped_lines, "line")
                origin += [
                    {"t": "Space"},
                    *made.text(f"{lines} too long for the page: {CONTINUED} begins the rest."),
                ]
            blocks = [made.para(*origin), made.listing(listing.source)]
        return Section(f"{APPENDIX}{question.part}", f"Code of question {question.part}", blocks)

    def _map(self) -> Element:
        """Which pages to assign to which question."""
        names = {section.name for section in self.sections}
        rows = [
            [made.text(title), made.pages_of(name), []]
            for name, title in ((COLLABORATORS, "Collaborators"), (HONOUR, "Statement of honour"))
        ]
        rows += [
            [
                made.text(question.heading),
                made.pages_of(f"q{question.part}"),
                made.pages_of(code) if (code := f"{APPENDIX}{question.part}") in names else [],
            ]
            for question in self.questions
        ]
        return made.table(["Section", "Pages", "Code"], rows, (False, True, True))


def _about(run: Run) -> Iterator[Element]:
    """A run in numbers: accuracies, settings, architecture."""
    if run.is_trial:
        yield made.para(
            made.emphasised(f"{run.name} is a trial{run.trial_because}, not a full training.")
        )
    yield made.para(*made.text(" ".join([f"{run.name}.", *run.accuracies()])))
    if not run.is_recorded:
        yield _gap("How it was trained isn't recorded", f"python train.py {run.kind}")
        return
    yield made.table(
        ["Setting", "Value"],
        [[made.text(name), made.text(value)] for name, value in run.settings()],
    )
    if run.kind != TRANSFORMER and run.architecture():  # the Transformer's is given
        yield made.listing(wrapped(run.architecture())[0], "")


def _table_of(tried: Sequence[Mapping[str, str]]) -> Iterator[Element]:
    """Runs as a table, and below it the networks that it calls A, B and so on."""
    networks, columns = runs.networks_of(tried), runs.columns_of(tried)
    yield made.table(
        [title for _, title in columns],
        [[made.text(runs.cell_of(name, row, networks)) for name, _ in columns] for row in tried],
        [name not in runs.WORDS for name, _ in columns],
    )
    for architecture, letter in networks.items():
        yield made.para(*made.text(f"Network {letter}: {architecture}"))


def _gap(what: str, where: str) -> Element:
    """Stands where something is missing, so that nobody hands it in by mistake."""
    return made.para(made.emphasised(f"{what}: {where}."))


def _pointer(question: Question) -> Element:
    pages = made.pages_of(f"{APPENDIX}{question.part}")
    return made.para(*made.text("The code is on page"), {"t": "Space"}, *pages, *made.text("."))


def _value(value: object) -> Element:
    """An answer as it stands in answers.yaml; a matrix as one."""
    if isinstance(value, list) and value and all(isinstance(row, list) and row for row in value):
        cells = [[str(cell).strip() for cell in row] for row in value]
        if all(NUMBER.fullmatch(cell) for row in cells for cell in row):
            rows = r" \\ ".join(" & ".join(row) for row in cells)
            matrix = rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}"
            return {"t": "Math", "c": [{"t": "InlineMath"}, matrix]}
    if isinstance(value, int) and not isinstance(value, bool):
        return {"t": "Str", "c": f"{value:,}"}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return made.code(f"[{', '.join(str(one) for one in value)}]")
    return {"t": "Span", "c": [made.NO_ATTRIBUTES, made.text(str(value))]}
