"""What a verdict was found with: the grader's release and its very code, torch, Python."""

from __future__ import annotations

import platform
from importlib import metadata

import torch

from autograder.training.carry_over import digest_of_sources

DISTRIBUTION = "hw5-autograder"
DIGEST_LENGTH = 12


def versions() -> dict[str, str]:
    """By name: grader, sources (a digest of the grader's code), torch, python."""
    try:
        release = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        release = "not installed"
    return {
        "grader": release,
        "sources": digest_of_sources()[:DIGEST_LENGTH],
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
