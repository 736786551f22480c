"""A limit of a process that runs, as faults of a resource lower it and set it right: `prlimit`, on Linux.

Only the soft limit is lowered, which whoever may lower it may also raise again. A process that is born later has the
limit of its parent. Source: prlimit(2), proc_pid_status(5).
"""

from __future__ import annotations

import resource
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import psutil

DESCRIPTORS, MEMORY = "descriptors", "memory"

_LIMITS = {DESCRIPTORS: resource.RLIMIT_NOFILE, MEMORY: resource.RLIMIT_DATA}
"""RLIMIT_DATA counts what a process may write to and shares with no other, its heap and its threads' stacks, since
Linux 4.7. RLIMIT_AS would count programs and what is only reserved as well, of which a thread alone takes 64 MB."""

_CAP_SYS_RESOURCE = 24
"""Its bit; include/uapi/linux/capability.h."""

_UNLIMITED = resource.RLIM_INFINITY


def why_not(*, is_contained: bool) -> str | None:
    """Say why a limit of a process that runs cannot be changed here; None if it can.

    Args:
        is_contained: Whether the processes are those of a container, which belong to the engine and not to us.
    """
    if sys.platform != "linux":
        return "only Linux changes a limit of a process that runs"
    if is_contained and not has_sys_resource(Path("/proc/self/status").read_text()):
        return "a limit of a container's processes may be changed with CAP_SYS_RESOURCE, which we do not have"
    return None


def has_sys_resource(status: str) -> bool:
    """Tell by a process' status whether it may change the limits of another user's: root may not everywhere.

    Source: prlimit(2), capabilities(7), proc_pid_status(5).
    """
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)


@contextmanager
def _allowed(pid: int) -> Iterator[None]:
    """Say of what may not be done to a process why.

    Raises:
        FaultError: If it may not.
    """
    try:
        yield
    except PermissionError as error:
        what, fix = "it is another user's process", "run as that user, or as root with all rights of root"
        raise FaultError(f"{what}, and cannot be limited", where=f"process {pid}", fix=fix) from error


def soft_limit(pid: int, kind: str) -> int:
    """Return what a process may have of a kind; -1 if it may have any.

    Raises:
        FaultError: If it may not be asked.
        ProcessLookupError: If it is not there.
    """
    with _allowed(pid):
        return resource.prlimit(pid, _LIMITS[kind])[0]


def set_soft_limit(pid: int, kind: str, soft: int) -> None:
    """Say what a process may have of a kind, -1 for any; no more than its hard limit.

    Raises:
        FaultError: If it may not be said.
        ProcessLookupError: If it is not there.
    """
    with _allowed(pid):
        _, hard = resource.prlimit(pid, _LIMITS[kind])
        resource.prlimit(pid, _LIMITS[kind], (soft, hard))


def is_less(limit: int, than: int) -> bool:
    """Tell whether a limit allows less than another one."""
    return limit != _UNLIMITED and (than == _UNLIMITED or limit < than)


def open_descriptors(pid: int) -> set[int]:
    """Return the numbers of all that a process has open.

    Raises:
        FaultError: If it may not be asked.
        OSError: If it is not there.
    """
    with _allowed(pid):
        return {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}


def limit_leaving(numbers: Collection[int], leaving: int) -> int:
    """Return the limit under which so many more can be opened.

    It bounds the numbers of descriptors and not how many there are, and the lowest that is free is given next.

    Args:
        numbers: What is open.
        leaving: How many of the numbers below the limit are to be free.
    """
    limit = 0
    while leaving or limit in numbers:
        leaving -= limit not in numbers
        limit += 1
    return limit


def data_bytes(pid: int) -> int:
    """Return how much memory a process has that `MEMORY` counts.

    Raises:
        OSError: If it is not there.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def restore(family: Iterable[psutil.Process], facts: Mapping[str, Any]) -> bool:
    """Give processes back what they might have before; tell whether one had less.

    Those alone that have what was set: one that was started anew, or has set its own limit since, stays as it is.

    Args:
        family: The process that was hurt, and all below it.
        facts: What was noted of it: `limit` (the kind), `lowered` and `former`.
    """
    is_restored = False
    for process in family:
        with suppress(ProcessLookupError):
            if soft_limit(process.pid, facts["limit"]) == int(facts["lowered"]):
                set_soft_limit(process.pid, facts["limit"], int(facts["former"]))
                is_restored = True
    return is_restored


def is_lowered(family: Iterable[psutil.Process], facts: Mapping[str, Any]) -> bool:
    """Tell whether one of the processes has the limit that was set; `facts` are those of `restore`."""
    for process in family:
        with suppress(OSError):
            if soft_limit(process.pid, facts["limit"]) == int(facts["lowered"]):
                return True
    return False
