"""setup.sh: what it installs and refuses, and what run_autograder says where it was stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.rubric.gradescope import Results

from .conftest import ROOT

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers are other users")


@pytest.fixture
def project(tmp_path) -> Path:
    """setup.sh and what it reads, in a folder with an environment that has no torch."""
    folder = tmp_path / "project"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("setup.sh", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    return folder


def sourced(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script after the functions of setup.sh."""
    return subprocess.run(
        ["bash", "-c", f"source {folder}/setup.sh\n{script}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], **environment},
        check=False,
    )


INSTALLS = """
pip_install() {{
    echo "pip $*"
    [[ $* != *{lacks}* ]]
}}
cpu_index_answers() {{ {answers}; }}
{before}
install_torch
"""


def torch_installed(
    project: Path, *, answers: str = "false", lacks: str = "nothing", before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Where pip lacks what has this in its name."""
    script = INSTALLS.format(answers=answers, lacks=lacks, before=before)
    ended = sourced(project, script)
    assert ended.returncode == 0 or "!!! " in ended.stderr, ended.stderr
    return ended


@pytest.mark.parametrize("answers", ["false", "true"], ids=["no index", "an index without it"])
def test_the_cuda_build_is_never_installed_unasked(answers, project):
    lacks = "cpu" if answers == "true" else "+cpu"
    ended = torch_installed(project, answers=answers, lacks=lacks)
    assert ended.returncode == 1
    assert "pip --constraint requirements.lock torch==2.13.0" not in ended.stdout.splitlines()
    assert "4.9 GB" in ended.stderr
    assert "./setup.sh --cuda" in ended.stderr


def test_the_cuda_build_is_installed_where_it_is_wanted(project):
    ended = torch_installed(project, lacks="+cpu", before="cuda=yes")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "pip --constraint requirements.lock torch==2.13.0"


def test_a_cpu_build_of_pips_own_index_is_installed_unasked(project):
    ended = torch_installed(project)
    assert ended.returncode == 0, ended.stderr
    assert "pip --constraint requirements.lock torch==2.13.0+cpu" in ended.stdout


def test_the_index_of_cpu_builds_comes_first(project):
    ended = torch_installed(project, answers="true")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].endswith(
        "--index-url https://download.pytorch.org/whl/cpu torch==2.13.0"
    )


def test_another_index_of_cpu_builds_may_be_named(project):
    script = INSTALLS.format(answers="true", lacks="nothing", before="")
    ended = sourced(project, script, TORCH_INDEX="https://mirror.example/cpu")
    assert "--index-url https://mirror.example/cpu torch==2.13.0" in ended.stdout


def test_an_unknown_option_is_refused(project):
    ended = subprocess.run(
        [project / "setup.sh", "--gpu"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "Unknown option --gpu" in ended.stderr


@AS_ROOT
def test_an_interpreter_that_others_cant_reach_is_named_with_the_folder_that_is_closed(
    project, open_folder
):
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python3").symlink_to(Path(sys.executable).resolve())
    ended = sourced(project, "find_python", PYTHON=str(closed / "python3"))
    assert ended.returncode == 1
    assert f"can't reach {closed / 'python3'} (behind {closed}/)" in ended.stderr
    closed.chmod(0o755)
    ended = sourced(project, "find_python", PYTHON=str(closed / "python3"))
    assert ended.stdout.strip() == str(closed / "python3"), ended.stderr


@AS_ROOT
def test_an_environment_that_others_cant_reach_ends_the_setup(project, open_folder):
    ended = sourced(project, "check_reach 'import venv'")  # a folder of pytest's is root's alone
    assert ended.returncode == 1
    assert f"can't reach {project}/.venv" in ended.stderr
    assert sourced(ROOT, "check_reach 'import numpy'").returncode == 0


@AS_ROOT
def test_a_folder_that_others_cant_reach_ends_the_setup_before_anything_is_installed(project):
    stubs = "install_packages() { echo installing; exit; }\nmake_environment() { :; }"
    ended = sourced(project, f"{stubs}\nmain")
    assert ended.returncode == 1
    assert "installing" not in ended.stdout
    assert f"can't reach {project}/.venv" in ended.stderr
    reached = sourced(project, f"{stubs}\nothers_run() {{ :; }}\nmain")
    assert reached.stdout.strip() == "installing", reached.stderr


@pytest.fixture
def platform(tmp_path) -> Path:
    """The platform's folder after a set-up that came to its end; the grader is a stand-in."""
    folder = tmp_path / "autograder"
    (folder / "source" / "autograder").mkdir(parents=True)
    (folder / "source" / ".venv" / "bin").mkdir(parents=True)
    (folder / "results").mkdir()
    shutil.copy(ROOT / "run_autograder", folder)
    python = folder / "source" / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "graded: $*"\n')
    python.chmod(0o755)
    (folder / "source" / ".venv" / "ready").touch()
    return folder


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "run_autograder", *arguments], capture_output=True, text=True, check=False
    )


def test_a_complete_setup_grades(platform):
    ended = started(platform)
    assert ended.returncode == 0
    assert "graded: -I -m autograder.launch grade" in ended.stdout


@pytest.mark.parametrize("missing", ["ready", "bin/python"])
def test_an_interrupted_setup_is_said_in_the_results(missing, platform):
    (platform / "source" / ".venv" / missing).unlink()
    ended = started(platform)
    assert ended.returncode == 3
    assert "setup.sh has not come to its end" in ended.stderr
    assert [path.name for path in (platform / "results").iterdir()] == ["results.json"]
    results = Results.read(platform / "results" / "results.json")
    assert results.score == 0
    assert "grader error, not your code" in results.output
    assert "setup.sh did not finish" in results.extra_data["faults"]["setup"]


def test_an_interrupted_setup_of_ones_own_is_wrong_usage(platform):
    (platform / "source" / ".venv" / "ready").unlink()
    ended = started(platform, "a_submission")
    assert ended.returncode == 2
    assert "Run it" in ended.stderr
    assert list((platform / "results").iterdir()) == []


def test_the_marker_is_gone_from_the_first_step_of_a_setup_to_its_end(project):
    ready = project / ".venv" / "ready"
    steps = ("install_system_packages", "make_environment", "install_packages", "close_secrets")
    stubs = "\n".join(f"{step}() {{ [[ ! -e .venv/ready ]]; }}" for step in (*steps, "check_reach"))
    data = "#!/bin/sh\n"
    (project / ".venv" / "bin" / "python").write_text(data)
    for last, there in (("main", True), ("check_reach() { fail stopped; }; main", False)):
        ready.touch()
        ended = sourced(project, f"{stubs}\n{last}")
        assert (ended.returncode == 0) is there, ended.stderr
        assert ready.exists() is there
