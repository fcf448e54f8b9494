"""Training verdicts of an earlier submission, taken over where nothing has changed.

The platform hands back the results of the previous submission. Where a model's layers,
settings, rules, the data and the grader's code are what they were, training again would
give the same verdict, so the earlier one counts. Entries are signed with a key that goes
into the package and that no worker can read; without a key, or with a wrong signature,
nothing is taken over.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from functools import cache
from pathlib import Path
from typing import Any

import torch

import autograder
import provided
from autograder.training.job import Ending, TrainingJob, TrainingResult
from provided.mnist import CHECKSUMS

KEY_FILE = Path(autograder.__file__).with_name("carry_over.key")
KEY_BYTES = 32
NOT_SHIPPED = "staff"  # a room that no package holds: it must not tell two graders apart
FINAL = frozenset(Ending) - {Ending.OUT_OF_TIME, Ending.OUT_OF_MEMORY}  # which are tried again


class CarryOver:
    """Looks training results up in the previous submission's results, and signs new ones."""

    def __init__(self, previous: object = None, key: bytes | None = None) -> None:
        self._key = key
        self._previous = previous if isinstance(previous, dict) else {}
        self.entries: dict[str, dict[str, Any]] = {}

    @classmethod
    def from_metadata(cls, previous_submissions: list[dict[str, Any]]) -> CarryOver:
        """With the package's key, over the latest earlier submission that has results."""
        key = KEY_FILE.read_bytes() if KEY_FILE.exists() else None
        for submission in reversed(previous_submissions):
            results = submission.get("results")
            extra = results.get("extra_data") if isinstance(results, dict) else None
            if isinstance(extra, dict):
                return cls(extra.get("carry_over"), key)
        return cls(None, key)

    def find(self, topic: str, job: TrainingJob) -> TrainingResult | None:
        """The earlier result of the same training; None where there is none to be trusted."""
        entry = self._previous.get(topic)
        if self._key is None or not isinstance(entry, dict):
            return None
        signed: dict[str, Any] = {name: entry.get(name) for name in ("fingerprint", "result")}
        claimed = entry.get("signature")
        if not isinstance(claimed, str) or not hmac.compare_digest(
            claimed.encode(errors="replace"), self._sign(topic, signed).encode()
        ):
            return None
        if signed["fingerprint"] != fingerprint(job):
            return None
        self.entries[topic] = entry
        return TrainingResult.read(signed["result"], carried_over=True)

    def keep(self, topic: str, job: TrainingJob, result: TrainingResult) -> None:
        """Sign a new result, for the next submission."""
        if self._key is None or result.ended not in FINAL or result.shortened:
            return
        signed: dict[str, Any] = {
            "fingerprint": fingerprint(job),
            "result": result.written(),
        }
        self.entries[topic] = {**signed, "signature": self._sign(topic, signed)}

    def _sign(self, topic: str, signed: dict[str, Any]) -> str:
        assert self._key is not None
        text = json.dumps([topic, signed], sort_keys=True)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def fingerprint(job: TrainingJob) -> str:
    """Stands for all that a training's verdict depends on."""
    parts = [
        job.model_dump(exclude={"data", "cpu_seconds", "shorten"}),
        CHECKSUMS,
        digest_of_sources(),
        torch.__version__,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def digest_of_sources() -> str:
    """Stands for the grader's own code: a corrected one shall not repeat an earlier verdict."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in shipped_sources())).hexdigest()


def shipped_sources() -> list[Path]:
    """The grader's own code and the given code, as a package holds them."""
    return [
        file
        for package in (Path(one.__file__ or "").parent for one in (autograder, provided))
        for file in sorted(package.rglob("*.py"))
        if file.relative_to(package).parts[0] != NOT_SHIPPED
    ]


def make_key(file: Path = KEY_FILE) -> None:
    """Draw the key, once; later packages keep it."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(secrets.token_bytes(KEY_BYTES))
