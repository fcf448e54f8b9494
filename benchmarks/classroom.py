"""Times the regrade of a class that was made, interrupts it, and compares each verdict.

    python benchmarks/classroom.py make FOLDER [COUNT]   the class: solutions, 12 hostile ones
    python benchmarks/classroom.py cold FOLDER           regraded, killed three times on the way
    python benchmarks/classroom.py key FOLDER            again, after a key has changed
    python benchmarks/classroom.py untrained FOLDER      likewise, the lines without a training
    python benchmarks/classroom.py plain FOLDER          what a plain loop takes for a few

Each adds its figures to benchmarks/results.json, for `run.py report`, and prints what is not as
expected. Make the class outside of folders that other users can't enter.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autograder.confined.confine import adopt_orphans  # noqa: E402
from autograder.homework import VALUES_FILE  # noqa: E402
from autograder.staff import validation  # noqa: E402
from autograder.staff.solutions import Kind, Solution, load_solutions  # noqa: E402
from tests.harness.attacks.attack import ESCAPED  # noqa: E402
from tests.harness.classes import make_class  # noqa: E402

COUNT, HOSTILE, OWN_NETWORKS = 300, 12, 4
KILLED_AT = (0.1, 0.4, 0.8)  # of the class
KEY = ("  length: 200", "  length: 202")  # of 1a, whose answers follow from it
FIRST_FEW = 16
WITHOUT_TRAINING = ("--only", "1a,1b,1c,2a,3a,3b")
RECORD = ROOT / "benchmarks" / "results.json"
REFERENCE_POINTS = 48
Figures = dict[str, Any]


def main() -> None:
    """Do what is asked, and keep the figures."""
    steps = {"cold": cold, "key": key, "untrained": untrained, "plain": plain}
    if len(sys.argv) < 3 or sys.argv[1] not in ("make", *steps):
        raise SystemExit(__doc__)
    what, folder = sys.argv[1], Path(sys.argv[2])
    adopt_orphans()  # what a command that was killed has started is waited for here, and counted
    if what == "make":
        make(folder, int(sys.argv[3]) if len(sys.argv) > 3 else COUNT)
        return
    found = steps[what](folder)
    record = _read(RECORD)
    record["class"] = {**record.get("class", {}), what: found}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def make(folder: Path, count: int) -> None:
    """An export below the folder, and which submission is what."""
    made = make_class(folder, count, hostile=HOSTILE, own_networks=OWN_NETWORKS)
    which = {one: solution.name for one, solution in made.solutions.items()}
    told = {"export": str(made.path), "solutions": which, "hostile": made.hostile}
    (folder / "made.json").write_text(json.dumps(told, indent=1))


def cold(folder: Path) -> Figures:
    """Regrade with nothing known; killed three times, and started again each time."""
    return _interrupted(folder, folder / "class")


def untrained(folder: Path) -> Figures:
    """Likewise, but only the lines that need no training."""
    into = folder / "class-untrained"
    shutil.rmtree(into, ignore_errors=True)
    return _interrupted(folder, into, *WITHOUT_TRAINING)


def _interrupted(folder: Path, into: Path, *options: str) -> Figures:
    made = _read(folder / "made.json")
    count = len(made["solutions"]) + len(made["hostile"])
    results, trainings = into / "results", _trainings(into)
    said: list[str] = []
    started, used = time.monotonic(), _processor_seconds()
    memory = 0.0
    signals = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM]
    for share, number in zip(KILLED_AT, signals, strict=True):
        until = (results, share * count, number)
        memory = max(memory, _regrade(folder, said, *options, into=into, until=until))
        assert len(list(results.glob("*.json"))) < count, "it was not killed on the way"
    memory = max(memory, _regrade(folder, said, *options, into=into))
    times = Counter(line.split()[3].rstrip(":") for line in said if _is_grading(line))
    return {
        "submissions": count,
        "results": len(list(results.glob("*.json"))),
        "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(_processor_seconds() - used, 1),
        "client_peak_mib": memory,
        "killed": len(KILLED_AT),
        "graded_twice": sorted(one for one, often in times.items() if often > 1),
        "new_trainings": len(_trainings(into) - trainings),
        "unexpected": unexpected(into, made),
    }


def key(folder: Path) -> Figures:
    """Regrade after a key has changed; who is concerned, and whether all of them are named."""
    other = folder / VALUES_FILE.name
    text = VALUES_FILE.read_text(encoding="utf-8")
    assert KEY[0] in text
    other.write_text(text.replace(*KEY), encoding="utf-8")
    into = folder / "class-other-key"
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(folder / "class", into)
    before = {file.name: _read(file) for file in (into / "results").glob("*.json")}
    trainings = _trainings(into)
    started, used = time.monotonic(), _processor_seconds()
    said: list[str] = []
    memory = _regrade(folder, said, "--homework", str(other), into=into)
    seconds, used = time.monotonic() - started, _processor_seconds() - used
    after = {file.name: _read(file) for file in (into / "results").glob("*.json")}
    concerned = {
        name.removesuffix(".json")
        for name in after
        if _scores(before[name]) != _scores(after[name])
    }
    named = _named_in((into / "changes.csv").read_text(encoding="utf-8"), "setting")
    return {
        "submissions": len(after),
        "seconds": round(seconds, 1),
        "processor_seconds": round(used, 1),
        "client_peak_mib": memory,
        "new_trainings": len(
            {file.name for file in (into / "trainings").glob("*.json")} - trainings
        ),
        "concerned": len(concerned),
        "not_named": sorted(concerned - named),
        "named_wrongly": sorted(named - concerned),
    }


def plain(folder: Path) -> Figures:
    """Processor seconds of the first few, by a plain loop and by a regrade with one worker."""
    made = _read(folder / "made.json")
    few = sorted(set(made["solutions"]))[:FIRST_FEW]
    students = folder / "few.txt"
    students.write_text("\n".join(few))
    results = folder / "plain.json"
    used = _processor_seconds()
    for one in few:
        source = Path(made["export"]) / f"submission_{one}"
        subprocess.run(
            [
                str(ROOT / "run_autograder"),
                str(source),
                *WITHOUT_TRAINING,
                "--results",
                str(results),
            ],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    loop, used = _processor_seconds() - used, _processor_seconds()
    into = folder / "class-few"
    shutil.rmtree(into, ignore_errors=True)
    _regrade(
        folder, [], *WITHOUT_TRAINING, "--students", str(students), "--workers", "1", into=into
    )
    engine = _processor_seconds() - used
    return {
        "submissions": len(few),
        "loop_processor_seconds": round(loop, 1),
        "regrade_processor_seconds": round(engine, 1),
    }


def _regrade(
    folder: Path,
    said: list[str],
    *options: str,
    into: Path | None = None,
    until: tuple[Path, float, int] | None = None,
) -> float:
    """Run the command, until so many results are there; its own peak memory in MiB.

    said: gets the lines that it printed
    """
    export = _read(folder / "made.json")["export"]
    command = [str(ROOT / ".venv/bin/autograder"), "regrade", export, *options]
    command += ["--into", str(into or folder / "class")]
    printed = folder / "printed.txt"
    with printed.open("w") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            # What a shell runs in the background has Ctrl-C ignored, and so has all below it.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        memory = 0.0
        while process.poll() is None:
            memory = max(memory, _peak_mib(process.pid) or memory)
            if until and len(list(until[0].glob("*.json"))) >= until[1]:
                process.send_signal(until[2])
                process.wait()
            time.sleep(0.2)
    _wait_for_all()
    said += printed.read_text().splitlines()
    if until is None and process.returncode:
        raise SystemExit("\n".join(said[-5:]))
    return memory


def _wait_for_all() -> None:
    """Wait until everything below this process has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _peak_mib(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    return 0.0


def _is_grading(line: str) -> bool:
    words = line.split()
    return len(words) > 4 and words[1] == "of" and words[4].replace(".", "").isdigit()


def _processor_seconds() -> float:
    """Of all processes below this one that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def unexpected(folder: Path, made: dict[str, Any]) -> list[str]:
    """What isn't as the solutions expect it, and what a hostile submission has got away with."""
    solutions = {one.name: one for one in load_solutions()}
    found = []
    for one, name in made["solutions"].items():
        results = _read(folder / "results" / f"{one}.json")
        found += [f"{one} ({name}) {text}" for text in _differences(solutions[name], results)]
    for one, name in made["hostile"].items():
        text = (folder / "results" / f"{one}.json").read_text(encoding="utf-8")
        results = json.loads(text)
        if ESCAPED in text or results["score"] > REFERENCE_POINTS or not results["tests"]:
            found.append(f"{one} ({name}): escaped, or without verdicts")
    return found


def _differences(solution: Solution, results: Figures) -> list[str]:
    if not results.get("tests"):
        return ["has no verdicts"]
    lines = {}
    for test in results["tests"]:
        number = test["number"]
        own = number.split(".")[0] in solution.parts
        weights = number == validation.WEIGHTS_LINE and not solution.asked_for_weights
        if own and not weights:
            diagnosis = test.get("extra_data", {}).get("diagnosis", "")
            lines[number] = validation.LineOutcome(
                test["score"], test["max_score"], diagnosis, test["output"]
            )
    if solution.kind is Kind.TEMPLATE:
        return [f"{number}: has points" for number, line in lines.items() if line.earned]
    return validation.Outcome(solution, lines).differences()


def _trainings(folder: Path) -> set[str]:
    return {file.name for file in (folder / "trainings").glob("*.json")}


def _scores(results: Figures) -> dict[str, float]:
    return {test["number"]: test["score"] for test in results["tests"]}


def _named_in(changes: str, cause: str) -> set[str]:
    rows = csv.DictReader(io.StringIO(changes))
    return {row["id"] for row in rows if row["before"] != row["after"] and row["cause"] == cause}


def _read(file: Path) -> Figures:
    content: Figures = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return content


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
