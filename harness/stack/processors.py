"""Which processors a run could use: what they are, and how many of them at once.

A machine of 64 cores gives a container two of them; what was measured there was measured on two. Either limit counts:
the processors that the scheduler may take (affinity), and the quota of each control group above us.

Source: proc(5) for cpuinfo, sched_setaffinity(2), and Documentation/admin-guide/cgroup-v2.rst of the kernel (cpu.max);
cgroup-v1 has the same as cpu.cfs_quota_us and cpu.cfs_period_us.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.stack.machine import CGROUPS, PROC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODEL_KEYS = ("model name", "Model", "cpu model", "Hardware", "CPU part")
"""As x86, ARM boards, MIPS and other ARM call it in /proc/cpuinfo; the first that is there."""


def processor_model(proc: Path = PROC) -> str:
    """Return what the processor calls itself; its kind where it does not tell."""
    with suppress(OSError):
        said = dict(_pairs((proc / "cpuinfo").read_text(errors="replace")))
        for key in _MODEL_KEYS:
            if said.get(key):
                return said[key]
    return platform.processor() or platform.machine()


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), " ".join(value.split())


def usable_cores(proc: Path = PROC, groups: Path = CGROUPS) -> float:
    """Return how many processors can be used at once; a quota may leave a part of one."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    with suppress(OSError):
        cores = min([cores, *_quotas((proc / "self/cgroup").read_text(), groups)])
    return round(cores, 2)


def _quotas(said: str, groups: Path) -> Iterator[float]:
    """Yield the quota of each control group that we are in, in processors; those above it limit us as well."""
    for line in said.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers
        place = root / path.lstrip("/")
        for group in (place, *place.parents):
            with suppress(OSError, ValueError):
                yield _quota(group)
            if group == root:  # in a container ours is the root, and the path is the engine's
                break


def _quota(group: Path) -> float:
    """Return the quota of one control group.

    Raises:
        OSError: If there is no such group, or it has no limit of that kind.
        ValueError: If it has no quota, which says `max`, or -1.
    """
    with suppress(FileNotFoundError):
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    quota_us = int((group / "cpu.cfs_quota_us").read_text())
    if quota_us <= 0:
        raise ValueError("no quota")
    return quota_us / int((group / "cpu.cfs_period_us").read_text())
