"""The whole system as containers, with the real Toxiproxy: where a Docker engine answers.

load ──► nginx ──► [replica-1 │ replica-2] ──► [redis, postgres, …]
every arrow after nginx is an edge: a connection through Toxiproxy that can be hurt alone

One network a run, in which each component goes by its name; ports are published on loopback only.
"""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.history.marks import Startup
from harness.stack import nginx, proxy, subjects
from harness.stack.backends.container import Container, ContainerHost, network_for
from harness.stack.backends.engine import connect, put_text, remove_all_of
from harness.stack.backends.images import resolve
from harness.stack.blueprint import ENTRY, edges_of
from harness.stack.clock_file import IN_A_CONTAINER
from harness.stack.ports import reserve
from harness.stack.proxy import ProxyServer
from harness.stack.ready import check_is_alive, start_alibi, wait_until_ready
from harness.stack.recipe import with_variables
from harness.stack.service import ANYWHERE, Address, Edge
from harness.stack.stack import Stack, Standby, standby_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from harness.clock import Clock
    from harness.stack.blueprint import Blueprint
    from harness.stack.recipe import ContainerRecipe
    from harness.stack.service import Workspace
    from harness.stack.subjects import Process

FIRST_DOOR = 20001
"""Toxiproxy listens for the edges on this port and those after it, inside."""


@contextmanager
def containers_stack(blueprint: Blueprint, *, workspace: Workspace, clock: Clock) -> Iterator[Stack]:
    """Start everything, yield it ready, and leave nothing on the engine on any exit; see `embedded_stack`.

    Raises:
        StackError: If no engine answers, an image is missing, or a part dies or is not ready in time.
    """
    client = connect()
    images = resolve(client, blueprint.system, workspace.project)
    with ExitStack() as leaving:
        leaving.callback(client.close)
        leaving.callback(remove_all_of, workspace.run_id, client)
        began_s = clock.now()
        host = ContainerHost(workspace=workspace, network=network_for(workspace), base=images["base"])
        building = _Building(host, clock, began_s, leaving)
        plan = _Plan(blueprint, images)
        toxiproxy = proxy.contained(images["proxy"], blueprint.seed, plan.doors)
        components = [each.contained(name, images[each.kind]) for name, each in blueprint.components.items()]
        building.start(*(plan.with_disk(plan.with_standby(each)) for each in components), toxiproxy)
        server = ProxyServer(toxiproxy.direct, plan.meter(toxiproxy.published[proxy.METER_PORT]))
        for edge in plan.edges:
            server.create(edge.name, plan.upstream(edge.server), Address(ANYWHERE, edge.client_address.port))
        following = [plan.standby(each) for each in components if each.name in blueprint.system.standbys]
        if following:
            building.start(*following)
        building.run_to_its_end(plan)
        workers = [plan.process(each) for each in blueprint.workers]
        replicas = [plan.process(each) for each in blueprint.replicas]
        doors = {edge.server: edge.client_address for edge in plan.edges if edge.client == ENTRY}
        sticky, limits = blueprint.system.sticky, blueprint.system.balancer
        balancer = nginx.contained(images["nginx"], list(doors.values()), sticky=sticky, balancer=limits)
        judged = {each.name for each in (*workers, *replicas)}
        building.start(*workers, *replicas, balancer, judged=judged)
        for worker in workers:
            check_is_alive(building.services[worker.name])
        yield Stack(
            backend="containers",
            services={**building.services},
            edges=plan.edges,
            proxy=server,
            entry=balancer.direct,
            startup=tuple(building.startup),
            kinds=blueprint.system.kinds,
            standbys={name: plan.standing_by(name, building.services) for name in blueprint.system.standbys},
            clocks=subjects.clocks([each.name for each in replicas], blueprint.subject, lambda _: IN_A_CONTAINER),
            disks={name: building.services[name].disk() for name in blueprint.disks},
            configure=lambda without: put_text(
                str(building.services[ENTRY].identity()["container"]),
                nginx.PLACE,
                nginx.configuration_inside(
                    [doors[each] for each in doors if each not in without], sticky=sticky, balancer=limits
                ),
                client,
            ),
        )


class _Plan:
    """Who talks to whom, by which door: known before anything runs, since ports are published at start."""

    def __init__(self, blueprint: Blueprint, images: Mapping[str, str]) -> None:
        self._blueprint = blueprint
        self._images = images
        pairs = edges_of(blueprint.system)
        self.doors = {FIRST_DOOR + number: reserve() for number in range(len(pairs))}
        self.edges = tuple(
            Edge(client, upstream, listen, client_address=Address("proxy", port))
            for (client, upstream), (port, listen) in zip(pairs, self.doors.items(), strict=True)
        )

    def upstream(self, server: str) -> Address:
        """Return where Toxiproxy finds what stands behind an edge."""
        component = self._blueprint.components.get(server)
        return Address(server, component.port if component else subjects.PORT)

    def with_standby(self, recipe: ContainerRecipe) -> ContainerRecipe:
        """Tell a component that it will have a standby, if so."""
        replicates = self._blueprint.system.standbys.get(recipe.name)
        if replicates is None:
            return recipe
        replication = self._blueprint.replication_of(recipe.name)
        return replication.contained_primary(recipe, standby_of(recipe.name), replicates)

    def with_disk(self, recipe: ContainerRecipe) -> ContainerRecipe:
        """Give a component the disk that it is to have for itself, if so."""
        return replace(recipe, disk_bytes=self._blueprint.disks.get(recipe.name))

    def standby(self, primary: ContainerRecipe) -> ContainerRecipe:
        """Describe the standby of a component, with an edge of its own to it."""
        name = standby_of(primary.name)
        door = next(edge.client_address for edge in self.edges if edge.client == name)
        return self._blueprint.replication_of(primary.name).contained_standby(name, primary, door)

    def standing_by(self, name: str, services: Mapping[str, Container]) -> Standby:
        """Return what can take the place of a component, where it runs."""
        standby = standby_of(name)
        at = Address(standby, self._blueprint.components[name].port)
        return Standby(service=services[standby], upstream=at, replication=self._blueprint.replication_of(name))

    def process(self, process: Process) -> ContainerRecipe:
        """Describe one process of the service, with an edge of its own to each component."""
        return self._described(process, {e.server: e.client_address for e in self.edges if e.client == process.name})

    def init(self) -> list[tuple[ContainerRecipe, float]]:
        """Describe what the service wants to be done before its first replica, and how long each of it may take.

        It reaches the components directly, since nothing is hurt yet.
        """
        given = {name: Address(name, component.port) for name, component in self._blueprint.components.items()}
        within_s = self._blueprint.subject.init_within
        return [(self._described(process, given), within_s) for process in self._blueprint.init]

    def _described(self, process: Process, given: Mapping[str, Address]) -> ContainerRecipe:
        placeholders = self._blueprint.placeholders(process.name, given)
        recipe = subjects.contained(process, self._blueprint.subject, self._images["service"], placeholders)
        return with_variables(recipe, self._blueprint.hidden)

    def meter(self, address: Address) -> Meter:
        """Return what counts the bytes on open connections, by edge."""
        return Meter(address, {edge.name: str(edge.client_address.port) for edge in self.edges})


@dataclass(frozen=True, slots=True)
class Meter:
    """The script `meter.py` in the proxy's sandbox.

    Attributes:
        address: Where it answers.
        ports: The port inside, by edge.
    """

    address: Address
    ports: Mapping[str, str]

    def __call__(self, edge: str) -> int:
        """Return what clients have sent through an edge on connections that are still open, in bytes.

        Raises:
            StackError: If it does not answer.
        """
        try:
            with socket.create_connection((self.address.host, self.address.port), timeout=5) as connection:
                counted = json.loads(connection.makefile("rb").read())
            return int(counted.get(self.ports[edge], 0))
        except (OSError, ValueError) as error:
            fix = "see proxy-sandbox.log: the kernel of the engine's machine must offer sock_diag"
            raise StackError(f"the meter does not answer: {error}", where=str(self.address), fix=fix) from error


@dataclass
class _Building:
    """A stack that is being started, step by step."""

    host: ContainerHost
    clock: Clock
    began_s: float
    leaving: ExitStack
    services: dict[str, Container] = field(default_factory=dict)
    startup: list[Startup] = field(default_factory=list)

    def run_to_its_end(self, plan: _Plan) -> None:
        """Run what the service wants to be done before its first replica, one after the other, and note how long."""
        for recipe, within_s in plan.init():
            began_s, container = self.clock.now(), Container(recipe, self.host)
            self.leaving.callback(container.leave)
            container.run_to_its_end(within_s=within_s, clock=self.clock)
            since_s, took_s = began_s - self.began_s, self.clock.now() - began_s
            version = recipe.probe.version(recipe.direct)
            self.startup.append(Startup(part=recipe.name, began_s=since_s, took_s=took_s, version=version))

    def start(self, *recipes: ContainerRecipe, judged: Collection[str] = ()) -> None:
        """Start these at once, and wait until all are ready; note how long each took.

        Args:
            recipes: What to start.
            judged: The names of those that are the judged service. A port that is taken is the engine's refusal.
        """
        services = [Container(recipe, self.host) for recipe in recipes]
        for service in services:
            self.services[service.name] = service
            self.leaving.callback(service.leave)
        began_s = self.clock.now()
        with ThreadPoolExecutor(len(services)) as pool:
            list(pool.map(Container.start, services))
        probes = {recipe.name: recipe.probe for recipe in recipes}
        alibi = start_alibi(
            [each for each in services if each.name in judged],
            self.services.values(),
            self.clock,
            lambda each: probes[each.name].is_refusing(each.direct),
        )
        ready = wait_until_ready(
            services, clock=self.clock, is_its_own_doing=lambda each: each.name in judged, alibi=alibi
        )
        since_s = began_s - self.began_s
        for service, ready_s in zip(services, ready, strict=True):
            part = Startup(part=service.name, began_s=since_s, took_s=ready_s - began_s, version=service.version())
            self.startup.append(part)
