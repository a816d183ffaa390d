"""How many processors this process may use."""

import math
import os
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def available_processors() -> int:
    """Return the number of processors of the CPU affinity, or the CPU quota of the process's
    cgroups (v1 or v2), rounded up, if that is less.
    """
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, math.ceil(min([count, *_quotas()])))


def _quotas() -> list[float]:
    """The quotas of all cgroups from the process's own up to the root, in processors."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / controllers
        own = root / path.lstrip("/")
        # In a container, the path may be the host's, and the limit is in the root.
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                quotas += _quota(folder, version=1 if controllers else 2)
    return quotas


def _quota(folder: Path, version: int) -> list[float]:
    """The quota of one cgroup, if it has one: `max`, or -1 in version 1, means none."""
    names = ["cpu.max"] if version == 2 else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
    try:
        quota, period = " ".join((folder / name).read_text() for name in names).split()
        return [int(quota) / int(period)] if quota not in {"max", "-1"} else []
    except (OSError, ValueError):
        return []
