"""A compose file: the services that stand beside the one that is built here, and what that one is told of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.deployment.compose import read_compose
from harness.errors import SpecError
from harness.onboarding.argv import argv_from, argv_of, environment_for
from harness.onboarding.clue import Needed, Start, Variable
from harness.onboarding.traces import kind_of_image
from harness.stack.components import COMPONENTS
from harness.stack.wiring import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.deployment.compose import Compose, Service
    from harness.onboarding.folder import Folder

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")

_LISTENING = re.compile(r"(?<!\d)\d{2,5}(?!\d)")


def starts(folder: Folder) -> Iterator[Start]:
    """Return the commands of the services that are built here, as far as the file says them."""
    name, compose = _read(folder)
    for service in compose.services if compose else ():
        argv = _argv(service) if service.part("build") is not None else None
        if argv:
            yield Start(kind="command", runs=argv, seen_in=f"{name}, {service.name}", environment=environment_for(argv))


def composed(folder: Folder) -> Iterator[Start]:
    """Return the services that the file itself can run to be judged: those that listen and are no store that is known.

    What is built here comes first: it is what a project is about.
    """
    name, compose = _read(folder)
    services = compose.services if compose else ()
    known = {each.name: kind for each in services if (kind := kind_of_image(_word_of(each)))}
    idle = {each.name for each in services if each.items("profiles")}
    for service in sorted(services, key=lambda each: each.part("build") is None):
        ports = [
            port for key in ("expose", "ports") for each in service.items(key) if (port := _inside(each)).isdecimal()
        ]
        if service.name not in known and ports:
            beside = (
                Needed(called(other), f"{name}, {other}")
                for other, kind in known.items()
                if kind in COMPONENTS and other not in idle
            )
            yield Start(
                kind="service",
                runs=service.name,
                seen_in=f"{name}, line {service.line()}",
                compose=name,
                port=int(ports[0]),
                beside=tuple(beside),
            )


def needs(folder: Folder) -> Iterator[Needed]:
    """Return what the images of the other services are."""
    name, compose = _read(folder)
    for service in compose.services if compose else ():
        word = _word_of(service)
        kind = kind_of_image(word)
        if kind:
            yield Needed(kind, f"{word} in {name}, line {service.line('image')}")


def variables(folder: Folder) -> Iterator[Variable]:
    """Return the variables of the services that are built here, with the values that they have beside the others."""
    name, compose = _read(folder)
    for service in compose.services if compose else ():
        if service.part("build") is not None:
            for variable, value, key in service.variables():
                yield Variable(variable, value or "", f"{name}, line {service.line('environment', key)}")


def _word_of(service: Service) -> str:
    """Return what its image is called, without registry and tag."""
    return str(service.part("image") or "").rpartition("/")[2].partition(":")[0].partition("@")[0]


def _read(folder: Folder) -> tuple[str, Compose | None]:
    name = next((each for each in NAMES if folder.has(each)), "")
    try:
        return name, read_compose(folder.text(name), name=name) if name else None
    except SpecError:  # `readiness check` tells what is wrong with it; here it says nothing
        return name, None


def _argv(service: Service) -> tuple[str, ...] | None:
    """Return its command, with the port that it publishes where it listens."""
    said = service.part("command")
    argv = argv_from(said) if isinstance(said, list) else argv_of(said) if isinstance(said, str) else None
    ports = {_inside(port) for port in service.items("ports")} - {""}
    return argv and tuple(
        _LISTENING.sub(lambda found: "{port}" if found[0] in ports else found[0], word) for word in argv
    )


def _inside(port: Any) -> str:
    """Return the port in the container of one that is published, in either form."""
    if isinstance(port, dict):
        return str(port.get("target", ""))
    return str(port).partition("/")[0].rpartition(":")[2]
