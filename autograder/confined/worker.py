"""Runs confined: the process that imports a student's code and answers questions about it.

It is forked from the zygote, gives up its rights, and then answers one question after the
other until its pipe closes. Whatever it says is treated as a claim by the other side.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from . import answerer as answerers
from . import observing, wire
from .absent import AbsentFinder
from .confine import Limits, confine
from .describing import Refusal

MAX_TEXT = 4000  # characters of an exception's message that are passed on
MAX_NAME = 100  # characters of its type


def serve(
    request: dict[str, Any],
    descriptors: list[int],
    answerer: type[answerers.Answerer] = answerers.Answerer,
) -> None:
    """Become a worker for the submission folder that the request names, and answer.

    The descriptors are: questions (read), replies (write), output (write), then the data
    files named in request["files"]. `answerer` knows the homework's questions.
    """
    questions, replies, *files = _keep_only(descriptors)
    for which in (signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ):
        signal.signal(which, signal.SIG_DFL if which == signal.SIGTERM else signal.SIG_IGN)
    folder = Path(request["submission"])
    walls = confine(
        Limits(**request["limits"]),
        request["user"],
        folder,
        Path(request["scratch"]),
        request["without"],
    )
    os.environ.update({"HOME": request["scratch"], "TMPDIR": request["scratch"]})
    tempfile.tempdir = None  # torch has looked for one while it was imported
    observing.watch(replies)
    sys.meta_path.insert(0, SubmissionFinder(folder, request["modules"]))
    sys.meta_path.append(AbsentFinder(folder, request["absent"]))
    _send(replies, wire.Message({"ready": walls}))
    student = answerer(
        files=dict(zip(request["files"], files, strict=True)),
        progress=lambda content: _send(replies, wire.Message({"progress": content})),
    )
    while True:
        try:
            question = wire.read(questions)
        except wire.WireClosed:
            return
        _send(replies, _answer(student, question, folder))


class TextLoader(importlib.machinery.SourceFileLoader):
    """Loads a module from its text as the rules read it: UTF-8, whatever a comment in it says.

    Nothing else that could stand for the text is looked for, such as compiled code.
    """

    def get_source(self, fullname: str) -> str:
        """The text that is compiled; also what a traceback quotes."""
        return self.get_data(self.get_filename(fullname)).decode("utf-8")

    def get_code(self, fullname: str) -> CodeType:
        """The text, compiled. A text's own mark of its encoding counts for nothing."""
        text = self.get_source(fullname)
        return compile(text, self.get_filename(fullname), "exec", dont_inherit=True)


class SubmissionFinder(importlib.abc.MetaPathFinder):
    """Finds the submission's own modules in its folder, by name, and no other file there.

    So a torch.py or random.py that a student hands in can't stand in for the real one.
    """

    def __init__(self, folder: Path, modules: Collection[str]) -> None:
        self._folder = folder
        self._modules = frozenset(modules)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Where to load a module of the submission from; None for any other name."""
        top, _, rest = fullname.partition(".")
        if top not in self._modules or "." in rest:
            return None
        folder = self._folder / top
        if rest:
            return _spec(fullname, folder / f"{rest}.py")
        if folder.is_dir():
            return _spec(fullname, folder / "__init__.py", [str(folder)])
        file = self._folder / f"{top}.py"
        return _spec(fullname, file) if file.is_file() else None


def _spec(
    name: str, file: Path, submodules: list[str] | None = None
) -> importlib.machinery.ModuleSpec | None:
    return importlib.util.spec_from_file_location(
        name, file, loader=TextLoader(name, str(file)), submodule_search_locations=submodules
    )


def _answer(student: answerers.Answerer, question: wire.Message, folder: Path) -> wire.Message:
    try:
        reply = student.answer(question)
    except Refusal as problem:
        reply = wire.Message({"refusal": describe_refusal(problem)})
    except BaseException as problem:  # noqa: BLE001  student code may raise anything, SystemExit too
        reply = wire.Message({"error": describe_exception(problem, folder)})
    sys.stdout.flush()
    sys.stderr.flush()
    return reply


def describe_refusal(problem: Refusal) -> dict[str, Any]:
    """What is missing or of the wrong kind: an answer of its own, whatever a class is called."""
    return {"message": str(problem)[:MAX_TEXT], "file": problem.file}


def describe_exception(problem: BaseException, folder: Path) -> dict[str, Any]:
    """Its type, message and the deepest place in the student's own files."""
    file, line = None, None
    for frame in traceback.extract_tb(problem.__traceback__):
        if Path(frame.filename).is_relative_to(folder):
            file, line = str(Path(frame.filename).relative_to(folder)), frame.lineno
    if isinstance(problem, SyntaxError) and problem.filename:
        if Path(problem.filename).is_relative_to(folder):
            file, line = str(Path(problem.filename).relative_to(folder)), problem.lineno
        message = problem.msg
    else:
        message = _text_of(problem)
    name = type(problem).__name__
    return {
        "type": name[:MAX_NAME] if name.isidentifier() else "Exception",
        "message": message.replace(f"{folder}/", "")[:MAX_TEXT],
        "file": file,
        "line": line,
    }


def _text_of(problem: BaseException) -> str:
    try:
        return str(problem).encode(errors="backslashreplace").decode()  # halves of characters
    except Exception as other:  # noqa: BLE001  the student's own __str__
        return f"(its message can't be shown: {type(other).__name__})"


def frame_of(message: wire.Message) -> bytes:
    """What is sent for a message; for one that can't be sent, an error that says why."""
    try:
        return wire.encode(message)
    except wire.WireError as problem:  # NaN in JSON, an odd dtype, too long
        text = f"its answer can't be sent: {problem}"[:MAX_TEXT]
        error = {"type": "Unsendable", "message": text, "file": None, "line": None}
        return wire.encode(wire.Message({"error": error}))


def _send(descriptor: int, message: wire.Message) -> None:
    try:
        wire.write(descriptor, frame_of(message))
    except wire.WireClosed:
        os._exit(0)


def _keep_only(descriptors: list[int]) -> list[int]:
    """Close every other descriptor; returns the wire's two and those of the data files.

    Standard input becomes empty, standard output and error the output pipe.
    """
    questions, replies, output, *files = descriptors
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    kept = [questions, replies, *files]
    last = 2
    for descriptor in sorted(kept):
        os.closerange(last + 1, descriptor)
        last = descriptor
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115  it lives as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", buffering=1)  # noqa: SIM115
    return kept
