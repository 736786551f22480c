"""`extends`: a service takes the settings of another one and lays its own over them.

A list is always added to, also one that Compose would replace (`!override`, or a mount at the same place).

Source: Compose Specification, "extends" and "Merge and override".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import SpecError

if TYPE_CHECKING:
    from harness.spec.document import Document, KeyPath

JUDGE_THE_WHOLE = "judge the whole of it: docker compose config --no-interpolate > whole.yaml"
MAX_ANCESTORS = 32

_REPLACED = frozenset({"command", "entrypoint", "test"})
"""Lists that are one thing, and not added to."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value of a document, with the line of everything inside it, by its path from there."""

    value: Any
    lines: dict[KeyPath, int]

    def inside(self, key: str) -> Part:
        """Return what stands under a key."""
        return Part(self.value[key], {path[1:]: line for path, line in self.lines.items() if path[:1] == (key,)})


def with_inherited(document: Document) -> Document:
    """Return a compose file in which each service says itself what it takes from others.

    Raises:
        SpecError: If one takes from a service of another file, from none, or in the end from itself.
    """
    services = _services(document)
    grown = {name: _grown(name, services, document) for name in services}
    lines = {("services", name, *path): line for name, part in grown.items() for path, line in part.lines.items()}
    data = {**document.data, "services": {name: part.value for name, part in grown.items()}}
    return dataclasses.replace(document, data=data, lines={**document.lines, **lines})


def _services(document: Document) -> dict[str, Part]:
    lines: dict[str, dict[KeyPath, int]] = {name: {} for name in document.data["services"]}
    for path, line in document.lines.items():
        match path:
            case ("services", str(name), *inside):
                lines[name][tuple(inside)] = line
    return {name: Part(says, lines[name]) for name, says in document.data["services"].items()}


def _grown(name: str, services: dict[str, Part], document: Document, heirs: int = 0) -> Part:
    """Return a service with what it inherits; `heirs` is how many inherit from it, one through the other."""
    own = services[name]
    says = own.value.get("extends")
    if says is None:
        return own
    says = says if isinstance(says, dict) else {"service": says}
    where = document.place(("services", name, "extends"))
    if says.get("file") is not None:
        raise SpecError("it extends a service of another file, which is not read", where=where, fix=JUDGE_THE_WHOLE)
    base = str(says.get("service"))
    if base not in services or heirs == MAX_ANCESTORS:
        fix = f"name another one of {', '.join(services)}"
        raise SpecError(f"it cannot extend {base!r}, which is not there or leads back here", where=where, fix=fix)
    return _overlaid(_grown(base, services, document, heirs + 1), own)


def _overlaid(below: Part, above: Part) -> Part:
    """Lay one part over another: mappings key by key, lists one after the other, and else what is above."""
    if isinstance(below.value, list) and isinstance(above.value, list):
        return _listed(below, above)
    below, above = _as_mapping(below, above), _as_mapping(above, below)
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    parts = {key: _under(key, below, above) for key in {**below.value, **above.value}}
    lines = {(key, *path): line for key, part in parts.items() for path, line in part.lines.items()}
    return Part({key: part.value for key, part in parts.items()}, {**lines, (): above.lines[()]})


def _listed(below: Part, above: Part) -> Part:
    lines = dict(below.lines)
    for path, line in above.lines.items():
        match path:
            case (int(index), *inside):
                lines[index + len(below.value), *inside] = line
            case _:
                lines[path] = line
    return Part([*below.value, *above.value], lines)


def _as_mapping(part: Part, other: Part) -> Part:
    """Return a list such as `[NAME=value]` as the mapping that it means, where it meets one."""
    if not (isinstance(part.value, list) and isinstance(other.value, dict)):
        return part
    words = [str(word).partition("=") for word in part.value]
    lines: dict[KeyPath, int] = {(name,): part.lines[index,] for index, (name, _, _) in enumerate(words)}
    return Part({name: value for name, _, value in words}, {**lines, (): part.lines[()]})


def _under(key: str, below: Part, above: Part) -> Part:
    if key not in above.value:
        return below.inside(key)
    if key not in below.value or key in _REPLACED:
        return above.inside(key)
    return _overlaid(below.inside(key), above.inside(key))
