"""What is wrong with a YAML text, in plain words and with the line to look at.

A parser stops where it can't go on, often a line or more behind the slip.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

LINE = r"[ \t]*(?:- )?[\w-]+"  # how a line with a name begins
NO_SPACE = re.compile(rf"{LINE}:[^\s:/#]")
NO_COLON = re.compile(rf"{LINE}(?:[ \t]*=|[ \t]+[-+\d\[({{'\"])")
OTHER_COLON = re.compile(rf"{LINE}[ \t]*\uff1a")
NAME_AND_VALUE = re.compile(rf"({LINE})[ \t]*:[ \t]+[^\s#>|]")
DECIMAL_COMMA = re.compile(r"[\[,\s]-?\d+,\d+(?=\s*[,\]])")
COMMA_AND_SPACE = re.compile(r",\s")
ROW = re.compile(r"\[[^\[\]\n]*\]")
MAX_LOOKED_BACK = 3  # lines with something in them
MAX_NODES = 20_000  # of a text that is searched for names that stand twice
MAX_SAID = 3
MAX_NAME = 40  # characters that are shown

TAB = "there is a tab. YAML takes only spaces: replace it"
SPACE = "a space is missing after the colon"
COLON = "a colon is missing after the name"
WIDE_COLON = "the colon is a full-width one: type a plain colon and a space"
INDENT = "the line is indented differently from those it belongs to"


class PlainLoader(yaml.SafeLoader):
    """Reads plain values; aliases are refused, as a few of them can stand for millions.

    Whatever a student wrote is read with it, every time: what is quoted in one reading may be
    alive in another, of another part of the text.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next value. Raises MarkedYAMLError at an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not supported here", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """A value. Raises MarkedYAMLError where it isn't what its tag says."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"what stands there is no {kind}", problem_mark=node.start_mark
            ) from None


class AsWritten(PlainLoader):
    """Reads a value as a number only where it looks like one; the rest stays as it is written.

    YAML 1.1 takes no for false, 040 for 32, 1:30 for 90 and 2024-01-01 for a date. Nobody means
    that in an answer, and a sentence about it should show what stands in the file.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  as in yaml's own classes


PLAIN_VALUES = {  # tag -> what a value looks like, and the characters that it may begin with
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "int": (r"[-+]?(0|[1-9][0-9_]{0,400}|0x[0-9a-fA-F_]+)", list("-+0123456789")),
    "float": (
        r"[-+]?([0-9][0-9_]{0,400}\.[0-9_]*|\.[0-9]+)([eE][-+][0-9]+)?",
        list("-+.0123456789"),
    ),
}
for _tag, (_looks, _begins) in PLAIN_VALUES.items():
    AsWritten.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"({_looks})$"), _begins
    )


def in_plain_words(problem: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line that a problem comes from, counted from 1 (0: unknown), and what is wrong there."""
    lines = text.split("\n")
    mark, begun = problem.problem_mark, problem.context_mark
    at = mark.line + 1 if mark else 0
    message, context = str(problem.problem or "unreadable"), str(problem.context or "")
    if "'\\t'" in message:
        return at, TAB
    if "quoted scalar" in context and begun:
        return begun.line + 1, "a quotation mark is opened and never closed"
    if "flow sequence" in context and begun:
        return begun.line + 1, "a bracket [ is opened and never closed"
    if "flow mapping" in context and begun:
        return begun.line + 1, "a brace { is opened and never closed"
    if match := re.search(r"found '([\]}])'", message):
        return at, f"there is a {match[1]} too many"
    if match := re.search(r"found character '(.)'", message):
        return at, f"a value can't begin with {match[1]}: put it in quotation marks"
    found = _name_without_value(lines, (begun.line + 1 if begun else at, at))
    if found is not None:
        return found
    if at and ("mapping values are not allowed" in message or "<block end>" in message):
        return at, _indentation(lines, at)
    return at, message


def control_character(text: str) -> tuple[int, str]:
    """The line of the first character that YAML refuses to read (0: there is none), and which."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if found is None:
        return 0, "unreadable"
    line = text.count("\n", 0, found.start()) + 1
    return line, f"there is a character that nobody can see (U+{ord(found[0]):04X}): delete it"


def _name_without_value(lines: list[str], places: tuple[int, int]) -> tuple[int, str] | None:
    """A line, at a problem or shortly before it, whose colon isn't one that YAML sees."""
    first = max(min(places) - MAX_LOOKED_BACK, 1)
    for number in range(max(places), first - 1, -1):
        line = lines[number - 1] if number <= len(lines) else ""
        for slip, said in ((OTHER_COLON, WIDE_COLON), (NO_SPACE, SPACE), (NO_COLON, COLON)):
            if slip.match(line):
                return number, said
    return None


def _indentation(lines: list[str], at: int) -> str:
    """A line that stands too deep below one that has its value already, or elsewhere."""
    above = next((line for line in reversed(lines[: at - 1]) if line.strip()), "")
    deeper = _indent(lines[at - 1]) > _indent(above)
    if deeper and NAME_AND_VALUE.match(above):
        return f"{INDENT}: move it to the left, below the line above it"
    if lines[at - 1].count(": ") > 1:
        return "there are two colons: put what follows the first one in quotation marks"
    return INDENT


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def read_askew(text: str, name_of_file: str) -> list[str]:
    """What YAML takes without complaint, and hardly anybody means; each in a sentence.

    Names that stand twice, of which the last one counts, and commas in decimal numbers.
    """
    try:
        found = [*_twice(yaml.compose(text, PlainLoader), MAX_NODES)]
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    for number, line in enumerate(text.split("\n"), start=1):
        rows = [row for row in ROW.findall(line.partition("#")[0]) if COMMA_AND_SPACE.search(row)]
        if any(DECIMAL_COMMA.search(row) for row in rows):
            found.append((number, "a comma separates numbers: write 0.5 where 0,5 is meant"))
    return [f"{name_of_file}, line {line}: {said}." for line, said in sorted(found)[:MAX_SAID]]


def _twice(root: yaml.Node | None, most: int) -> Iterator[tuple[int, str]]:
    """Names that stand twice below the same one, each at its second place."""
    todo = [(root, "")]
    while todo and most > 0:
        node, owner = todo.pop()
        most -= 1
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name = key.value[:MAX_NAME]
            if (key.tag, key.value) in seen:
                below = f" under {owner}" if owner else ""
                yield key.start_mark.line + 1, f"{name} stands twice{below}; the last one counts"
            seen.add((key.tag, key.value))
            todo.append((value, name))


def unspaced(text: str, question: str) -> str:
    """The first line below a question whose colon lacks a space; empty where each has one."""
    begin = re.search(rf"^{re.escape(question)}[ \t]*:", text, re.MULTILINE)
    if begin is None:
        return ""
    first = text.count("\n", 0, begin.start()) + 1
    for number, line in enumerate(text[begin.start() :].split("\n")[1:], start=first + 1):
        if line and not line[0].isspace() and not line.startswith("#"):
            return ""
        if NO_SPACE.match(line):
            return f"line {number}: {SPACE}"
    return ""
