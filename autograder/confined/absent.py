"""Runs confined: stands in for packages that people import out of habit and the grader hasn't.

A file that imports one, and makes things of it on the way, is imported as if it were there.
Whoever uses such a thing later, in a builder, a constructor or a forward, gets an error that
says what is missing.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

IMPORT_SYSTEM = "<frozen importlib"  # how the files of Python's own import system are called

_importing = 0  # how many files of the submission's are being imported


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """What is called while the block runs is called on a file's way in, and harmless."""
    global _importing
    _importing += 1
    try:
        yield
    finally:
        _importing -= 1


class AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for each of these packages, and for what is in them; asked last.

    Only for an import in a file of the submission's folder: others, such as torch, try what is
    installed and do without the rest.
    """

    def __init__(self, folder: Path, packages: Collection[str]) -> None:
        self._folder = folder
        self._packages = frozenset(packages)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """A stand-in's; None for any other name."""
        if fullname.partition(".")[0] not in self._packages or not self._is_wanted():
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def _is_wanted(self) -> bool:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(IMPORT_SYSTEM):
            frame = frame.f_back
        return frame is not None and Path(frame.f_code.co_filename).is_relative_to(self._folder)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """A module that has whatever it is asked for."""
        return AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is in it."""


class AbsentModule(ModuleType):
    """A package that isn't there."""

    def __getattr__(self, name: str) -> AbsentThing:
        if name.startswith("__"):
            raise AttributeError(name)
        return AbsentThing(f"{self.__name__}.{name}")


class AbsentThing:
    """Something of a package that isn't there; called `_name` in it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> AbsentThing:
        if name.startswith("__"):
            raise AttributeError(name)
        return AbsentThing(f"{self._name}.{name}")

    def __call__(self, *_: Any, **__: Any) -> AbsentThing:
        """Another such thing while a file is imported. Raises ModuleNotFoundError later."""
        if not _importing:
            self._refuse()
        return AbsentThing(f"{self._name}(…)")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def __getitem__(self, key: Any) -> AbsentThing:
        return self()

    def __setitem__(self, key: Any, value: Any) -> None:
        self()

    def __iter__(self) -> Iterator[Any]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        package = self._name.partition(".")[0]
        raise ModuleNotFoundError(
            f"{self._name} can't be used here: the grader hasn't got {package}", name=package
        )
