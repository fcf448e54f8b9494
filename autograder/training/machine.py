"""What this machine, or the container on it, really gives."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2
CPU_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")  # cgroup v1
CPU_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def cores() -> int:
    """Processors that this process may really use: its affinity, and its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.ceil(min(allowed or 1, quota())))


def quota() -> float:
    """Processors' worth of time that the container may use; infinite where nothing limits it."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = CPU_MAX.read_text().split()
        return math.inf if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError):
        limit, period = CPU_QUOTA.read_text(), CPU_PERIOD.read_text()
        return int(limit) / int(period) if int(limit) > 0 else math.inf
    return math.inf
