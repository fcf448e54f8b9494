"""What a changed value leaves behind: texts, the reference, the calibration; and what to do.

Nothing here judges a value. It says which of what stands in the repository was made for
another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder.confined import wire
from autograder.homework import VALUES_FILE
from autograder.hw5 import assignment as assignments
from autograder.hw5.assignment import Assignment
from autograder.hw5.probes.given_model import SIZES, Sizes
from autograder.staff import calibration, calibration_report, known_answers
from autograder.staff.calibration import KINDS, CalibrationRun, digest_of
from autograder.staff.grader import Grader
from autograder.staff.solutions import ROOT, SOLUTIONS, SUBMITTED_WEIGHTS, load_solutions
from autograder.staff.texts import stale_texts

RECORD = ROOT / "docs" / "calibration.jsonl"
PAGE = ROOT / "docs" / "calibration.md"
REFERENCE = "reference"


def stale(file: Path = assignments.FILE, homework: Path = VALUES_FILE) -> Iterator[str]:
    """A sentence for everything that was made for other values, and how to make it again.

    Raises AssignmentError for settings that make no sense.
    """
    assignment = assignments.load(file, homework)
    for text in stale_texts(ROOT, assignment):
        yield f"{text}. Run: autograder check --write, or fix it by hand."
    if known_answers.is_stale():
        yield "known_answers.yaml isn't what the reference gives. Run: autograder check --write"
    yield from stale_reference(assignment)
    yield from stale_calibration(
        calibration.read_record(RECORD), PAGE.read_text(encoding="utf-8"), assignment
    )


def stale_reference(assignment: Assignment) -> Iterator[str]:
    """Lines that the reference loses without any training, and weights of other sizes."""
    (reference,) = load_solutions([REFERENCE])
    grader = Grader(None, assignment)
    try:
        outcome = grader.grade(reference)
    finally:
        grader.close()
    for difference in outcome.differences():
        yield f"solutions/{REFERENCE} no longer gets full marks: {difference}"
    weights = (SOLUTIONS / REFERENCE / SUBMITTED_WEIGHTS).read_bytes()
    if not fits(weights, SIZES):
        yield (
            f"solutions/{REFERENCE}/{SUBMITTED_WEIGHTS} was trained with other sizes. Copy the "
            "reference over the template, run: python train.py vit, and copy its artifacts back."
        )


def fits(weights: bytes, sizes: Sizes) -> bool:
    """Whether a weights file has the shapes of a Vision Transformer of these sizes."""
    tensors = wire.decode_tensors(weights)
    layers = {name.split(".")[1] for name in tensors if name.startswith("layers.")}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return (
        shapes.get("embed.weight") == (sizes.dim, sizes.patch_size**2)
        and shapes.get("positions") == (1, sizes.tokens, sizes.dim)
        and len(layers) == sizes.depth
    )


def stale_calibration(
    runs: list[CalibrationRun], page: str, assignment: Assignment
) -> Iterator[str]:
    """Runs with other settings, thresholds that chance may miss, a page about other thresholds."""
    for kind in KINDS:
        outdated = [
            run for run in runs if run.kind == kind and run.settings != digest_of(assignment, kind)
        ]
        if outdated:
            names = ", ".join(sorted({run.submission for run in outdated}))
            yield (
                f"docs/calibration.jsonl: {len(outdated)} runs of {kind} were measured with other "
                f"settings. Remove them and run: autograder calibrate {names} --kinds {kind}"
            )
            continue
        best = [run.best for run in runs if (run.submission, run.kind) == (REFERENCE, kind)]
        chance = calibration_report.chance_of_failing(best, assignment, kind)
        if chance is None or chance >= calibration_report.RARE:
            bar = calibration_report.bar_of(assignment, kind)
            said = "is not measured" if chance is None else f"is up to {chance:.1e}"
            yield (
                f"The chance that the reference's {kind} fails the threshold of {bar:.1%} {said}; "
                f"it should be below {calibration_report.RARE:g}. Choose a lower threshold, "
                "improve the reference, or measure more seeds: autograder calibrate "
                f"{REFERENCE} --kinds {kind}"
            )
    if page != calibration_report.page(runs, assignment):
        yield (
            "docs/calibration.md was written for other thresholds. Run: autograder calibrate "
            f"{REFERENCE} --seeds 0"
        )
