"""Slips at which Python stops, read off an exception's message and the submission's text.

A message is a worker's claim: only names are taken from it, and compared with those that torch
or the submitted text has.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType

import torch
from torch import nn
from torch.nn import functional

from autograder.homework import HEAD, LAYER
from autograder.rubric.feedback import Named
from autograder.rubric.mistake import Mistake
from autograder.sandbox.errors import Refused, StudentCodeRaised
from provided.near_names import definition_like

MISSPELLED = Mistake(
    id="misspelled-name",
    line="3a.1",
    explanation="a name is used that doesn't exist",
    hint="Python tells capital letters from small ones. Look the name up where it is defined.",
)
SELF_FORGOTTEN = Mistake(
    id="self-forgotten",
    line="3a.1",
    explanation="self is forgotten",
    hint="What __init__ keeps in self, and every method, is reached through self.",
)
NOT_IMPORTED = Mistake(
    id="not-imported",
    line="3a.1",
    explanation="a module is used but not imported",
    hint="Add the import at the top of the file that uses it.",
)
NO_SUPER = Mistake(
    id="super-not-called",
    line="3a.1",
    explanation="__init__ doesn't call super().__init__() before it sets layers",
    hint="nn.Module has an __init__ of its own, which makes room for layers: call it first.",
)
NO_FORWARD = Mistake(
    id="no-forward",
    line="3a.1",
    explanation="the class has no method called forward",
    hint=(
        "Is forward spelled so, and does it stand at the same depth as __init__? A def inside of "
        "__init__ is no method."
    ),
)
NO_RETURN = Mistake(
    id="nothing-returned",
    line="3a.1",
    explanation="forward ends without a return",
    hint="Which line of forward hands its result back?",
)
ARGUMENTS = Mistake(
    id="constructor-arguments",
    line="3a.1",
    explanation="the constructor doesn't take the arguments that it is called with",
    hint="The given code makes your class: its arguments are those of the template, in that order.",
)

ALL: tuple[Mistake, ...] = (
    MISSPELLED,
    SELF_FORGOTTEN,
    NOT_IMPORTED,
    NO_SUPER,
    NO_FORWARD,
    NO_RETURN,
    ARGUMENTS,
)

# Where names of torch are looked up, the likeliest first, under the names that people import.
MODULES: dict[str, ModuleType | type] = {
    "nn": nn,
    "torch": torch,
    "torch.nn.functional": functional,
}
OWNERS = {
    "torch.nn": "nn",
    "torch": "torch",
    "torch.nn.functional": "torch.nn.functional",
    "math": "math",
    "Tensor": "a tensor",
}
IMPORTS = {
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
    "functional": "from torch.nn import functional",
    "math": "import math",
    "np": "import numpy as np",
    "Tensor": "from torch import Tensor",
    "Attention": "from provided.multi_head import Attention",
}
SUGGESTED = 2
ALIKE = 0.75  # difflib's ratio from which two names count as one misspelled
MAX_NAMES = 2_000  # of a text

NO_ATTRIBUTE = re.compile(r"(?:module|type object) '([\w.]+)' has no attribute '(\w+)'")
NO_IMPORT = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
NO_FIELD = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
NO_NAME = re.compile(r"name '(\w+)' is not defined")
NOT_DEFINED = re.compile(r"(\w+\.py) defines no (\w+)")
NO_ROOM = re.compile(
    r"cannot assign \w+ before Module\.__init__\(\) call"
    r"|object has no attribute '_(?:modules|parameters|buffers|\w+_hooks)'"
)
NO_SELF = re.compile(r"(\w+)\(\) takes (?:0|1) positional arguments? but \d+ (?:was|were) given")
CONSTRUCTOR = re.compile(r"(?:(\w+)\.)?__init__\(\) (?:takes|got an unexpected|missing)")


def recognised(error: StudentCodeRaised, code: Mapping[str, str]) -> Named | None:
    """What is said about a slip that an exception shows; None where it shows none.

    code: the text of each of the submission's files
    """
    file = error.file or next((one.file for one in (HEAD, LAYER) if one.name in error.doing), "")
    return _said(next(_found(error, code.get(file, "")), None))


def misspelled(name: str) -> Named | None:
    """What is said about a dotted name of torch's that doesn't exist; None where it does."""
    owner, _, last = name.rpartition(".")
    exists = hasattr(MODULES.get(OWNERS.get(owner, "")), last)
    return None if exists else _said(next(_unknown(owner, last), None))


def _said(found: tuple[Mistake, str] | None) -> Named | None:
    if found is None:
        return None
    mistake, likely = found
    return Named(likely=likely, next_step=mistake.hint, diagnosis=mistake.id)


def _found(error: StudentCodeRaised, text: str) -> Iterator[tuple[Mistake, str]]:
    message = error.message
    if isinstance(error, Refused):
        yield from _lacking(message, text)
    elif NO_ROOM.search(message):
        yield NO_SUPER, NO_SUPER.explanation
    elif error.type == "TypeError":
        yield from _in_call(error, text)
    elif error.type == "NameError" and (match := NO_NAME.search(message)):
        yield from _undefined(match[1], text)
    elif error.type == "ImportError" and (match := NO_IMPORT.search(message)):
        yield from _unknown(match[2], match[1])
    elif error.type == "AttributeError":
        yield from _without_attribute(message, text)


def _lacking(message: str, text: str) -> Iterator[tuple[Mistake, str]]:
    """A file without a slot, a class without a method, a method without a result."""
    if " has no method forward" in message:
        yield NO_FORWARD, ""
    if message.startswith("forward returned nothing"):
        yield NO_RETURN, NO_RETURN.explanation
    if match := NOT_DEFINED.fullmatch(message):
        near = definition_like(match[2], text)
        if near:
            yield MISSPELLED, f"{match[1]} has {near}: call it {match[2]}"


def _without_attribute(message: str, text: str) -> Iterator[tuple[Mistake, str]]:
    if match := NO_ATTRIBUTE.search(message):
        yield from _unknown(match[1], match[2])
    elif (match := NO_FIELD.search(message)) and match[1] == "Tensor":
        yield from _unknown("Tensor", match[2])
    elif match:
        yield from _never_set(match[2], text)


def _unknown(owner: str, name: str) -> Iterator[tuple[Mistake, str]]:
    """A name that a module of torch, or a tensor, doesn't have."""
    if owner not in OWNERS:
        return
    if owner == "Tensor":
        near = [f".{one}" for one in alike(name, dir(torch.Tensor))]
    elif owner == "math":
        near = [f"math.{one}" for one in alike(name, dir(math))]
    else:
        own = OWNERS[owner]
        places = sorted(MODULES, key=lambda place: place != own)
        near = [f"{place}.{one}" for place in MODULES for one in same(name, dir(MODULES[place]))]
        near = near or [f"{place}.{one}" for place in places for one in alike(name, _names(place))]
    if near:
        said = f"{OWNERS[owner]} has no {name}: did you mean {' or '.join(near[:SUGGESTED])}?"
        yield MISSPELLED, said


def _never_set(name: str, text: str) -> Iterator[tuple[Mistake, str]]:
    """A field of the student's own that no line sets."""
    own = fields(text)
    if own and name not in own:
        near = alike(name, own)
        more = f": did you mean self.{near[0]}?" if near else ""
        yield MISSPELLED, f"no line of your file sets self.{name}{more}"


def _undefined(name: str, text: str) -> Iterator[tuple[Mistake, str]]:
    """A name that isn't defined: a field without its self, a module that isn't imported."""
    if name in fields(text):
        yield SELF_FORGOTTEN, f"did you mean self.{name}?"
    elif name in IMPORTS:
        yield NOT_IMPORTED, f"{name} is not imported: {IMPORTS[name]}"
    elif near := alike(name, set(re.findall(r"[^\W\d]\w*", text)[:MAX_NAMES]) - {name}):
        yield MISSPELLED, f"there is no {name}: did you mean {near[0]}?"


def _in_call(error: StudentCodeRaised, text: str) -> Iterator[tuple[Mistake, str]]:
    """A call with other arguments than the function has."""
    match = NO_SELF.search(error.message)
    if match and re.search(rf"\bdef {match[1]}\((?!\s*self\b)", text):
        yield SELF_FORGOTTEN, f"{match[1]} lacks self as its first argument"
        return
    match = CONSTRUCTOR.search(error.message)
    for slot in (HEAD, LAYER):
        if match and match[1] in slot.names and f"making {slot.name}(" in error.doing:
            given = error.doing.partition("(")[2].removesuffix(")")
            names = ", ".join(part.partition("=")[0] for part in given.split(", "))
            yield ARGUMENTS, f"the constructor doesn't take ({names})"


def fields(text: str) -> set[str]:
    """The names that some line of a text sets in self, or defines as functions."""
    found = set(re.findall(r"\bdef (\w+)\(", text))
    for line in text.splitlines():
        left, equals, _ = line.partition("=")
        if equals:
            found |= set(re.findall(r"\bself\.(\w+)", left))
    return found


def same(name: str, names: Iterable[str]) -> list[str]:
    """Those names that differ in capital letters and underscores alone."""
    return [one for one in names if _plain(one) == _plain(name) and not one.startswith("_")]


def alike(name: str, names: Iterable[str]) -> list[str]:
    """The names that one may be a misspelling of, the likeliest first."""
    public = {one for one in names if not one.startswith("_") and one != name}
    plain = {_plain(one): one for one in sorted(public)}
    near = difflib.get_close_matches(_plain(name), plain, SUGGESTED, ALIKE)
    return same(name, sorted(public)) or [plain[one] for one in near]


def _names(place: str) -> list[str]:
    return dir(MODULES[place])


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
