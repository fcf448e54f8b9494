"""A worker's scratch folder: measured however it is built, and gone whatever is in it."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.confined import landlock, scratch, seccomp
from autograder.confined.confine import Limits
from autograder.homework import STUDENT_MODULES
from autograder.hw5 import assignment as assignments
from autograder.sandbox.client import Sandbox
from autograder.sandbox.confinement import remove
from autograder.sandbox.errors import WorkerError
from autograder.sandbox.replies import EmptyReply

MIB = 1 << 20
MOST_MIB = 4
ORDINARY = 64_124  # an id without rights, to look as where the tests run as root
SEALED = pytest.mark.skipif(
    not landlock.abi() or not seccomp.available(), reason="deleting is not stopped here"
)


def large(folder: Path, mib: float = MOST_MIB) -> None:
    (folder / "large").write_bytes(bytes(int(mib * MIB) + 1))


def in_many_folders(folder: Path) -> None:
    for number in range(6 * MOST_MIB):
        inner = folder / f"{number % 3}" / f"{number}"
        inner.mkdir(parents=True)
        (inner / "file").write_bytes(bytes(MIB // 5))


def empty_folders(folder: Path) -> None:
    for number in range(MOST_MIB * 256 + 1):
        (folder / str(number)).mkdir()


def empty_files(folder: Path) -> None:
    for number in range(MOST_MIB * 256 + 1):
        (folder / str(number)).touch()


def sparse(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(MOST_MIB * MIB + 1)


def beyond_the_end(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        script = "import ctypes; ctypes.CDLL(None).fallocate(0, 1, *map(ctypes.c_long, (0, {})))"
        subprocess.run(
            [sys.executable, "-c", script.format(MOST_MIB * MIB * 2)], stdin=file, check=True
        )


def deep(folder: Path) -> None:
    """Folders in each other whose path is longer than the system takes."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 200, dir_fd=at)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


def closed(folder: Path) -> None:
    (folder / "closed").mkdir()
    large(folder / "closed")
    (folder / "closed").chmod(0o300)


TOO_MUCH = {
    "a large file": (large, "it wrote more than 4 MiB of files"),
    "files in many folders": (in_many_folders, "it wrote more than 4 MiB of files"),
    "empty folders": (empty_folders, "it wrote more than 4 MiB of files"),
    "empty files": (empty_files, "it wrote more than 4 MiB of files"),
    "a sparse file": (sparse, "it wrote more than 4 MiB of files"),
    "room beyond a file's end": (beyond_the_end, "it wrote more than 4 MiB of files"),
    "folders with a long path": (deep, "it made more than 32 folders inside each other"),
    "a closed folder": (closed, None),
}


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    made = open_folder / "scratch"
    made.mkdir()
    yield made
    remove(made)
    assert not made.exists()


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_folder_that_holds_too_much_is_found(name, folder):
    fill, reason = TOO_MUCH[name]
    if fill is beyond_the_end and not takes_room_beyond_the_end(folder):
        pytest.skip("this file system takes no room beyond a file's end")
    fill(folder)
    found = scratch.too_much(folder, MOST_MIB)
    assert found == reason if reason else found is not None


def takes_room_beyond_the_end(folder: Path) -> bool:
    beyond_the_end(folder)
    file = folder / "file"
    room = file.stat().st_blocks * 512
    file.unlink()
    return room > MOST_MIB * MIB


def little(folder: Path) -> None:
    large(folder, MOST_MIB - 1)


def a_few_levels(folder: Path) -> None:
    inner = folder / "/".join("abcdefghij")
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(bytes(MIB))


def a_link_to_everything(folder: Path) -> None:
    (folder / "link").symlink_to("/")


@pytest.mark.parametrize("fill", [little, a_few_levels, a_link_to_everything, lambda folder: None])
def test_a_folder_that_holds_little_is_left_alone(fill, folder):
    fill(folder)
    assert scratch.too_much(folder, MOST_MIB) is None


def test_a_folder_that_has_gone_is_no_reason(tmp_path):
    assert scratch.too_much(tmp_path / "gone", MOST_MIB) is None


def test_a_look_at_a_folder_without_end_ends_at_the_limit(folder):
    for number in range(20_000):
        (folder / str(number)).touch()
    counted = []
    stat_of = os.stat

    def noted(*arguments, **options):
        counted.append(1)
        return stat_of(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", noted)
        assert scratch.too_much(folder, MOST_MIB)
    assert len(counted) == MOST_MIB * 256 + 1


# How a folder may be left, and by whom it has to be removed.
def odd_rights(folder: Path) -> None:
    for mode in (0o000, 0o100, 0o300, 0o400, 0o500):
        inner = folder / f"{mode:o}" / "inner"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        inner.chmod(mode)
        inner.parent.chmod(mode)


def odd_names(folder: Path) -> None:
    for name in (b"\xff\xfe", b"a\nb", b"-rf", b" ", "\u202e".encode(), b"n" * 255):
        os.close(os.open(os.path.join(os.fsencode(folder), name), os.O_CREAT | os.O_WRONLY))
        inner = os.path.join(os.fsencode(folder), b"f" + name[:200])
        os.mkdir(inner)
        os.mkdir(os.path.join(inner, name))


def pipes_and_links(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "up").symlink_to("..")
    (folder / "target").touch()
    os.link(folder / "target", folder / "again")


def closed_itself(folder: Path) -> None:
    (folder / "file").touch()
    folder.chmod(0)


LEFT = {f.__name__: f for f in (odd_rights, odd_names, pipes_and_links, closed_itself, deep)}


@pytest.mark.parametrize("user", ["root", "an ordinary user"])
@pytest.mark.parametrize("left", LEFT)
def test_whatever_is_left_in_it_the_folder_is_removed(left, user, open_folder):
    if user == "root" and os.geteuid() != 0:
        pytest.skip("the other case is this user's")
    open_folder.chmod(0o777)
    made = open_folder / "scratch"
    outside = open_folder / "outside"
    outside.mkdir()
    outside.chmod(0o755)

    def make_and_remove() -> None:
        if os.geteuid() == 0 and user != "root":
            os.setresuid(ORDINARY, ORDINARY, ORDINARY)
        made.mkdir()
        LEFT[left](made)
        remove(made)

    assert in_a_child(make_and_remove) == 0
    assert not made.exists()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def in_a_child(action: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_link_in_place_of_the_folder_leads_nowhere(tmp_path):
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    (target / "file").touch()
    (tmp_path / "scratch").symlink_to(target)
    remove(tmp_path / "scratch")
    assert (target / "file").exists()
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


# What a submission does on import, in a worker that may write 4 MiB.
DELETED_BUT_OPEN = """
import os
for number in range(40):
    file = os.open(f"f{number}", os.O_CREAT | os.O_RDWR)
    os.unlink(f"f{number}")
    os.write(file, bytes(1 << 20))
"""
DELETED_BUT_MAPPED = """
import mmap, os
kept = []
for number in range(40):
    file = os.open(f"f{number}", os.O_CREAT | os.O_RDWR)
    os.truncate(file, 1 << 20)
    kept.append(mmap.mmap(file, 0))
    kept[-1][:] = bytes(1 << 20)
    os.unlink(f"f{number}")
    os.close(file)
"""
REPLACED = """
import os
kept = []
for number in range(20):
    file = os.open("new", os.O_CREAT | os.O_RDWR)
    os.write(file, bytes(1 << 20))
    kept.append(file)
    try:
        os.rename("new", "old")
    except OSError:
        os.write(os.open(f"other{number}", os.O_CREAT | os.O_RDWR), bytes(1 << 20))
"""
IN_THE_BACKGROUND = """
import threading, time
def write():
    time.sleep(1.0)
    for number in range(200):
        open(f"f{number}", "wb").write(bytes(1 << 20))
        time.sleep(0.05)
threading.Thread(target=write, daemon=True).start()
"""
LONG_PATHS = """
import os
while True:
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
    open("f", "wb").write(bytes(1 << 16))
"""
FILLS = {
    "deleted but open": DELETED_BUT_OPEN,
    "deleted but mapped": DELETED_BUT_MAPPED,
    "replaced": REPLACED,
    "long paths": LONG_PATHS,
}
CLEANS_UP = """
import os, tempfile
for number in range(3):
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 19))
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(1 << 10))
    with tempfile.TemporaryDirectory() as folder:
        open(os.path.join(folder, "f"), "w").close()
raise RuntimeError("cleaned up")
"""


@pytest.fixture
def asks(temporary, open_folder, monkeypatch) -> Iterator[Callable[[str], WorkerError]]:
    """Runs code in a worker, on import; returns what it ended with."""
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    submission = open_folder / "submission"
    submission.mkdir()
    limits = Limits(**assignments.load().worker.model_dump() | {"scratch_mib": MOST_MIB})
    sandbox = Sandbox(submission, STUDENT_MODULES, limits, {})

    def ended(code: str) -> WorkerError:
        (submission / "models.py").write_text(code + "\nimport time\ntime.sleep(20)\n")
        (submission / "models.py").chmod(0o644)
        question = {"file": "models.py", "builder": "b", "settings": "s"}
        with pytest.raises(WorkerError) as caught, sandbox.worker() as worker:
            worker.ask("describe_model", EmptyReply, seconds=15, doing="testing", **question)
        assert list(temporary.glob("autograder-*")) == []
        return caught.value

    yield ended
    sandbox.close()


@SEALED
@pytest.mark.parametrize("way", FILLS)
def test_no_way_of_filling_it_is_missed(way, asks):
    said = str(asks(FILLS[way]))
    assert "it wrote more than 4 MiB of files" in said or "folders inside each other" in said


@SEALED
def test_code_that_cleans_up_behind_itself_goes_on(asks):
    assert "cleaned up" in str(asks(CLEANS_UP))


def test_a_worker_is_watched_between_questions_too(temporary, open_folder, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    submission = open_folder / "submission"
    submission.mkdir()
    (submission / "models.py").write_text(IN_THE_BACKGROUND)
    limits = Limits(**assignments.load().worker.model_dump() | {"scratch_mib": MOST_MIB})
    sandbox = Sandbox(submission, STUDENT_MODULES, limits, {})
    question = {"file": "models.py", "builder": "b", "settings": "s"}
    with contextlib.closing(sandbox), sandbox.worker() as worker:
        with pytest.raises(WorkerError):  # there is no builder
            worker.ask("describe_model", EmptyReply, seconds=15, doing="testing", **question)
        until = time.monotonic() + 30
        while running(worker.pid) and time.monotonic() < until:
            time.sleep(0.05)
        written = sum(file.stat().st_size for file in worker.scratch.iterdir())
        assert written < 200 * MIB
        with pytest.raises(WorkerError, match="it wrote more than 4 MiB of files"):
            worker.ask("describe_model", EmptyReply, seconds=15, doing="testing", **question)
    assert list(temporary.glob("autograder-*")) == []


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended waits until it is asked for."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
