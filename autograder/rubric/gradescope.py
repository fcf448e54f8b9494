"""results.json as the platform wants it, written so that it is valid at every instant.

It stands with every rubric line at 0, "not reached", before the first check, and is replaced
as a whole, atomically, after each one. Where the grader is killed, what was reached counts.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from autograder.sandbox.text import clean

Points = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Format = Literal["text", "html"]
MAX_OUTPUT = 2_000_000  # characters of one line's text; inline pictures are what is long


class TestResult(BaseModel):
    """One rubric line as a student sees it."""

    __test__ = False  # its name is the platform's, not a test of ours
    model_config = ConfigDict(extra="forbid")

    name: str
    number: str
    score: Points
    max_score: Points
    status: Literal["passed", "failed"]
    output: Annotated[str, Field(max_length=MAX_OUTPUT)]
    output_format: Format = "text"
    visibility: Literal["visible", "hidden", "after_due_date", "after_published"] = "visible"
    extra_data: dict[str, str] | None = None  # for staff: {"diagnosis": id} where one was named

    @model_validator(mode="after")
    def _within(self) -> TestResult:
        if self.score > self.max_score:
            raise ValueError(f"{self.number}: {self.score} of {self.max_score} points")
        return self


class LeaderboardEntry(BaseModel):
    """A figure that students may compare themselves by."""

    name: str
    value: float | str
    order: Literal["asc", "desc"] = "desc"


class Results(BaseModel):
    """The whole of results.json."""

    model_config = ConfigDict(extra="forbid")

    output: str = ""
    output_format: Format = "text"
    execution_time: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    stdout_visibility: Literal["visible", "hidden"] = "hidden"
    tests: list[TestResult]
    leaderboard: list[LeaderboardEntry] = []
    extra_data: dict[str, Any] = {}

    @property
    def score(self) -> float:
        """Points in all."""
        return sum(test.score for test in self.tests)

    @property
    def max_score(self) -> float:
        """Points that there are."""
        return sum(test.max_score for test in self.tests)

    @classmethod
    def read(cls, file: Path) -> Results:
        """Results as `write` left them. Raises OSError, or ValueError for any other file."""
        content = json.loads(file.read_bytes())
        if isinstance(content, dict):
            content.pop("score", None)  # the sum of the lines
        return cls.model_validate(content)

    def write(self, file: Path) -> None:
        """Replace the file by these results in one step; a reader never sees half of it.

        Raises ValueError where they hold what JSON has no word for, OSError where the disk is
        full or the like; then the file stays as it was, and nothing is left beside it.
        """
        content = cleaned(self.model_dump(exclude_none=True))
        text = json.dumps({"score": self.score, **content}, allow_nan=False, indent=1)
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".results-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(file)
        except BaseException:  # stopped in the middle, it leaves no file behind
            Path(temporary).unlink(missing_ok=True)
            raise


class ResultsInUse(Exception):
    """Another run is writing the same results file."""


@contextlib.contextmanager
def only_writer(file: Path) -> Iterator[None]:
    """Be the only run on this machine that writes a results file, until the block is left.

    The claim is a socket in Linux's abstract namespace, named after the file: the kernel drops
    it with the process, so nothing is left to clean up. Raises ResultsInUse.
    """
    name = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as claim:
        try:
            claim.bind(f"\0autograder-results-{name}")
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise ResultsInUse(
                    f"Another run is writing {file}. Wait until it has ended, or name another "
                    "file with --results."
                ) from None
        yield


def cleaned(value: Any) -> Any:
    """The same with clean texts, and without what is None, for which the platform has no use."""
    if isinstance(value, dict):
        return {clean(str(key)): cleaned(one) for key, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [cleaned(one) for one in value if one is not None]
    return clean(value, MAX_OUTPUT) if isinstance(value, str) else value


class Metadata(BaseModel):
    """What is used of submission_metadata.json. Its format may change: all of it is optional."""

    model_config = ConfigDict(extra="ignore")

    id: int | str | None = None
    created_at: str | None = None
    previous_submissions: list[dict[str, Any]] = []

    @classmethod
    def read(cls, file: Path) -> Metadata:
        """The metadata in a file, without what is missing or not as expected."""
        try:
            content = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return cls()
        if not isinstance(content, dict):
            return cls()
        earlier = content.get("previous_submissions")
        content["previous_submissions"] = [
            one for one in (earlier if isinstance(earlier, list) else []) if isinstance(one, dict)
        ]
        for name in ("id", "created_at"):
            try:
                cls.model_validate({name: content.get(name)})
            except ValidationError:
                content.pop(name)
        return cls.model_validate(content)
