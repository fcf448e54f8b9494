"""Intake: whatever is handed in, a clean copy of the wanted files and nothing else."""

from __future__ import annotations

import os
import signal
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.intake.archives import MAX_ENTRIES
from autograder.intake.submission import (
    ARTIFACTS,
    CODE_FILES,
    GIVEN_CODE,
    IntakeError,
    Submission,
    take,
)
from provided.homework import MAX_TEXT_BYTES

FILES = {
    "models.py": b"M = 1\n",
    "attention.py": b"A = 1\n",
    "encoder.py": b"E = 1\n",
    "answers.yaml": b"q1a: {parameters: 40}\n",
    "artifacts/fc/history.csv": b"epoch\n1\n",
    "artifacts/vit/weights.safetensors": b"weights",
}


@pytest.fixture(autouse=True)
def _quickly() -> Iterator[None]:
    """No submission may keep the grader waiting."""

    def up(number: int, frame: object) -> None:
        pytest.fail("intake hangs")

    limits = {  # of the processor's time, and of waiting for what never comes
        signal.SIGPROF: (signal.ITIMER_PROF, 6),
        signal.SIGALRM: (signal.ITIMER_REAL, 60),
    }
    before = {number: signal.signal(number, up) for number in limits}
    for timer, seconds in limits.values():
        signal.setitimer(timer, seconds)
    yield
    for number, (timer, _) in limits.items():
        signal.setitimer(timer, 0)
        signal.signal(number, before[number])


@pytest.fixture
def take_in(tmp_path: Path) -> Callable[[Path], Submission]:
    into = tmp_path / "into"

    def run(source: Path) -> Submission:
        into.mkdir()
        return take(source, into)

    return run


def folder_of(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


def zip_of(
    file: Path, files: dict[str, bytes], mode: int = stat.S_IFREG | 0o644, attributes: int = 0
) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16 | attributes
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return file


def assert_whole(submission: Submission) -> None:
    assert submission.code == {name: FILES[name].decode() for name in CODE_FILES}
    assert submission.answers == FILES["answers.yaml"].decode()
    assert submission.artifacts == {
        "fc/history.csv": b"epoch\n1\n",
        "vit/weights.safetensors": b"weights",
    }
    staged = {str(p.relative_to(submission.folder)) for p in submission.folder.rglob("*.py")}
    given = {f"provided/{file.name}" for file in GIVEN_CODE.glob("*.py")}
    assert staged == given | set(CODE_FILES)


NESTED = {f"hw5/final/{name}": content for name, content in FILES.items()}
FORMS: dict[str, Callable[[Path], Path]] = {
    "a folder": lambda at: folder_of(at / "s", FILES),
    "a folder, deeper": lambda at: folder_of(at / "s", NESTED),
    "a zip": lambda at: zip_of(at / "s.zip", FILES),
    "a zip, deeper": lambda at: zip_of(at / "s.zip", NESTED),
    "a zip of another name": lambda at: zip_of(at / "s.bin", FILES),
    "a zip from Windows": lambda at: zip_of(at / "s.zip", FILES, 0, attributes=0x20),
    "a zip with permissions alone": lambda at: zip_of(at / "s.zip", FILES, 0o644),
    "a zip with backslashes": lambda at: zip_of(
        at / "s.zip", {name.replace("/", "\\"): content for name, content in NESTED.items()}
    ),
    "a zip in a folder": lambda at: zip_of(at / "s" / "hw5.zip", FILES).parent,
    "a zip in a folder, deeper": lambda at: zip_of(at / "s" / "hw5.zip", NESTED).parent,
    "a zip from a Mac": lambda at: zip_of(
        at / "s.zip", NESTED | {f"__MACOSX/hw5/final/._{name}": b"\0" for name in FILES}
    ),
    "with a great deal beside it": lambda at: folder_of(
        at / "s",
        FILES
        | {
            "train.py": b"",
            "hw5.ipynb": b"{}",
            ".git/config": b"",
            "torch.py": b"1/0",
            "data/MNIST/raw/x": b"",
            "__pycache__/models.py": b"bad",
            "provided/mnist.py": b"",
        },
    ),
}


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
def test_every_usual_form_of_a_submission_is_taken_whole(take_in, tmp_path, make):
    assert_whole(take_in(make(tmp_path)))


def test_given_code_is_always_the_graders_own(take_in, tmp_path):
    own = {f"provided/{file.name}": b"raise SystemExit" for file in GIVEN_CODE.glob("*.py")}
    submission = take_in(folder_of(tmp_path / "s", FILES | own | {"provided/more.py": b"1"}))
    staged = submission.folder / "provided"
    for file in GIVEN_CODE.glob("*.py"):
        assert (staged / file.name).read_bytes() == file.read_bytes()
    assert not (staged / "more.py").exists()


def test_the_copy_is_readable_by_all_and_writable_by_none(take_in, tmp_path):
    source = folder_of(tmp_path / "s", FILES)
    for name in CODE_FILES:
        (source / name).chmod(0o4777)
    submission = take_in(source)
    for path in submission.folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() else 0o444), path
    assert stat.S_IMODE((submission.folder / "models.py").stat().st_mode) == 0o444


def test_changing_the_copy_doesnt_change_what_was_handed_in(take_in, tmp_path):
    source = folder_of(tmp_path / "s", FILES)
    submission = take_in(source)
    assert (submission.folder / "models.py").stat().st_ino != (source / "models.py").stat().st_ino


@pytest.mark.parametrize("target", ["/etc/passwd", "answers.yaml", "models.py", "/dev/zero"])
def test_a_link_is_not_followed(take_in, tmp_path, target):
    source = folder_of(tmp_path / "s", FILES)
    (source / "models.py").unlink()
    (source / "models.py").symlink_to(target)
    submission = take_in(source)
    assert "models.py" not in submission.code
    assert not (submission.folder / "models.py").exists()
    assert "models.py is a link or a device, not a regular file: ignored." in submission.notes


def test_a_linked_folder_is_not_entered(take_in, tmp_path):
    elsewhere = folder_of(tmp_path / "elsewhere", {"fc/history.csv": b"secret"})
    source = folder_of(tmp_path / "s", {"models.py": b""})
    (source / "artifacts").symlink_to(elsewhere)
    assert take_in(source).artifacts == {}


def test_a_fifo_doesnt_hang_the_grader(take_in, tmp_path):
    source = folder_of(tmp_path / "s", {"models.py": b""})
    os.mkfifo(source / "attention.py")
    submission = take_in(source)
    assert list(submission.code) == ["models.py"]
    assert any("attention.py is a link or a device" in note for note in submission.notes)


def test_a_fifo_named_like_a_zip_doesnt_hang_the_grader(take_in, tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    os.mkfifo(source / "hw5.zip")
    assert take_in(source).code == {}


def test_a_link_to_a_zip_is_not_followed(take_in, tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    (source / "hw5.zip").symlink_to(zip_of(tmp_path / "elsewhere.zip", FILES))
    assert take_in(source).code == {}


def test_a_link_inside_a_zip_is_not_taken(take_in, tmp_path):
    file = zip_of(tmp_path / "s.zip", {"models.py": b"/etc/passwd"}, stat.S_IFLNK | 0o777)
    submission = take_in(file)
    assert submission.code == {}
    assert any("models.py is a link" in note for note in submission.notes)


@pytest.mark.parametrize(
    "pack", [folder_of, lambda at, files: zip_of(at / "s.zip", files)], ids=["folder", "zip"]
)
def test_files_over_their_limit_are_named_and_not_taken(take_in, tmp_path, pack):
    big = {
        "models.py": b"#" * (MAX_TEXT_BYTES + 1),
        "attention.py": b"#" * MAX_TEXT_BYTES,
        "artifacts/fc/history.csv": b"1" * (ARTIFACTS["fc/history.csv"] + 1),
    }
    submission = take_in(pack(tmp_path / "s", big))
    assert list(submission.code) == ["attention.py"]
    assert submission.artifacts == {}
    assert any(
        note.startswith("models.py is too large (200,001 bytes") for note in submission.notes
    )


@pytest.mark.parametrize(
    "name",
    [
        "../models.py",
        "/models.py",
        "a/../../models.py",
        "..\\models.py",
        "a/../models.py",
        "//models.py",
    ],
)
def test_a_zips_names_that_lead_out_of_it_are_not_taken(take_in, tmp_path, name):
    submission = take_in(zip_of(tmp_path / "deep" / "s.zip", {name: b"evil"}))
    assert submission.code == {}
    written = {str(p.relative_to(tmp_path)).split("/")[0] for p in tmp_path.rglob("*")}
    assert written == {"deep", "into"}


def test_a_zip_bomb_is_read_no_further_than_the_limit(take_in, tmp_path):
    file = zip_of(tmp_path / "s.zip", {"models.py": bytes(50 << 20), "attention.py": b"A = 1\n"})
    submission = take_in(file)
    assert list(submission.code) == ["attention.py"]
    content = bytearray(file.read_bytes())
    claimed = (50 << 20).to_bytes(4, "little")
    while (place := content.find(claimed)) >= 0:  # the archive lies about the size
        content[place : place + 4] = (100).to_bytes(4, "little")
    file.write_bytes(content)
    submission = take(file, into_again(tmp_path))
    assert len(submission.code.get("models.py", "")) <= MAX_TEXT_BYTES


def into_again(tmp_path: Path) -> Path:
    folder = tmp_path / "again"
    folder.mkdir()
    return folder


def test_thousands_of_entries_are_cut_off_with_a_note(take_in, tmp_path):
    many = {f"f/{number:05}.txt": b"" for number in range(MAX_ENTRIES + 10)}
    submission = take_in(zip_of(tmp_path / "s.zip", FILES | many))
    assert set(submission.code) == set(CODE_FILES)
    assert any(note.startswith("More than 5,000 files") for note in submission.notes)


def damaged(file: Path, place: int, new: bytes) -> Path:
    content = bytearray(file.read_bytes())
    content[place : place + len(new)] = new
    file.write_bytes(content)
    return file


def local_data(file: Path) -> int:
    """Where the first entry's compressed bytes start."""
    head = file.read_bytes()[:30]
    return 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")


def many_lines() -> dict[str, bytes]:
    return {"models.py": b"".join(b"x%d = %d\n" % (i, i * i) for i in range(500))}


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2],
    ids=["deflate", "LZMA", "bzip2"],
)
@pytest.mark.parametrize("place", [0, 1, 20, 200])
def test_damaged_data_in_a_zip_is_named_and_not_taken(take_in, tmp_path, method, place):
    file = tmp_path / "s.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in many_lines().items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.compress_type = method
            archive.writestr(info, content)
    damaged(file, local_data(file) + place, b"\xff\xff\xff\xff")
    submission = take_in(file)
    assert submission.code == {}
    assert "models.py can't be read: ignored." in submission.notes


def test_an_encrypted_zip_is_named_and_not_taken(take_in, tmp_path):
    file = zip_of(tmp_path / "s.zip", {"models.py": b"x = 1\n"})
    content = file.read_bytes()
    damaged(file, 6, b"\x01")
    damaged(file, content.rfind(b"PK\x01\x02") + 8, b"\x01")
    submission = take_in(file)
    assert submission.code == {}
    assert "models.py can't be read: ignored." in submission.notes


def test_an_unknown_compression_is_named_and_not_taken(take_in, tmp_path):
    file = zip_of(tmp_path / "s.zip", {"models.py": b"x = 1\n"})
    content = file.read_bytes()
    damaged(file, 8, b"\x63")
    damaged(file, content.rfind(b"PK\x01\x02") + 10, b"\x63")
    assert "models.py can't be read: ignored." in take_in(file).notes


def test_a_zip_with_a_damaged_table_of_contents_is_no_submission(take_in, tmp_path):
    file = zip_of(tmp_path / "s.zip", FILES)
    damaged(file, file.read_bytes().find(b"PK\x01\x02"), b"\0\0")
    with pytest.raises(IntakeError):
        take_in(file)


@pytest.mark.parametrize(
    "content",
    [b"not a zip", b"", b"PK\x05\x06" + bytes(18)],
    ids=["text", "nothing", "an empty zip"],
)
def test_a_file_in_a_folder_that_is_no_zip_leaves_an_empty_submission(take_in, tmp_path, content):
    submission = take_in(folder_of(tmp_path / "s", {"hw5.zip": content}))
    assert submission.code == {}
    assert submission.answers is None
    assert any("models.py" in note for note in submission.notes)


def test_two_zips_in_a_folder_are_not_guessed_between(take_in, tmp_path):
    zip_of(tmp_path / "s" / "a.zip", FILES)
    zip_of(tmp_path / "s" / "b.zip", FILES)
    assert take_in(tmp_path / "s").code == {}


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("Attention.py", "attention.py"),
        ("attention (1).py", "attention.py"),
        ("Models.PY", "models.py"),
        ("model.py", "models.py"),
        ("answers.yml", "answers.yaml"),
        ("answers.txt", "answers.yaml"),
        ("my_models.py", "models.py"),
        ("Encoder-final.py", "encoder.py"),
        ("encoder.py.txt", "encoder.py"),
    ],
)
def test_a_file_of_a_similar_name_is_pointed_out(take_in, tmp_path, there, missing):
    files = {name: content for name, content in FILES.items() if name != missing}
    submission = take_in(folder_of(tmp_path / "s", files | {there: b"x"}))
    assert f"{missing} is missing; {there} is there: rename it to {missing}." in submission.notes


def test_a_notebook_that_defines_nothing_is_not_to_be_renamed(take_in, tmp_path):
    files = {name: content for name, content in FILES.items() if name != "models.py"}
    notebook = b'{"cells": [{"cell_type": "code", "source": "1 + 1"}]}'
    submission = take_in(folder_of(tmp_path / "s", files | {"models.ipynb": notebook}))
    assert submission.notes == [
        "models.py is missing; the notebook models.ipynb defines nothing of it."
    ]


def test_a_missing_file_is_named(take_in, tmp_path):
    submission = take_in(folder_of(tmp_path / "s", {"models.py": b""}))
    assert {
        "attention.py is missing.",
        "encoder.py is missing.",
        "answers.yaml is missing.",
    } <= set(submission.notes)


def test_an_empty_folder_is_an_empty_submission(take_in, tmp_path):
    (tmp_path / "s").mkdir()
    submission = take_in(tmp_path / "s")
    assert (submission.code, submission.answers, submission.artifacts) == ({}, None, {})
    assert submission.notes[0].startswith("None of models.py, attention.py")


@pytest.mark.parametrize("name", ["nowhere", "text.txt"])
def test_what_is_neither_folder_nor_zip_is_no_submission(take_in, tmp_path, name):
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(IntakeError, match=name):
        take_in(tmp_path / name)


def test_folders_named_like_files_are_not_taken(take_in, tmp_path):
    source = folder_of(tmp_path / "s", {"models.py/x": b"", "attention.py": b"A = 1\n"})
    assert list(take_in(source).code) == ["attention.py"]


def test_files_that_are_no_utf8_are_taken_with_marks(take_in, tmp_path):
    submission = take_in(
        folder_of(tmp_path / "s", {"models.py": b"\xfa\xfe", "answers.yaml": b"\xff"})
    )
    assert submission.code["models.py"] == "\ufffd\ufffd"
    assert (submission.folder / "models.py").read_text("utf-8") == "\ufffd\ufffd"  # as it is read
    assert any(note.startswith("models.py is not written in UTF-8") for note in submission.notes)


def test_a_flat_artifacts_folder_is_understood(take_in, tmp_path):
    source = folder_of(tmp_path / "s", {"models.py": b"", "artifacts/vit.safetensors": b"w"})
    assert take_in(source).artifacts == {"vit/weights.safetensors": b"w"}


@pytest.mark.parametrize(
    ("described", "submissions", "refused"),
    [(True, 3, "an export of 3 submissions"), (True, 1, "an export of 1 "), (False, 3, "")],
)
def test_a_zip_that_is_a_classs_export_is_no_submission(
    take_in, tmp_path, described, submissions, refused
):
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(submissions):
            archive.writestr(f"assignment_7_export/submission_{number}/models.py", "one = 1\n")
        if described:
            archive.writestr("assignment_7_export/submission_metadata.yml", "---\n")
    if refused:
        with pytest.raises(IntakeError, match=refused):
            take_in(file)
    else:
        assert take_in(file).code == {"models.py": "one = 1\n"}
