"""Links, devices, bombs, strange names: only the named files are taken, bounded."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from .attack import ALL_HEAD, Attack, left_by

SECRET = "data/MNIST/raw/t10k-labels-idx1-ubyte"
ROOT = Path(__file__).resolve().parents[3]


def handed_in(change: Callable[[Path], Path], said: str = "", keeps: bool = True) -> Attack:
    """The reference, changed on disk; a head that is kept loses nothing, else all of it."""
    lost = frozenset() if keeps else ALL_HEAD
    says = (("3a.4", said),) if said else ()
    return Attack({}, lost=lost, says=says, change=change)


def link_to_the_labels(folder: Path) -> Path:
    (folder / "attention.py").unlink()
    (folder / "attention.py").symlink_to(ROOT / SECRET)
    return folder


def link_to_the_reference(folder: Path) -> Path:
    (folder / "attention.py").unlink()
    (folder / "attention.py").symlink_to(ROOT / "autograder" / "reference.py")
    return folder


def link_to_a_folder(folder: Path) -> Path:
    (folder / "everything").symlink_to("/")
    (folder / "loop").symlink_to(folder)
    return folder


def hard_link(folder: Path) -> Path:
    os.link(folder / "attention.py", folder / "attention (1).py")
    return folder


def named_pipe(folder: Path) -> Path:
    (folder / "attention.py").unlink()
    os.mkfifo(folder / "attention.py")
    return folder


def folder_for_a_file(folder: Path) -> Path:
    (folder / "attention.py").unlink()
    (folder / "attention.py").mkdir()
    return folder


def huge_file(folder: Path) -> Path:
    with (folder / "attention.py").open("ab") as file:
        file.truncate(2 << 30)  # sparse: it takes no room on the disk
    return folder


def huge_file_beside(folder: Path) -> Path:
    with (folder / "data.bin").open("wb") as file:
        file.truncate(8 << 30)
    return folder


def thousands_of_files(folder: Path) -> Path:
    for number in range(3000):
        (folder / f"file{number}").touch()
    return folder


def nested_deeply(folder: Path) -> Path:
    deep = folder
    for _ in range(200):
        deep = deep / "d"
    deep.mkdir(parents=True)
    return folder


def strange_names(folder: Path) -> Path:
    for name in ("a\nb.py", "-rf", "..py", "\u202eyp.noitnetta", "$(true).py", "a" * 250):
        (folder / name).touch()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.py")).touch()
    return folder


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


def zip_that_climbs(folder: Path) -> Path:
    file = zipped(folder)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"../../../../tmp/{left_by(folder)}", "x")
        archive.writestr(f"/tmp/{left_by(folder)}", "x")
    return file


def zip_bomb(folder: Path) -> Path:
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("models.py", "encoder.py", "answers.yaml"):
            archive.write(folder / name, name)
        with archive.open("attention.py", "w", force_zip64=True) as bomb:
            for _ in range(500):
                bomb.write(bytes(1 << 20))
    return file


def zip_with_a_link(folder: Path) -> Path:
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("models.py", "encoder.py", "answers.yaml"):
            archive.write(folder / name, name)
        link = zipfile.ZipInfo("attention.py")
        link.create_system = 3
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(ROOT / SECRET))
    return file


def zip_in_a_zip(folder: Path) -> Path:
    inner = zipped(folder)
    outer = folder.with_name("outer.zip")
    with zipfile.ZipFile(outer, "w") as archive:
        for number in range(50):
            archive.write(inner, f"again{number}.zip")
    return outer


def cut_zip(folder: Path) -> Path:
    """A folder with one zip that ends in the middle."""
    content = zipped(folder).read_bytes()
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "work.zip").write_bytes(content[: len(content) // 2])
    return folder


def nothing(folder: Path) -> Path:
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


ATTACKS = {
    "a link to the test labels": handed_in(link_to_the_labels, "was ignored", keeps=False),
    "a link to the reference": handed_in(link_to_the_reference, "was ignored", keeps=False),
    "a link to everything, and a loop": handed_in(link_to_a_folder),
    "two names for one file": handed_in(hard_link),
    "a named pipe": handed_in(named_pipe, "was ignored", keeps=False),
    "a folder for a file": handed_in(folder_for_a_file, "was not submitted", keeps=False),
    "a file of gigabytes": handed_in(huge_file, "was ignored", keeps=False),
    "a file of gigabytes beside": handed_in(huge_file_beside),
    "thousands of files": handed_in(thousands_of_files),
    "folders nested deeply": handed_in(nested_deeply),
    "strange names": handed_in(strange_names),
    "a zip that climbs out": handed_in(zip_that_climbs),
    "a zip bomb": handed_in(zip_bomb, "was ignored", keeps=False),
    "a zip with a link": handed_in(zip_with_a_link, "was ignored", keeps=False),
    "zips in a zip": handed_in(zip_in_a_zip, "was not submitted", keeps=False),
    "half a zip": handed_in(cut_zip, "was not submitted", keeps=False),
    "nothing at all": handed_in(nothing, "was not submitted", keeps=False),
}
