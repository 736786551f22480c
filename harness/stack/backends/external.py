"""A stack around a service that runs already: fault proxies on the paths that it was given, and nothing else.

load ──► subject ──► [redis, …]
the arrows after the subject are edges where it was given proxies, and unknown otherwise

The proxies are ours, or those of a Toxiproxy that stands there already. What commands hit is no service of the stack.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.history.marks import Startup
from harness.stack import proxy
from harness.stack.backends.elsewhere import processes_elsewhere
from harness.stack.backends.lent import Lent
from harness.stack.backends.process import LocalProcess
from harness.stack.components import COMPONENTS
from harness.stack.ports import reserve
from harness.stack.proxy import ProxyServer
from harness.stack.ready import wait_until_ready
from harness.stack.service import Edge
from harness.stack.stack import SUBJECT, Stack
from harness.stack.subjects import health
from harness.stack.subjects.external import ExternalService, address_of, address_of_service, check_can_be_reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from harness.clock import Clock
    from harness.spec.system import ProxiedDependency
    from harness.stack.blueprint import Blueprint
    from harness.stack.service import Service, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paths:
    """The paths of a subject that runs already.

    Attributes:
        proxy: The fault proxy that stands on them.
        edges: Each of them.
        ends: What is at the end of each.
        started: The fault proxy as a service, where it is ours.
        check: Called once what is at their ends answers.
        mark: See `Stack.mark`.
    """

    proxy: ProxyServer
    edges: Sequence[Edge]
    ends: Sequence[ExternalService]
    started: Sequence[Service] = ()
    check: Callable[[], object] = lambda: None
    mark: str = ""


@contextmanager
def external_stack(blueprint: Blueprint, *, workspace: Workspace, clock: Clock) -> Iterator[Stack]:
    """Open the paths that the subject was given, and wait until it answers; see `embedded_stack` for the arguments.

    Raises:
        StackError: If a path cannot be opened, the subject or what is at the end of one does not answer, a process that
            commands hit does not serve, or a program of theirs is not there.
    """
    check_can_be_reached(blueprint.subject)
    within_s = blueprint.subject.ready_within
    elsewhere = processes_elsewhere(blueprint.subject, workspace.project)
    with _opened(blueprint, workspace, clock) as paths:
        subject = _subject(blueprint, within_s, workspace.project)
        wait_until_ready([*paths.ends, subject], clock=clock)
        paths.check()
        for each in elsewhere.values():
            each.wait_until_it_serves(clock, "before the load")
        services: list[Service] = [*paths.started, *paths.ends, subject]
        yield Stack(
            backend="embedded",
            services={each.name: each for each in services},
            edges=tuple(paths.edges),
            proxy=paths.proxy,
            entry=subject.direct,
            elsewhere=elsewhere,
            mark=paths.mark,
            startup=tuple(
                Startup(part=each.name, began_s=None, took_s=None, version=each.version())
                for each in [*paths.ends, subject]
            ),
        )


def _subject(blueprint: Blueprint, within_s: float, project: Path) -> ExternalService:
    probe = health(blueprint.subject.ready, f"external at {blueprint.subject.external}")
    return ExternalService(SUBJECT, address_of_service(blueprint.subject, project), probe, within_s)


@contextmanager
def _opened(blueprint: Blueprint, workspace: Workspace, clock: Clock) -> Iterator[_Paths]:
    """Open the subject's paths; those that stand there already are looked at, and stay."""
    if told := blueprint.subject.toxiproxy:
        lent = Lent(blueprint.system, told, blueprint.subject.ready_within)
        yield _Paths(
            proxy=lent.proxy,
            edges=lent.edges,
            ends=lent.ends,
            check=lambda: lent.check_it_counts(clock),
            mark=f"readiness-{workspace.run_id}-",
        )
        return
    server = LocalProcess(proxy.local(reserve(), blueprint.seed), workspace)
    try:
        server.start()
        wait_until_ready([server], clock=clock)
        paths, given = ProxyServer(server.direct), blueprint.subject.proxies
        edges = [_listening(name, each, paths) for name, each in given.items()]
        ends = [_end_of(name, each, blueprint.subject.ready_within) for name, each in given.items()]
        yield _Paths(proxy=paths, edges=edges, ends=ends, started=[server])
    finally:
        server.stop()


def _listening(name: str, path: ProxiedDependency, server: ProxyServer) -> Edge:
    """Listen where the subject looks for something."""
    listen = server.create(f"{SUBJECT}.{name}", address_of(path.upstream), address_of(path.listen))
    return Edge(SUBJECT, name, listen, client_address=listen)


def _end_of(name: str, path: ProxiedDependency, within_s: float) -> ExternalService:
    return ExternalService(name, address_of(path.upstream), COMPONENTS[path.kind or name].probe, within_s)
