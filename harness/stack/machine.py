"""Reading what the machine gives, off the kernel's own counters; where it has none of them, nothing is said.

The run's own processes are the harness with all below it, what was among them once, and the processes of its
containers, known by their control group. All other processor time is a stranger's: it is what the kernel counts in
all less what it counts of ours, so that strangers count that cannot be seen from here, as in a container.

Source of the counters: proc(5), psi(5), cgroups(7), and Documentation/scheduler/sched-stats.rst of the kernel.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from harness.errors import StackError
from harness.history.machine import Held, MachineSecond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from harness.stack.service import Service

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
LOOK_EVERY_S = 1.0
"""A look takes some 10 ms where there are 200 processes."""

_SHORTEST_S = 0.2
"""In less, ticks of 10 ms show no share; the last look may come right after the one before it."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_OPEN_STATES = (1, 8)
"""ESTABLISHED and CLOSE_WAIT, as include/net/tcp_states.h of the kernel numbers them."""
_PRESSURES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Processor time of one process.

    Attributes:
        parent: Its parent's number.
        began: When it started, in ticks since the machine did: a number may be another process's later.
        own_s: Its own, all its threads together.
        ended_s: Of its children that ended and were waited for, and of theirs.
    """

    parent: int
    began: int
    own_s: float
    ended_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What the kernel's counters said at one moment.

    Attributes:
        at_s: When, on a monotonic clock.
        cores: Processors that were there.
        busy_s: Processor time that was used since the machine started.
        stolen_s: Processor time that the hypervisor gave to others.
        own: The run's own processes, by number.
        judged: Which of them are the judged service's.
        threads: Of each thread of the judged service, by process and thread: how long it ran, and how long it waited
            for a processor while it was ready, seconds; None if the kernel does not count that.
        pressures_s: How long something waited, by what for.
        throttled_s: How long our control group was kept from running; None if it has no quota.
        held: What each replica of the judged service holds.
    """

    at_s: float
    cores: int
    busy_s: float
    stolen_s: float
    own: Mapping[int, Used]
    judged: frozenset[int] = frozenset()
    threads: Mapping[tuple[int, int], tuple[float, float]] | None = None
    pressures_s: Mapping[str, float] = field(default_factory=dict)
    throttled_s: float | None = None
    held: tuple[Held, ...] = ()


def second_between(before: Counters, after: Counters, *, origin_s: float) -> MachineSecond:
    """Return what the machine gave between two looks; `origin_s` is the run's, on their clock."""
    lasted_s = after.at_s - before.at_s
    own_s = _own_between(before.own, after.own)
    ran_s, waited_s = _threads_between(before, after)
    pressures = {
        name: min(1.0, max(0.0, after.pressures_s[name] - before.pressures_s[name]) / lasted_s)
        for name in after.pressures_s
        if name in before.pressures_s
    }
    is_throttled_known = before.throttled_s is not None and after.throttled_s is not None
    return MachineSecond(
        at_s=round(after.at_s - origin_s, 3),
        lasted_s=round(lasted_s, 3),
        cores=after.cores,
        own_s=round(own_s, 3),
        strangers_s=round(max(0.0, after.busy_s - before.busy_s - own_s), 3),
        stolen_s=round(max(0.0, after.stolen_s - before.stolen_s), 3),
        judged_s=ran_s,
        spent_s=_spent_between(before, after),
        waited_s=waited_s,
        held=after.held,
        throttled_s=round((after.throttled_s or 0) - (before.throttled_s or 0), 3) if is_throttled_known else None,
        **{f"{name}_pressure": round(share, 3) for name, share in pressures.items()},
    )


def _own_between(before: Mapping[int, Used], after: Mapping[int, Used]) -> float:
    """Return the processor time of our processes; one that ended is in what its parent says of its children."""
    ran_s = ended_s = 0.0
    for number, now in after.items():
        then = before.get(number)
        is_same = then is not None and then.began == now.began
        ran_s += now.own_s - (then.own_s if then and is_same else 0.0)
        ended_s += now.ended_s - (then.ended_s if then and is_same else 0.0)
    known_s = sum(
        then.own_s + then.ended_s
        for number, then in before.items()
        if number not in after or after[number].began != then.began
    )
    return max(0.0, ran_s) + max(0.0, ended_s - known_s)


def _spent_between(before: Counters, after: Counters) -> float | None:
    """Return the processor time of the judged service; None if a replica ended, or began: its last time is lost."""
    if not after.judged or _mains(before) != _mains(after):
        return None
    used = ({number: at.own[number] for number in at.judged} for at in (before, after))
    return round(_own_between(*used), 3)


def _mains(at: Counters) -> set[tuple[int, int]]:
    """Return the main processes of the judged service, each with its beginning: those that no other of it started."""
    return {(number, at.own[number].began) for number in at.judged if at.own[number].parent not in at.judged}


def _threads_between(before: Counters, after: Counters) -> tuple[float | None, float | None]:
    """Return how long the judged service's threads ran and waited; a thread that ended meanwhile is not counted."""
    if before.threads is None or after.threads is None or not after.threads:
        return None, None
    nothing = (0.0, 0.0)
    pairs = [(now, before.threads.get(key, nothing)) for key, now in after.threads.items()]
    ran_s, waited_s = (sum(max(0.0, now[n] - then[n]) for now, then in pairs) for n in (0, 1))
    return round(ran_s, 4), round(waited_s, 4)


class Machine:
    """The machine as the run of this process sees it.

    Args:
        judged: The judged service's processes.
        services: All that the run started.
        now_s: A monotonic clock.
        doors: By which port each of the judged service's processes comes to what it depends on, and the name of that.
        proc: Where the kernel says all that.
    """

    def __init__(
        self,
        judged: Iterable[Service],
        services: Iterable[Service],
        now_s: Callable[[], float],
        doors: Mapping[str, Mapping[int, str]] | None = None,
        proc: Path = PROC,
    ) -> None:
        self._judged = [each.name for each in judged]
        self._services = {each.name: each for each in services}
        self._now_s = now_s
        self._doors = doors or {}
        self._proc = proc
        self._known: dict[tuple[int, int], bool] = {}
        # An engine is asked once: a container stays the same when it is started again.
        self._containers = {name: found for name, each in self._services.items() if (found := _container(each))}

    def why_not(self) -> str:
        """Say why nothing can be read here; empty if it can."""
        if not (self._proc / "stat").is_file():
            return "this system does not count it in /proc"
        if not self._judged:
            return "the service was started elsewhere"
        return ""

    def read(self) -> Counters:
        """Read all counters, which takes some 10 ms."""
        at_s = self._now_s()
        busy_s, stolen_s, cores = processors((self._proc / "stat").read_text())
        used = dict(self._all_used())
        own = self._own(used)
        judged = self._all_judged(own, used)
        return Counters(
            at_s=at_s,
            cores=cores,
            busy_s=busy_s,
            stolen_s=stolen_s,
            own={number: used[number] for number in own},
            judged=frozenset(judged & own),
            threads=self._threads(judged),
            pressures_s={name: found for name in _PRESSURES if (found := self._pressure_s(name)) is not None},
            throttled_s=self._throttled_s(),
            held=tuple(self._held(own, used)),
        )

    def _all_used(self) -> Iterator[tuple[int, Used]]:
        for entry in self._proc.iterdir():
            if entry.name.isdigit():
                with suppress(OSError, ValueError, IndexError):  # it ended meanwhile
                    yield int(entry.name), used_by((entry / "stat").read_text())

    def _own(self, used: Mapping[int, Used]) -> set[int]:
        """Return the numbers of our processes; one whose parent ended stays ours."""
        own = {os.getpid()} & used.keys()
        own |= {number for number, each in used.items() if self._is_known(number, each)}
        own = _with_descendants(own, used)
        self._known = {(number, each.began): number in own for number, each in used.items()}
        return own

    def _is_known(self, number: int, used: Used) -> bool:
        """Tell whether a process was ours before, or is one of our containers': a new one is looked at once."""
        known = self._known.get((number, used.began))
        return self._container_of(number) is not None if known is None else known

    def _container_of(self, number: int) -> str | None:
        """Return which service's container a process is in; None if in none."""
        if not self._containers:
            return None
        with suppress(OSError):
            groups = (self._proc / str(number) / "cgroup").read_text()
            return next((name for name, container in self._containers.items() if container in groups), None)
        return None

    def _all_judged(self, own: set[int], used: Mapping[int, Used]) -> set[int]:
        """Return the numbers of the judged service's processes."""
        return _with_descendants({pid for name in self._judged for pid in self._roots(name, own)}, used)

    def _threads(self, judged: set[int]) -> dict[tuple[int, int], tuple[float, float]] | None:
        """Return the times of the judged service's threads; None if the kernel does not count them."""
        found: dict[tuple[int, int], tuple[float, float]] = {}
        for number in judged:
            with suppress(OSError, ValueError, IndexError):  # it ended meanwhile
                # `iterdir` reads a folder whole; what `scandir` holds open stays open if a thread ends meanwhile.
                for task in (self._proc / str(number) / "task").iterdir():
                    ran_ns, waited_ns, *_ = (task / "schedstat").read_text().split()
                    found[number, int(task.name)] = (int(ran_ns) / 1e9, int(waited_ns) / 1e9)
        return found or None

    def _held(self, own: set[int], used: Mapping[int, Used]) -> Iterator[Held]:
        """Yield what each replica holds; nothing of one that ends meanwhile, or that we may not look into."""
        for name in self._judged:
            numbers = _with_descendants(set(self._roots(name, own)), used)
            with suppress(OSError, ValueError, IndexError):
                folders = [self._proc / str(number) for number in sorted(numbers)]
                descriptors = sum(sum(1 for _ in (folder / "fd").iterdir()) for folder in folders)
                pages = sum(int((folder / "statm").read_text().split()[1]) for folder in folders)
                if folders:
                    connections = self._connections(folders[0], self._doors.get(name, {}))
                    yield Held(
                        replica=name,
                        descriptors=descriptors,
                        resident_bytes=pages * _PAGE_BYTES,
                        connections=connections,
                    )

    def _connections(self, folder: Path, doors: Mapping[int, str]) -> dict[str, int]:
        """Count the connections through a replica's own doors, which nobody else uses, in its network namespace."""
        counted = dict.fromkeys(doors.values(), 0)
        for table in ("tcp", "tcp6"):
            with suppress(FileNotFoundError):  # a kernel without IPv6
                for port in remote_ports((folder / "net" / table).read_text()):
                    if port in doors:
                        counted[doors[port]] += 1
        return counted

    def _roots(self, name: str, own: set[int]) -> list[int]:
        if name in self._containers:
            return [number for number in own if self._container_of(number) == name]
        with suppress(StackError, OSError, psutil.Error):  # it does not run just now
            return [int(self._services[name].identity()["pid"])]
        return []

    def _pressure_s(self, name: str) -> float | None:
        with suppress(OSError, ValueError, IndexError):
            return pressure_s((self._proc / "pressure" / name).read_text())
        return None

    def _throttled_s(self) -> float | None:
        with suppress(OSError):
            groups = (self._proc / "self/cgroup").read_text()
            for place in _places_of(groups):
                with suppress(OSError, ValueError):
                    if (found := throttled_s((place / "cpu.stat").read_text())) is not None:
                        return found
        return None


def _container(service: Service) -> str | None:
    """Return the id of the container that a service runs in; None if it is a local process, or runs elsewhere."""
    with suppress(StackError, OSError, psutil.Error):
        return str(service.identity().get("container") or "") or None
    return None


def _with_descendants(roots: set[int], used: Mapping[int, Used]) -> set[int]:
    children: dict[int, list[int]] = {}
    for number, each in used.items():
        children.setdefault(each.parent, []).append(number)
    found, waiting = set(roots) & used.keys(), list(roots)
    while waiting:
        below = [number for number in children.get(waiting.pop(), ()) if number not in found]
        found.update(below)
        waiting += below
    return found


def processors(stat: str) -> tuple[float, float, int]:
    """Return the processor time used, that stolen, both in seconds, and how many processors there are.

    Guests are a part of user time, and not counted twice.

    Args:
        stat: What `/proc/stat` says.
    """
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu")]
    whole, cores = lines[0], len(lines) - 1
    user, nice, system, _idle, _iowait, irq, softirq, stolen = (int(ticks) for ticks in whole[1:9])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S, stolen / _TICKS_PER_S, cores


def used_by(stat: str) -> Used:
    """Return what one process used.

    Args:
        stat: What `/proc/PID/stat` says; a program's name may hold blanks and brackets.

    Raises:
        ValueError: If it is not that.
    """
    fields = stat[stat.rindex(")") + 1 :].split()
    user, system, ended_user, ended_system = (int(ticks) for ticks in fields[11:15])
    return Used(
        parent=int(fields[1]),
        began=int(fields[19]),
        own_s=(user + system) / _TICKS_PER_S,
        ended_s=(ended_user + ended_system) / _TICKS_PER_S,
    )


def remote_ports(table: str) -> Iterator[int]:
    """Yield the port at the other end of each connection that is open, or that only the other end has closed.

    Args:
        table: What `/proc/net/tcp` or `tcp6` says.
    """
    for line in table.splitlines()[1:]:
        _, _, remote, state, *_ = line.split()
        if int(state, 16) in _OPEN_STATES:
            yield int(remote.rpartition(":")[2], 16)


def pressure_s(text: str) -> float:
    """Return how long something waited, of what `/proc/pressure/cpu` and its like say."""
    some = next(line for line in text.splitlines() if line.startswith("some "))
    return int(some.rpartition("total=")[2]) / 1e6


def throttled_s(text: str) -> float | None:
    """Return how long a control group was kept from running, of what its `cpu.stat` says; None if it says nothing."""
    said = dict(line.split() for line in text.splitlines())
    if "throttled_usec" in said:  # cgroup v2
        return int(said["throttled_usec"]) / 1e6
    return int(said["throttled_time"]) / 1e9 if "throttled_time" in said else None


def _places_of(groups: str) -> Iterator[Path]:
    """Yield where the processor's control group of `/proc/self/cgroup` may be; in a container, at the root."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from (CGROUPS / path.lstrip("/"), CGROUPS)
        elif "cpu" in controllers.split(","):
            yield from (CGROUPS / controllers / path.lstrip("/"), CGROUPS / controllers)


class MachineWatch:
    """Looks once a second at what the machine gives.

    Attributes:
        seconds: What it gave by now.
    """

    def __init__(self, machine: Machine, origin_s: float) -> None:
        self.seconds: list[MachineSecond] = []
        self._machine = machine
        self._origin_s = origin_s
        self._last = machine.read()

    def look(self) -> None:
        """Read the counters, and note what the machine gave since they were last read."""
        counters = self._machine.read()
        if counters.at_s - self._last.at_s < _SHORTEST_S:
            return
        self.seconds.append(second_between(self._last, counters, origin_s=self._origin_s))
        self._last = counters

    def due_in_s(self, now_s: float) -> float:
        """Return the time until the next look: on the whole second of the run, like the generator's heartbeat."""
        return LOOK_EVERY_S - (now_s - self._origin_s) % LOOK_EVERY_S


@contextmanager
def watching_machine(watch: MachineWatch, now_s: Callable[[], float]) -> Iterator[None]:
    """Look while inside, in a thread of its own, and once more at the end."""
    ended = threading.Event()
    thread = threading.Thread(target=_look_until, args=(watch, ended, now_s), name="machine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _look_until(watch: MachineWatch, ended: threading.Event, now_s: Callable[[], float]) -> None:
    while not ended.wait(watch.due_in_s(now_s())):
        watch.look()
    watch.look()
