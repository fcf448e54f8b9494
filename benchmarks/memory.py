"""What a run holds in memory: the proportional set sizes of all its processes, summed.

A page that several processes share counts once in all (proc_pid_smaps(5)), mapped files included.
What the kernel merely keeps of files that were read does not count: it gives that up when memory
runs short. A control group's own figure has it or not, as its processes were the first readers.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

PROC = Path("/proc")


def run_mib(pid: int) -> float:
    """MiB that a process and its descendants hold now.

    Mapped files that this process holds as well are counted with its share in them.
    """
    kib = sum(pss_kib(one) for one in with_descendants(pid)) + pss_kib(os.getpid(), "Pss_File")
    return kib / 1024


def with_descendants(pid: int) -> list[int]:
    """A process, its children, theirs, and so on; in order of their depth."""
    children: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, []))
    return found


def pss_kib(pid: int, kind: str = "Pss") -> int:
    """A process's proportional set size, 0 once it has ended."""
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    line = re.search(rf"^{kind}: +(\d+) kB$", text, re.MULTILINE)
    return int(line[1]) if line else 0
