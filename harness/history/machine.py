"""What the machine gave a run, a value a second: who used its processors, and how long the judged service waited.

Also whether it was strangers that took what the service lacked, which is asked of a single second: the judge asks so of
a promise that was broken, and whoever waits for a service that starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.spec.quantity import percent_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


TAKEN_RATIO = 0.2
"""Of the time that the service was ready to run. With less taken, a request takes at most a quarter longer than it
would."""

CLEAN_RATIO = 0.1
"""Of the same. Between the two a second gives no alibi, but is no witness against the service either."""

NOISE_S = 0.05
"""In each second. Processor time is counted in ticks of 10 ms and by a dozen processes, so less is noise."""

IDLE_MAX_RATIO = 0.25
"""Of all processors: where more of them stood idle, whoever was ready could have had one, and strangers took nothing.

A service of many threads that wait for each other is ready, and has no processor, for 40 % of the little time it asks
for, on a machine that is mostly idle (seen: sixteen threads, strangers at a twentieth of the machine).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the processes of one replica of the judged service hold.

    Attributes:
        replica: Its name.
        descriptors: Open file descriptors, count.
        resident_bytes: Resident memory.
        connections: Open connections to each service that it depends on, by name; those that the other side has closed
            and this one has not are among them.
    """

    replica: str
    descriptors: int
    resident_bytes: int
    connections: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSecond:
    """About one second of the machine.

    What this machine does not say is None, and proves nothing.

    Attributes:
        at_s: Its end, seconds since the origin.
        lasted_s: Its length.
        cores: Processors that were there.
        own_s: Processor time of the run's own processes: the harness, the load's, all services.
        strangers_s: Processor time of everything else.
        stolen_s: Processor time that the hypervisor gave to other machines.
        judged_s: Processor time of the judged service's processes, a part of `own_s`.
        spent_s: The same off other counters, ticks of 10 ms, which know as well what ended meanwhile, threads and
            children alike. None in a second in which a replica began or ended, or none ran: what it used is not known.
        waited_s: Time that the judged service's threads were ready to run and had no processor, added up.
        throttled_s: Time that the control group which the run is in was kept from running by its quota.
        cpu_pressure: Share of the time in which something waited for a processor.
        memory_pressure: The same for memory.
        io_pressure: The same for disks.
        held: What each replica held at its end; nothing of one that did not run, or cannot be looked into.
    """

    at_s: float
    lasted_s: float
    cores: int
    own_s: float
    strangers_s: float
    stolen_s: float
    judged_s: float | None = None
    spent_s: float | None = None
    waited_s: float | None = None
    throttled_s: float | None = None
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    io_pressure: float | None = None
    held: tuple[Held, ...] = ()

    @property
    def began_s(self) -> float:
        """Return its beginning, seconds since the origin."""
        return self.at_s - self.lasted_s


@dataclass(frozen=True, slots=True)
class Taken:
    """What strangers took of what the service lacked, in the seconds of a phase in which that mattered.

    Attributes:
        seconds: How many such seconds there were.
        of_seconds: Of so many that were measured.
        clean: In how many of those strangers took next to nothing, and nothing in the second before.
        cores: Processors that were there.
        strangers_cores: How many of them strangers had, on average over those seconds.
        waited_ratio: Of the time in which the service was ready to run, the share in which it had no processor.
    """

    seconds: int
    of_seconds: int
    clean: int
    cores: int
    strangers_cores: float
    waited_ratio: float

    def __str__(self) -> str:
        return (
            f"strangers had {self.strangers_cores:.1f} of {self.cores} processors in {self.seconds} of"
            f" {self.of_seconds} s, in which the service waited for one {percent_text(round(self.waited_ratio, 2))} of"
            f" its time"
        )


def taken_s(second: MachineSecond) -> float:
    """Return the processor time that strangers took and the service lacked: no more than either of the two."""
    return min(second.waited_s or 0.0, second.strangers_s + second.stolen_s)


def is_taken(second: MachineSecond, ratio: float = TAKEN_RATIO) -> bool:
    """Tell whether strangers took what the service lacked; not, where it is not known what it lacked.

    Args:
        second: What the machine gave.
        ratio: How much of the time that the service was ready to run.
    """
    if second.judged_s is None or second.waited_s is None:
        return False
    lacked_s = taken_s(second)
    is_noise = lacked_s < NOISE_S * second.lasted_s or _idle_ratio(second) > IDLE_MAX_RATIO
    return not is_noise and lacked_s >= ratio * (second.judged_s + second.waited_s)


def _idle_ratio(second: MachineSecond) -> float:
    had_s = second.cores * second.lasted_s
    return 1 - (second.own_s + second.strangers_s + second.stolen_s) / had_s if had_s else 0.0


def is_clean(second: MachineSecond) -> bool:
    """Tell whether what was slow in a second was slow by itself, as far as strangers go."""
    return not is_taken(second, CLEAN_RATIO)


def seconds_between(machine: Sequence[MachineSecond], began_s: float, ended_s: float) -> list[MachineSecond]:
    """Return the seconds of a stretch of time: each belongs to where its middle lies."""
    return [second for second in machine if began_s <= second.at_s - second.lasted_s / 2 < ended_s]


def taken_between(machine: Sequence[MachineSecond], began_s: float, ended_s: float) -> Taken | None:
    """Return what strangers took in a stretch of time; None if there was no second in which that mattered."""
    measured = seconds_between(machine, began_s, ended_s)
    taken = [second for second in measured if is_taken(second)]
    if not taken:
        return None
    waited_s = sum(second.waited_s or 0.0 for second in taken)
    ready_s = waited_s + sum(second.judged_s or 0.0 for second in taken)
    return Taken(
        seconds=len(taken),
        of_seconds=len(measured),
        clean=sum(is_clean(before) and is_clean(second) for before, second in pairwise([measured[0], *measured])),
        cores=taken[0].cores,
        strangers_cores=sum(second.strangers_s + second.stolen_s for second in taken)
        / sum(second.lasted_s for second in taken),
        waited_ratio=waited_s / ready_s,
    )
