"""The pytest plugin: every rubric line once, whatever its test does, saved all the time."""

from __future__ import annotations

import os
import textwrap
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from autograder.rubric.plugin import AUTOLOAD, GradingPlugin, RubricLine, run_suites

from .conftest import shown

HEAD = """
import pytest
from gradescope_utils.autograder_utils.decorators import number, weight
from autograder.rubric.feedback import Feedback, Picture, reject
from autograder.sandbox.errors import (
    Limit, OutOfTime, StudentCodeRaised, TookTooLong, WorkerDied
)
"""

SUITE = """
@number("1a.1")
@weight(2)
def test_right():
    \"\"\"A title with a stop.

    More than a student doesn't read.
    \"\"\"


@number("1a.2")
@weight(1)
def test_says(line):
    \"\"\"A test that leaves a word.\"\"\"
    line.say("Correct: 3 of 3.")


@number("1b.1")
@weight(3)
def test_partial():
    \"\"\"Partial points.\"\"\"
    raise reject("Nearly.", got="2", expected="3", points=1.5)


@number("1b.2")
@weight(1)
def test_rejected():
    \"\"\"No points.\"\"\"
    raise reject("Not done yet.")


@number("2a.1")
@weight(1)
def test_worker():
    \"\"\"A worker that took too long.\"\"\"
    raise TookTooLong(Limit(7.0, False, False))


@number("2a.2")
@weight(1)
def test_student_code():
    \"\"\"Student code that raised.\"\"\"
    raise StudentCodeRaised("KeyError", "'secret_path'", "models.py", 4)


@number("2b.1")
@weight(1)
def test_fault():
    \"\"\"A fault of ours.\"\"\"
    1 / 0


@number("2b.2")
@weight(1)
def test_set_up(no_such_fixture):
    \"\"\"A set-up that fails.\"\"\"


@number("2b.3")
@weight(1)
def test_skip():
    \"\"\"A skipped test.\"\"\"
    pytest.skip("not today")


@number("2b.4")
@weight(1)
def test_exit():
    \"\"\"A test that raises SystemExit.\"\"\"
    raise SystemExit("bye")


@pytest.mark.slow
@number("1a.3")
@weight(1)
def test_slow():
    \"\"\"One that waits.\"\"\"


@number("3a.1")
@weight(1)
def test_too_many_points():
    \"\"\"More points than there are.\"\"\"
    raise reject("Odd.", points=5)


@number("3a.2")
@weight(1)
def test_prints(capsys):
    \"\"\"One that prints.\"\"\"
    print("x" * 1000)
"""

EXPECTED = {
    "1a.1": 2,
    "1a.2": 1,
    "1a.3": 1,
    "1b.1": 1.5,
    "1b.2": 0,
    "2a.1": 0,
    "2a.2": 0,
    "2b.1": 0,
    "2b.2": 0,
    "2b.3": 0,
    "2b.4": 0,
    "3a.1": 1,
    "3a.2": 1,
}


class Recorder:
    """A plugin with what it saved, and the order in which lines were reached."""

    def __init__(self, only: frozenset[str] = frozenset()) -> None:
        self.saved: list[dict[str, tuple[float, bool]]] = []
        self.plugin = GradingPlugin(
            SimpleNamespace(assignment=None, submission=None), only, self.save
        )

    def save(self, lines: list[RubricLine]) -> None:
        numbers = [line.number for line in lines]
        assert numbers == sorted(set(numbers))
        self.saved.append({line.number: (line.result().score, line.reached) for line in lines})

    @property
    def lines(self) -> dict[str, RubricLine]:
        return self.plugin.lines

    def order(self) -> list[str]:
        """Lines in the order in which they were reached."""
        reached: list[str] = []
        for state in self.saved:
            reached += [n for n, (_, done) in state.items() if done and n not in reached]
        return reached


def run(
    folder: Path,
    only: frozenset[str] = frozenset(),
    recorder: Recorder | None = None,
    **suites: str,
) -> Recorder:
    folder.mkdir()
    for name, text in suites.items():
        (folder / f"test_{name}.py").write_text(HEAD + textwrap.dedent(text))
    recorder = recorder or Recorder(only)
    run_suites(recorder.plugin, folder)
    return recorder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Recorder:
    return run(tmp_path_factory.mktemp("plugin") / "suites", all=SUITE)


def test_every_line_is_there_once_with_its_points(recorded):
    assert {n: line.result().score for n, line in recorded.lines.items()} == EXPECTED
    assert all(line.reached for line in recorded.lines.values())


def test_all_lines_are_saved_before_the_first_test_and_after_each(recorded):
    assert set(recorded.saved[0]) == set(EXPECTED)
    assert all(value == (0, False) for value in recorded.saved[0].values())
    assert all(set(state) == set(EXPECTED) for state in recorded.saved)
    assert len(recorded.saved) >= 1 + len(EXPECTED)
    reached = [sum(done for _, done in state.values()) for state in recorded.saved]
    assert reached == sorted(reached)
    assert set(range(len(EXPECTED) + 1)) == set(reached)


def test_what_waits_comes_last(recorded):
    assert recorded.order()[-1] == "1a.3"
    assert recorded.order()[:-1] == sorted(set(EXPECTED) - {"1a.3"})


def test_titles_are_the_first_line_of_the_docstring(recorded):
    result = recorded.lines["1a.1"].result()
    assert result.name == "1a.1 A title with a stop"
    assert (result.status, result.max_score, result.output) == ("passed", 2, "Correct.")
    assert recorded.lines["1a.2"].result().output == "Correct: 3 of 3."


def test_a_rejection_is_told_with_its_points(recorded):
    result = recorded.lines["1b.1"].result()
    assert (result.status, shown(result.output)) == ("failed", "Nearly.\nGot: 2\nExpected: 3")
    assert recorded.lines["3a.1"].result().score == 1


def test_a_worker_that_failed_is_told_in_plain_words(recorded):
    assert "did not finish within 7 seconds" in recorded.lines["2a.1"].result().output
    assert "Your code raised KeyError" in recorded.lines["2a.2"].result().output
    assert not {"2a.1", "2a.2"} & recorded.plugin.faults.keys()


@pytest.mark.parametrize(
    ("number", "trace"),
    [
        ("2b.1", "ZeroDivisionError"),
        ("2b.2", "no_such_fixture"),
        ("2b.3", "not today"),
        ("2b.4", "SystemExit"),
    ],
)
def test_a_fault_of_the_grader_is_told_to_staff_and_not_held_against_anyone(
    recorded, number, trace
):
    output = recorded.lines[number].result().output
    assert "because of a grader error, not your code" in output
    assert trace not in output
    assert "Traceback" not in output
    assert ".py" not in output
    assert trace in recorded.plugin.faults[number]


def test_only_faults_are_recorded_as_faults(recorded):
    assert set(recorded.plugin.faults) == {"2b.1", "2b.2", "2b.3", "2b.4"}


def test_chosen_parts_are_run_alone(tmp_path):
    recorder = run(tmp_path / "s", frozenset({"1a", "3a"}), all=SUITE)
    assert set(recorder.lines) == {"1a.1", "1a.2", "1a.3", "3a.1", "3a.2"}
    assert recorder.plugin.faults == {}


LINE = '@number("{number}")\n@weight(1)\ndef test_a():\n    """A line."""\n'
INCOMPLETE = {
    "no docstring": '@number("1a.2")\n@weight(1)\ndef test_b():\n    pass\n',
    "no weight": '@number("1a.2")\ndef test_b():\n    """A line."""\n',
    "no number": '@weight(1)\ndef test_b():\n    """A line."""\n',
    "an odd number": '@number("bonus")\n@weight(1)\ndef test_b():\n    """A line."""\n',
    "a line that stands twice": LINE.format(number="1a.1"),
}


@pytest.mark.parametrize("suite", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_an_incomplete_test_is_a_fault_that_is_recorded(tmp_path, suite):
    recorder = run(tmp_path / "s", good=LINE.format(number="1a.1"), incomplete=suite)
    assert recorder.plugin.faults != {}
    assert all(line.result().score in (0, 1) for line in recorder.lines.values())


@pytest.mark.parametrize("before", [None, "", "1"])
def test_no_plugin_that_happens_to_be_installed_takes_part(tmp_path, monkeypatch, before):
    if before is None:
        monkeypatch.delenv(AUTOLOAD, raising=False)
    else:
        monkeypatch.setenv(AUTOLOAD, before)
    suite = LINE.format(number="1a.1").replace("test_a()", "test_a(pytestconfig)")
    suite += "    assert not pytestconfig.pluginmanager.hasplugin('xdist')\n"
    assert metadata.entry_points(group="pytest11", name="xdist")
    recorder = run(tmp_path / "s", alone=suite)
    assert recorder.plugin.faults == {}
    assert os.environ.get(AUTOLOAD) == before


def test_a_suite_of_another_folder_isnt_taken_for_one_of_the_same_name(tmp_path):
    first = run(tmp_path / "a", same=LINE.format(number="1a.1"))
    other = run(tmp_path / "b", same=LINE.format(number="1a.2"))
    assert (set(first.lines), set(other.lines)) == ({"1a.1"}, {"1a.2"})


def test_a_suite_that_cant_be_read_costs_no_line_of_the_others(tmp_path):
    recorder = run(
        tmp_path / "s", good=LINE.format(number="1a.1"), broken="import no_such_module\n"
    )
    assert "no_such_module" in str(recorder.plugin.faults)
    assert recorder.lines["1a.1"].result().score == 1


def test_a_line_that_the_platform_would_refuse_costs_no_other(tmp_path):
    long = LINE.format(number="1a.2").replace("test_a()", "test_b(line)")
    long += "    line.say(Feedback('x', pictures=(Picture(bytes(3_000_000), 'long'),)))\n"
    recorder = run(tmp_path / "s", good=LINE.format(number="1b.1"), long=long)
    assert recorder.lines["1b.1"].result().score == 1
    assert "because of a grader error, not your code" in recorder.lines["1a.2"].result().output
    assert recorder.plugin.faults.keys() == {"1a.2"}


def test_a_text_that_is_far_too_long_is_cut(tmp_path):
    long = LINE.format(number="1a.2").replace("test_a()", "test_b(line)")
    recorder = run(tmp_path / "s", long=long + "    line.say('x' * 3_000_000)\n")
    assert recorder.lines["1a.2"].result().score == 1
    assert len(recorder.lines["1a.2"].result().output) < 5_000
    assert recorder.plugin.faults == {}


UNCOLLECTED = {
    "a syntax error": ("def broken(:\n", "SyntaxError"),
    "an import that fails": ("import no_such_module\n", "No module named 'no_such_module'"),
    "an error at import": ("1 / 0\n", "ZeroDivisionError"),
}


@pytest.mark.parametrize("case", UNCOLLECTED)
def test_lines_of_a_suite_that_cant_be_collected_stay_as_a_fault_of_the_grader(tmp_path, case):
    wrong, said = UNCOLLECTED[case]
    expected = [RubricLine("1a.1", "Graded", 1), RubricLine("3a.1", "Lost", 3)]
    recorder = Recorder()
    recorder.plugin = GradingPlugin(
        SimpleNamespace(assignment=None), frozenset(), recorder.save, expected=expected
    )
    run(tmp_path / "s", recorder=recorder, good=LINE.format(number="1a.1"), broken=wrong)
    results = {number: line.result() for number, line in recorder.lines.items()}
    assert (results["1a.1"].score, results["3a.1"].score) == (1, 0)
    assert results["3a.1"].max_score == 3
    assert "because of a grader error, not your code" in results["3a.1"].output
    assert set(recorder.saved[0]) == {"1a.1", "3a.1"}  # from the first time on
    (trace,) = recorder.plugin.faults.values()
    assert said in trace
    assert "_pytest" not in trace


@pytest.mark.parametrize("suite", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_an_incomplete_test_costs_no_line_of_the_others(tmp_path, suite):
    recorder = run(tmp_path / "s", good=LINE.format(number="1a.1"), incomplete=suite)
    assert recorder.lines["1a.1"].result().score == 1


def test_a_trace_starts_in_the_test_and_not_in_what_runs_it(recorded):
    first = recorded.plugin.faults["2b.1"].splitlines()[1]
    assert "test_all.py" in first
    assert recorded.plugin.faults["2b.2"].count("File ") <= 1  # where no frame is a test's


def test_where_pytest_itself_fails_all_lines_stay_and_its_trace_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(GradingPlugin, "_line_of", lambda *_: {}["no line"])
    recorder = Recorder()
    recorder.plugin.lines = {"1a.1": RubricLine("1a.1", "A line", 1)}
    run(tmp_path / "s", recorder=recorder, good=LINE.format(number="1a.1"))
    assert "KeyError" in recorder.plugin.faults["pytest"]
    assert "grader error, not your code" in recorder.lines["1a.1"].result().output


class Unlucky(Recorder):
    """Can't save at some times, counted from 0."""

    def __init__(self, *times: int, problem: Exception) -> None:
        super().__init__()
        self.calls = 0
        self._times, self._problem = times, problem

    def save(self, lines: list[RubricLine]) -> None:
        self.calls += 1
        if self.calls - 1 in self._times:
            raise self._problem
        super().save(lines)


THREE = {name: LINE.format(number=f"1{name}.1") for name in "abc"}


@pytest.mark.parametrize("times", [(0,), (1,), (2, 3), (0, 1, 2, 3)])
def test_a_save_that_fails_costs_no_line(tmp_path, times):
    recorder = Unlucky(*times, problem=OSError("no space left on device"))
    run(tmp_path / "s", recorder=recorder, **THREE)
    assert [line.result().score for line in recorder.lines.values()] == [1, 1, 1]
    assert recorder.plugin.faults.keys() == {"saving"}
    assert "no space left on device" in recorder.plugin.faults["saving"]
    assert recorder.calls == 4


def test_a_run_that_is_told_to_stop_while_it_saves_stops(tmp_path):
    recorder = Unlucky(2, problem=pytest.exit.Exception("stop"))
    run(tmp_path / "s", recorder=recorder, **THREE)
    assert [line.reached for line in recorder.lines.values()] == [True, True, False]
    assert recorder.calls == 3


def test_an_empty_folder_is_a_fault(tmp_path):
    assert run(tmp_path / "s").plugin.faults != {}


def test_a_line_whose_teardown_fails_keeps_its_points(tmp_path):
    suite = LINE.format(number="1a.1").replace("def test_a()", "def test_a(torn)")
    fixture = "@pytest.fixture\ndef torn():\n    yield\n    raise OSError('gone')\n\n\n"
    recorder = run(tmp_path / "s", good=fixture + suite)
    assert recorder.lines["1a.1"].result().score == 1
    assert "gone" in str(recorder.plugin.faults)
