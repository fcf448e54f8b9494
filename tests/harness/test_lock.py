"""The lock file: what is installed is pinned, for every Python that the grader runs on."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .conftest import ROOT

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
OWN = "hw5-autograder"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def declared() -> list[Requirement]:
    """What pyproject.toml asks for: the grader's own dependencies and the tests'."""
    content = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:dependencies|dev) = \[\n(.*?)^\]", content, re.DOTALL | re.MULTILINE)
    assert len(lists) == 2
    return [Requirement(text) for text in re.findall(r'^ +"([^"]+)"', "".join(lists), re.MULTILINE)]


def environment(python: str) -> dict[str, str]:
    return {
        "extra": "",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def pins(lock: str, python: str) -> Iterator[Requirement]:
    for line in lock.splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(environment(python)):
                yield pin


def problems(lock: str, wanted: list[Requirement], python: str) -> list[str]:
    """What is wrong with a lock file for one Python; empty where all is well."""
    found, versions = [], {}
    for pin in pins(lock, python):
        name = canonicalize_name(pin.name)
        exact = re.fullmatch(r"==([^*,]+)", str(pin.specifier))
        if exact is None:
            found.append(f"{name} is not pinned to one release")
        elif name in versions:
            found.append(f"{name} is pinned twice")
        else:
            versions[name] = Version(exact[1])
    for requirement in wanted:
        version = versions.get(canonicalize_name(requirement.name))
        if version is None:
            found.append(f"{requirement.name} is not pinned")
        elif version not in requirement.specifier:
            found.append(f"{requirement.name} is pinned to {version}, outside of its range")
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_to_a_release_within_its_range(python):
    assert len(declared()) > 15
    assert problems(LOCK, declared(), python) == []


# name -> a lock file for a dependency on numpy>=1.26,<3, and what must be said of it
WRONG = {
    "nothing": ("# empty\n", "numpy is not pinned"),
    "too old": ("numpy==1.25.2\n", "outside of its range"),
    "too new": ("numpy==3.0\n", "outside of its range"),
    "a range": ("numpy>=1.26\n", "not pinned to one release"),
    "a family": ("numpy==2.*\n", "not pinned to one release"),
    "twice": ("numpy==2.2.6\nnumpy==2.3.0\n", "pinned twice"),
    "for other Pythons alone": ("numpy==2.2.6 ; python_version >= '3.12'\n", "numpy is not pinned"),
    "for other systems alone": ("numpy==2.2.6 ; sys_platform == 'win32'\n", "numpy is not pinned"),
}
RIGHT = {
    "one release": "numpy==2.2.6\n",
    "another spelling": "NumPy == 2.2.6\n",
    "one for each Python": (
        "numpy==2.2.6 ; python_full_version < '3.11'\n"
        "numpy==2.4.6 ; python_full_version >= '3.11'\n"
    ),
}


@pytest.mark.parametrize(("lock", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_lock_file_that_leaves_a_dependency_open_is_named(lock, said):
    assert said in "; ".join(problems(lock, [Requirement("numpy>=1.26,<3")], "3.10"))


@pytest.mark.parametrize("lock", RIGHT.values(), ids=RIGHT.keys())
def test_a_lock_file_may_be_written_in_other_ways(lock):
    assert problems(lock, [Requirement("numpy>=1.26,<3")], "3.10") == []


def needed() -> dict[str, str]:
    """Everything that the grader and its tests need, to the last step: name -> version here."""
    found: dict[str, str] = {}
    waiting = [Requirement(f"{OWN}[dev]")]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        distribution = metadata.distribution(name)
        found[name] = distribution.version.partition("+")[0]  # the CPU build of torch is 2.13.0+cpu
        for text in distribution.requires or ():
            one = Requirement(text)
            extras = requirement.extras or {""}
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(one)
    return found


def test_what_is_installed_here_is_what_the_lock_file_names():
    here = needed()
    assert len(here) > 40
    del here[OWN]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    pinned = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pins(LOCK, python)}
    assert {name: pinned.get(name) for name in here} == here
