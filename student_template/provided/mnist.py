"""MNIST as tensors: 48,000 training, 12,000 validation and 10,000 test images.

Pixels are kept as bytes (0 to 255) and scaled to [0, 1] one batch at a time, so the
whole data set takes 55 MB. The split is the course's own: a permutation of the 60,000
training images drawn with generator seed 42.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

IMAGE_SIZE = 28  # pixels per side
CLASSES = 10
TRAINING_IMAGES = 48_000
VALIDATION_IMAGES = 12_000
SPLIT_SEED = 42

# SHA-256 of the four raw files, as published by the data set's authors (unpacked).
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Split:
    """Some images and their digits: rows (N,) of all_images (M, 28, 28) and all_labels (M,).

    Nothing is copied until a batch is asked for.
    """

    all_images: Tensor
    all_labels: Tensor
    rows: Tensor

    @classmethod
    def of(cls, images: Tensor, labels: Tensor) -> Split:
        """All of the given images (N, 28, 28) uint8 and labels (N,) uint8."""
        return cls(images, labels, torch.arange(len(images)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def images(self) -> Tensor:
        """The images as they are stored: (N, 28, 28) uint8."""
        return self.all_images[self.rows]

    @property
    def labels(self) -> Tensor:
        """Their digits: (N,) uint8."""
        return self.all_labels[self.rows]

    def batch(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Images (B, 1, 28, 28) float32 in [0, 1] and labels (B,) int64 of the given rows."""
        chosen = self.rows[rows]
        images = self.all_images.index_select(0, chosen)  # copies whole images, unlike [chosen]
        return scale(images), self.all_labels[chosen].long()

    def part(self, rows: Tensor | slice) -> Split:
        """The given rows alone, as a set of its own."""
        return Split(self.all_images, self.all_labels, self.rows[rows])

    def first(self, count: int) -> Split:
        """The first `count` images alone."""
        return self.part(slice(count))


@dataclass(frozen=True)
class Mnist:
    """The three sets. Train on the first, choose with the second, report the third."""

    train: Split
    validation: Split
    test: Split


def scale(images: Tensor) -> Tensor:
    """Bytes (N, 28, 28) to what the models take: (N, 1, 28, 28) float32 in [0, 1]."""
    return images.unsqueeze(1).float().div_(255)


def load(root: str | Path = "data", *, download_missing: bool = True) -> Mnist:
    """The three sets from the four files, which may lie at any depth below `root`.

    Each may be packed (.gz), or have a dot before "idx" in its name. Files that are missing are
    downloaded to `root`/MNIST/raw, unless told otherwise. Raises FileNotFoundError and ValueError,
    which say what was looked for, and which files are damaged.
    """
    root = Path(str(root).strip('"')).expanduser()  # Windows leaves one behind "C:\\My data\\"
    if not root.is_dir() and not download_missing:
        raise FileNotFoundError(f"{root} is no folder")
    found = find(root)
    missing = [name for name in CHECKSUMS if name not in found]
    if missing and download_missing:
        download(root)
        found = find(root)
    elif missing:
        raise FileNotFoundError(
            f"{root} has no {', '.join(missing)}, nor the same packed (.gz), at any depth"
        )
    tensors: list[Tensor] = []
    damaged: list[str] = []
    for name in CHECKSUMS:
        tensor = read_verified(found[name], name)
        if tensor is None:
            damaged += map(str, found[name])
        else:
            tensors.append(tensor)
    if damaged:
        raise ValueError(
            f"damaged, as its SHA-256 is not that of MNIST: {', '.join(damaged)}. "
            "Delete it and start again"
        )
    train_images, train_labels, test_images, test_labels = tensors
    train, validation = split(Split.of(train_images, train_labels))
    return Mnist(train, validation, Split.of(test_images, test_labels))


def find(root: Path) -> dict[str, list[Path]]:
    """Where files of each name are, below a folder, by the name that CHECKSUMS lists.

    Those in MNIST/raw come first, and packed ones last.
    """
    usual = root / "MNIST" / "raw"
    found: dict[str, list[Path]] = {}
    if all((usual / name).is_file() for name in CHECKSUMS):
        both = {name: [usual / name, usual / f"{name}.gz"] for name in CHECKSUMS}
        return {name: [file for file in files if file.is_file()] for name, files in both.items()}
    for folder, _, files in os.walk(root):
        for file in files:
            name = file.removesuffix(".gz").replace(".idx", "-idx")
            if name in CHECKSUMS:
                found.setdefault(name, []).append(Path(folder) / file)
    for files_of_name in found.values():
        files_of_name.sort(key=lambda file: (file.suffix == ".gz", file.parent != usual, str(file)))
    return found


def read_verified(files: Sequence[Path], name: str) -> Tensor | None:
    """The first of the files that has the right checksum; None where none has."""
    for file in files:
        if file.suffix != ".gz":
            if is_right(file.read_bytes(), name):
                return read_idx(file)
            continue
        unpacked = unpack(file)
        if unpacked is not None and is_right(unpacked, name):
            return idx_tensor(torch.frombuffer(unpacked, dtype=torch.uint8), file)
    return None


def unpack(file: Path) -> bytearray | None:
    """What a .gz file holds; None where it is cut short or no such file."""
    try:
        return bytearray(gzip.decompress(file.read_bytes()))
    except (EOFError, OSError, zlib.error):
        return None


def is_right(content: bytes | bytearray, name: str) -> bool:
    """Whether this is what MNIST's authors published under the name."""
    return hashlib.sha256(content).hexdigest() == CHECKSUMS[name]


def split_rows(total: int = TRAINING_IMAGES + VALIDATION_IMAGES) -> tuple[Tensor, Tensor]:
    """Which rows of the original training set train, and which validate (int64 indices)."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]


def split(training_set: Split) -> tuple[Split, Split]:
    """The 60,000 original training images as a training and a validation set."""
    train, validation = split_rows(len(training_set))
    return training_set.part(train), training_set.part(validation)


def read_idx(path: Path) -> Tensor:
    """The uint8 tensor in one IDX file, mapped from disk rather than read into memory.

    The format, all integers big-endian: two zero bytes, a type code (8 is uint8), the
    number of dimensions, one 32-bit size for each, then the values.
    """
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is not an IDX file of bytes")
    return idx_tensor(torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8), path)


def idx_tensor(content: Tensor, path: Path) -> Tensor:
    """The tensor that the bytes of an IDX file hold, without a copy; `path` is for errors."""
    start = bytes(content[:4].tolist())
    if len(start) != 4 or start[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path} is not an IDX file of bytes")
    header = 4 + 4 * start[3]
    sizes = bytes(content[4:header].tolist())
    shape = [int.from_bytes(sizes[at : at + 4], "big") for at in range(0, 4 * start[3], 4)]
    if len(sizes) != 4 * start[3] or len(content) != header + math.prod(shape):
        raise ValueError(f"{path} is cut short or too long for a tensor of shape {shape}")
    return content[header:].view(shape)


def download(root: Path) -> None:
    """Fetch the data set with torchvision (about 11 MB), once."""
    try:
        from torchvision.datasets import MNIST
    except ImportError as missing:
        raise RuntimeError(
            f"The four MNIST files are not in {root / 'MNIST' / 'raw'} and torchvision, which "
            "downloads them, is not installed. Run: pip install torchvision"
        ) from missing
    MNIST(str(root), train=True, download=True)
