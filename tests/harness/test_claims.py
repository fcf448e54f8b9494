"""Random claims of every kind: no kill, no fault, none that takes long, in little memory.

Some are tried with the rest of the tests; `--whole-corpus` tries 20,000.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from autograder.confined import wire
from autograder.hw5.verdicts import loss_history
from autograder.rubric.digesting import digesting
from autograder.rubric.feedback import Rejected
from autograder.sandbox import claims, confinement
from autograder.sandbox.errors import IndigestibleReply, Limit, SandboxFault, TookTooLong

from .conftest import ROOT
from .random_claims import MOST_SECONDS
from .test_plugin import LINE, Recorder, run

FEW, MANY = 1_500, 20_000
LIMIT = Limit(3.0, processor=True, shared=False)


def test_no_claim_kills_blames_or_holds_the_grader(pytestconfig):
    count = MANY if pytestconfig.getoption("whole_corpus") else FEW
    # Its time is measured, so nothing may be that measures which lines run.
    alone = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "tests.harness.random_claims", "7", str(count)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**alone, "OMP_NUM_THREADS": "1"},
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["count"] == count
    assert outcome["faults"] == []
    assert outcome["flagged"] == {}
    assert outcome["slowest"][1] < MOST_SECONDS, outcome["slowest"]


def test_claims_are_counted_and_never_drawn():
    assert claims.excess_parameters([(900_000_000,)])
    assert claims.excess_parameters([(1_000,) * 8])
    assert claims.excess_parameters([(1_000,)] * 1_001)
    assert claims.excess_parameters([(1_000, 1_000), (0, 10**9)]) == ""
    assert claims.excess_result((1_001, 1_000))
    assert claims.excess_result((1_000, 1_000)) == ""


@pytest.mark.parametrize("text", ['{"a": ' + "9" * 21 + "}", '{"a": -' + "9" * 5_000 + "}"])
def test_a_number_of_many_digits_is_no_message(text):
    with pytest.raises(wire.WireError, match="digits"):
        wire.decode_json(text.encode())


def test_the_largest_whole_numbers_of_a_tensor_are_read():
    assert wire.decode_json(b'{"a": -9223372036854775808}') == {"a": -(2**63)}


def test_a_tensor_with_an_endless_name_is_no_tensor():
    blob = wire.encode_tensors({"." * 30_000: torch.zeros(1)})
    with pytest.raises(wire.WireError, match="30000 characters"):
        wire.decode_tensors(blob)


@pytest.mark.parametrize("problem", [TookTooLong(LIMIT), SandboxFault("gone"), OSError("disk")])
def test_what_says_already_what_is_wrong_passes_a_digesting(problem):
    with pytest.raises(type(problem)) as caught, digesting("reading"):
        raise problem
    assert caught.value is problem


def test_anything_else_is_the_fault_of_what_came():
    with pytest.raises(IndigestibleReply) as caught, digesting("reading"):
        nn.Linear(2, 3)(torch.zeros(4))
    assert caught.value.doing == "reading"
    assert "nn.Linear(2, 3)" in caught.value.trace


def test_what_a_verdict_raises_is_flagged_and_no_fault(tmp_path):
    recorder = Recorder()
    recorder.plugin.verdicts = ("autograder.hw5.verdicts",)
    suite = "from autograder.hw5.verdicts import numbers\n" + LINE.format(number="1a.1")
    suite += "    numbers.check_rows('no tensor', 'the weights')\n"
    run(
        tmp_path / "s", recorder=recorder, odd=suite, own=LINE.format(number="1b.1") + "    1 / 0\n"
    )
    assert recorder.plugin.faults.keys() == {"1b.1"}
    (flag,) = recorder.plugin.flags
    assert (flag["line"], flag["what"]) == ("1a.1", "failed while judging this line")
    assert "has no attribute 'double'" in flag["trace"]
    assert "can't make sense" in recorder.lines["1a.1"].result().output
    assert "fault" not in recorder.lines["1a.1"].result().output


def test_an_explanation_that_fails_costs_only_itself(tmp_path):
    def explain(error: object) -> None:
        raise LookupError("odd")

    recorder = Recorder()
    recorder.plugin.explain = explain  # type: ignore[assignment]
    suite = LINE.format(number="1a.1") + "    raise TookTooLong(Limit(7.0, False, False))\n"
    run(tmp_path / "s", recorder=recorder, odd=suite, good=LINE.format(number="1b.1"))
    assert "did not finish within 7" in recorder.lines["1a.1"].result().output
    assert recorder.lines["1b.1"].result().score == 1
    assert recorder.plugin.faults == {}
    assert "LookupError" in recorder.plugin.flags[0]["trace"]


def test_a_history_is_read_within_limits():
    with pytest.raises(Rejected, match="no column"):
        loss_history.check_history(b"," * 50_000 + b"\n" + b"a\n" * 24_000, "fc")
    rows = "".join(f"{n},1.5,2e300\n" for n in range(1, 4))
    said = loss_history.check_history(
        f"epoch,train_loss,validation_loss\n{rows}".encode(), "fc"
    ).headline
    assert "validation loss from 2e+300 to 2e+300" in said


def test_a_scratch_folder_of_any_depth_is_removed(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for number in range(3_000):
        os.mkdir("d" * 50, dir_fd=here)
        os.close(os.open(f"f{number}", os.O_CREAT, dir_fd=here))
        inner = os.open("d" * 50, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    (folder / "closed").mkdir(mode=0)
    (folder / "link").symlink_to(tmp_path)
    (tmp_path / "kept").touch()
    confinement.remove(folder)
    assert not folder.exists()
    assert (tmp_path / "kept").exists()
    confinement.remove(folder)  # which isn't there any more
