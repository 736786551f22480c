"""What of a system can be known to be wrong before anything starts, with the line of readiness.toml that says it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import SpecError
from harness.stack.blueprint import ALWAYS_THERE, Blueprint, processes_of, unknown_kind, wrong_standbys
from harness.stack.components import COMPONENTS
from harness.stack.placeholders import placeholders_in, unknown_in
from harness.stack.service import LOOPBACK, Address
from harness.stack.stack import MACHINE, REPLICAS, SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.spec.document import Document, KeyPath
    from harness.spec.system import System

_SUBJECT: KeyPath = ("system", "subject")


def mistakes_in(system: System, document: Document, project: Path) -> Iterator[SpecError]:
    """Yield what the stack cannot make of a system.

    Args:
        system: As readiness.toml describes it.
        document: The same with its lines.
        project: The folder that holds it.
    """
    mistakes = [*_unknown_kinds(system, document), *_names_taken_twice(system, document)]
    yield from mistakes
    if not mistakes:  # what a component that is not there would give is not a second mistake
        yield from _wrong_parts(system, document, project)
        yield from _unknown_placeholders(system, document)
    yield from _unheard_port(system, document)
    for name, what, fix in wrong_standbys(system.standbys, system):
        yield SpecError(what, where=document.place(("system", "standbys", name)), fix=fix)
    if system.stranger:
        what = f"the subject is on another machine, {system.stranger}, which is not said to be yours to load"
        fix = f'where it is, add allowed_hosts = ["{system.stranger}"] to [system]'
        yield SpecError(what, where=document.place((*_SUBJECT, "external")), fix=fix)
    yield from _wrong_processes(system, document)
    yield from _wrong_toxiproxy(system, document)
    yield from _wrong_prometheus(system, document)
    folder = system.subject.folder
    if folder and not (project / folder).is_dir():
        where = document.place((*_SUBJECT, "folder"))
        yield SpecError(f"there is no folder {folder}", where=where, fix=f"name one below {project}")


def _wrong_processes(system: System, document: Document) -> Iterator[SpecError]:
    """Find the processes elsewhere that faults know something else by, or that are asked on somebody else's machine."""
    for name, each in system.subject.processes.items():
        where = (*_SUBJECT, "processes", name)
        if name in {*ALWAYS_THERE, REPLICAS, MACHINE}:
            what = f"nothing else can be called {name!r}: faults already know something by that name"
            yield SpecError(what, where=document.place(where), fix="give it another name")
        if each.host and not system.may_reach(each.host):
            yield _not_yours(each.host, "to ask", where=document.place((*where, "ready")))


def _wrong_toxiproxy(system: System, document: Document) -> Iterator[SpecError]:
    """Find the machines that a Toxiproxy of the caller's own speaks of, and that are not said to be the caller's."""
    if system.subject.toxiproxy is None:
        return
    for keys, host in system.subject.toxiproxy.hosts:
        if not system.may_reach(host):
            yield _not_yours(host, "to hurt", where=document.place((*_SUBJECT, "toxiproxy", *keys)))


def _wrong_prometheus(system: System, document: Document) -> Iterator[SpecError]:
    """Find a Prometheus on a machine that is not said to be the caller's: it may get a token."""
    told = system.subject.prometheus
    if told and not system.may_reach(told.host):
        yield _not_yours(told.host, "to ask", where=document.place((*_SUBJECT, "prometheus", "address")))


def _not_yours(host: str, verb: str, *, where: str) -> SpecError:
    """Return what is said of a machine that is not named as one of the caller's own."""
    what = f"it is on another machine, {host}, which is not said to be yours {verb}"
    return SpecError(what, where=where, fix=f'where it is, add allowed_hosts = ["{host}"] to [system]')


def _unknown_kinds(system: System, document: Document) -> Iterator[SpecError]:
    named: dict[KeyPath, str | None] = {
        ("system", "components", name): part.kind
        for name, part in system.components.items()
        if part.kind or system.compose is None  # the name of a compose file's service is no kind
    }
    named |= {(*_SUBJECT, "proxies", name): each.kind for name, each in system.subject.proxies.items()}
    if lent := system.subject.toxiproxy:
        named |= {(*_SUBJECT, "toxiproxy", "edges", name): each.kind for name, each in lent.edges.items()}
    for path, kind in named.items():
        if (kind or path[-1]) not in COMPONENTS:
            yield unknown_kind(str(kind or path[-1]), where=document.place((*path, "kind") if kind else path))


def _wrong_parts(system: System, document: Document, project: Path) -> Iterator[SpecError]:
    """Find what a component is told that it does not hear, or cannot be."""
    for name, kind in system.kinds.items():
        component, part = COMPONENTS[kind], system.components[name]
        place = partial(_place_in, document, name)
        for key in sorted(part.model_fields_set - {"kind", *component.keys}):
            of = [each.kind for each in COMPONENTS.values() if key in each.keys]
            what, fix = (
                f"{key} means nothing for a {kind}",
                f"leave it out; it is for kind = {' or '.join(map(repr, of))}",
            )
            yield SpecError(what, where=place(key), fix=fix)
        yield from component.mistakes(part, project, place)


def _place_in(document: Document, name: str, key: str) -> str:
    return document.place(("system", "components", name, key))


def _names_taken_twice(system: System, document: Document) -> Iterator[SpecError]:
    """A name is what faults call a process: two of one name would be one for every fault."""
    counted = Counter([*processes_of(system), *system.subject.paths])
    places: dict[str, KeyPath] = {name: ("system", "components", name) for name in system.kinds}
    given: KeyPath = ("toxiproxy", "edges") if system.subject.toxiproxy else ("proxies",)
    places |= {name: (*_SUBJECT, *given, name) for name in system.subject.paths}
    for worker, each in system.subject.workers.items():
        places |= {f"{worker}-{number + 1}": (*_SUBJECT, "workers", worker) for number in range(each.count)}
    for name, path in places.items():
        if counted[name] > 1 or name in {*ALWAYS_THERE, SUBJECT, REPLICAS, MACHINE}:
            what = f"nothing else can be called {name!r}: faults already know something by that name"
            yield SpecError(what, where=document.place(path), fix="give it another name")


def _unknown_placeholders(system: System, document: Document) -> Iterator[SpecError]:
    anywhere = dict.fromkeys(system.kinds, Address(LOOPBACK, 1))
    known = {*Blueprint(system=system, seed=0).placeholders("replica-1", anywhere), "host", "port"}
    for path, text in _texts(system):
        yield from unknown_in(text, known, where=document.place(path))


def _texts(system: System) -> Iterator[tuple[KeyPath, str]]:
    """Yield every value that may hold placeholders, with its key."""
    subject = system.subject
    for variable, text in subject.environment.items():
        yield (*_SUBJECT, "environment", variable), text
    commands: dict[KeyPath, tuple[str, ...]] = {(*_SUBJECT, "command"): subject.command or ()}
    commands |= {(*_SUBJECT, "init", number): command for number, command in enumerate(subject.init)}
    for name, each in subject.workers.items():
        commands[*_SUBJECT, "workers", name, "command"] = each.command
        commands[*_SUBJECT, "workers", name, "defect_command"] = each.defect_command or ()
    for path, command in commands.items():
        for number, word in enumerate(command[1:], start=1):
            yield (*path, number), word


def _unheard_port(system: System, document: Document) -> Iterator[SpecError]:
    """Refuse a command that is not told where to listen: it would be waited for in vain."""
    subject = system.subject
    told = [*(subject.command or ()), *subject.environment.values()]
    if subject.command and "port" not in {word for text in told for word in placeholders_in(text)}:
        fix = 'add {port} to an argument or to a variable: command = ["node", "server.js", "--port", "{port}"]'
        yield SpecError(
            "the command is not told where to listen", where=document.place((*_SUBJECT, "command")), fix=fix
        )
