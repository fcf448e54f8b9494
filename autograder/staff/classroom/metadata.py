"""What an export says of its submissions: submission_metadata.yml, read as a stream.

The file can be gigabytes long, most of it results of earlier submissions. So it is cut at the
lines that begin a submission, each piece is read on its own, and of earlier submissions
nothing but the scores. It is read leniently: a key may be missing or hold anything, and a piece
that can't be read costs that submission's data and nothing else.
"""

from __future__ import annotations

import codecs
import datetime
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

FILE = "submission_metadata.yml"
KEY = re.compile(rb"""["']?(?:submission_)?(\d{1,20})["']?:\s*$""")
NAMED = re.compile(rb"[^\s#]")  # a line that begins something at the top
MAX_PIECE = 256 << 20  # bytes
SECTION = re.compile(rb"""( *)["']?:?history["']?:\s*$""")
RESULTS = re.compile(rb"""( *(?:- )?)["']?:?results["']?:""")


@dataclass(frozen=True)
class Told:
    """What an export says of one submission.

    results: as the platform kept them, None where they aren't known
    history: scores of earlier submissions, the oldest first; attempts counts this one too
    """

    id: str
    students: tuple[dict[str, str], ...] = ()
    created_at: str = ""
    results: Mapping[str, Any] | None = None
    history: tuple[float, ...] = ()
    attempts: int = 0
    notes: list[str] = field(default_factory=list)


def read(lines: Iterable[bytes], notes: list[str]) -> Iterator[Told]:
    """What is said of each submission; says in notes what couldn't be read."""
    for one, piece, whole in pieces(lines):
        if not whole:
            notes.append(
                f"{FILE} ends in the middle of submission {one}: what it says is left out."
            )
            yield Told(one)
            continue
        try:
            content = _loaded(piece)
        except (yaml.YAMLError, ValueError, RecursionError) as problem:
            notes.append(f"{FILE} can't be read at submission {one}: {_first_line(problem)}.")
            yield Told(one)
            continue
        yield told(one, content)


def pieces(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes, bool]]:
    """The id and the text of each submission, and whether it is there to the end."""
    piece: _Piece | None = None
    line = b"\n"
    for number, line in enumerate(lines):
        line = line if number else line.removeprefix(codecs.BOM_UTF8)
        if NAMED.match(line):
            if piece is not None:
                yield piece.id, b"".join(piece.lines), piece.whole
            key = KEY.match(line)
            piece = _Piece(key[1].decode()) if key else None
        elif piece is not None:
            piece.add(line)
    if piece is not None:
        yield piece.id, b"".join(piece.lines), piece.whole and line.endswith(b"\n")


@dataclass
class _Piece:
    """The lines of one submission, without the results in its history.

    history, results: how far these keys are indented, while lines are below them
    """

    id: str
    lines: list[bytes] = field(default_factory=list)
    whole: bool = True
    size: int = 0
    history: int | None = None
    results: int | None = None

    def add(self, line: bytes) -> None:
        if not line.strip():  # of a text; its indentation says nothing
            self.lines += [line] if self.history is None else []
            return
        depth = len(line) - len(line.lstrip(b" "))
        if self.history is not None and depth <= self.history and line[depth:][:2] != b"- ":
            self.history = self.results = None
        if self.results is not None and depth > self.results:
            return
        self.results = None
        if self.history is None and (section := SECTION.match(line)):
            self.history = len(section[1])
        elif self.history is not None and (results := RESULTS.match(line)):
            self.results = len(results[1])
            return
        self.size += len(line)
        self.whole = self.whole and self.size <= MAX_PIECE
        if self.whole:
            self.lines.append(line)


def told(one: str, content: object) -> Told:
    """A submission's data from what its piece holds, whatever that is."""
    said = _plain(content)
    if not isinstance(said, dict):
        return Told(one, notes=[f"{FILE} says nothing of submission {one}."])
    history = [each for each in _list(said.get("history")) if isinstance(each, dict)]
    history.sort(key=lambda each: str(each.get("created_at")))
    scores = [score for each in history if (score := _score(each.get("score"))) is not None]
    results = said.get("results")
    return Told(
        one,
        tuple(
            {name: _text(each.get(name)) for name in ("name", "sid", "email")}
            for each in _list(said.get("submitters"))
            if isinstance(each, dict)
        ),
        moment(said.get("created_at")),
        results if isinstance(results, dict) else None,
        tuple(scores),
        len(history) + 1,
    )


def moment(value: object) -> str:
    """A time as ISO 8601 has it; empty where it is none."""
    text = re.sub(r"\s*(Z|UTC)$", "+00:00", str(value).strip())
    text = re.sub(r"\s+(?=[+-]\d\d:?\d\d$)", "", text).replace(" ", "T", 1)
    text = re.sub(r"\.(\d{1,6})\d*", lambda found: "." + found[1].ljust(6, "0"), text)
    try:
        return datetime.datetime.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _loaded(piece: bytes) -> object:
    try:
        return yaml.load(piece, _Lenient)
    except yaml.composer.ComposerError:  # it names something of another piece
        return yaml.load(piece, _Alone)


class _Lenient(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads times as texts, and objects of another language as what they are made of."""


_Lenient.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _of_unknown_kind(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]


_Lenient.add_multi_constructor("", _of_unknown_kind)
_Lenient.add_multi_constructor("!", _of_unknown_kind)


class _Alone(yaml.SafeLoader):
    """Slower, and takes a reference to what isn't in the piece for nothing."""

    yaml_implicit_resolvers = _Lenient.yaml_implicit_resolvers

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node; of an unknown reference, one without a value."""
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            return self.anchors.get(event.anchor) or yaml.ScalarNode("tag:yaml.org,2002:null", "")
        return super().compose_node(parent, index)


_Alone.add_multi_constructor("", _of_unknown_kind)
_Alone.add_multi_constructor("!", _of_unknown_kind)


def _plain(value: Any) -> Any:
    """The same as JSON has it, keys without the colon in front."""
    if isinstance(value, dict):
        return {str(key).removeprefix(":"): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _score(value: object) -> float | None:
    try:
        score = float(str(value))
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def _first_line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
