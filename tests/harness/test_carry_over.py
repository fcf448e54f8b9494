"""Training verdicts of an earlier submission: taken over where nothing changed, else never."""

from __future__ import annotations

import copy
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autograder.rubric.gradescope import Metadata, Results
from autograder.training import carry_over
from autograder.training.carry_over import KEY_BYTES, CarryOver, fingerprint, make_key
from autograder.training.job import Ending, TrainingJob, TrainingResult, Trial
from autograder.training.layer import Layer
from autograder.training.layer_list import LayerList
from provided.training import Epoch, Training

from .conftest import REFERENCE

KEY = b"k" * KEY_BYTES
LINEAR = {"in_features": 784, "out_features": 10, "bias": True}
SETTINGS = Training(learning_rate=3e-3)
REST: dict[str, Any] = {
    "data": "data",
    "accuracy": 0.98,
    "retry_margin": 0.01,
    "seeds": [0, 1],
    "training_images": 50_000,
    "seconds": 60.0,
}


def job(settings: Training = SETTINGS, features: int = 10, **changes: Any) -> TrainingJob:
    layers = (
        Layer("Flatten", "0", True, {"start_dim": 1, "end_dim": -1}, None),
        Layer("Linear", "1", True, {**LINEAR, "out_features": features}, None),
    )
    return TrainingJob.of(LayerList(layers), settings, **{**REST, **changes})


def result(ended: Ending = Ending.REACHED, **changes: Any) -> TrainingResult:
    epochs = [Epoch(1, 0.25, 0.2, 0.93, 0.94), Epoch(2, 0.1, 0.15, 0.97, 0.96)]
    return TrainingResult([Trial(0, epochs, [0.9406, 0.9817])], ended, **changes)


def handed_back(signed: CarryOver, folder: Path) -> list[dict[str, Any]]:
    """What the platform hands back of a run: its results.json, as an earlier submission."""
    file = folder / "results.json"
    Results(tests=[], extra_data={"carry_over": signed.entries}).write(file)
    metadata = folder / "submission_metadata.json"
    earlier = [{"score": "0.0"}, {"results": json.loads(file.read_text())}]
    metadata.write_text(json.dumps({"previous_submissions": earlier}))
    return Metadata.read(metadata).previous_submissions


@pytest.fixture
def next_run(tmp_path, monkeypatch) -> Callable[[CarryOver], CarryOver]:
    """The carry-over of the submission that comes after a run."""
    file = tmp_path / "key"
    file.write_bytes(KEY)
    monkeypatch.setattr(carry_over, "KEY_FILE", file)
    return lambda signed: CarryOver.from_metadata(handed_back(signed, tmp_path))


def signed(ended: Ending = Ending.REACHED, topic: str = "fc", key: bytes | None = KEY) -> CarryOver:
    first = CarryOver(None, key)
    first.keep(topic, job(), result(ended))
    return first


@pytest.mark.parametrize("ended", sorted(carry_over.FINAL))
def test_a_verdict_is_taken_over_again_and_again(ended, next_run):
    run = signed(ended)
    for _ in range(3):
        run = next_run(run)
        found = run.find("fc", job())
        assert found == result(ended, carried_over=True)


def test_a_training_that_ended_before_an_epoch_is_taken_over_too(next_run):
    first = CarryOver(None, KEY)
    first.keep("fc", job(), TrainingResult([], Ending.DIVERGED))
    found = next_run(first).find("fc", job())
    assert found == TrainingResult([], Ending.DIVERGED, carried_over=True)


@pytest.mark.parametrize(
    "unsure", [result(Ending.OUT_OF_TIME), result(shortened="two epochs of ten")]
)
def test_what_the_machines_speed_decided_is_tried_again(unsure):
    first = CarryOver(None, KEY)
    first.keep("fc", job(), unsure)
    assert first.entries == {}


def test_without_a_key_nothing_is_signed_or_taken_over():
    assert signed(key=None).entries == {}
    assert CarryOver(signed().entries, None).find("fc", job()) is None


def test_another_packages_key_is_no_key():
    assert CarryOver(signed(key=b"x" * KEY_BYTES).entries, KEY).find("fc", job()) is None


@pytest.mark.parametrize(
    "changed",
    [
        job(features=11),
        job(Training(learning_rate=1e-3)),
        job(Training(learning_rate=3e-3, epochs=9)),
        job(Training(learning_rate=3e-3, weight_decay=0.1)),
        job(Training(learning_rate=3e-3, layer_weight_decay={1: 0.1})),
        job(accuracy=0.97),
        job(retry_margin=0.02),
        job(seeds=[0, 2]),
        job(training_images=49_984),
    ],
    ids=[
        "layer",
        "learning rate",
        "epochs",
        "weight decay",
        "decay of a layer",
        "bar",
        "margin",
        "seeds",
        "images",
    ],
)
def test_whatever_a_verdict_depends_on_makes_it_stale(changed):
    run = CarryOver(signed().entries, KEY)
    assert run.find("fc", changed) is None
    assert run.entries == {}
    assert run.find("fc", job()) is not None


def test_where_the_data_lie_and_how_long_it_may_take_change_no_verdict():
    moved = job(data="elsewhere", cpu_seconds=5.0, shorten=True)
    assert CarryOver(signed().entries, KEY).find("fc", moved) is not None


def test_another_torch_or_data_set_or_grader_makes_a_verdict_stale(monkeypatch):
    before = fingerprint(job())
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "1.0.0")
        assert fingerprint(job()) != before
    with monkeypatch.context() as patch:
        patch.setattr(carry_over, "CHECKSUMS", {"train-images-idx3-ubyte": "0"})
        assert fingerprint(job()) != before
    with monkeypatch.context() as patch:
        patch.setattr(carry_over, "digest_of_sources", lambda: "other")
        assert fingerprint(job()) != before
    assert fingerprint(job()) == before


@pytest.mark.parametrize("place", ["grader/training.py", "grader/sandbox/worker.py", "given/x.py"])
def test_any_changed_line_of_the_graders_code_is_another_grader(place, tmp_path, monkeypatch):
    for file in ("grader/carry_over.py", "grader/sandbox/worker.py", "given/__init__.py", place):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("before = 1\n")
    monkeypatch.setattr(carry_over.autograder, "__file__", str(tmp_path / "grader" / "__init__.py"))
    monkeypatch.setattr(carry_over.provided, "__file__", str(tmp_path / "given" / "__init__.py"))
    sources = carry_over.digest_of_sources.__wrapped__
    before = sources()
    assert sources() == before
    (tmp_path / "grader" / "staff").mkdir()
    (tmp_path / "grader" / "staff" / "report.py").write_text("x = 1\n")
    assert sources() == before  # which no package holds
    (tmp_path / place).write_text("before = 2\n")
    assert sources() != before


def forgeries() -> dict[str, Any]:
    """Entries that nobody with the key has signed, by what was done to them."""
    right = signed(Ending.MISSED).entries["fc"]

    def changed(*path: str | int, to: Any) -> dict[str, Any]:
        entry = copy.deepcopy(right)
        inner = entry
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        return entry

    return {
        "a better accuracy": changed("result", "trials", 0, "test_accuracy", 1, to=0.99),
        "a better ending": changed("result", "ended", to="reached"),
        "another seed": changed("result", "trials", 0, "seed", to=1),
        "another model's fingerprint": changed("fingerprint", to=fingerprint(job(features=11))),
        "no signature": {name: right[name] for name in ("fingerprint", "result")},
        "an empty signature": changed("signature", to=""),
        "a number": changed("signature", to=7),
        "no ASCII": changed("signature", to="ä" * 64),
        "half a character": changed("signature", to="\ud800" * 64),
        "no result": changed("result", to=None),
        "a list": [right],
        "a text": json.dumps(right),
        "nothing": None,
    }


@pytest.mark.parametrize("forged", forgeries().values(), ids=forgeries().keys())
def test_a_forged_entry_is_trained_again(forged):
    run = CarryOver({"fc": forged}, KEY)
    assert run.find("fc", job()) is None
    assert run.find("fc", job(features=11)) is None
    assert run.entries == {}


def test_one_models_verdict_is_not_the_others():
    """What was signed as one is refused as the other, even if both were the same."""
    entry = signed(topic="fc").entries["fc"]
    assert CarryOver({"cnn": entry}, KEY).find("cnn", job()) is None
    assert CarryOver({"fc": entry}, KEY).find("fc", job()) is not None


@pytest.mark.parametrize(
    "results", [None, [], "text", {}, {"extra_data": None}, {"extra_data": {"carry_over": [1]}}]
)
def test_odd_earlier_results_are_as_good_as_none(results, next_run):
    earlier = [{"results": results}]
    assert CarryOver.from_metadata(earlier).find("fc", job()) is None


def test_the_latest_submission_with_results_counts(next_run, tmp_path):
    with_entry = handed_back(signed(), tmp_path)
    without = [{"results": {"extra_data": {}}}]
    killed = [{"results": None}, {}]
    assert CarryOver.from_metadata([*without, *with_entry, *killed]).find("fc", job()) is not None
    assert CarryOver.from_metadata([*with_entry, *without]).find("fc", job()) is None


def test_a_key_is_drawn_once_and_for_its_owner_alone(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    make_key(first)
    make_key(second)
    kept = first.read_bytes()
    make_key(first)
    assert first.read_bytes() == kept != second.read_bytes()
    assert len(kept) == KEY_BYTES
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


MODELS = (REFERENCE / "models.py").read_text()


@pytest.mark.full
def test_only_what_changed_is_trained_in_a_resubmission(grade, submission, tmp_path):
    """Through the platform's metadata; a signature that doesn't fit costs only the time."""
    metadata = tmp_path / "submission_metadata.json"

    def graded(results: Any, **files: str) -> tuple[set[str], dict[str, Any]]:
        metadata.write_text(json.dumps({"previous_submissions": [{"results": results}]}))
        options = ("--only", "2b,2c", "--metadata", str(metadata))
        run = grade(submission(**files), *options)
        assert run.faults == {}
        assert run.lost() == set()
        said = {t["number"] for t in run.results["tests"] if "Carried over" in t["output"]}
        return said, run.results

    first, results = graded({})
    again, repeated = graded(results)
    reworded, _ = graded(repeated, models=f"# In other words.\n{MODELS}")
    changed, _ = graded(repeated, models=MODELS.replace("Dropout(0.3)", "Dropout(0.2)"))
    results["extra_data"]["carry_over"]["cnn"]["result"]["trials"][0]["seed"] = 1
    forged, _ = graded(results)
    assert first == set()
    assert again == reworded == {"2b.3", "2c.4"}
    assert changed == {"2c.4"}
    assert forged == {"2b.3"}
    figures = repeated["extra_data"]["trainings"]
    assert figures["fc"]["process"] == figures["cnn"]["process"] == {}
