"""What no submission may read: the pre-flight of each run tries to, and must fail."""

from __future__ import annotations

from pathlib import Path

from autograder.hw5 import mnist
from autograder.hw5.probes import reference

SECRETS: dict[str, Path] = {
    "the test labels": mnist.raw_folder() / mnist.TEST_LABELS,
    "the grader's code": Path(reference.__file__).resolve(),
}
