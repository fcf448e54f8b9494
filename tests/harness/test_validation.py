"""`autograder validate`: what it accepts, what it reports, how it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from autograder.staff import commands, solutions, validation
from autograder.staff.grader import Grader
from autograder.staff.proof import gaps, proofs
from autograder.staff.solutions import (
    ALL_PARTS,
    SOLUTIONS,
    Expected,
    Kind,
    Solution,
    SolutionError,
    load_solutions,
)
from autograder.staff.validation import LineOutcome, Outcome
from autograder.staff.validation_report import few

NO_SCALE = SOLUTIONS / "mistakes" / "no-scale"


def mistake(expected: Expected, folder: Path = NO_SCALE) -> Solution:
    return Solution(Kind.MISTAKES, folder.name, folder, ("attention.py",), expected)


@pytest.fixture(scope="module")
def grader():
    grader = Grader(None)
    yield grader
    grader.close()


@pytest.fixture(scope="module")
def no_scale(grader) -> Outcome:
    return grader.grade(mistake(Expected(fails=["3a.4"], diagnosis="no-scale")))


def expecting(outcome: Outcome, **expected) -> list[str]:
    return replace(outcome, solution=mistake(Expected(**expected))).differences()


def test_a_mistake_that_loses_what_it_must_is_as_expected(no_scale):
    assert no_scale.differences() == []
    assert no_scale.lost == ["3a.4"]
    assert no_scale.diagnoses == ["no-scale"]
    assert {line.partition(".")[0] for line in no_scale.lines} == {"3a", "3b", "3c"}


def test_a_line_that_should_fail_and_does_not_is_reported(no_scale):
    found = expecting(no_scale, fails=["3a.4", "3a.5"], diagnosis={"3a.4": "no-scale"})
    assert [text.partition(":")[0] for text in found] == ["3a.5"]
    assert "1 points, expected 0" in found[0]


def test_a_line_that_fails_and_should_not_is_reported(no_scale):
    found = expecting(no_scale, fails=["3a.5"], diagnosis={})
    assert any("3a.4: 0 points, expected 3" in text for text in found)


def test_another_diagnosis_is_reported(no_scale):
    found = expecting(no_scale, fails=["3a.4"], diagnosis="causal-mask")
    assert len(found) == 1
    assert "names no-scale, expected causal-mask" in found[0]


def test_partial_points_are_compared(no_scale):
    assert "expected 1 or 2" in expecting(no_scale, partial={"3a.4": [1, 2]})[0]


def test_a_mistake_with_full_marks_is_reported(no_scale):
    right = {number: replace(line, earned=line.points) for number, line in no_scale.lines.items()}
    outcome = Outcome(mistake(Expected()), right)
    assert outcome.differences() == ["it expects full marks, which no mistake may get"]


def test_a_line_that_the_files_cannot_change_is_reported(no_scale):
    found = expecting(no_scale, fails=["3a.4", "1a.1"], diagnosis={"3a.4": "no-scale"})
    assert found == ["1a.1: none of its files can change this line"]


def test_a_fault_of_the_grader_is_a_difference(no_scale):
    found = replace(no_scale, faults={"3a.4": "Traceback …"}).differences()
    assert found == ["3a.4: a fault of the grader\nTraceback …"]


def test_an_alternative_that_loses_a_point_is_reported(no_scale):
    alternative = Solution(Kind.ALTERNATIVES, "other", NO_SCALE, ("attention.py",))
    found = replace(no_scale, solution=alternative).differences()
    assert len(found) == 1
    assert found[0].startswith("3a.4: 0 points, expected 3")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (LineOutcome(1.0, 1.0, "", "Correct."), "1 points for the untouched template"),
        (LineOutcome(0.0, 1.0, "", "KeyError: 'x'"), "no kind message"),
    ],
    ids=["points", "unkind"],
)
def test_the_template_must_get_nothing_and_a_kind_message(line, said):
    template = Solution(Kind.TEMPLATE, "template", solutions.TEMPLATE)
    assert any(said in text for text in Outcome(template, {"3a.1": line}).differences())


def test_lines_that_need_a_training_are_left_out_without_it(grader):
    reference = load_solutions(["reference"])[0]
    outcome = grader.grade(reference)
    assert {line.partition(".")[0] for line in outcome.lines} == ALL_PARTS
    assert not {"2b.3", "2c.4", "3c.1", "3c.2", "3c.4"} & outcome.lines.keys()
    assert outcome.differences() == []


def test_every_solution_is_one_of_the_known_kinds_and_there_are_enough():
    found = load_solutions()
    kinds = [solution.kind for solution in found]
    assert kinds.count("mistakes") >= 70
    assert kinds.count("alternatives") >= 30
    assert kinds.count("reference") == kinds.count("template") == 1
    assert len({(solution.kind, solution.name) for solution in found}) == len(found)


def test_solutions_are_chosen_by_name_pattern_and_kind():
    assert [one.name for one in load_solutions(["no-scale"])] == ["no-scale"]
    assert {one.kind for one in load_solutions(["alternatives"])} == {"alternatives"}
    assert len(load_solutions(["scale-by-*"])) > 3
    with pytest.raises(SolutionError, match="no-such-thing"):
        load_solutions(["no-such-thing"])


def test_only_the_parts_that_a_file_can_change_are_graded():
    parts = {one.name: one.parts for one in load_solutions(["mistakes"])}
    assert parts["stride-1"] == {"1a", "1b", "1c", "2a"}
    assert parts["post-norm"] == {"3b", "3c"}
    assert parts["history-missing"] == {"2b"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"attention.py": "", "notes.txt": ""}, "unknown file notes.txt"),
        ({"expected.yaml": "fails: [3a.4]"}, "nothing that is graded"),
        ({"attention.py": ""}, "mistakes have an expected.yaml"),
        ({"attention.py": "", "expected.yaml": "lost: [3a.4]"}, "expected.yaml"),
        ({"attention.py": "", "expected.yaml": "fails: ["}, "expected.yaml"),
    ],
    ids=["unknown file", "nothing graded", "no expectation", "unknown key", "no YAML"],
)
def test_a_folder_that_is_not_a_solution_is_named(tmp_path, files, said):
    folder = tmp_path / "mistakes" / "some-mistake"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(SolutionError, match=said):
        load_solutions(root=tmp_path)


def test_weights_come_with_the_code_that_they_were_trained_with(tmp_path):
    def has_weights(name: str) -> bool:
        into = tmp_path / name
        into.mkdir()
        return (load_solutions([name])[0].assemble(into) / solutions.SUBMITTED_WEIGHTS).exists()

    assert has_weights("stride-1")
    assert not has_weights("post-norm")
    assert not has_weights("weights-missing")


def run(*arguments: str):
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, ["validate", "--no-training", *arguments])


@pytest.mark.full
def test_validate_ends_well_where_all_is_as_expected(tmp_path):
    junit, markdown = tmp_path / "junit.xml", tmp_path / "validation.md"
    ended = run("--only", "no-scale,einsum", "--junit", str(junit), "--markdown", str(markdown))
    assert ended.exit_code == 0, ended.output
    assert "alternatives 1/1, mistakes 1/1" in ended.output
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    assert "| ✓ | mistakes/no-scale | 3a.4 | 3a.4 | no-scale |" in markdown.read_text()


@pytest.mark.full
def test_validate_ends_with_1_where_something_differs(tmp_path, monkeypatch):
    wrong = mistake(Expected(fails=["3a.4"], diagnosis="causal-mask"))
    monkeypatch.setattr(commands, "load_solutions", lambda only: [wrong])
    junit = tmp_path / "junit.xml"
    ended = run("--junit", str(junit))
    assert ended.exit_code == 1
    assert "names no-scale, expected causal-mask" in " ".join(ended.output.split())
    cases = ElementTree.parse(junit).getroot().iter("testcase")
    assert "no-scale" in [case.get("name") for case in cases if case.find("failure") is not None]


def test_an_unknown_solution_is_wrong_usage():
    ended = run("--only", "no-such-thing")
    assert ended.exit_code == 2
    assert "There is no solution no-such-thing" in ended.output


LINES = frozenset({"1a.1", "1a.2"})


def outcome(kind: Kind, name: str, collected: frozenset[str] = LINES, **points: float) -> Outcome:
    """What a solution came to: 1a_1=0 for a line that it loses, 1 for one that it doesn't."""
    lines = {
        number.replace("_", "."): LineOutcome(earned, 1, "", "")
        for number, earned in points.items()
    }
    return Outcome(Solution(kind, name, NO_SCALE), lines, collected=collected)


REFERENCE = outcome(Kind.REFERENCE, "reference", **{"1a_1": 1, "1a_2": 1})
BOTH_LOST = outcome(Kind.MISTAKES, "both", **{"1a_1": 0, "1a_2": 0.5})
ONE_LOST = outcome(Kind.MISTAKES, "one", **{"1a_1": 0, "1a_2": 1})
EMPTY = outcome(Kind.TEMPLATE, "template", **{"1a_1": 0, "1a_2": 0})


def test_each_line_is_proven_by_the_mistakes_that_lose_points_on_it():
    assert proofs([REFERENCE, ONE_LOST, BOTH_LOST]) == {"1a.1": ["both", "one"], "1a.2": ["both"]}
    assert list(gaps([REFERENCE, ONE_LOST, BOTH_LOST])) == []


@pytest.mark.parametrize(
    "others",
    [[], [EMPTY], [replace(BOTH_LOST, faults={"1a.2": "Traceback …"})]],
    ids=["nobody", "the template", "a fault of the grader"],
)
def test_a_line_that_no_mistake_loses_is_reported(others):
    found = list(gaps([REFERENCE, ONE_LOST, *others]))
    assert found == ["1a.2: no mistake in solutions/mistakes loses this line"]


def test_a_line_that_no_solution_is_asked_is_reported():
    more = replace(REFERENCE, collected=LINES | {"4a.1"})
    (found,) = gaps([more, ONE_LOST, BOTH_LOST])
    assert found.startswith("4a.1: no solution is asked this line")


def test_a_graded_solution_knows_all_lines_that_need_no_training(no_scale):
    assert {"1a.1", "3a.4", "3c.3"} <= no_scale.collected
    assert not {"2b.3", "3c.1"} & no_scale.collected
    assert no_scale.lines.keys() < no_scale.collected


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "none"), (list("abcd"), "a, b, c, d"), (list("abcdef"), "a, b, c, d and 2 more")],
)
def test_a_row_names_a_few_mistakes(names, said):
    assert few(names) == said


@pytest.mark.parametrize("lost", [["1a.1", "1a.2"], ["1a.1"]], ids=["each line", "one line"])
def test_validate_fails_on_a_line_that_nothing_proves(lost, tmp_path, monkeypatch):
    points = {number.replace(".", "_"): float(number not in lost) for number in LINES}
    wrong = outcome(Kind.MISTAKES, "wrong", **points)
    solution = replace(wrong.solution, expected=Expected(fails=lost), changed=("answers.yaml",))
    outcomes = [REFERENCE, replace(wrong, solution=solution)]
    monkeypatch.setattr(validation, "validate", lambda chosen, executor, gradings: iter(outcomes))
    junit, markdown = tmp_path / "junit.xml", tmp_path / "validation.md"
    ended = run("--junit", str(junit), "--markdown", str(markdown))
    proven = len(lost) == len(LINES)
    assert ended.exit_code == (0 if proven else 1), ended.output
    assert ("no mistake in solutions/mistakes loses" in ended.output) is not proven
    assert ElementTree.parse(junit).getroot().get("failures") == ("0" if proven else "1")
    assert f"| 1a.2 | {'wrong' if proven else 'none'} |" in markdown.read_text()
    assert run("--only", "no-scale").exit_code == 0  # of some solutions nothing follows
