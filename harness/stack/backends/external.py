"""A stack around a service that runs already: a fault proxy on the paths that it was given, and nothing else.

load ──► subject ──► [redis, …]
the arrows after the subject are edges where it was given proxies, and unknown otherwise
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.history.marks import Startup
from harness.stack import proxy
from harness.stack.backends.elsewhere import processes_elsewhere
from harness.stack.backends.process import LocalProcess
from harness.stack.components import COMPONENTS
from harness.stack.ports import reserve
from harness.stack.proxy import ProxyServer
from harness.stack.ready import wait_until_ready
from harness.stack.service import Edge
from harness.stack.stack import SUBJECT, Stack
from harness.stack.subjects import health
from harness.stack.subjects.external import ExternalService, address_of, address_of_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.clock import Clock
    from harness.spec.system import ProxiedDependency
    from harness.stack.blueprint import Blueprint
    from harness.stack.service import Service, Workspace


@contextmanager
def external_stack(blueprint: Blueprint, *, workspace: Workspace, clock: Clock) -> Iterator[Stack]:
    """Open the paths that the subject was given, and wait until it answers; see `embedded_stack` for the arguments.

    Raises:
        StackError: If a path cannot be opened, the subject or what is at the end of one does not answer, a process that
            commands hit does not serve, or a program of theirs is not there.
    """
    began_s, within_s = clock.now(), blueprint.subject.ready_within
    elsewhere = processes_elsewhere(blueprint.subject, workspace.project)
    server = LocalProcess(proxy.local(reserve(), blueprint.seed), workspace)
    try:
        server.start()
        wait_until_ready([server], clock=clock)
        paths = ProxyServer(server.direct)
        edges = [_opened(name, each, paths) for name, each in blueprint.subject.proxies.items()]
        ends = [_end_of(name, each, within_s) for name, each in blueprint.subject.proxies.items()]
        subject = _subject(blueprint, within_s, workspace.project)
        ready_s = wait_until_ready([*ends, subject], clock=clock)
        for each in elsewhere.values():
            each.wait_until_it_serves(clock, "before the load")
        services: list[Service] = [server, *ends, subject]
        yield Stack(
            backend="embedded",
            services={each.name: each for each in services},
            edges=tuple(edges),
            proxy=paths,
            entry=subject.direct,
            elsewhere=elsewhere,
            startup=tuple(
                Startup(part=each.name, began_s=0.0, took_s=at_s - began_s, version=each.version())
                for each, at_s in zip([*ends, subject], ready_s, strict=True)
            ),
        )
    finally:
        server.stop()


def _subject(blueprint: Blueprint, within_s: float, project: Path) -> ExternalService:
    probe = health(blueprint.subject.ready, f"external at {blueprint.subject.external}")
    return ExternalService(SUBJECT, address_of_service(blueprint.subject, project), probe, within_s)


def _opened(name: str, path: ProxiedDependency, server: ProxyServer) -> Edge:
    """Listen where the subject looks for something."""
    listen = server.create(f"{SUBJECT}.{name}", address_of(path.upstream), address_of(path.listen))
    return Edge(SUBJECT, name, listen, client_address=listen)


def _end_of(name: str, path: ProxiedDependency, within_s: float) -> ExternalService:
    return ExternalService(name, address_of(path.upstream), COMPONENTS[path.kind or name].probe, within_s)
