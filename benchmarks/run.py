"""Times the grader; writes docs/performance.md. See README there for what each means.

    python benchmarks/run.py trainer    ms per step: the grader's trainer, the plain loop, the limit
    python benchmarks/run.py grade      the whole grade, against the course's way
    python benchmarks/run.py small      the whole grade in the smallest container (needs root)
    python benchmarks/run.py starting   what starting costs: imports, zygote, workers
    python benchmarks/run.py confining  what confinement costs: with every layer, with none
    python benchmarks/run.py failing    submissions that never learn, or never return
    python benchmarks/run.py again      a resubmission in which only the head has changed
    python benchmarks/run.py report     docs/performance.md from all of these

Timings on shared machines wander, so what is compared is measured in turn, pair by pair,
and medians of the ratios are quoted.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from memory import run_mib
from models import MODELS, ROOT, least_seconds_per_step, peak_multiplications_per_second
from plain import plain_evaluation_seconds, plain_steps

from autograder.hw5 import mnist
from autograder.training import gradient_steps
from autograder.training.carry_over import KEY_FILE, make_key
from provided.training import BATCH_SIZE, Training, flush_denormals, run_epochs

PAIRS = 5
STEPS = 150  # per measurement of a step
WARM_UP_STEPS = 20
EPOCH_STEPS = 1500  # 48,000 images in batches of 32
RECORD = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
CGROUPS = Path("/sys/fs/cgroup")
SMALL_CPU, SMALL_MIB = 0.5, 768
SAMPLE_SECONDS = 0.2  # between looks at memory, which keep the processes from working

# File of the reference, what stands there, and what takes its place.
FAILING = {
    "never learns (learning rate 10)": ("models.py", "learning_rate=3e-3", "learning_rate=10"),
    "never returns (endless loop in the head)": (
        "attention.py",
        "q, k, v =",
        "while True: pass\n        q, k, v =",
    ),
}
WRONG_HEAD = ("attention.py", "nn.Softmax(dim=-1)", "nn.Softmax(dim=-2)")
OTHER_TEXT = ("attention.py", "q, k, v =", "# Another comment.\n        q, k, v =")


def main() -> None:
    """Run the named benchmark and record its figures."""
    names: dict[str, Callable[[], Any]] = {
        "trainer": trainer,
        "grade": whole_grade,
        "small": small_container,
        "starting": starting,
        "confining": confining,
        "failing": failing,
        "again": again,
    }
    wanted = sys.argv[1] if len(sys.argv) == 2 else ""
    if wanted != "report" and wanted not in names:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if wanted != "report":
        record[wanted] = names[wanted]()
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text("\n".join(page(record)) + "\n")
    print(PAGE)


def trainer() -> list[dict[str, Any]]:
    """Milliseconds per step, in turn; the ratio pair by pair."""
    data = mnist.load()
    peak = peak_multiplications_per_second()
    rows = []
    for name, make in MODELS.items():
        steps = STEPS if name == "Vision Transformer" else EPOCH_STEPS  # it takes minutes
        ours: list[float] = []
        plain: list[float] = []
        for _ in range(PAIRS):
            plain.append(step_seconds(plain_steps(make(), data.train), steps))
            ours.append(trainer_seconds(make(), data, steps))
        least = least_seconds_per_step(make(), peak)
        rows.append(
            {
                "model": name,
                "torch": torch.__version__,
                "plain_ms": 1e3 * statistics.median(plain),
                "ours_ms": 1e3 * statistics.median(ours),
                "ratio": statistics.median(p / o for p, o in zip(plain, ours, strict=True)),
                "share_of_peak": least / statistics.median(ours),
            }
        )
        print(rows[-1], flush=True)
    return rows


def trainer_seconds(model: torch.nn.Module, data: mnist.Mnist, steps: int) -> float:
    """Mean seconds of a step of the grader's trainer in its second epoch of so many steps."""
    if any(isinstance(layer, torch.nn.Conv2d) for layer in model.modules()):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    flush_denormals()  # as the trainer's process does
    train, none = data.train.first(steps * BATCH_SIZE), data.validation.first(1)
    sequential = isinstance(model, torch.nn.Sequential)
    loop = gradient_steps.train if sequential else run_epochs  # as the Vision Transformer's worker
    epochs = loop(model, train, none, Training(1e-3, epochs=2))
    next(epochs)
    started = time.perf_counter()
    next(epochs)
    seconds = (time.perf_counter() - started) / steps
    torch.set_flush_denormal(False)
    return seconds


def step_seconds(steps: Iterator[float], warm_up: int = WARM_UP_STEPS) -> float:
    """Mean seconds of a step, after some to warm up."""
    return statistics.fmean(islice(steps, warm_up, warm_up + STEPS))


def whole_grade() -> dict[str, Any]:
    """The reference's whole grade, and what the course's way would take."""
    runs = [graded(ROOT / "solutions" / "reference") for _ in range(PAIRS)]
    course = course_seconds()
    seconds = statistics.median(run["seconds"] for run in runs)
    return {
        "seconds": seconds,
        "slowest": max(run["seconds"] for run in runs),
        "first_line": statistics.median(run["first_line"] for run in runs),
        "cheap_parts": statistics.median(run["cheap_parts"] for run in runs),
        "score": runs[0]["score"],
        "cores": len(os.sched_getaffinity(0)),
        "course_seconds": course,
        "ratio": course["total"] / seconds,
    }


def course_seconds() -> dict[str, float]:
    """Ten epochs of each model with the plain loop and an evaluation after each, extrapolated.

    A step's time is measured over some hundred steps, an evaluation's over 2,000 images.
    """
    data = mnist.load()
    result = {}
    for name in ("fully connected", "CNN, small", "Vision Transformer"):
        model = MODELS[name]()
        step = step_seconds(plain_steps(model, data.train))
        part = plain_evaluation_seconds(model, data.test.first(2000))
        evaluation = part * (len(data.test) + len(data.validation)) / 2000
        result[name] = 10 * (EPOCH_STEPS * step + evaluation)
    result["total"] = sum(result.values())
    return result


def graded(submission: Path, *options: str, groups: Sequence[Path] = ()) -> dict[str, Any]:
    """One run of the grader: seconds in all, to the first line, to all cheap lines, the score.

    In the given control groups, if any; then its memory is sampled.
    """

    def join() -> None:
        for group in groups:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        started = time.perf_counter()
        process = subprocess.Popen(
            [ROOT / "run_autograder", submission, "--results", results, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=join if groups else None,
        )
        first = cheap = None
        mib = [0.0]
        while process.poll() is None:
            time.sleep(SAMPLE_SECONDS if groups else 0.02)
            if groups:
                mib.append(run_mib(process.pid))
            if cheap is None and results.exists():
                score = json.loads(results.read_text())["score"]
                now = time.perf_counter() - started
                first = first or (now if score > 0 else None)
                cheap = now if score >= 22 + 8 else None  # parts 1, 2a, 3a, 3b and quick lines
        seconds = time.perf_counter() - started
        content = json.loads(results.read_text())
    return {
        "seconds": seconds,
        "first_line": first or seconds,
        "cheap_parts": cheap or seconds,
        "score": content["score"],
        "peak_mib": max(mib),
        "results": content,
        "workers": content["extra_data"].get("workers", []),
        "trainings": content["extra_data"].get("trainings", {}),
    }


def small_container() -> dict[str, Any]:
    """The whole grade under half a processor and 768 MiB, of the reference and of a wrong head.

    By cgroup, version 1 or 2. A wrong head is where memory peaks: more is asked, drawn and kept.
    """
    groups = [CGROUPS / "cpu" / "hw5", CGROUPS / "memory" / "hw5"]
    if not (CGROUPS / "memory").is_dir():
        groups = [CGROUPS / "hw5"]
    for group in groups:
        group.mkdir(exist_ok=True)
    limit = SMALL_MIB << 20
    if len(groups) == 2:
        (groups[0] / "cpu.cfs_quota_us").write_text(str(int(100_000 * SMALL_CPU)))
        (groups[1] / "memory.limit_in_bytes").write_text(str(limit))
    else:
        (groups[0] / "cpu.max").write_text(f"{int(100_000 * SMALL_CPU)} 100000")
        (groups[0] / "memory.max").write_text(str(limit))

    def measured(submission: Path) -> dict[str, Any]:
        run = graded(submission, groups=groups)
        return {name: run[name] for name in ("seconds", "cheap_parts", "score", "peak_mib")}

    found = measured(ROOT / "solutions" / "reference")
    with changed(*WRONG_HEAD) as submission:
        found["wrong_head"] = measured(submission)
    return found


def starting() -> dict[str, float]:
    """Seconds of an import of torch, and of the cheapest whole run."""
    imports, runs = [], []
    for _ in range(PAIRS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        imports.append(time.perf_counter() - started)
        runs.append(graded(ROOT / "solutions" / "reference", "--only", "1a")["seconds"])
    workers = graded(ROOT / "solutions" / "reference", "--only", "3a,3b")["workers"]
    return {
        "import_torch": statistics.median(imports),
        "run_of_1a": statistics.median(runs),
        "worker_cpu_seconds": statistics.median(one["cpu_seconds"] for one in workers),
    }


def confining() -> dict[str, float]:
    """Parts 3a to 3c of the reference in turn with every wall of the sandbox and with none.

    The worker with the most processor time is the one that trains the Vision Transformer.
    """
    held: list[dict[str, Any]] = []
    free: list[dict[str, Any]] = []
    for _ in range(PAIRS):
        for runs, options in (
            (held, ()),
            (free, ("--without", "user,landlock,seccomp", "--unsafe-local")),
        ):
            runs.append(graded(ROOT / "solutions" / "reference", "--only", "3a,3b,3c", *options))

    def training(run: dict[str, Any]) -> float:
        return max(float(one["cpu_seconds"]) for one in run["workers"])

    pairs = list(zip(held, free, strict=True))
    return {
        "pairs": PAIRS,
        "seconds_held": statistics.median(run["seconds"] for run in held),
        "seconds_free": statistics.median(run["seconds"] for run in free),
        "more_seconds": statistics.median(h["seconds"] - f["seconds"] for h, f in pairs),
        "training_ratio": statistics.median(training(h) / training(f) for h, f in pairs),
    }


def failing() -> dict[str, float]:
    """Seconds that submissions take which never learn, or whose code never returns."""
    found = {}
    for name, change in FAILING.items():
        with changed(*change) as submission:
            found[name] = graded(submission)["seconds"]
        print(name, found[name], flush=True)
    return found


def again() -> dict[str, Any]:
    """A resubmission whose head has another text: seconds, and the lines that were carried over."""
    reference = ROOT / "solutions" / "reference"
    with (
        tempfile.TemporaryDirectory() as folder,
        changed(*OTHER_TEXT) as submission,
        signing_key(),
    ):
        metadata = Path(folder) / "submission_metadata.json"
        earlier = graded(reference)["results"]
        metadata.write_text(json.dumps({"previous_submissions": [{"results": earlier}]}))
        runs = [graded(submission, "--metadata", str(metadata)) for _ in range(PAIRS)]
    lines = runs[0]["results"]["tests"]
    return {
        "seconds": statistics.median(run["seconds"] for run in runs),
        "slowest": max(run["seconds"] for run in runs),
        "score": runs[0]["score"],
        "carried_over": [line["number"] for line in lines if "Carried over" in line["output"]],
    }


@contextlib.contextmanager
def signing_key() -> Iterator[None]:
    """The key that results are signed with: a package has one, a checkout need not."""
    had_one = KEY_FILE.exists()
    make_key()
    try:
        yield
    finally:
        if not had_one:
            KEY_FILE.unlink()


@contextlib.contextmanager
def changed(file: str, old: str, new: str) -> Iterator[Path]:
    """The reference with a piece of one file replaced wherever it stands."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "submission"
        shutil.copytree(ROOT / "solutions" / "reference", copy)
        text = (copy / file).read_text()
        if old not in text:
            raise ValueError(f"{file} has no {old!r}")
        (copy / file).write_text(text.replace(old, new))
        yield copy


def page(record: dict[str, Any]) -> Iterator[str]:
    """docs/performance.md."""
    yield "# Performance"
    yield ""
    yield (
        f"Measured by `benchmarks/run.py` on {os.cpu_count()} virtual processors with torch "
        f"{torch.__version__}; medians of {PAIRS} pairs, measured in turn. Absolute figures hold for "
        "this machine, ratios for most machines."
    )
    if "grade" in record:
        yield from _grade_section(record["grade"])
    if "small" in record:
        small = record["small"]
        yield ""
        yield f"## In {SMALL_CPU} processors and {SMALL_MIB} MiB"
        yield ""
        yield (
            f"The reference gets {small['score']:g} points in {small['seconds']:.0f} s, the lines that need no "
            f"training after {small['cheap_parts']:.0f} s. All processes together use at most "
            f"{small['peak_mib']:.0f} MiB (`python benchmarks/run.py small`). A submission with a wrong head, "
            f"which takes more questions and pictures, gets {small['wrong_head']['score']:g} points in "
            f"{small['wrong_head']['seconds']:.0f} s, with at most {small['wrong_head']['peak_mib']:.0f} MiB."
        )
    if "trainer" in record:
        yield from _trainer_section(record["trainer"])
    if "starting" in record:
        found = record["starting"]
        yield ""
        yield "## Starting (`python benchmarks/run.py starting`)"
        yield ""
        yield (
            f"Importing torch takes {found['import_torch']:.2f} s. A run that grades only 1a takes "
            f"{found['run_of_1a']:.2f} s. A worker uses {1e3 * found['worker_cpu_seconds']:.0f} ms of "
            "processor time, its answers to 3a and 3b included."
        )
    if "confining" in record:
        found = record["confining"]
        yield ""
        yield "## Confinement (`python benchmarks/run.py confining`)"
        yield ""
        yield (
            f"Parts 3a to 3c take {found['seconds_held']:.1f} s with every wall and "
            f"{found['seconds_free']:.1f} s with none; the median difference of {found['pairs']} pairs is "
            f"{found['more_seconds']:+.2f} s. With the walls, the Vision Transformer's training takes "
            f"{found['training_ratio']:.3f} times the processor time."
        )
    if "again" in record:
        found = record["again"]
        yield ""
        yield "## A resubmission (`python benchmarks/run.py again`)"
        yield ""
        yield (
            f"When only `attention.py` has changed, grading ({found['score']:g} points) takes "
            f"**{found['seconds']:.1f} s** (slowest {found['slowest']:.1f} s). Carried over: "
            f"{', '.join(found['carried_over'])}."
        )
    if "class" in record:
        yield from _class_section(record["class"])
    if "failing" in record:
        yield ""
        yield "## Submissions that fail (`python benchmarks/run.py failing`)"
        yield ""
        yield "| submission | seconds |"
        yield "|---|---|"
        for name, seconds in record["failing"].items():
            yield f"| {name} | {seconds:.0f} |"


def _class_section(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield ""
    yield "## A class (`python benchmarks/classroom.py`, see there)"
    yield ""
    yield (
        "Submissions in turn from `solutions/`, one in four with networks that nobody else has, and "
        "hostile ones. Processor time is that of all processes."
    )
    yield ""
    yield (
        "| a regrade | submissions | new trainings | minutes | processor s each "
        "| an hour of a core grades |"
    )
    yield "|---|---|---|---|---|---|"
    named = {
        "cold": "nothing known, killed on the way",
        "untrained": "the lines that need no training, killed on the way",
        "key": "after a new key for 1a",
    }
    for name, said in named.items():
        if name in found:
            one = found[name]
            each = one["processor_seconds"] / one["submissions"]
            yield (
                f"| {said} | {one['submissions']} | {one['new_trainings']} | "
                f"{one['seconds'] / 60:.1f} | {each:.2f} | "
                f"{3600 / each:,.0f} |"
            )
    for one in (found[name] for name in ("cold", "untrained") if name in found):
        times = "once" if one["killed"] == 1 else f"{one['killed']} times"
        other = ", ".join(one["unexpected"]) or "none"
        yield ""
        yield (
            f"Killed {times} on the way, there were {one['results']} results for "
            f"{one['submissions']} submissions, {len(one['graded_twice'])} of them graded twice. "
            f"Verdicts that aren't as expected: {other}. The command's own process used "
            f"{one['client_peak_mib']:.0f} MiB at most."
        )
    if "key" in found:
        key = found["key"]
        yield ""
        yield (
            f"The new key changed {key['concerned']} scores. `changes.csv` gives the setting as the "
            f"cause of {key['concerned'] - len(key['not_named'])} of them, and of "
            f"{len(key['named_wrongly'])} that it didn't change."
        )
    if "plain" in found:
        plain = found["plain"]
        yield ""
        yield (
            f"Without trainings, {plain['submissions']} submissions take "
            f"{plain['loop_processor_seconds']:.0f} s of processor time one after the other by "
            f"`run_autograder`, and {plain['regrade_processor_seconds']:.0f} s by a regrade, which "
            "forks its graders from a process that has torch and the grader loaded."
        )


def _grade_section(found: dict[str, Any]) -> Iterator[str]:
    course = found["course_seconds"]
    yield ""
    yield "## The whole grade (`python benchmarks/run.py grade`)"
    yield ""
    yield (
        f"The reference, {found['score']:g} points, on {found['cores']} processors: "
        f"**{found['seconds']:.1f} s** (slowest {found['slowest']:.1f} s). The first line is graded after "
        f"{found['first_line']:.1f} s, every line that needs no training after {found['cheap_parts']:.1f} s."
    )
    yield ""
    yield (
        "The usual way is one process that trains each model for ten epochs with a DataLoader and evaluates "
        f"it after each epoch. That takes {course['total'] / 60:.0f} minutes here, extrapolated from "
        f"{STEPS} steps and one evaluation each (fully connected {course['fully connected']:.0f} s, "
        f"CNN {course['CNN, small']:.0f} s, Vision Transformer {course['Vision Transformer']:.0f} s). "
        f"The grader is **{found['ratio']:.0f} times** faster: it trains the two networks side by side and "
        "only until they meet their thresholds, and it judges the Vision Transformer by a few training "
        "steps and the submitted weights."
    )


def _trainer_section(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield ""
    yield "## A training step (`python benchmarks/run.py trainer`)"
    yield ""
    yield (
        "Batches of 32, Adam, one thread. *Plain* is the loop of PyTorch's MNIST example, with torchvision's "
        "data set in a DataLoader. The *share of the peak* compares the grader's step with the time that its "
        "multiplications take at the rate of a large matrix product on the same machine. Measured after a first "
        f"epoch (the Vision Transformer: after {STEPS} steps) with torch {rows[0]['torch']}."
    )
    yield ""
    yield "| model | plain, ms | grader, ms | faster | share of the peak |"
    yield "|---|---|---|---|---|"
    for row in rows:
        yield (
            f"| {row['model']} | {row['plain_ms']:.2f} | {row['ours_ms']:.2f} | "
            f"{row['ratio']:.1f}× | {row['share_of_peak']:.0%} |"
        )


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
