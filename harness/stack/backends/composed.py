"""A system of a compose file as containers: its own services, each alone with the fault proxy in a network of its own.

load ──► nginx ──► [replica-1 │ …] ──► [redis, postgres, …]
                   worker-1 ─────────►
every arrow after nginx is an edge: a connection through Toxiproxy that can be hurt alone. A service finds another one
by the name that it always had, and what answers to that name in its network is the proxy (`stack/wiring.py`).

Nothing of the file is started as it stands: no port of it is published, no volume of the project's is touched, and all
that is made carries the run's label.
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.types import Mount as EngineMount
from docker.types import Ulimit

from harness.clock import is_met_within
from harness.errors import NotReadyError, SubjectError
from harness.history.marks import Startup
from harness.spec.composed import Condition
from harness.stack import doors as doors_script
from harness.stack import nginx, proxy, subjects
from harness.stack.backends.container import HEALTHY, UNHEALTHY, Container, ContainerHost, network_for
from harness.stack.backends.containers import FIRST_DOOR, Meter
from harness.stack.backends.engine import RUN_LABEL, connect, put_text, remove_all_of, speaking
from harness.stack.backends.images import of_compose, resolve
from harness.stack.blueprint import ENTRY, PROXY
from harness.stack.clock_file import IN_A_CONTAINER
from harness.stack.components import COMPONENTS
from harness.stack.health_probe import HealthProbe
from harness.stack.http_client import http_question
from harness.stack.ports import reserve
from harness.stack.proxy import ProxyServer
from harness.stack.ready import TAIL, its_last_words, start_alibi, wait_until_ready
from harness.stack.recipe import IDLE, READY_WITHIN_S, ContainerRecipe
from harness.stack.service import ANYWHERE, Address, Edge
from harness.stack.stack import Stack
from harness.stack.wiring import Door, called, steps_of, wiring_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from docker import DockerClient
    from testcontainers.core.network import Network

    from harness.clock import Clock
    from harness.spec.composed import ComposeService, HealthCheck, Mount
    from harness.stack.blueprint import Blueprint
    from harness.stack.service import Workspace
    from harness.stack.wiring import Wiring

_ANSWERS_WITHIN_S = 1.0

OTHERS_READY_WITHIN_S = 3 * READY_WITHIN_S
"""For a service that is not judged: an official PostgreSQL makes its cluster first, which takes some seconds."""


@contextmanager
def composed_stack(blueprint: Blueprint, *, workspace: Workspace, clock: Clock) -> Iterator[Stack]:
    """Start everything, yield it ready, and leave nothing on the engine on any exit; see `embedded_stack`.

    Raises:
        SubjectError: If the judged service does not start, by itself.
        StackError: If no engine answers, an image is missing, or another part dies or is not ready in time.
    """
    client = connect()
    with ExitStack() as leaving:
        leaving.callback(client.close)
        leaving.callback(remove_all_of, workspace.run_id, client)
        began_s, wiring = clock.now(), wiring_of(blueprint.system)
        building = _Building(
            blueprint=blueprint,
            workspace=workspace,
            clock=clock,
            began_s=began_s,
            client=client,
            leaving=leaving,
            wiring=wiring,
            images=resolve(client, blueprint.system, workspace.project),
            references=of_compose.references(client, wiring.composed, workspace.project),
            home=network_for(workspace),
        )
        building.start_around()
        building.start_services()
        yield building.stack()


def open_ports(doors: tuple[Door, ...]) -> dict[Door, int]:
    """Return where the harness looks through each edge, inside its client's network: on ports that nobody uses."""
    used = {door.port for door in doors}
    free = (port for port in range(FIRST_DOOR, 1 << 16) if port not in used)
    return {door: next(free) for door in doors if door.is_edge}


def probe_of(kind: str | None, port: int | None, called_as: str) -> HealthProbe:
    """Return how a service is known that is not judged.

    One of a kind that is known here is asked that kind's cheapest question, whatever the answer: it may want a
    password. Any other that listens is taken for one that speaks HTTP when it is asked, and is ready when it runs.
    """
    if port is None:
        return HealthProbe(
            is_answering=lambda _: False,
            question=b"",
            long_question=None,
            version=lambda _: called_as,
            listens=False,
        )
    if kind is None:
        return HealthProbe(
            is_answering=lambda _: True,
            question=b"GET / HTTP/1.0\r\n\r\n",
            long_question=partial(http_question, "/"),
            version=lambda _: called_as,
        )
    known = COMPONENTS[kind].probe
    return HealthProbe(
        is_answering=lambda at: known.round_trip_s(at, _ANSWERS_WITHIN_S) >= 0,
        greets=known.greets,
        question=known.question,
        long_question=known.long_question,
        version=lambda _: called_as,
    )


def engine_options(service: ComposeService, volumes: Mapping[str, str]) -> dict[str, Any]:
    """Return what the engine's client is told of a service's container.

    Args:
        service: Which.
        volumes: What each of the file's volumes is called in the engine.
    """
    options = dict(service.options)
    if service.entrypoint is not None:
        options["entrypoint"] = list(service.entrypoint)
    if service.health is not None:
        options["healthcheck"] = _check(service.health)
    if "ulimits" in options:
        options["ulimits"] = [Ulimit(**each) for each in options["ulimits"]]
    if service.mounts:
        options["mounts"] = [_mounted(each, volumes) for each in service.mounts]
    return options


def _mounted(mount: Mount, volumes: Mapping[str, str]) -> EngineMount:
    source = mount.source if mount.kind == "bind" else volumes.get(mount.source) if mount.kind == "volume" else None
    return EngineMount(mount.target, source, type=mount.kind, read_only=mount.is_read_only)


def _check(health: HealthCheck) -> dict[str, Any]:
    """Return a check in the engine's own form: nanoseconds. Source: Docker Engine API 1.41, HealthConfig."""
    if health.is_off:
        return {"test": ["NONE"]}
    return {
        **({"test": list(health.test)} if health.test else {}),
        "interval": round(health.interval_s * 1e9),
        "timeout": round(health.timeout_s * 1e9),
        "retries": health.retries,
        "start_period": round(health.start_period_s * 1e9),
    }


@dataclass(kw_only=True)
class _Building:
    """A stack of a compose file that is being started, step by step.

    Attributes:
        blueprint: What is to stand.
        workspace: What it stands on.
        clock: The time.
        began_s: When all began.
        client: Of the engine.
        leaving: Told of all that is to be undone.
        wiring: Who reaches whom.
        images: Of what stands around the services, by role.
        references: The image of each service.
        home: The network of proxy and load balancer.
        services: What stays, by name.
        jobs: What ends by itself.
        began: When each was started.
        ready: When each was first seen ready.
        startup: What is said of each part.
        edges: Those that were opened.
        counted: By which key the meter counts each edge.
        networks: Those of each process.
        server: The proxy, once it runs.
    """

    blueprint: Blueprint
    workspace: Workspace
    clock: Clock
    began_s: float
    client: DockerClient
    leaving: ExitStack
    wiring: Wiring
    images: Mapping[str, str]
    references: Mapping[str, str]
    home: Network
    services: dict[str, Container] = field(default_factory=dict)
    jobs: dict[str, Container] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    startup: list[Startup] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    counted: dict[str, str] = field(default_factory=dict)
    networks: dict[str, list[Network]] = field(default_factory=dict)
    server: ProxyServer = field(init=False)

    def __post_init__(self) -> None:
        """Reserve where everything is reached from here."""
        self.composed = self.wiring.composed
        self.doors = self.wiring.doors()
        self.looks = open_ports(self.doors)
        self.published = {door: reserve() for door in self.looks}
        replicas = self.wiring.processes(self.wiring.judged)
        self.balanced = {name: (FIRST_DOOR + number, reserve()) for number, name in enumerate(replicas)}

    def start_around(self) -> None:
        """Start the proxy, let it into the network of every process, and open every door."""
        contained = proxy.contained(self.images["proxy"], self.blueprint.seed, dict(self.balanced.values()))
        toxiproxy = self._start(contained, self.home)
        self._wait(toxiproxy)
        meter = contained.published[proxy.METER_PORT]
        self.server = ProxyServer(contained.direct, Meter(meter, self.counted))
        for service in self.composed.services:
            for process in self.wiring.processes(service):
                self.networks[process] = self._networks(service, process)
                self._open_all(process, toxiproxy)
        for replica, (port, listen) in self.balanced.items():
            edge = Edge(ENTRY, replica, listen, client_address=Address(PROXY, port))
            self._create(edge.name, Address(_itself(replica), self.wiring.port), Address(ANYWHERE, port))
            self.counted[edge.name] = str(port)
            self.edges.append(edge)

    def _open_all(self, process: str, toxiproxy: Container) -> None:
        """Let the proxy into the networks of a process, by every name that the process knows, and open its doors."""
        for number, network in enumerate(self.networks[process]):
            here = [door for door in self.doors if (door.client, door.room) == (process, number)]
            at = toxiproxy.join(network, tuple(name for door in here for name in door.names))
            for door in here:
                self._open(door, at)

    def _networks(self, service: str, process: str) -> list[Network]:
        """Make the networks of a process: one, and one more for each further room of its doors."""
        is_internal = self.composed.services[service].is_internal
        rooms = 1 + max((door.room for door in self.doors if door.client == process), default=0)
        names = [process, *(f"{process}-{number}" for number in range(1, rooms))]
        return [network_for(self.workspace, name, is_internal=is_internal) for name in names]

    def _open(self, door: Door, at: str) -> None:
        """Let the proxy listen where a process looks for a service."""
        is_judged = door.server == self.wiring.judged
        server = ENTRY if is_judged else self.wiring.processes(door.server)[0]
        upstream = Address(_itself(server), nginx.PORT if is_judged else door.port)
        listen = Address(at, door.port)
        if door.is_edge:
            edge = Edge(door.client, called(door.server), self.published[door], client_address=listen)
            self.edges.append(edge)
            self.counted[edge.name] = str(listen)
            self._create(edge.name, upstream, listen)
        else:
            self._create(f"passage-{door.client}-{server}-{door.port}", upstream, listen)

    def _create(self, name: str, upstream: Address, listen: Address) -> None:
        self.server.create(name, upstream, listen)

    def start_services(self) -> None:
        """Start every service when what it waits for has come about, and then wait until all are ready."""
        volumes = self._volumes()
        for step in steps_of(self.composed.services):
            for name, until in step.awaits:
                self._await(name, until)
            for name in step.starts:
                self._start_service(name, volumes)
        self._start_balancer()
        self._wait_until_all_are_ready()

    def _volumes(self) -> dict[str, str]:
        """Make a fresh volume for each of the file's; the project's own are never touched."""
        mounts = [mount for each in self.composed.services.values() for mount in each.mounts]
        sources = {each.source for each in mounts if each.kind == "volume" and each.source}
        names = {source: f"{self.workspace.work.name}-{source}" for source in sources}
        with speaking("make a volume"):
            for name in names.values():
                self.client.volumes.create(name, labels={RUN_LABEL: self.workspace.run_id})
        return names

    def _start_service(self, name: str, volumes: Mapping[str, str]) -> None:
        for process in self.wiring.processes(name):
            self._start(
                self._recipe(name, process, volumes), *self.networks[process], is_job=name in self.composed.jobs
            )

    def _start(self, recipe: ContainerRecipe, *networks: Network, is_job: bool = False) -> Container:
        """Start one container in its networks; the first is the one that its ports are published of."""
        first, *further = networks
        host = ContainerHost(workspace=self.workspace, network=first, base=self.images["base"], further=tuple(further))
        container = Container(recipe, host)
        (self.jobs if is_job else self.services)[recipe.name] = container
        self.leaving.callback(container.leave)
        self.began[recipe.name] = self.clock.now()
        container.start()
        return container

    def _wait(self, service: Container) -> None:
        """Wait for a part that is the harness's own."""
        (self.ready[service.name],) = wait_until_ready([service], clock=self.clock)
        self._note(service)

    def _note(self, service: Container) -> None:
        began_s, ready_s = self.began[service.name], self.ready[service.name]
        since_s, took_s, version = began_s - self.began_s, ready_s - began_s, service.version()
        self.startup.append(Startup(part=service.name, began_s=since_s, took_s=took_s, version=version))

    def _recipe(self, name: str, process: str, volumes: Mapping[str, str]) -> ContainerRecipe:
        """Describe one process of a service, with what the harness looks through beside it."""
        service, is_judged = self.composed.services[name], name == self.wiring.judged
        looks = {port: door for door, port in self.looks.items() if door.client == process}
        port = self.wiring.main.get(name, subjects.PORT)
        kind, image = self.wiring.kinds.get(name), self.references[name]
        through = [f"{at}={door.names[0]}:{door.port}" for at, door in looks.items()]
        script = Path(doors_script.__file__).read_text(encoding="utf-8")
        return ContainerRecipe(
            name=process,
            image=image,
            port=port,
            published={port: reserve(), **{at: self.published[door] for at, door in looks.items()}},
            probe=self._probe(name, kind, image),
            command=service.command,
            environment={**service.environment, **(self._of_subject(process) if is_judged else {})},
            files=service.files,
            memory_mib=None,
            options=engine_options(service, volumes),
            sandbox_options=service.of_network,
            sandbox=["python3", "-c", script, *through] if through else IDLE,
            aliases=(_itself(process), *({name, *service.aliases} - {process})),
            is_checked=not is_judged and kind is None and service.health is not None and not service.health.is_off,
            ready_within_s=self._patience_s(service, is_judged=is_judged),
        )

    def _probe(self, name: str, kind: str | None, image: str) -> HealthProbe:
        if name == self.wiring.judged:
            return subjects.health(self.blueprint.subject.ready, f"{name} in {image}")
        return probe_of(kind, self.wiring.main.get(name), f"{name} in {image}")

    def _of_subject(self, process: str) -> dict[str, str]:
        """Return the variables that readiness.toml gives to the judged service besides."""
        placeholders = self.blueprint.placeholders(process, {})
        return {**subjects.environment_in_a_container(self.blueprint.subject, placeholders), **self.blueprint.hidden}

    def _patience_s(self, service: ComposeService, *, is_judged: bool) -> float:
        if is_judged:
            return self.blueprint.subject.ready_within
        return max(OTHERS_READY_WITHIN_S, service.health.patience_s if service.health else 0.0)

    def _await(self, name: str, until: Condition) -> None:
        for process in self.wiring.processes(name):
            if until is Condition.COMPLETED:
                self._await_end(self.jobs[process], name)
            elif until is Condition.HEALTHY:
                self._await_health((self.jobs if name in self.composed.jobs else self.services)[process], name)

    def _await_end(self, job: Container, name: str) -> None:
        """Wait until a job has ended well, and note how long it took."""
        if job.name not in self.ready:
            where = self.composed.services[name].line
            job.wait_for_its_end(within_s=self.blueprint.subject.init_within, clock=self.clock, where=where)
            self.ready[job.name] = self.clock.now()
            self._note(job)

    def _await_health(self, service: Container, name: str) -> None:
        """Wait until the engine's own check finds a service healthy.

        Raises:
            NotReadyError: If it does not, or there is no check; SubjectError if it is the judged one.
        """
        seen = list[str | None]()

        def is_decided() -> bool:
            seen.append(service.health())
            return seen[-1] in {HEALTHY, UNHEALTHY, None} or not service.is_alive()

        patience_s = self._patience_s(self.composed.services[name], is_judged=False)
        is_met_within(is_decided, deadline_s=patience_s, clock=self.clock, every_s=0.1)
        if seen[-1] == HEALTHY:
            self.ready.setdefault(service.name, self.clock.now())
            return
        told = f"is not healthy: its check says {seen[-1]!r}" if seen[-1] else "has no health check to wait for"
        what = f"{service.name} {told}"
        error = SubjectError if name == self.wiring.judged else NotReadyError
        raise error(what, where=self.composed.services[name].line, fix=its_last_words(service.logs(TAIL)))

    def _start_balancer(self) -> None:
        addresses = [Address(PROXY, port) for port, _ in self.balanced.values()]
        system = self.blueprint.system
        contained = nginx.contained(self.images["nginx"], addresses, sticky=system.sticky, balancer=system.balancer)
        self._wait(self._start(dataclasses.replace(contained, aliases=(_itself(ENTRY),)), self.home))

    def _wait_until_all_are_ready(self) -> None:
        judged = {*self.wiring.processes(self.wiring.judged)}
        waiting = [each for each in self.services.values() if each.name not in {PROXY, ENTRY}]
        alibi = start_alibi(
            [each for each in waiting if each.name in judged],
            self.services.values(),
            self.clock,
            lambda each: self._is_refusing(each.name, each.direct),
        )
        ready = wait_until_ready(
            waiting, clock=self.clock, is_its_own_doing=lambda each: each.name in judged, alibi=alibi
        )
        for service, ready_s in zip(waiting, ready, strict=True):
            self.ready.setdefault(service.name, ready_s)
            self._note(service)

    def _is_refusing(self, name: str, at: Address) -> bool:
        is_judged = name in self.wiring.processes(self.wiring.judged)
        return is_judged and subjects.health(self.blueprint.subject.ready, name).is_refusing(at)

    def stack(self) -> Stack:
        """Return it, as it runs."""
        replicas = self.wiring.processes(self.wiring.judged)
        return Stack(
            backend="containers",
            services={**self.services},
            edges=tuple(self.edges),
            proxy=self.server,
            entry=self.services[ENTRY].direct,
            startup=tuple(self.startup),
            clocks=subjects.clocks(list(replicas), self.blueprint.subject, lambda _: IN_A_CONTAINER),
            configure=self._configure,
        )

    def _configure(self, without: Collection[str]) -> None:
        left = [Address(PROXY, port) for name, (port, _) in self.balanced.items() if name not in without]
        system = self.blueprint.system
        text = nginx.configuration_inside(left, sticky=system.sticky, balancer=system.balancer)
        put_text(str(self.services[ENTRY].identity()["container"]), nginx.PLACE, text, self.client)


def _itself(process: str) -> str:
    """Return the name by which the proxy finds a process, which nobody else has."""
    return f"itself.{process}"
