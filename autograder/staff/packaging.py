"""The two zips that staff hand out: one for Gradescope, one for students.

Made again from the same files they are the same byte for byte: entries are sorted, times
fixed, permissions reduced to "may be executed or not".
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from autograder.hw5 import mnist
from autograder.training.carry_over import make_key
from provided.mnist import CHECKSUMS

ROOT = Path(__file__).resolve().parents[2]
FIXED_TIME = (2024, 1, 1, 0, 0, 0)
UNIX = 3  # the zip format's number for the system that permissions are written for

FOR_GRADESCOPE = (
    "LICENSE",
    "setup.sh",
    "run_autograder",
    "pyproject.toml",
    "requirements.lock",
    "autograder",
    "student_template/provided",
    "tests/grading",
)
LEFT_OUT = {"__pycache__", "artifacts", "data", "staff"}
# What writeup.py and check.py make, where somebody tried them in the template itself.
MADE = ("writeup", "writeup.pdf", "writeup_overleaf.zip", "submission.zip")


def make_packages(into: Path) -> Iterator[tuple[Path, int]]:
    """Write autograder.zip and student_template.zip; yields each with its size in bytes.

    Raises DataError where the verified data set isn't there to go into the first.
    """
    raw = verified_data()
    make_key()
    into.mkdir(parents=True, exist_ok=True)
    grader = {path.relative_to(ROOT): path for path in _files(FOR_GRADESCOPE)}
    grader |= {Path("data/MNIST/raw") / name: raw / name for name in CHECKSUMS}
    template = {
        path.relative_to(ROOT / "student_template"): path for path in _files(["student_template"])
    }
    for name, files in (("autograder.zip", grader), ("student_template.zip", template)):
        file = into / name
        write_zip(file, files)
        yield file, file.stat().st_size


def verified_data() -> Path:
    """The folder of the data set. Raises DataError where it isn't complete."""
    raw = mnist.raw_folder()
    if not all(mnist.is_right(raw / name) for name in CHECKSUMS):
        raise mnist.DataError(mnist.how_to_mend(mnist.DATA))
    return raw


def write_zip(file: Path, files: dict[Path, Path]) -> None:
    """A zip of files under the given names, reproducible byte for byte."""
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(files, key=lambda path: path.as_posix()):
            entry = zipfile.ZipInfo(name.as_posix(), FIXED_TIME)
            executable = files[name].stat().st_mode & 0o100
            entry.create_system = UNIX
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes(), compresslevel=9)


def _files(names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = ROOT / name
        candidates = sorted(path.rglob("*")) if path.is_dir() else [path]
        for candidate in candidates:
            parts = candidate.relative_to(ROOT).parts
            hidden = any(part in LEFT_OUT or part.startswith(".") for part in parts)
            hidden |= parts[0] == "student_template" and parts[1] in MADE
            if candidate.is_file() and not hidden and candidate.suffix != ".pyc":
                yield candidate
