"""The whole system as local processes, from PyPI wheels: for machines where no Docker engine answers.

load ──► nginx ──► [replica-1 │ replica-2] ──► [redis, postgres, …]
every arrow after nginx is an edge: a connection through the fault proxy that can be hurt alone
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import NotReadyError, SubjectError
from harness.history.marks import Startup
from harness.stack import nginx, proxy, subjects
from harness.stack.backends.disk import KeptDisk
from harness.stack.backends.job import Job
from harness.stack.backends.process import LocalProcess
from harness.stack.blueprint import ENTRY
from harness.stack.clock_file import local_file
from harness.stack.ports import reserve
from harness.stack.proxy import ProxyServer
from harness.stack.ready import StartAlibi, check_is_alive, start_alibi, wait_until_ready
from harness.stack.recipe import with_variables
from harness.stack.service import Edge, Workspace
from harness.stack.stack import Stack, Standby, standby_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.clock import Clock
    from harness.stack.blueprint import Blueprint
    from harness.stack.disk import Disk
    from harness.stack.recipe import Recipe
    from harness.stack.replication import Replication
    from harness.stack.service import Address, Service
    from harness.stack.subjects import Process


@contextmanager
def embedded_stack(blueprint: Blueprint, *, workspace: Workspace, clock: Clock) -> Iterator[Stack]:
    """Start everything, yield it ready, and leave nothing running on any exit.

    The proxy, the components and what prepares some of them start at once; then those that were prepared; then comes
    what the service wants to be done once; then its processes, with nginx.

    Args:
        blueprint: What to start.
        workspace: Where.
        clock: The time.

    Raises:
        SubjectError: If the judged service does not start, by itself.
        StackError: If a program is missing, or another part dies or is not ready in time.
    """
    described = _recipes(blueprint, workspace)
    with ExitStack() as leaving:
        judged = frozenset(each.name for each in (*blueprint.workers, *blueprint.replicas))
        building = _Building(workspace, clock, clock.now(), leaving, judged)
        components = [building.on_its_disk(recipe, blueprint.disks) for recipe in described]
        prepared = [recipe for recipe in components if recipe.preparation]
        proxy_api = reserve()
        jobs = [building.job(recipe) for recipe in prepared]
        building.start(*(recipe for recipe in components if not recipe.preparation))
        building.start(proxy.local(proxy_api, blueprint.seed))
        building.wait_until_ready()
        for recipe, wait in zip(prepared, jobs, strict=True):
            wait()
            building.start(recipe)
        building.wait_until_ready()
        server = ProxyServer(proxy_api)
        standbys = building.standbys(blueprint, server)
        building.run_to_its_end(blueprint)
        workers = [building.process(each, blueprint, server) for each in blueprint.workers]
        replicas = [building.process(each, blueprint, server) for each in blueprint.replicas]
        edges = [building.edge(server, ENTRY, recipe) for recipe in replicas]
        doors = {edge.server: edge.listen for edge in edges}
        sticky, limits = blueprint.system.sticky, blueprint.system.balancer
        balancer = nginx.local(workspace, list(doors.values()), sticky=sticky, balancer=limits)
        building.start(*workers, *replicas, balancer)
        building.wait_until_ready()
        for worker in workers:  # being alive is all that is known of one; by now it would have ended if it cannot run
            check_is_alive(building.services[worker.name])
        yield Stack(
            backend="embedded",
            services={**building.services},
            edges=tuple(building.edges),
            proxy=server,
            entry=building.services[ENTRY].direct,
            startup=tuple(building.startup),
            kinds=blueprint.system.kinds,
            standbys=standbys,
            clocks=subjects.clocks(
                [each.name for each in replicas], blueprint.subject, lambda name: str(local_file(workspace, name))
            ),
            disks=building.disks,
            configure=lambda without: nginx.configure(
                workspace,
                balancer.address,
                [doors[each] for each in doors if each not in without],
                sticky=sticky,
                balancer=limits,
            ),
        )


def _recipes(blueprint: Blueprint, workspace: Workspace) -> list[Recipe]:
    """Describe every component; all programs, also the service's own, are found before anything is made for one."""
    subjects.check_is_here(blueprint.subject, workspace.project)
    found = [(name, each, each.program.find(workspace.project)) for name, each in blueprint.components.items()]
    recipes = [component.local(name, program, workspace) for name, component, program in found]
    return [_with_standby(recipe, blueprint) for recipe in recipes]


def _with_standby(recipe: Recipe, blueprint: Blueprint) -> Recipe:
    """Tell a component that it will have a standby, if so."""
    replicates = blueprint.system.standbys.get(recipe.name)
    if replicates is None:
        return recipe
    return blueprint.replication_of(recipe.name).local_primary(recipe, standby_of(recipe.name), replicates)


@dataclass
class _Building:
    """A stack that is being started, step by step."""

    workspace: Workspace
    clock: Clock
    began_s: float
    leaving: ExitStack
    judged: frozenset[str]
    recipes: dict[str, Recipe] = field(default_factory=dict)
    services: dict[str, LocalProcess] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    disks: dict[str, Disk] = field(default_factory=dict)
    startup: list[Startup] = field(default_factory=list)
    waiting: list[tuple[LocalProcess, float]] = field(default_factory=list)

    def on_its_disk(self, recipe: Recipe, sizes: Mapping[str, int]) -> Recipe:
        """Return how a component is run that sees the disk which it is to have for itself, once that is there."""
        if recipe.name not in sizes or recipe.data is None:
            return recipe
        size_bytes = sizes[recipe.name]
        kept = KeptDisk(recipe.name, recipe.data, size_bytes, user=recipe.user, workspace=self.workspace)
        self.leaving.callback(kept.kill)
        self.disks[recipe.name] = kept.wait(self.clock)
        return replace(recipe, disk=kept.pid)

    def job(self, recipe: Recipe) -> Callable[[], None]:
        """Start what prepares a component; return what waits for it."""
        preparation = recipe.preparation
        assert preparation is not None  # noqa: S101 - the caller asks for those that have one
        where = f"the preparation of {recipe.name}"
        prepared = replace(recipe, argv=preparation.argv)
        return self._run(preparation.name, prepared, where=where, within_s=preparation.within_s, error=NotReadyError)

    def standbys(self, blueprint: Blueprint, server: ProxyServer) -> dict[str, Standby]:
        """Start every standby, each with an edge of its own to its primary, and wait until all follow."""
        found = {name: self._standby(name, blueprint, server) for name in blueprint.system.standbys}
        recipes = [recipe for recipe, _ in found.values()]
        jobs = [self.job(recipe) for recipe in recipes if recipe.preparation]
        for wait in jobs:
            wait()
        self.start(*recipes)
        self.wait_until_ready()
        return {
            name: Standby(service=self.services[recipe.name], upstream=recipe.address, replication=replication)
            for name, (recipe, replication) in found.items()
        }

    def _standby(self, name: str, blueprint: Blueprint, server: ProxyServer) -> tuple[Recipe, Replication]:
        """Describe the standby of a component, and tell how it is promoted."""
        primary, replication = self.recipes[name], blueprint.replication_of(name)
        door = self.edge(server, standby_of(name), primary).client_address
        return replication.local_standby(standby_of(name), primary, door, self.workspace), replication

    def run_to_its_end(self, blueprint: Blueprint) -> None:
        """Run what the service wants to be done before its first replica, one after the other, and note how long.

        It reaches the components directly, since nothing is hurt yet.
        """
        given = {name: self.recipes[name].address for name in blueprint.components}
        for process in blueprint.init:
            began_s = self.clock.now()
            recipe = self._described(process, blueprint, given)
            within_s = blueprint.subject.init_within
            self._run(process.name, recipe, where=process.key, within_s=within_s, error=SubjectError)()
            since_s, took_s = began_s - self.began_s, self.clock.now() - began_s
            version = recipe.probe.version(recipe.address)
            self.startup.append(Startup(part=process.name, began_s=since_s, took_s=took_s, version=version))

    def _run(
        self, name: str, recipe: Recipe, *, where: str, within_s: float, error: type[NotReadyError]
    ) -> Callable[[], None]:
        """Start a program that ends by itself; return what waits for it."""
        job = Job(
            name,
            recipe.argv,
            workspace=self.workspace,
            log=self.workspace.logs / f"{recipe.name}.log",
            where=where,
            error=error,
            environment=recipe.environment,
            cwd=recipe.cwd,
            user=recipe.user,
            disk=recipe.disk,
        )
        self.leaving.callback(job.kill)  # where something fails before it is waited for
        return partial(job.wait, within_s=within_s, clock=self.clock)

    def start(self, *recipes: Recipe) -> None:
        """Start these at once; `wait_until_ready` waits for all that were started since it was last called."""
        for recipe in recipes:
            service = LocalProcess(recipe, self.workspace)
            self.recipes[recipe.name] = recipe
            self.services[recipe.name] = service
            self.leaving.callback(service.stop)
            self.waiting.append((service, self.clock.now()))
            service.start()

    def wait_until_ready(self) -> None:
        """Wait for all that are waiting, and note how long each took."""
        services = [service for service, _ in self.waiting]
        ready = wait_until_ready(
            services, clock=self.clock, is_its_own_doing=self._is_its_own_doing, alibi=self._alibi(services)
        )
        for (service, began_s), ready_s in zip(self.waiting, ready, strict=True):
            since_s = began_s - self.began_s
            part = Startup(part=service.name, began_s=since_s, took_s=ready_s - began_s, version=service.version())
            self.startup.append(part)
        self.waiting.clear()

    def _alibi(self, services: Sequence[LocalProcess]) -> StartAlibi | None:
        """Look at the machine while processes of the judged service are among what starts."""
        judged = [each for each in services if each.name in self.judged]
        return start_alibi(
            judged,
            self.services.values(),
            self.clock,
            lambda each: self.recipes[each.name].probe.is_refusing(each.direct),
        )

    def _is_its_own_doing(self, service: Service) -> bool:
        is_taken = isinstance(service, LocalProcess) and service.is_address_taken()
        return service.name in self.judged and not is_taken

    def edge(self, server: ProxyServer, client: str, upstream: Recipe) -> Edge:
        """Open an edge from `client` to what `upstream` describes, which need not run yet."""
        listen = server.create(f"{client}.{upstream.name}", upstream.address)
        edge = Edge(client, upstream.name, listen, client_address=listen)
        self.edges.append(edge)
        return edge

    def process(self, process: Process, blueprint: Blueprint, server: ProxyServer) -> Recipe:
        """Describe one process of the service, with an edge of its own to each component."""
        edges = {each: self.edge(server, process.name, self.recipes[each]) for each in blueprint.components}
        return self._described(process, blueprint, {name: edge.client_address for name, edge in edges.items()})

    def _described(self, process: Process, blueprint: Blueprint, given: Mapping[str, Address]) -> Recipe:
        placeholders = blueprint.placeholders(process.name, given)
        return with_variables(
            subjects.local(process, blueprint.subject, self.workspace, placeholders), blueprint.hidden
        )
