"""A compose file as far as our rules look at it: each service with its settings, and the line of each key.

Fragments and `extends` are written out, a variable's default stands for it. What other files say is not read: a file
that needs them is refused, because half of a deployment judged is none.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.deployment.inheritance import JUDGE_THE_WHOLE, with_inherited
from harness.errors import SpecError
from harness.spec.document import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

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

_YES = frozenset({"true", "t", "yes", "y", "on", "1"})
"""Source: compose-go, loader/interpolate.go, toBoolean."""

_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?+])([^{}]*))?\}")
_MAX_NESTED = 8


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

    def variables(self) -> Iterator[tuple[str, str | None, str | int]]:
        """Return its environment: name, value, and the key of its line; a value that comes from outside is None."""
        value = self.says.get("environment") or {}
        if isinstance(value, dict):
            for name, each in value.items():
                yield name, None if each is None else str(each), name
        else:
            for index, word in enumerate(value):
                name, separator, each = str(word).partition("=")
                yield name, each if separator else None, index


@dataclass(frozen=True, slots=True)
class Compose:
    """A compose file.

    Attributes:
        document: Its text as data, with lines.
    """

    document: Document

    @property
    def services(self) -> list[Service]:
        """Return all its services, in order."""
        return [Service(name, says or {}, self) for name, says in self.document.data["services"].items()]

    def is_internal(self, network: str) -> bool:
        """Tell whether a network reaches nothing outside."""
        networks = self.document.data.get("networks") or {}
        says = networks.get(network)
        return isinstance(says, dict) and is_yes(says.get("internal"))

    def volumes(self) -> set[str]:
        """Return the names of its volumes."""
        return set(self.document.data.get("volumes") or {})


def is_yes(value: Any) -> bool:
    """Tell whether a switch is on, in any of the words that Compose takes for it."""
    return str(value).lower() in _YES


def read_compose(text: str, *, name: str) -> Compose:
    """Read a compose file.

    Raises:
        SpecError: If it is not YAML, not a compose file, or only a part of one; it names the line.
    """
    document = read_yaml(text, name=name, has_fragments=True)
    data = document.data
    services = data.get("services") if isinstance(data, dict) else None
    if not isinstance(services, dict) or not services:
        fix = "a compose file has a mapping `services` with at least one service"
        raise SpecError("this is no compose file: it has no services", where=name, fix=fix)
    for key in data:
        if key not in _TOP and not str(key).startswith("x-"):
            fix = f"known: {', '.join(sorted(_TOP))}"
            raise SpecError(f"unknown key {key!r}", where=document.place((key,)), fix=fix)
    if "include" in data:
        where = document.place(("include",))
        raise SpecError("it includes other files, which are not read", where=where, fix=JUDGE_THE_WHOLE)
    for service, says in services.items():
        if not isinstance(says, dict):
            where = document.place(("services", service))
            raise SpecError("this is no service", where=where, fix="give it an image, and what it needs")
        _check_shapes(document, ("services", service), says, _SHAPES)
    _check_shapes(document, (), data, {"networks": (dict,), "volumes": (dict,)})
    whole = with_inherited(document)
    return Compose(dataclasses.replace(whole, data=_settled(whole.data)))


def _settled(value: Any) -> Any:
    """Write the default for each variable that has one: that is what runs where the variable is not set."""
    if isinstance(value, dict):
        return {key: _settled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_settled(each) for each in value]
    return _settled_text(value) if isinstance(value, str) else value


def _settled_text(text: str) -> str:
    """`${PORT:-80}` becomes `80`, and what only the outside knows `$NAME`; innermost first, since they may nest."""
    for _ in range(_MAX_NESTED):
        text, count = _VARIABLE.subn(_default_of, text)
        if not count:
            break
    return text


def _default_of(variable: re.Match[str]) -> str:
    name, kind, word = variable.groups()
    return str(word) if kind in {"-", ":-"} else f"${name}"


def _check_shapes(
    document: Document, above: tuple[str, ...], says: dict[str, Any], shapes: dict[str, tuple[type, ...]]
) -> None:
    for key, kinds in shapes.items():
        if says.get(key) is not None and not isinstance(says[key], kinds):
            words = " or a ".join({list: "list", dict: "mapping", str: "text", int: "number"}[kind] for kind in kinds)
            raise SpecError(f"`{key}` is no {words}", where=document.place((*above, key)), fix=f"write a {words}")
