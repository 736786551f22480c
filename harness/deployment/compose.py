"""Compose files as far as our rules look at them: each service with its settings, and the line of each key.

Fragments and `extends` are written out, a variable's value or its default stands for it, and several files are laid one
over the other. What other files say is not read: a file that needs them is refused, because half of a deployment judged
is none.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.deployment.inheritance import JUDGE_THE_WHOLE, laid_over, with_inherited
from harness.deployment.outside import is_from_outside, is_yes, settled
from harness.errors import SpecError
from harness.spec.document import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.spec.document import Document

_TOP = frozenset({"name", "version", "services", "networks", "volumes", "configs", "secrets", "include", "models"})

_SHAPES: dict[str, tuple[type, ...]] = {
    "cap_add": (list,),
    "depends_on": (list, dict),
    "deploy": (dict,),
    "environment": (list, dict),
    "extends": (str, dict),
    "healthcheck": (dict,),
    "image": (str,),
    "logging": (dict,),
    "networks": (list, dict),
    "ports": (list,),
    "restart": (str,),
    "security_opt": (list,),
    "tmpfs": (str, list),
    "user": (str, int),
    "volumes": (list,),
}
"""What the rules look at, and what it may be."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service.

    Attributes:
        name: Its key under `services`.
        says: Its settings, as they stand in the file.
        compose: The file that it stands in.
    """

    name: str
    says: dict[str, Any]
    compose: Compose

    def line(self, *path: str | int) -> int:
        """Return the line of one of its keys, or of the nearest thing above it."""
        whole: tuple[str | int, ...] = ("services", self.name, *path)
        lines = self.compose.document.lines
        while whole not in lines:
            whole = whole[:-1]
        return lines[whole]

    def part(self, *path: str) -> Any:
        """Return the value at a path of keys, None if it is not there."""
        value: Any = self.says
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def items(self, key: str) -> list[Any]:
        """Return a list, whatever form the file gives it; a mapping becomes its keys."""
        value = self.says.get(key)
        return list(value) if isinstance(value, list | dict) else [] if value is None else [value]

    def is_job(self) -> bool:
        """Tell whether it ends by itself: another service waits until it has done so."""
        waits = [service.part("depends_on", self.name, "condition") for service in self.compose.services]
        return "service_completed_successfully" in waits

    def variables(self, *path: str) -> Iterator[tuple[str, str | None, str | int]]:
        """Return its environment: name, value, and the key of its line; a value that comes from outside is None.

        Args:
            path: Where else such variables stand, such as the arguments of its build.
        """
        value = self.part(*(path or ("environment",)))
        if isinstance(value, dict):
            for name, each in value.items():
                yield name, None if each is None else str(each), name
        for index, word in enumerate(value if isinstance(value, list) else ()):
            name, separator, each = str(word).partition("=")
            yield name, each if separator else None, index

    def as_written(self) -> Service:
        """Return it as its files alone say it: `$NAME` for what `.env` says, which is not for everybody to read."""
        return dataclasses.replace(self, says=self.compose.written[self.name])


@dataclass(frozen=True, slots=True)
class Compose:
    """One compose file, or several laid one over the other.

    Attributes:
        document: All of it as data; lines are counted on from one file to the next.
        written: Its services without the values of variables.
        files: Its files: how many lines stand before each, and its name.
    """

    document: Document
    written: dict[str, dict[str, Any]]
    files: tuple[tuple[int, str], ...]

    @property
    def services(self) -> list[Service]:
        """Return all its services, in order."""
        return [Service(name, says, self) for name, says in _services_of(self.document).items()]

    def place(self, line: int) -> tuple[str, int]:
        """Return the file that a line stands in, and which of its lines it is."""
        before, name = max(each for each in self.files if each[0] < max(line, 1))
        return name, line - before

    def reaches_outside(self, network: str) -> bool:
        """Tell whether a network is known to reach what is outside; of one that is made elsewhere nothing is known."""
        says = (self.document.data.get("networks") or {}).get(network)
        says = says if isinstance(says, dict) else {}
        internal = says.get("internal")
        return not (is_yes(internal) or is_from_outside(internal) or is_yes(says.get("external")))

    def volumes(self) -> set[str]:
        """Return the names of its volumes."""
        return set(self.document.data.get("volumes") or {})


def read_compose(text: str, *, name: str) -> Compose:
    """Read a compose file.

    Raises:
        SpecError: If it is not YAML, not a compose file, or only a part of one; it names the line.
    """
    return composed([(name, text)], {})


def composed(files: Sequence[tuple[str, str]], values: Mapping[str, str]) -> Compose:
    """Read compose files that are laid one over the other, as `docker compose` does it.

    Args:
        files: Their names and texts, the lowest first.
        values: Of variables.

    Raises:
        SpecError: If one is not YAML, not a compose file, or only a part of one; it names the line.
    """
    documents = [read_document(text, name=name) for name, text in files]
    _check_has_services(documents[0].name, [document.data for document in documents])
    before, numbered = 0, []
    for (_, text), document in zip(files, documents, strict=True):
        numbered.append((before, document))
        before += text.count("\n") + 1
    whole = _whole(numbered, values)
    written = _services_of(_whole(numbered, {}) if values else whole)
    return Compose(whole, written, tuple((offset, document.name) for offset, document in numbered))


def _services_of(document: Document) -> dict[str, dict[str, Any]]:
    return {name: says or {} for name, says in document.data["services"].items()}


def _whole(numbered: Sequence[tuple[int, Document]], values: Mapping[str, str]) -> Document:
    """Return files as one document, in which nothing refers to anything else."""
    parts = []
    for before, document in numbered:
        alone = with_inherited(dataclasses.replace(document, data=settled(document.data, values)))
        lines = {path: line + before for path, line in alone.lines.items()}
        parts.append(dataclasses.replace(alone, lines=lines))
    whole, *above = parts
    for part in above:
        whole = laid_over(whole, part)
    return whole


def read_document(text: str, *, name: str) -> Document:
    """Read one compose file as it stands: fragments are written out, and what is looked at later has its shape.

    Raises:
        SpecError: If it is not YAML, or not a compose file; it names the line.
    """
    document = read_yaml(text, name=name, has_fragments=True)
    data = document.data
    if not isinstance(data, dict) or not data.keys() & _TOP:
        raise _no_compose_file(name)
    for key in data:
        if key not in _TOP and not str(key).startswith("x-"):
            fix = f"known: {', '.join(sorted(_TOP))}"
            raise SpecError(f"unknown key {key!r}", where=document.place((key,)), fix=fix)
    if "include" in data:
        where = document.place(("include",))
        raise SpecError("it includes other files, which are not read", where=where, fix=JUDGE_THE_WHOLE)
    _check_shapes(document, (), data, {"services": (dict,), "networks": (dict,), "volumes": (dict,)})
    services = data.get("services") or {}
    for service, says in services.items():
        if not isinstance(says, dict):
            where = document.place(("services", service))
            raise SpecError("this is no service", where=where, fix="give it an image, and what it needs")
        _check_shapes(document, ("services", service), says, _SHAPES)
    lines = {("services",): document.lines[()], **document.lines}  # a file that is laid over another may have none
    return dataclasses.replace(document, data={**data, "services": services}, lines=lines)


def _check_has_services(name: str, data: Sequence[dict[str, Any]]) -> None:
    if not any(each["services"] for each in data):
        raise _no_compose_file(name)


def _no_compose_file(name: str) -> SpecError:
    fix = "a compose file has a mapping `services` with at least one service"
    return SpecError("this is no compose file: it has no services", where=name, fix=fix)


def _check_shapes(
    document: Document, above: tuple[str, ...], says: dict[str, Any], shapes: dict[str, tuple[type, ...]]
) -> None:
    for key, kinds in shapes.items():
        if says.get(key) is not None and not isinstance(says[key], kinds):
            words = " or a ".join({list: "list", dict: "mapping", str: "text", int: "number"}[kind] for kind in kinds)
            raise SpecError(f"`{key}` is no {words}", where=document.place((*above, key)), fix=f"write a {words}")
