"""A compose project as it is to run: every variable filled in, services of active profiles only, all of it honoured.

How files are read and laid over each other is `compose.py`'s; there a variable that only the outside knows stays open,
since a file is judged for all that may run it.

Source: Compose Specification, "Compose file", "Merge and override", "Profiles"; Docker, "Set environment variables".
"""

from __future__ import annotations

import dataclasses
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

import yaml

from harness.deployment.compose import read_document
from harness.deployment.dotenv import read_variables
from harness.deployment.forms import listed
from harness.deployment.inheritance import laid_over, with_inherited
from harness.deployment.interpolation import Filling
from harness.deployment.project import VALUES, taken_with
from harness.deployment.services import Surroundings, read_service
from harness.errors import SpecError, all_of, nearest
from harness.spec.composed import Composed, ComposeService, Condition
from harness.spec.document import path_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness.spec.document import Document, KeyPath

_LINES = 1 << 21
"""More than a file can have: lines of several files are told apart by it."""


def read_running(
    project: Path, files: Sequence[str], environment: Mapping[str, str], *, judged: str, profiles: Collection[str] = ()
) -> Composed:
    """Read the compose files of a project.

    Args:
        project: The folder that holds readiness.toml.
        files: From there, one over the other; over a single one that is called as usual its override is laid, if any.
        environment: The caller's variables; they come before those of `.env`.
        judged: The service that is judged: its own profiles are active.
        profiles: The others that are; beside what COMPOSE_PROFILES says.

    Raises:
        SpecError: If one cannot be read or understood, or says what cannot be honoured; it tells all such places.
    """
    folder = (project / files[0]).parent
    variables = {**_variables(folder / VALUES, environment), **environment}
    filling = Filling(variables)
    paths = _with_override(project, files, variables)
    documents = [_document(path, project, number, filling) for number, path in enumerate(paths)]
    whole = documents[0]
    for document in documents[1:]:
        whole = laid_over(whole, document)
    names = [_named(path, project) for path in paths]
    reading = _Project(whole, project, folder, variables, names)
    told = {*profiles, *(each.strip() for each in variables.get("COMPOSE_PROFILES", "").split(","))} - {""}
    services = reading.services(judged, told)
    notes = [f"{where}: {name} is not set, and is empty, as Compose has it" for name, where in filling.unset.items()]
    return Composed(file=names[0], services=services, notes=tuple(notes))


def _with_override(project: Path, files: Sequence[str], variables: Mapping[str, str]) -> list[Path]:
    paths = [project / each for each in files]
    return paths if len(paths) > 1 else taken_with(paths[0], variables)


def _variables(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    return read_variables(_text(file), name=file.name, known=environment) if file.is_file() else {}


def _named(path: Path, project: Path) -> str:
    return path.relative_to(project).as_posix() if path.is_relative_to(project) else str(path)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"cannot be read: {error}", where=str(file), fix="check its name, its rights and its text"
        ) from error


def _document(path: Path, project: Path, number: int, filling: Filling) -> Document:
    """Return one file with its variables filled in, and `extends` written out."""
    name = _named(path, project)
    text = _text(path)
    if number:
        _check_nothing_is_overridden(text, name)
    document = read_document(text, name=name)
    whole = with_inherited(dataclasses.replace(document, data=filling.filled(document)))
    return dataclasses.replace(whole, lines={key: number * _LINES + line for key, line in whole.lines.items()})


def _check_nothing_is_overridden(text: str, name: str) -> None:
    """See that no list or mapping of a file is to take the place of another one's: they are laid over each other."""
    try:
        for event in yaml.parse(text):
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent) and event.tag == "!override":
                fix = "take the key out of the file below, and write it here alone"
                where = f"{name}:{event.start_mark.line + 1}" if event.start_mark else name
                raise SpecError("`!override` cannot be honoured", where=where, fix=fix)
    except yaml.YAMLError:  # it is told with its line by who reads it
        return


@dataclasses.dataclass(frozen=True, slots=True)
class _Project:
    document: Document
    project: Path
    folder: Path
    variables: Mapping[str, str]
    names: Sequence[str]

    def place(self, path: KeyPath) -> str:
        """Return file, line and key."""
        file, line = divmod(self.document.line(path), _LINES)
        return f"{self.names[file]}:{line}: {path_text(path)}"

    def services(self, judged: str, profiles: Collection[str]) -> dict[str, ComposeService]:
        """Return what is active, read; see `read_running` for what it raises."""
        data = self.document.data["services"]
        if judged not in data:
            where = f"readiness.toml: system.subject.service, of {self.names[0]}"
            raise SpecError(f"there is no service {judged!r}", where=where, fix=nearest(judged, list(data)))
        active = {*profiles, *listed(data[judged].get("profiles"))}
        chosen = {name: says for name, says in data.items() if _is_active(says, active)}
        around = self._around()
        read = {name: read_service(name, says, around) for name, says in chosen.items()}
        mistakes = [*self._external(), *(each for _, found in read.values() for each in found)]
        services = {name: service for name, (service, _) in read.items() if service is not None}
        if not mistakes:
            services = {name: self._without_optional(each, services) for name, each in services.items()}
            mistakes = [*self._unmet(services), *self._circles(services)]
        if mistakes:
            raise all_of(mistakes)
        return {name: each for name, each in services.items() if each.count or name == judged}

    def _around(self) -> Surroundings:
        data = self.document.data
        return Surroundings(
            project=self.project.resolve(),
            folder=self.folder.resolve(),
            networks={"default": None, **(data.get("networks") or {})},
            volumes=data.get("volumes") or {},
            secrets=data.get("secrets") or {},
            configs=data.get("configs") or {},
            variables=self.variables,
            variables_of=lambda file, _where: read_variables(_text(file), name=file.name, known=self.variables),
            place=self.place,
        )

    def _external(self) -> Iterator[SpecError]:
        """Find what is not of this project: it would be other people's, and would be changed."""
        for key in ("networks", "volumes", "secrets", "configs"):
            for name, says in (self.document.data.get(key) or {}).items():
                if isinstance(says, dict) and str(says.get("external", False)).lower() not in {"false", ""}:
                    fix = "let it be one of the project's own, in a compose file of its own for this"
                    yield SpecError(f"{name} is not the project's own", where=self.place((key, name)), fix=fix)
                elif key == "volumes" and isinstance(says, dict) and says.get("driver_opts"):
                    fix = "let it be a plain volume: each run has a fresh one"
                    yield SpecError(f"{name} is no plain volume", where=self.place((key, name)), fix=fix)

    def _without_optional(self, service: ComposeService, services: Mapping[str, ComposeService]) -> ComposeService:
        """Return a service that does not wait for what it can do without, and is not there."""
        says = self.document.data["services"][service.name].get("depends_on")
        told = says if isinstance(says, dict) else {}
        spared = {name for name, how in told.items() if isinstance(how, dict) and _is_off(how.get("required", True))}
        waits = {name: until for name, until in service.waits.items() if name in services or name not in spared}
        return dataclasses.replace(service, waits=waits)

    def _unmet(self, services: Mapping[str, ComposeService]) -> Iterator[SpecError]:
        for service in services.values():
            for other in [*service.waits, *service.links.values()]:
                if other not in services:
                    key = "depends_on" if other in service.waits else "links"
                    is_there = other in self.document.data["services"]
                    what = (
                        f"{service.name} needs {other}, which {'no active profile has' if is_there else 'is not there'}"
                    )
                    fix = f'readiness.toml: [system] with compose_profiles = ["…"], or `required: false` for {other}'
                    where = self.place(("services", service.name, key, other))
                    yield SpecError(what, where=where, fix=fix if is_there else nearest(other, list(services)))
                elif service.waits.get(other) is Condition.HEALTHY and _has_no_check(services[other]):
                    what = f"{service.name} waits until {other} is healthy, and its health check is switched off"
                    where = self.place(("services", service.name, "depends_on", other))
                    yield SpecError(what, where=where, fix=f"give {other} a `healthcheck`")

    def _circles(self, services: Mapping[str, ComposeService]) -> Iterator[SpecError]:
        try:
            TopologicalSorter({name: each.waits.keys() for name, each in services.items()}).prepare()
        except CycleError as error:
            circle = [str(name) for name in error.args[1]]
            what = f"services wait for each other: {' → '.join(reversed(circle))}"
            yield SpecError(
                what, where=self.place(("services", circle[0], "depends_on")), fix="let one of them not wait"
            )


def _is_active(says: Mapping[str, Any], active: Collection[str]) -> bool:
    own = listed(says.get("profiles"))
    return not own or bool({*own} & {*active}) or "*" in active


def _is_off(value: Any) -> bool:
    return str(value).lower() == "false"


def _has_no_check(service: ComposeService) -> bool:
    return service.health is not None and service.health.is_off
