"""The judged service: what its processes run, whatever they are written in, and how a replica is known."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from harness.stack.clock_file import IN_A_CONTAINER, ReplicaClock, local_file
from harness.stack.health_probe import HealthProbe
from harness.stack.http_client import get, http_question
from harness.stack.placeholders import substituted
from harness.stack.ports import reserve
from harness.stack.recipe import ContainerRecipe, Recipe
from harness.stack.service import ANYWHERE, Address
from harness.stack.stack import REPLICA
from harness.stack.subjects import asgi, wsgi
from harness.stack.subjects.command import filled_in, found
from harness.stack.subjects.external import check_can_be_reached
from harness.stack.subjects.module import check_application
from harness.stack.subjects.python import python_of, served_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from harness.spec.system import Subject
    from harness.stack.service import Workspace

PORT = 8000
"""Where a replica listens in a container."""

_ANSWER_WITHIN_S = 2.0
_OF_A_START = (None, httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE)
"""What a service that is starting says: nothing, or that it is not ready yet (RFC 9110, section 15.6.4)."""
_KEYS = "readiness.toml: system.subject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of the judged service.

    Attributes:
        name: Its name in the stack.
        command: Program and arguments; None for a replica that a server of ours serves.
        key: Which key of readiness.toml says so.
    """

    name: str
    command: tuple[str, ...] | None
    key: str


def replica(name: str, subject: Subject) -> Process:
    """Return a replica as a process."""
    return Process(name=name, command=subject.command, key=f"{_KEYS}.command")


def workers(subject: Subject) -> list[Process]:
    """Return every further process of the service; those of one name are numbered: `mailer-1`, `mailer-2`."""
    return [
        Process(name=f"{name}-{number + 1}", command=worker.command, key=f"{_KEYS}.workers.{name}.command")
        for name, worker in subject.workers.items()
        for number in range(worker.count)
    ]


def init(subject: Subject) -> list[Process]:
    """Return what is run once before the first replica, in its order."""
    commands = enumerate(subject.init)
    return [Process(name=f"init-{n + 1}", command=command, key=f"{_KEYS}.init[{n}]") for n, command in commands]


def check_is_here(subject: Subject, project: Path) -> None:
    """See that all that the service runs is on this machine, before anything is started for it.

    Raises:
        StackError: If one that runs already has a name that nobody knows, or a path that it was given is taken.
        MissingError: If a program, the server that serves it, or the application in its module is not.
    """
    if subject.external is not None:
        check_can_be_reached(subject)
        return
    for each in (replica("replica", subject), *workers(subject), *init(subject)):
        _program(each, subject, project)
    for kind, application in (("app", subject.app), ("wsgi", subject.wsgi)):
        if application:
            where, folder = f"{_KEYS}.{kind}", _folder(subject, project)
            is_ours = subject.python is None and "PYTHONPATH" not in subject.environment
            check_application(application, folder, where=where, is_ours=is_ours)


def local(process: Process, subject: Subject, workspace: Workspace, placeholders: Mapping[str, str]) -> Recipe:
    """Describe one process of the service as a local process.

    Args:
        process: Which.
        subject: The judged service.
        workspace: Where to run; an application is imported from its project folder.
        placeholders: What names such as `{redis.port}` stand for, beside `{host}` and `{port}`.

    Raises:
        MissingError: If its program, or the server that serves it, is not there.
    """
    address = reserve()
    known = {**placeholders, "host": address.host, "port": str(address.port)}
    return Recipe(
        name=process.name,
        argv=[
            _program(process, subject, workspace.project),
            *_arguments(process, subject, address, known, is_ours=subject.python is None),
        ],
        address=address,
        probe=_probe(process, subject, _described(process, subject, workspace)),
        environment=_environment(subject, known, str(local_file(workspace, process.name))),
        cwd=_folder(subject, workspace.project),
        ready_within_s=subject.ready_within,
    )


def contained(process: Process, subject: Subject, image: str, placeholders: Mapping[str, str]) -> ContainerRecipe:
    """Describe one process of the service as a container.

    Args:
        process: Which.
        subject: The judged service.
        image: Present in the engine; it holds what the process runs, or a `python` with the server that serves it.
        placeholders: What names such as `{redis.port}` stand for, beside `{host}` and `{port}`.
    """
    listen = Address(ANYWHERE, PORT)
    known = {**placeholders, "host": listen.host, "port": str(listen.port)}
    program = process.command[0] if process.command else "python"
    return ContainerRecipe(
        name=process.name,
        image=image,
        port=PORT,
        published={PORT: reserve()},
        command=[program, *_arguments(process, subject, listen, known, is_ours=True)],
        environment=_environment(subject, known, IN_A_CONTAINER),
        probe=_probe(process, subject, f"{_called(process, subject)} in {image}"),
        ready_within_s=subject.ready_within,
    )


def _program(process: Process, subject: Subject, project: Path) -> str:
    """Return the path of the program that a process runs on this machine."""
    python = python_of(subject, project)
    if process.command is None:
        served_by(_server(subject), python)
        return python
    return found(process.command[0], _folder(subject, project), where=process.key, beside=Path(python).parent)


def _arguments(
    process: Process, subject: Subject, listen: Address, known: Mapping[str, str], *, is_ours: bool
) -> list[str]:
    if process.command:
        return filled_in(process.command[1:], known)
    if subject.app:
        return asgi.arguments(subject.app, listen, is_factory=subject.factory, is_ours=is_ours)
    return wsgi.arguments(str(subject.wsgi), listen, is_factory=subject.factory)


def _server(subject: Subject) -> str:
    return asgi.SERVER if subject.app else wsgi.SERVER


def _called(process: Process, subject: Subject) -> str:
    return shlex.join(process.command) if process.command else str(subject.app or subject.wsgi)


def _described(process: Process, subject: Subject, workspace: Workspace) -> str:
    """Return what a process is, with the versions of what serves it."""
    if process.command:
        return _called(process, subject)
    return f"{_called(process, subject)} on {served_by(_server(subject), python_of(subject, workspace.project))}"


def _folder(subject: Subject, project: Path) -> Path:
    return project / subject.folder if subject.folder else project


def _environment(subject: Subject, known: Mapping[str, str], clock: str) -> dict[str, str]:
    said = {name: substituted(text, known) for name, text in subject.environment.items()}
    return {**said, subject.clock.variable: clock} if subject.clock else said


def environment_in_a_container(subject: Subject, placeholders: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that readiness.toml gives to a process of a compose file's service, beside those it has."""
    known = {**placeholders, "host": ANYWHERE, "port": str(subject.port)}
    return _environment(subject, known, IN_A_CONTAINER)


def clocks(names: Iterable[str], subject: Subject, file: Callable[[str], str]) -> dict[str, ReplicaClock]:
    """Return the clock of each replica, by name; none where they cannot be set off.

    Args:
        names: Of the replicas.
        subject: The judged service.
        file: Returns where a replica reads how far its clocks are off.
    """
    if subject.clock is None:
        return {}
    header = subject.clock.header
    return {name: ReplicaClock(file=file(name), path=subject.ready, header=header) for name in names}


def _probe(process: Process, subject: Subject, version: str) -> HealthProbe:
    """Return how a process is known: a replica by its health path, any other by running, which `Service` sees."""
    if not process.name.startswith(REPLICA):
        return HealthProbe(
            is_answering=lambda _: False, question=b"", long_question=None, version=lambda _: version, listens=False
        )
    return health(subject.ready, version)


def health(path: str, version: str) -> HealthProbe:
    """Return how something that answers HTTP is known."""
    return HealthProbe(
        is_answering=lambda address: _status(address, path) == httpx.codes.OK,
        question=f"GET {path} HTTP/1.0\r\n\r\n".encode(),
        long_question=partial(http_question, path),
        version=lambda _: version,
        is_refusing=lambda address: _status(address, path) not in _OF_A_START,
        seen=partial(_seen, path=path),
    )


def _status(address: Address, path: str) -> int | None:
    """Return what is answered to a GET; None if nothing is."""
    try:
        return get(address, path, within_s=_ANSWER_WITHIN_S).status_code
    except httpx.HTTPError:
        return None


def _seen(address: Address, path: str) -> str:
    try:
        return f"GET {path} was answered with {get(address, path, within_s=_ANSWER_WITHIN_S).status_code}"
    except httpx.HTTPError as error:
        why = f" over TLS: {error}" if address.tls is not None else ""  # most often who answers is not believed
        return f"GET {path} was not answered{why}"
