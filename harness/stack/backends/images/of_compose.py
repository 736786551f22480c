"""The images of the services of a compose file: ready ones, of the engine or a registry, and those that are built.

What is built is named for all that goes in, as our own service's image is, so that a stale one cannot be judged; the
name that the file gives it is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.clock import SystemClock
from harness.errors import MissingError
from harness.stack.backends.images.building import build
from harness.stack.backends.images.context import of_project
from harness.stack.backends.images.plan import Plan, named
from harness.stack.backends.images.registry import Registries, pull
from harness.stack.backends.images.resolving import ANSWER_WITHIN_S, Search, in_engine
from harness.stack.wiring import called

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker import DockerClient

    from harness.spec.composed import Composed, ComposeService
    from harness.spec.system import System


def references(client: DockerClient, composed: Composed, project: Path) -> dict[str, str]:
    """Return the image of each service, all in the engine.

    Raises:
        MissingError: If one is not; it names the service.
    """
    found = {name: _reference(service, project) for name, service in composed.services.items()}
    for name, reference in found.items():
        if in_engine(client, reference) is None:
            where, fix = composed.services[name].line, "run it again: what is missing is pulled or built first"
            raise MissingError(f"no image for {name}: there is no {reference}", where=where, fix=fix)
    return found


def had(client: DockerClient, system: System, project: Path, say: Callable[[str], object]) -> Iterator[str]:
    """Have the image of each service: build it, or pull it; yield a sentence for each that was not there.

    Raises:
        MissingError: If one is nowhere; it names the service.
        StackError: If one cannot be built; it says why, with the build's last words.
    """
    composed, clock = system.composed, SystemClock()
    if composed is None:
        return
    registries = Registries(client, within_s=ANSWER_WITHIN_S, clock=clock)
    for service in composed.services.values():
        began_s, reference = clock.now(), _reference(service, project)
        if in_engine(client, reference) is not None:
            continue
        how = (
            _build(service, client, system, project, say) if service.build else _pull(service, client, registries, say)
        )
        yield f"{service.name}: {how} {reference} in {clock.now() - began_s:.0f} s"


def _build(
    service: ComposeService, client: DockerClient, system: System, project: Path, say: Callable[[str], object]
) -> str:
    build(_plan(service, project), Search.of(client, system, project), say)
    return "built"


def _pull(service: ComposeService, client: DockerClient, registries: Registries, say: Callable[[str], object]) -> str:
    reference = str(service.image)
    why_not = registries.why_not(reference)
    if why_not:
        what, fix = f"no image for {service.name}: there is no {reference} here, and {why_not}", "load it, or build it"
        raise MissingError(what, where=service.line, fix=f"{fix}: docker load, or docker build --tag {reference} …")
    say(f"{service.name}: pulling {reference}")
    pull(client, reference)
    return "pulled"


def _reference(service: ComposeService, project: Path) -> str:
    """Return what the engine is asked for: what a service is built as, else the image that the file names."""
    return _plan(service, project).reference if service.build else str(service.image)


def _plan(service: ComposeService, project: Path) -> Plan:
    """Return how the image of a service is built.

    Raises:
        SpecError: If its Dockerfile is not there, or its folder is too large.
    """
    made_of = service.build
    assert made_of is not None  # noqa: S101 - who asks has seen that it is built
    pieces = of_project(project / made_of.context, made_of.dockerfile, where=f"{service.line}.build")
    plan = Plan(
        role=f"of-{called(service.name)}",
        reference="",
        pieces=pieces,
        dockerfile=made_of.dockerfile,
        args=made_of.args,
        target=made_of.target,
        is_theirs=True,
    )
    told = (f"{name}={value}" for name, value in sorted(made_of.args.items()))
    return named(plan, *told, made_of.target or "")
