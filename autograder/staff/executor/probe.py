"""Whether a worker may grade: its grader, data and torch, and what would hold a submission there.

It runs as a program of its own, so that a worker process stays small. A worker gets no work
before this has been asked, and none where an answer is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

SECONDS = 120.0
MAX_SAID = 400  # characters


def report(folder: str) -> dict[str, Any]:
    """What a worker says of itself; called there.

    folder: which every worker has to see
    """
    command = [sys.executable, "-I", "-m", __name__, folder]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"failed": f"it did not answer within {SECONDS:g} seconds"}
    except (ValueError, IndexError):
        lines = ended.stderr.strip().splitlines() or ["it said nothing"]
        return {"failed": lines[-1][:MAX_SAID]}
    return answer


def refusal(said: Mapping[str, Any], grader: str, torch: str) -> str:
    """Why a worker that says so of itself gets no work; empty where it may grade."""
    if "failed" in said:
        return f"it can't say what it is: {said['failed']}"
    if not said["sees_folder"]:
        return "it doesn't see the folder: name one with --into that all hosts share"
    if said["grader"] != grader:
        return "it has another grader: bring both to the same release"
    if said["torch"] != torch:
        return f"it has torch {said['torch']}, here is {torch}"
    if said["data"]:
        return f"its data isn't the verified MNIST: {said['data']}"
    if said["open"]:
        return f"it can't confine a submission: {said['open']}"
    return ""


def own_torch() -> str:
    """The release of torch that is installed here."""
    return metadata.version("torch")


def main(folder: Path) -> None:
    """Try everything and print what came out."""
    from autograder.hw5 import made_with, mnist
    from provided.mnist import CHECKSUMS

    raw = mnist.raw_folder()
    wrong = [name for name in CHECKSUMS if not mnist.is_right(raw / name)]
    answer = {
        "grader": made_with.grader(),
        "torch": own_torch(),
        "data": ", ".join(wrong),
        "sees_folder": folder.is_dir(),
        "open": _what_is_open(),
    }
    print(json.dumps(answer))


def _what_is_open() -> str:
    """What a submission could do here; empty where it is confined."""
    from autograder.confined.confine import Limits
    from autograder.homework import STUDENT_MODULES
    from autograder.hw5 import assignment
    from autograder.hw5.mnist import TRAINING_FILES
    from autograder.hw5.secrets import SECRETS
    from autograder.sandbox.client import Sandbox
    from autograder.sandbox.errors import GraderFault

    limits = Limits(**assignment.load().worker.model_dump())
    with tempfile.TemporaryDirectory(prefix="autograder-probe-") as name:
        empty = Path(name, "submission")
        empty.mkdir()
        Path(name).chmod(0o755)
        sandbox = Sandbox(empty, STUDENT_MODULES, limits, TRAINING_FILES)
        try:
            sandbox.preflight(SECRETS, Path(name, "results.json"))
        except GraderFault as problem:
            return str(problem)[:MAX_SAID]
        finally:
            sandbox.close()
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
