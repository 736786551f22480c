"""What one part of a deployment takes from another: `extends` within a file, and a file that is laid over another one.

A list is added to, also one that Compose would replace (`!override`); a mount replaces the one at the same place.

Source: Compose Specification, "extends" and "Merge and override".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.deployment.mounts import mount_of
from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.spec.document import Document, KeyPath

JUDGE_THE_WHOLE = "judge the whole of it: docker compose config --no-interpolate | readiness check compose -"
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


def laid_over(below: Document, above: Document) -> Document:
    """Return two files as one: services, networks and volumes of both, and of the same one what both say."""
    whole = _joined(Part(below.data, below.lines), Part(above.data, above.lines), _section)
    return dataclasses.replace(below, data=whole.value, lines=whole.lines)


def _section(_: str, below: Part, above: Part) -> Part:
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    return _joined(below, above, lambda _, one, other: one if other.value is None else _overlaid(one, other))


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
    return _joined(below, above, _over)


def _joined(below: Part, above: Part, over: Callable[[str, Part, Part], Part]) -> Part:
    """Join two mappings; `over` says what becomes of a key that both have."""
    parts = {}
    for key in {**below.value, **above.value}:
        if key not in above.value:
            parts[key] = below.inside(key)
        elif key not in below.value:
            parts[key] = above.inside(key)
        else:
            parts[key] = over(key, below.inside(key), above.inside(key))
    lines = {(key, *path): line for key, part in parts.items() for path, line in part.lines.items()}
    return Part({key: part.value for key, part in parts.items()}, {**lines, (): above.lines[()]})


def _over(key: str, below: Part, above: Part) -> Part:
    if key in _REPLACED:
        return above
    if key == "volumes" and isinstance(below.value, list) and isinstance(above.value, list):
        below = _without(below, {mount_of(mount).target for mount in above.value})
    return _overlaid(below, above)


def _without(mounts: Part, targets: set[str]) -> Part:
    """Return a list of mounts without those at some places."""
    kept = [index for index, mount in enumerate(mounts.value) if mount_of(mount).target not in targets]
    lines: dict[KeyPath, int] = {}
    for path, line in mounts.lines.items():
        match path:
            case (int(index), *inside):
                if index in kept:
                    lines[kept.index(index), *inside] = line
            case _:
                lines[path] = line
    return Part([mounts.value[index] for index in kept], lines)


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
