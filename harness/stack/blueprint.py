"""What a stack is to be, whatever it runs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from harness.errors import SpecError, nearest
from harness.spec.external import HALVES
from harness.spec.faults import (
    Bandwidth,
    ClockFault,
    ConnectBlackhole,
    Cpu,
    DataFault,
    Down,
    Failover,
    HalfOpen,
    Kill,
    LimitData,
    LimitFault,
    NetworkFault,
    Pause,
    ProcessFault,
    Reload,
    RollingRestart,
    Slicer,
    SlowStart,
    TrafficFault,
)
from harness.stack.components import COMPONENTS
from harness.stack.stack import MACHINE, REPLICA, REPLICAS, SUBJECT, standby_of
from harness.stack.standbys import REPLICATIONS
from harness.stack.subjects import Process, init, replica, workers
from harness.stack.wiring import wiring_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.spec.external import CommandedProcess
    from harness.spec.faults import Fault, SystemFault
    from harness.spec.standby import Replicates
    from harness.spec.system import Subject, System
    from harness.stack.component import Component
    from harness.stack.health_probe import HealthProbe
    from harness.stack.replication import Replication
    from harness.stack.service import Address

ENTRY = "nginx"
"""What stands before the replicas, and has an edge to each."""

PROXY = "proxy"
"""What all edges run through."""

ALWAYS_THERE = (ENTRY, PROXY)
"""What every stack has besides."""

HEALTHY = ""
"""What `{defect}` stands for when the healthy service is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What is to be started.

    Attributes:
        system: The judged service, and how many replicas of it.
        seed: Of the fault proxy's dice.
        defect: Id of the seeded defect that replicas are started with.
        hidden: Variables that each replica gets besides, as they are; their values must never be written.
        disks: How large a disk each component has for itself, in bytes, by its name; the others stand on the machine's.
    """

    system: System
    seed: int
    defect: str | None = None
    hidden: Mapping[str, str] = field(default_factory=dict)
    disks: Mapping[str, int] = field(default_factory=dict)

    @property
    def subject(self) -> Subject:
        """Return the judged service; with a defect, it is what wraps the service where the system names that."""
        return self.system.subject.with_defect() if self.defect else self.system.subject

    @property
    def components(self) -> dict[str, Component]:
        """Return what the service depends on, by the name that each has in this system.

        Raises:
            SpecError: If a kind is unknown.
        """
        return components_of(self.system)

    def replication_of(self, name: str) -> Replication:
        """Return how the component of that name keeps a standby, which the system says that it has."""
        return REPLICATIONS[self.system.kinds[name]]

    @property
    def replicas(self) -> list[Process]:
        """Return each replica."""
        return [replica(name, self.subject) for name in replicas_of(self.system)]

    @property
    def workers(self) -> list[Process]:
        """Return each further process of the service."""
        return workers(self.subject)

    @property
    def init(self) -> list[Process]:
        """Return what is run once before the first replica, in its order."""
        return init(self.subject)

    def placeholders(self, process: str, given: Mapping[str, Address]) -> dict[str, str]:
        """Return what the placeholders of a process of the service stand for, but for where it listens itself.

        Args:
            process: Its name.
            given: Where it is to find each component.
        """
        placeholders = {"replica": process, "defect": self.defect or HEALTHY}
        for name, component in self.components.items():
            placeholders |= component.placeholders(name, given[name])
        return placeholders


def components_of(system: System) -> dict[str, Component]:
    """Return what the service depends on, by the name that each has in this system.

    Raises:
        SpecError: If a kind is unknown.
    """
    for name, kind in system.kinds.items():
        if kind not in COMPONENTS:
            raise unknown_kind(kind, where=f"readiness.toml: system.components.{name}")
    return {name: COMPONENTS[kind].of(system.components[name]) for name, kind in system.kinds.items()}


def unknown_kind(kind: str, *, where: str) -> SpecError:
    """Return what is said of a component that there is none of."""
    return SpecError(f"unknown component {kind!r}", where=where, fix=nearest(kind, list(COMPONENTS)))


def replicas_of(system: System) -> list[str]:
    """Return the name of each replica of the judged service; none where it runs already."""
    if system.subject.external is not None:
        return []
    return [f"{REPLICA}{number + 1}" for number in range(system.replicas)]


def edges_of(system: System) -> list[tuple[str, str]]:
    """Return every edge of a stack as client and server.

    Those of each process of the service to each component come first, then those of standbys, and those of the entry
    to each replica. An external subject has one for each path that it was given; of a compose file each service has one
    to each that it may reach.
    """
    if system.subject.external is not None:
        return [(SUBJECT, name) for name in system.subject.paths]
    if system.composed is not None:
        return [*wiring_of(system).edges, *((ENTRY, replica) for replica in replicas_of(system))]
    replicas = replicas_of(system)
    clients = [*replicas, *(worker.name for worker in workers(system.subject))]
    edges = [(client, each) for client in clients for each in system.kinds]
    copying = [(standby_of(name), name) for name in system.standbys]
    return [*edges, *copying, *((ENTRY, replica) for replica in replicas)]


def processes_of(system: System) -> list[str]:
    """Return the name of every process that a stack starts; it is the same on every backend."""
    if system.subject.external is not None:
        return [] if system.subject.toxiproxy else [PROXY]  # a borrowed one is not ours to hurt
    if system.composed is not None:
        return [*wiring_of(system).others, *replicas_of(system), *ALWAYS_THERE]
    components = [*system.kinds, *map(standby_of, system.standbys)]
    return [*components, *replicas_of(system), *(each.name for each in workers(system.subject)), *ALWAYS_THERE]


def wrong_standbys(standbys: Mapping[str, Replicates], system: System) -> Iterator[tuple[str, str, str]]:
    """Yield each standby that a system cannot have: the component's name, what is wrong, and how to fix it."""
    able = [each for each, kind in system.kinds.items() if kind in REPLICATIONS]
    for name, replicates in standbys.items():
        kind = system.kinds.get(name, "")
        if kind not in REPLICATIONS:
            what = f"a {kind} has no standby" if kind else f"there is no component called {name!r}"
            yield name, what, nearest(name, able) if able else "leave it out"
        elif replicates not in REPLICATIONS[kind].modes:
            what = f"a {kind} does not wait for its standby when it acknowledges a write"
            yield name, what, f"write `{name}: {REPLICATIONS[kind].modes[0]}`"
        elif standby_of(name) in system.kinds:
            yield name, f"there is a component called {standby_of(name)!r} already", "give that another name"


def why_out_of_reach(fault: Fault, system: System) -> str | None:
    """Say why a fault cannot reach its target in this system; None where it can, or its target is a slip.

    What a service is made of that runs already is not known here, and a clock is the service's own, so that this is a
    lack of means and no slip in a scenario.
    """
    if isinstance(fault, ClockFault) and system.subject.clock is None:
        return f"nothing sets the clock of {fault.target} off: readiness.toml has no [system.subject.clock]"
    if isinstance(fault, NetworkFault | Pause) and (why_not := _why_unseen(fault, system)):
        return why_not
    if system.compose is not None and isinstance(fault, DataFault):
        return f"{fault.target} is the compose file's own: its data, and who may change it, are not known here"
    if system.subject.external is None or isinstance(fault, TrafficFault) or fault.target in targets_of(fault, system):
        return None
    return _why_not_elsewhere(fault, system)


def _why_not_elsewhere(fault: SystemFault, system: System) -> str:
    """Say why a fault cannot reach what runs already, or what that depends on."""
    if isinstance(fault, DataFault):
        return f"{fault.target} was not started here: the subject is external, and its data is not the harness's"
    if isinstance(fault, ProcessFault) and fault.target in system.subject.processes:
        return _why_no_command(fault, system.subject.processes[fault.target])
    if isinstance(fault, ProcessFault | LimitFault):
        return f"{fault.target} was not started here: the subject is external, and its processes are not the harness's"
    key = "toxiproxy.edges" if system.subject.toxiproxy else "proxies"
    given = ", ".join(system.subject.paths) or "none"
    return f"the external subject was given no path to {fault.target} (system.subject.{key}: {given})"


def _why_no_command(fault: ProcessFault, process: CommandedProcess) -> str:
    """Say why no command does a fault to a process that runs elsewhere, and can be hit by some."""
    if fault.kind not in HALVES:
        return (
            f"no command does that to what runs elsewhere: {fault.target} can be hit by {' and '.join(process.kinds)}"
        )
    key = f"[system.subject.processes.{fault.target}]"
    if fault.kind not in process.kinds:
        return f"readiness.toml says no command for it: {key} has no {fault.kind} and {HALVES[fault.kind]}"
    return f"nothing tells whether {fault.target} serves, so that the fault could not be seen: {key} has no ready"


def _why_unseen(fault: NetworkFault | Pause, system: System) -> str | None:
    """Say why the dose of a fault could not be seen: by what answers nothing, a path that is hurt is known by no sign.

    None where it can; a path that refuses, or lets nobody in, shows to whoever connects.
    """
    name = fault.target.rpartition(".")[2]
    probe = _probes_of(system).get(name)
    if probe is None or isinstance(fault, Down | ConnectBlackhole):
        return None
    if not (probe.question or probe.greets):
        return f"nothing is asked of {name}, so that the dose of {fault.kind} could not be seen (docs/system.md)"
    if probe.long_question is None and isinstance(fault, Bandwidth | HalfOpen | LimitData | Slicer):
        return (
            f"nothing long can be asked of {name}, so that the dose of {fault.kind} could not be seen (docs/system.md)"
        )
    return None


def _probes_of(system: System) -> dict[str, HealthProbe]:
    """Return how each component is known, or what is at the end of a path that an external subject was given."""
    given = {name: COMPONENTS[path.kind or name].probe for name, path in system.subject.proxies.items()}
    return given | {name: component.probe for name, component in components_of(system).items()}


def targets_of(fault: SystemFault, system: System) -> list[str]:  # noqa: PLR0911 - one family after the other
    """Return what such a fault can hit, before anything runs: it is the same on every backend.

    Data is a component's, of the kind that the fault is for; a process is a service's; what happens on the network
    happens on the edges into a service, or on one of them. The proxy is limited in nothing: by it others are healed.
    """
    if isinstance(fault, Cpu):
        return [MACHINE]
    if isinstance(fault, ClockFault):
        return replicas_of(system) if system.subject.clock else []
    if isinstance(fault, LimitFault):
        return sorted({*processes_of(system)} - {PROXY})
    if isinstance(fault, ProcessFault):
        return _targets_of_a_process_fault(fault, system)
    if isinstance(fault, NetworkFault):
        return sorted({name for client, server in edges_of(system) for name in (server, f"{client}.{server}")})
    if isinstance(fault, Failover):
        return sorted(system.standbys)
    if isinstance(fault, DataFault):
        return sorted(name for name, kind in system.kinds.items() if kind == fault.component)
    assert_never(fault)


def _targets_of_a_process_fault(fault: ProcessFault, system: System) -> list[str]:
    match fault:
        case SlowStart():  # a worker listens nowhere, so that it cannot be seen to do so late
            silent = wiring_of(system).silent if system.composed else ()
            return sorted({*processes_of(system)} - {*silent, *(each.name for each in workers(system.subject))})
        case RollingRestart():
            return [REPLICAS] if replicas_of(system) else []
        case Reload():
            return [ENTRY] if replicas_of(system) else []
        case Kill() | Pause():
            return sorted({*processes_of(system), *_by_command(fault.kind, system)})
        case _:
            return sorted(processes_of(system))


def _by_command(kind: str, system: System) -> list[str]:
    """Return what runs elsewhere, and can be hit so by a command and seen."""
    processes = system.subject.processes
    return [name for name, each in processes.items() if kind in each.kinds and each.ready is not None]
