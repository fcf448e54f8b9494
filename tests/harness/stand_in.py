"""A grader that takes a moment, for tests of what runs many of them. Imports nothing of ours.

It does what a file `behave` of the submission says, and notes each grading it finishes in a
file beside itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

PARTS = ("1a", "1b", "1c", "2a", "2b", "2c", "3a", "3b", "3c")
SECONDS = 0.1


def main() -> None:
    """Grade the submission that the command `grade` names."""
    arguments = sys.argv[2:]
    source = Path(arguments[0])
    options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    behave = (source / "behave").read_text() if (source / "behave").is_file() else ""
    time.sleep(60 if "hang" in behave else SECONDS)
    if "kill" in behave:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if "poison" in behave:  # who let the keeper start it
        keeper = Path(f"/proc/{os.getppid()}/stat").read_text()
        os.kill(int(keeper.rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(60)
    if "die" in behave:
        os.kill(os.getpid(), signal.SIGSEGV)
    parts = options.get("--only", ",".join(PARTS)).split(",")
    key = Path(options["--homework"]).read_text()
    score = float("kernel: 5" not in key or "right" in behave)
    tests = [
        {"number": f"{part}.1", "score": score if part == "1a" else 1.0, "max_score": 1.0}
        for part in parts
    ]
    results = {
        "score": sum(one["score"] for one in tests),
        "tests": [] if "nothing" in behave else tests,
        "extra_data": {"complete": "half" not in behave, "seed": int(options["--seed"])},
    }
    Path(options["--results"]).write_text(json.dumps(results))
    with Path(__file__).with_name("graded").open("a") as log:
        log.write(f"{source.name} {options.get('--only', 'all')} {os.environ['TMPDIR']}\n")


if __name__ == "__main__":
    main()
