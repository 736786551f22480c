"""Who reaches whom in a system of a compose file, and in which order it starts: decided before anything runs.

Each process stands in a network of its own, in which all that it can reach is the fault proxy. The proxy goes there by
the names of the services that the process may reach, and listens where they do; so nothing of a service's settings
changes, and none can be reached past the proxy.

    replica-1 ── "redis:6379" ──► proxy ──► redis      a door: an edge, which can be hurt, or a passage, which cannot

Where two of the services that a process reaches listen on one port, it has a further network for the second: a network
holds the proxy once, with one address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.spec.composed import Condition
from harness.stack.components import COMPONENTS
from harness.stack.stack import MACHINE, REPLICA, REPLICAS, SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from harness.spec.composed import Composed, ComposeService
    from harness.spec.system import System

TAKEN = frozenset(("nginx", "proxy", SUBJECT, REPLICAS, MACHINE))
"""What faults know something else by."""

_LONGEST = 31
"""What a target of a fault can be. See `harness/spec/faults/target.py`."""

_IMAGES = {image: kind for kind, each in COMPONENTS.items() for image in each.traces.images}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a process finds one port of a service: at the proxy.

    Attributes:
        client: The process.
        server: The service, as the file calls it.
        names: By which the client knows it.
        port: Where it listens.
        room: Which of its client's networks it is in, counted from 0.
        is_edge: Whether faults can hit it; else it is a passage.
    """

    client: str
    server: str
    names: tuple[str, ...]
    port: int
    room: int
    is_edge: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a start: services that are waited for, and then those that are started.

    Attributes:
        awaits: What must have come about of each, by its name.
        starts: The services, as the file calls them.
    """

    awaits: tuple[tuple[str, Condition], ...]
    starts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """A system of a compose file, as processes and doors.

    Attributes:
        composed: What the files say.
        judged: The service that is judged.
        port: Where it listens.
        replicas: How many of it.
        kinds: What each service is, as far as that is known, by its name.
        main: On which port faults hit a service, by its name; those that listen nowhere have none.
    """

    composed: Composed
    judged: str
    port: int
    replicas: int
    kinds: Mapping[str, str]
    main: Mapping[str, int]

    def processes(self, service: str) -> tuple[str, ...]:
        """Return what the processes of a service are called here."""
        if service == self.judged:
            return tuple(f"{REPLICA}{number + 1}" for number in range(self.replicas))
        count, name = self.composed.services[service].count, called(service)
        return (name,) if count == 1 else tuple(f"{name}-{number + 1}" for number in range(count))

    @property
    def others(self) -> tuple[str, ...]:
        """Return every process that stays, but for the replicas."""
        staying = (name for name in self.composed.services if name != self.judged and name not in self.composed.jobs)
        return tuple(process for name in staying for process in self.processes(name))

    @property
    def silent(self) -> tuple[str, ...]:
        """Return those that listen nowhere."""
        names = (each for each in self.composed.services if each not in self.main and each not in self.composed.jobs)
        return tuple(process for name in names for process in self.processes(name))

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Return client and server of every edge, by their names here."""
        return tuple((door.client, called(door.server)) for door in self.doors() if door.is_edge)

    def doors(self) -> tuple[Door, ...]:
        """Return every door of every process, in the order of the file."""
        return tuple(
            door
            for name, service in self.composed.services.items()
            for process in self.processes(name)
            for door in self._doors_of(process, service)
        )

    def _doors_of(self, process: str, client: ComposeService) -> Iterator[Door]:
        reached = [each for each in self.composed.services.values() if self._reaches(client, each)]
        rooms = rooms_of({each.name: self._ports(each) for each in reached})
        for server in reached:
            for port in self._ports(server):
                yield Door(
                    client=process,
                    server=server.name,
                    names=_namesof(server, client),
                    port=port,
                    room=rooms[server.name],
                    is_edge=self._is_hurt(client, server) and port == self.main[server.name],
                )

    def _ports(self, service: ComposeService) -> tuple[int, ...]:
        if service.name == self.judged:
            return (self.port,)
        own = (self.main[service.name],) if service.name in self.main else ()
        return tuple(dict.fromkeys((*own, *service.ports)))

    def _is_hurt(self, client: ComposeService, server: ComposeService) -> bool:
        """Tell whether faults can hit a path: a job is gone by then, and the judged one has paths of its own."""
        return server.name != self.judged and not {client.name, server.name} & self.composed.jobs

    def _reaches(self, client: ComposeService, server: ComposeService) -> bool:
        """Tell whether a service may reach another: they share a network, and that one listens.

        A store that is known for what it is calls nobody, unless its settings name somebody.
        """
        if client is server or not client.networks & server.networks or not self._ports(server):
            return False
        return client.name not in self.kinds or mentions(client, server)


def called(service: str) -> str:
    """Return what a service is called here: as in the file, in letters that a target has, and not as something else."""
    name = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")
    return f"{name}-service" if name in TAKEN or name.startswith(REPLICA) else name


def mentions(client: ComposeService, server: ComposeService) -> bool:
    """Tell whether the settings of a service name another one."""
    if server.name in client.waits or server.name in client.links.values():
        return True
    told = [*client.environment.values(), *(client.command or ()), *(client.entrypoint or ()), *client.files.values()]
    word = re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])" for name in (server.name, *server.aliases)))
    return any(word.search(text) for text in told)


def _namesof(server: ComposeService, client: ComposeService) -> tuple[str, ...]:
    own = (alias for alias, service in client.links.items() if service == server.name)
    return tuple(dict.fromkeys((server.name, *server.aliases, *own)))


def rooms_of(ports: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return a room for each service, such that no two in one room listen on the same port; as few as come of it."""
    taken = list[set[int]]()
    rooms = dict[str, int]()
    for name, own in ports.items():
        room = next((number for number, each in enumerate(taken) if not each & {*own}), len(taken))
        if room == len(taken):
            taken.append(set())
        taken[room] |= {*own}
        rooms[name] = room
    return rooms


def steps_of(services: Mapping[str, ComposeService]) -> tuple[Step, ...]:
    """Return the order of a start: each service after those that it waits for, as early as that allows."""
    depth = dict[str, int]()

    def depth_of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((depth_of(other) for other in services[name].waits), default=-1)
        return depth[name]

    levels = [
        [name for name in services if depth_of(name) == level] for level in range(max(map(depth_of, services)) + 1)
    ]
    return tuple(Step(awaits=_awaited(level, services), starts=tuple(level)) for level in levels)


def _awaited(names: Iterable[str], services: Mapping[str, ComposeService]) -> tuple[tuple[str, Condition], ...]:
    """Return what several services wait for, each once; that something was started needs no waiting."""
    found = [(other, until) for name in names for other, until in services[name].waits.items()]
    return tuple(dict.fromkeys(each for each in found if each[1] is not Condition.STARTED))


def wiring_of(system: System) -> Wiring:
    """Return how a system of a compose file is wired; it was read, and found to be without mistakes."""
    composed, subject = system.composed, system.subject
    assert composed is not None  # noqa: S101 - who asks has seen that there is one
    kinds = kinds_of(system, composed)
    return Wiring(
        composed=composed,
        judged=str(subject.service),
        port=int(subject.port or 0),
        replicas=system.replicas,
        kinds=kinds,
        main={name: ports[0] for name in composed.services if (ports := main_ports(name, system, composed, kinds))},
    )


def kinds_of(system: System, composed: Composed) -> dict[str, str]:
    """Return what each service is: as readiness.toml says, else as its image is called; none of the judged one."""
    found = dict[str, str]()
    for name, service in composed.services.items():
        said = system.components[name].kind if name in _told(system) else None
        kind = said or _IMAGES.get(_word_of(service.image or ""))
        if kind and name != system.subject.service:
            found[name] = kind
    return found


def main_ports(name: str, system: System, composed: Composed, kinds: Mapping[str, str]) -> tuple[int, ...]:
    """Return where faults hit a service: one port, none where it listens nowhere, several where nobody says which."""
    if name == system.subject.service:
        return (int(system.subject.port or 0),)
    said = system.components[name].port if name in _told(system) else None
    if said is not None:
        return (said,)
    own = composed.services[name].ports
    if name in kinds:
        usual = COMPONENTS[kinds[name]].port
        return (usual,) if usual in own or not own else own
    return own


def _told(system: System) -> frozenset[str]:
    """Return what readiness.toml says something of: its usual components are not meant by that."""
    return frozenset(system.components) if "components" in system.model_fields_set else frozenset()


def _word_of(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[0].partition("@")[0]


def unwired(system: System, composed: Composed) -> Iterator[SpecError]:
    """Yield what stands in the way of the wiring, each with its place."""
    kinds = kinds_of(system, composed)
    yield from _namestaken_twice(system, composed)
    for name in _told(system) - composed.services.keys():
        where = f"readiness.toml: system.components.{name}"
        fix = f"say it of one of {', '.join(composed.services)}"
        yield SpecError(f"{composed.file} has no service {name!r}", where=where, fix=fix)
    for name, service in composed.services.items():
        ports = main_ports(name, system, composed, kinds)
        if name in composed.jobs and name == system.subject.service:
            yield SpecError(f"{name} ends by itself, and cannot be judged", where=service.line, fix="judge another one")
        if name in composed.jobs or name == system.subject.service:
            continue
        if len(ports) > 1:
            what = f"{name} listens on {' and '.join(map(str, ports))}, and faults hit one of them"
            fix = f"say which in readiness.toml: [system.components.{name}] with port = {ports[0]}"
            yield SpecError(what, where=service.line, fix=fix)
        if ports and service.count > 1:
            what = f"{service.count} of {name} would share the name by which others reach it, and a path leads to one"
            fix = (
                "let there be one, in a compose file of its own for this; of what listens nowhere there may be several"
            )
            yield SpecError(what, where=service.line, fix=fix)


def _namestaken_twice(system: System, composed: Composed) -> Iterator[SpecError]:
    seen = dict[str, str]()
    for name, service in composed.services.items():
        own = called(name)
        if name == system.subject.service:
            continue
        if not own or len(own) + len(str(service.count)) > _LONGEST:
            fix = "call it by one to twenty small letters, digits and dashes"
            yield SpecError(f"faults cannot hit what is called {name!r}", where=service.line, fix=fix)
        elif own in seen:
            what = f"{name} and {seen[own]} are both called {own!r} here"
            yield SpecError(what, where=service.line, fix="give one of them another name")
        seen.setdefault(own, name)
