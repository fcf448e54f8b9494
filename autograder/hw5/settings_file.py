"""A settings file: YAML read with the line of every value, and no key in it twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]  # of a value: ("cnn", "training", "seeds", 0)


class UnreadableSettings(Exception):
    """A file that holds no settings, or some of them twice; says where."""


@dataclass(frozen=True)
class SettingsFile:
    """What a file says, and the line on which each value stands."""

    path: Path
    content: dict[str, Any]
    lines: dict[Place, int]

    def has(self, place: Place) -> bool:
        """Whether the file has this value or section."""
        return place in self.lines

    def where(self, place: Place) -> str:
        """The file and the line of a value, or of the innermost section around it."""
        while place and place not in self.lines:
            place = place[:-1]
        line = self.lines.get(place)
        return self.path.name if line is None else f"{self.path.name}, line {line}"

    def values(self) -> set[Place]:
        """The place of every value that is no section; a list is one value."""
        return {
            place
            for place in self.lines
            if not any(isinstance(part, int) for part in place)
            and not isinstance(self._at(place), dict)
        }

    def _at(self, place: Place) -> Any:
        found: Any = self.content
        for part in place:
            found = found[part]
        return found


def read_settings_file(path: Path) -> SettingsFile:
    """Read a file. Raises UnreadableSettings."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        try:
            node = loader.get_single_node()
            lines = dict(_lines(node, path)) if node is not None else {}
            content = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        mark = problem.context_mark or problem.problem_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise UnreadableSettings(f"{path}{where}: {problem.problem or problem}") from problem
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise UnreadableSettings(f"{path}: {problem}") from problem
    if not isinstance(content, dict):
        raise UnreadableSettings(f"{path}: it holds no settings")
    return SettingsFile(path, content, lines)


def _lines(node: yaml.Node, path: Path, place: Place = ()) -> Iterator[tuple[Place, int]]:
    """Each place below a node with its line. Raises UnreadableSettings for a key in two places."""
    if isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            yield (*place, index), entry.start_mark.line + 1
            yield from _lines(entry, path, (*place, index))
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise UnreadableSettings(
                    f"{path}, line {line}: {dotted((*place, name))} stands twice, first on line "
                    f"{seen[name]}"
                )
            seen[name] = line
            yield (*place, name), line
            yield from _lines(value, path, (*place, name))


def dotted(place: Place) -> str:
    """A place as people write it: cnn.training.seeds[0]."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def did_you_mean(word: str, known: list[str]) -> str:
    """A question that names the known word nearest to an unknown one; empty where none is near."""
    lower = {one.lower(): one for one in known}
    near = get_close_matches(word.lower(), lower, n=1)
    return f": did you mean {lower[near[0]]}?" if near else ""
