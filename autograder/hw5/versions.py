"""What a verdict was found with: the grader's release and its very code, torch, Python."""

from __future__ import annotations

import platform
from importlib import metadata

import torch

from autograder.hw5 import made_with

DISTRIBUTION = "hw5-autograder"


def versions() -> dict[str, str]:
    """By name: grader (the release), sources (what stands for its very code), torch, python."""
    try:
        release = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        release = "not installed"
    return {
        "grader": release,
        "sources": made_with.grader(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
