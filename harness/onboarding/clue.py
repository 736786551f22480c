"""What a source may tell of a service, each with the place that said so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["app", "wsgi", "command", "external", "service"]
"""What a subject of readiness.toml can be."""


@dataclass(frozen=True, slots=True)
class Needed:
    """Something that the service depends on.

    Attributes:
        kind: Of the component, such as `redis`, or the word of one that is not known here.
        seen_in: What said so.
    """

    kind: str
    seen_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One way to have the service run.

    Attributes:
        kind: Of the subject.
        runs: `package.module:name` of an application, an argument list, or a base address.
        seen_in: What said so, as a reader would look it up.
        factory: Whether the application is what a function makes.
        environment: Variables that it needs, such as the one that says where to listen.
        init: What must be run once before it.
        workers: Further processes, by name.
        ready_within: How long it may take to start, where that is longer than usual.
        dockerfile: What its image is built from, for containers.
        compose: The compose file whose service it is, which then says how it is started.
        port: Where it listens there.
        beside: The services of that file that can be hurt, by the names that faults know them by.
    """

    kind: Kind
    runs: str | tuple[str, ...]
    seen_in: str
    factory: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    init: tuple[tuple[str, ...], ...] = ()
    workers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ready_within: str | None = None
    dockerfile: str | None = None
    compose: str | None = None
    port: int | None = None
    beside: tuple[Needed, ...] = ()

    def __str__(self) -> str:
        runs = self.runs if isinstance(self.runs, str) else " ".join(self.runs)
        return f"{self.kind}: {runs} ({self.seen_in})"


@dataclass(frozen=True, slots=True)
class Route:
    """A path that answers a GET, with at most one part that differs, written `{key}`."""

    path: str
    seen_in: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that the service reads; `value` is an example's, empty where none is given."""

    name: str
    value: str
    seen_in: str
