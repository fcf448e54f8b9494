"""The two packages: reproducible, complete, and with nothing inside that must not be."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from autograder.homework import SUITES
from autograder.hw5 import assignment as assignments
from autograder.hw5 import mnist
from autograder.staff import commands, packaging, readiness
from provided.mnist import CHECKSUMS

from . import recipes
from .conftest import ROOT


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes both packages in a folder, with a small stand-in for the data set."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in CHECKSUMS:
        (raw / name).write_bytes(name.encode() * 100)
    monkeypatch.setattr(mnist, "raw_folder", lambda data=None: raw)
    monkeypatch.setattr(mnist, "is_right", lambda file: file.is_file())
    key = tmp_path / "carry_over.key"
    monkeypatch.setattr(packaging, "make_key", lambda: key.touch())

    def make(folder: str) -> dict[str, Path]:
        return {file.name: file for file, _ in packaging.make_packages(tmp_path / folder)}

    return make


def names(file: Path) -> set[str]:
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        listed = archive.namelist()
    assert len(listed) == len(set(listed))
    return set(listed)


def test_both_packages_are_the_same_byte_for_byte_when_made_again(package):
    first, second = package("one"), package("two")
    assert first.keys() == second.keys() == {"autograder.zip", "student_template.zip"}
    for name in first:
        assert (
            hashlib.sha256(first[name].read_bytes()).digest()
            == hashlib.sha256(second[name].read_bytes()).digest()
        )


def test_other_times_and_permissions_of_the_sources_change_nothing(tmp_path):
    contents = {}
    for attempt, (mode, time) in enumerate([(0o644, 10**9), (0o600, 10**9 + 5000)]):
        source = tmp_path / f"source{attempt}"
        source.write_bytes(b"x")
        source.chmod(mode)
        os.utime(source, (time, time))
        packaging.write_zip(tmp_path / f"{attempt}.zip", {Path("a/b.py"): source})
        contents[attempt] = (tmp_path / f"{attempt}.zip").read_bytes()
    assert contents[0] == contents[1]


def test_the_platform_finds_its_two_scripts_at_the_root_and_executable(package):
    with zipfile.ZipFile(package("p")["autograder.zip"]) as archive:
        for name in ("setup.sh", "run_autograder"):
            mode = archive.getinfo(name).external_attr >> 16
            assert stat.S_ISREG(mode)
            assert mode & 0o111 == 0o111
            assert archive.read(name).startswith(b"#!")
            assert b"\r" not in archive.read(name)


def test_the_graders_package_is_complete(package):
    packed = names(package("p")["autograder.zip"])
    wanted = {
        str(file.relative_to(ROOT))
        for folder in ("autograder", "tests/grading", "student_template/provided")
        for file in (ROOT / folder).rglob("*.py")
        if "staff" not in file.parts
    }
    assert wanted <= packed
    assert {"pyproject.toml", "requirements.lock", "autograder/hw5/assignment.yaml"} <= packed
    assert {f"data/MNIST/raw/{name}" for name in CHECKSUMS} <= packed
    listed = (ROOT / "pyproject.toml").read_text()
    readme = re.search(r'^readme = "(.+)"', listed, re.MULTILINE)
    assert readme is None or readme[1] in packed


def test_the_graders_package_holds_no_solution_and_no_test_of_the_harness(package):
    packed = names(package("p")["autograder.zip"])
    forbidden = re.compile(
        r"^(solutions|tests/harness|autograder/staff|docs|dist|results|\.)|__pycache__|\.pyc$|/\.|egg-info|\.log$"
    )
    assert [name for name in packed if forbidden.search(name)] == []
    assert not any(name.startswith("/") or ".." in name for name in packed)


def test_the_students_package_is_the_template_alone(package):
    packed = names(package("p")["student_template.zip"])
    assert {"models.py", "attention.py", "encoder.py", "answers.yaml"} <= packed
    assert "provided/training.py" in packed
    assert {
        "writeup.py",
        "requirements-writeup.txt",
        *(f"provided/writeup/{name}" for name in ("pdf.py", "preamble.typ", "template.tex")),
    } <= packed
    forbidden = re.compile(
        r"(^|/)artifacts/|^data/|__pycache__|\.pyc$|/\.|^\.|safetensors|history\.csv|\.key$|^autograder|^tests|^solutions"
    )
    assert [name for name in packed if forbidden.search(name)] == []


def test_what_was_tried_in_the_template_itself_is_not_given_to_students(tmp_path, monkeypatch):
    for name in (*packaging.MADE, "writeup.py", "provided/writeup/pdf.py"):
        file = tmp_path / "student_template" / name
        file = file if file.suffix else file / "1a.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    monkeypatch.setattr(packaging, "ROOT", tmp_path)
    found = {file.name for file in packaging._files(["student_template"])}
    assert found == {"writeup.py", "pdf.py"}


def test_the_students_package_holds_stubs(package):
    with zipfile.ZipFile(package("p")["student_template.zip"]) as archive:
        for name in ("models.py", "attention.py", "encoder.py"):
            assert b"raise NotImplementedError" in archive.read(name)


def test_the_key_that_signs_results_is_never_given_to_students(package, tmp_path, monkeypatch):
    packed = names(package("p")["student_template.zip"])
    assert not any("key" in name for name in packed)


def test_without_the_verified_data_nothing_is_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "raw_folder", lambda data=None: tmp_path / "nowhere")
    with pytest.raises(mnist.DataError, match="sha256"):
        list(packaging.make_packages(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def suites(tmp_path) -> Path:
    """Two of the suites that grade, to be changed."""
    folder = tmp_path / "suites"
    folder.mkdir()
    for name in ("test_1a_convolution_1d", "test_1b_convolution_2d"):
        (folder / f"{name}.py").write_text((SUITES / f"{name}.py").read_text())
    return folder


def test_a_suite_that_cant_be_collected_refuses_the_package(suites):
    file = suites / "test_1b_convolution_2d.py"
    file.write_text(file.read_text() + "\nimport no_such_module\n")
    found = list(readiness.wrong_reference(assignments.load(), suites))
    assert len(found) == 1
    assert "No module named 'no_such_module'" in found[0]


def test_a_reference_that_loses_a_line_refuses_the_package(suites):
    file = suites / "test_1a_convolution_1d.py"
    text = file.read_text().replace('@number("1a.1")', '@number("1a.3")')
    body = text.index("def test_")
    end = text.index("\n\n\n", body)
    file.write_text(f"{text[:end]}\n    raise reject('No.'){text[end:]}")
    found = list(readiness.wrong_reference(assignments.load(), suites))
    assert any("1a.3: 0 points, expected 1" in one for one in found), found


def test_points_that_dont_add_up_refuse_the_package(suites):
    file = suites / "test_1a_convolution_1d.py"
    file.write_text(file.read_text().replace("@weight(1)", "@weight(2)", 1))
    found = list(readiness.wrong_points(assignments.load(), suites))
    assert any(one.startswith("1a: the lines in suites give 3 points") for one in found)
    assert not any(one.startswith("1b: ") for one in found)
    assert any(one.startswith("3a: the lines in suites give 0 points") for one in found)


def test_points_that_are_spread_over_other_lines_are_accepted(tmp_path):
    folder = tmp_path / "suites"
    folder.mkdir()
    whole = "".join(file.read_text() for file in sorted(SUITES.glob("*.py")))
    (folder / "test_all.py").write_text(whole.replace("@weight(2)", "@weight(2.0)"))
    assert list(readiness.wrong_points(assignments.load(), folder)) == []


def test_wrong_settings_refuse_the_package_with_their_line(tmp_path):
    file = tmp_path / "assignment.yaml"
    file.write_text(assignments.FILE.read_text().replace("pictures:", "picture:"))
    (reason,) = readiness.reasons(file)
    assert "did you mean pictures?" in reason


@pytest.mark.full
def test_the_grader_as_it_stands_is_packaged():
    assert list(readiness.reasons()) == []


@pytest.mark.parametrize("reasons", [[], ["3a: no points", "3b: no lines"]], ids=["fit", "unfit"])
def test_the_command_writes_packages_or_says_why_not(reasons, package, tmp_path, monkeypatch):
    monkeypatch.setattr(readiness, "reasons", lambda: iter(reasons))
    app = typer.Typer()
    commands.register(app)
    into = tmp_path / "made"
    ended = CliRunner().invoke(app, ["package", "--into", str(into)])
    assert ended.exit_code == (1 if reasons else 0), ended.output
    assert ended.stderr.splitlines() == [f"Not packaged: {reason}" for reason in reasons]
    assert into.exists() is not bool(reasons)


BROKEN = {  # settings that break the given code, which reads them as it is imported
    "a key": ("  batch_size: 32", "  batchsize: 32", "did you mean batch_size?"),
    "the form": ("conv1d:", "conv1d: [", "line 5: expected"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_setting_that_breaks_the_given_code_is_told_in_a_sentence(case, tmp_path):
    old, new, said = BROKEN[case]
    copy = recipes.copy_repository(tmp_path / "copy")
    values = copy / "student_template" / "provided" / "homework.yaml"
    values.write_text(values.read_text().replace(old, new, 1))
    ended = recipes.run(".venv/bin/autograder package", copy)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
