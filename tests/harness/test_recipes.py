"""The recipes of CONTRIBUTING.md, followed in a copy of the repository that then grades."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from autograder.homework import ANSWERS_FILE
from autograder.staff.solutions import completed

from . import points, rooms, student_copy
from .conftest import QUICK, ROOT, Run, merge
from .recipes import PAGE, Edit, Recipe, RecipeError, copy_repository, python, read_recipes, run
from .test_student_readme import files_described, files_given, files_to_submit

RECIPES = read_recipes(PAGE.read_text(encoding="utf-8"))
VALUE = "Change a value"
TEXT = "Add a question answered in text"
MODULE = "Add a question with a student's module"
MISTAKE = "Add a mistake with its diagnosis"
SIZES = "Change the model's sizes"


@pytest.fixture
def followed():
    """A copy of the repository in which a recipe's edits have been made.

    It stands where a worker's user can enter. A folder of pytest's is no such place for long:
    each pytest that starts closes the one above it again.
    """
    with tempfile.TemporaryDirectory(prefix="recipes-") as folder:
        Path(folder).chmod(0o755)

        def follow(title: str) -> Path:
            copy = copy_repository(Path(folder) / "copy")
            RECIPES[title].apply(copy)
            return copy

        yield follow


def graded(command: str, copy: Path, *options: str) -> Run:
    """A command that grades, and the results that it wrote beside the copy."""
    results = Path(tempfile.mkdtemp(dir=copy.parent)) / "results.json"
    ended = run(command, copy, "--results", str(results), *options)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    return Run(json.loads(results.read_text()), ended.returncode, said)


def proven(title: str, copy: Path) -> list[Run]:
    """The recipe's own commands, each of which must end well; those that grade, graded."""
    runs = []
    for command in RECIPES[title].commands:
        if command.startswith("./run_autograder"):
            runs.append(graded(command, copy))
            assert runs[-1].faults == {}
        else:
            ended = run(command, copy)
            assert ended.returncode == 0, ended.stdout + ended.stderr
    return runs


def assert_in_shape(copy: Path) -> None:
    """What stands in the copy holds to the repository's rules, as far as that is quick to tell."""
    for check in (["check"], ["format", "--check"]):
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--no-cache", "--quiet", copy],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
    assert rooms.violations(copy) == []
    assert list(points.disagreements(copy)) == []
    template = copy / "student_template"
    readme = (template / "README.md").read_text()
    assert files_described(readme) == files_given(template)
    assert files_to_submit(readme) == points.declared_homework(copy)["SUBMITTED"].keys()


def checked(copy: Path, part: str, *, solved: bool) -> str:
    """What the template's check.py says about a part: of the stub, or of the reference."""
    folder = copy.parent / ("solved" if solved else "untouched")
    shutil.copytree(copy / "student_template", folder)
    if solved:
        shutil.copytree(copy / "solutions" / "reference", folder, dirs_exist_ok=True)
    return student_copy.run(folder, "check.py", part).output


def wrong(copy: Path, name: str, part: str) -> Run:
    """One of the copy's mistakes over its reference, graded on a part."""
    folder = copy.parent / "wrong"
    shutil.copytree(copy / "solutions" / "reference", folder)
    answers = (folder / ANSWERS_FILE).read_text()
    shutil.copytree(copy / "solutions" / "mistakes" / name, folder, dirs_exist_ok=True)
    (folder / ANSWERS_FILE).write_text(completed((folder / ANSWERS_FILE).read_text(), answers))
    return graded(f"./run_autograder {folder} --only {part}", copy)


def test_the_page_has_the_five_recipes():
    assert list(RECIPES) == [VALUE, TEXT, MODULE, MISTAKE, SIZES]
    assert all(recipe.edits and recipe.commands for recipe in RECIPES.values())


@pytest.mark.full
def test_a_changed_value_is_followed_by_titles_verdicts_and_check(followed, tmp_path):
    copy = followed(VALUE)
    settings: list[str] = []
    values = copy / "student_template" / "provided" / "homework.yaml"
    given = yaml.safe_load(values.read_text())
    for option, file in (
        ("--assignment", copy / "autograder" / "hw5" / "assignment.yaml"),
        ("--homework", values),
    ):
        content = yaml.safe_load(file.read_text())
        merge(content, QUICK, elsewhere=None if file == values else given)
        (tmp_path / file.name).write_text(yaml.safe_dump(content))
        settings += [option, str(tmp_path / file.name)]
    larger = tmp_path / "larger"
    alternative = copy / "solutions" / "alternatives" / "just-under-the-parameter-budget"
    shutil.copytree(copy / "solutions" / "reference", larger)
    shutil.copytree(alternative, larger, dirs_exist_ok=True)
    mend, command = RECIPES[VALUE].commands
    mended = run(mend, copy)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "fewer than 40,000 parameters" in (copy / "student_template" / "README.md").read_text()
    with ThreadPoolExecutor(1) as beside:
        ending = beside.submit(graded, f"./run_autograder {larger} --only 2c", copy, *settings)
        reference = graded(command, copy, *settings)
    rejected = ending.result()
    for run_of in (reference, rejected):
        names = [test["name"] for test in run_of.results["tests"]]
        assert any("40,000" in name for name in names)
        assert not any("50,000" in name for name in names)
    assert reference.points("2c")["2c.3"] == 2
    assert rejected.points("2c")["2c.3"] == 0
    assert "40,000" in rejected.text("2c.3")
    assert "fewer than 40,000" in checked(copy, "2c", solved=True)


@pytest.mark.full
def test_a_question_answered_in_text_is_graded_and_its_mistake_rejected(followed):
    copy = followed(TEXT)
    with ThreadPoolExecutor(1) as beside:
        ending = beside.submit(wrong, copy, "last-batch-forgotten", "4a")
        (reference,) = proven(TEXT, copy)
    assert reference.points() == {"4a.1": 1}
    rejected = ending.result()
    assert rejected.points() == {"4a.1": 0}
    assert "This is not the number of steps." in rejected.text("4a.1")
    assert "2,343" in rejected.text("4a.1")
    assert "4a  TO DO" in checked(copy, "4a", solved=False)
    assert "4a  ok" in checked(copy, "4a", solved=True)
    assert_in_shape(copy)


@pytest.mark.full
def test_a_question_with_a_module_is_graded_and_its_mistake_rejected(followed):
    copy = followed(MODULE)
    with ThreadPoolExecutor(1) as beside:
        ending = beside.submit(wrong, copy, "factor-added", "4b")
        (reference,) = proven(MODULE, copy)
    assert reference.points() == {"4b.1": 2}
    rejected = ending.result()
    assert rejected.points() == {"4b.1": 0}
    assert "The output is not right: it differs by up to" in rejected.text("4b.1")
    assert "4b  TO DO write Scale in scale.py." in checked(copy, "4b", solved=False)
    assert "4b  ok    gradients flow" in checked(copy, "4b", solved=True)
    assert_in_shape(copy)


def test_a_mistake_with_its_diagnosis_is_named(followed):
    copy = followed(MISTAKE)
    with ThreadPoolExecutor(1) as beside:
        ending = beside.submit(wrong, copy, "bias-per-channel", "1b")
        assert proven(MISTAKE, copy) == []
    rejected = ending.result()
    assert rejected.points() == {"1b.1": 0, "1b.2": 1}
    assert "a bias is counted for each input channel of a filter" in rejected.text("1b.1")
    assert_in_shape(copy)


def test_changed_sizes_are_read_by_grader_and_check(followed):
    copy = followed(SIZES)
    said = python("from autograder.hw5.probes.given_model import SIZES; print(SIZES.depth)", copy)
    assert said.stdout == "4\n"
    assert "3c  FIX" in checked(copy, "3c", solved=True)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (Edit("README.md", "after", "no such line", "x\n"), "0 lines of README.md"),
        (Edit("README.md", "after", "the", "x\n"), "lines of README.md have 'the', not one"),
        (Edit("README.md", "new", "", "x\n"), "is there already"),
        (Edit("missing.md", "end", "", "x\n"), "there is no missing.md"),
    ],
)
def test_an_edit_whose_place_is_not_there_is_refused(edit, said, tmp_path):
    shutil.copy(ROOT / "README.md", tmp_path)
    with pytest.raises(RecipeError, match=said):
        edit.apply(tmp_path)


def test_a_block_without_a_place_is_refused():
    with pytest.raises(RecipeError, match="where does this block belong"):
        read_recipes("\n## Recipes\n### One\nSomewhere:\n\n```python\nx\n```\n")


def test_each_way_of_placing_a_block_puts_it_there(tmp_path):
    file = tmp_path / "a.py"
    page = (
        "\n## Recipes\n### One\n1. In `a.py`, {how} the line with `two`:\n\n"
        "   ```python\n       new\n   ```\n"
    )
    for how, expected in {
        "after": "one\n\n\ntwo()\n    new\n",
        "before": "one\n\n\n    new\n\n\ntwo()\n",
        "in place of": "one\n\n\n    new\n",
    }.items():
        file.write_text("one\n\n\ntwo()\n")
        recipe = read_recipes(page.format(how=how))["One"]
        assert isinstance(recipe, Recipe)
        recipe.apply(tmp_path)
        assert file.read_text() == expected
