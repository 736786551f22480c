"""What the machine gave a run, a value a second: who used its processors, and how long the judged service waited."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


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
