"""What a compose file makes of a system, as values: its services, with what each is told, mounts, waits for and shows.

Source: Compose Specification (compose-spec.io), "Services top-level elements".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


class Condition(StrEnum):
    """What a service waits for before it starts."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeBuild:
    """What the image of a service is built from.

    Attributes:
        context: Its folder, below the folder that holds readiness.toml.
        dockerfile: Below that folder.
        args: What the build is told.
        target: The stage that it ends with; the last one if None.
    """

    context: str
    dockerfile: str = "Dockerfile"
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something that a service finds in its file system.

    Attributes:
        kind: `volume` for one that is made for the run, `bind` for a file or folder of this machine, `tmpfs`.
        source: The volume's name in the file, empty for a nameless one; or the path on this machine.
        target: Where it is found.
        is_read_only: Whether it can only be read.
    """

    kind: Literal["volume", "bind", "tmpfs"]
    source: str
    target: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """How the engine looks after a service, where the file says so.

    Attributes:
        test: The command, in the engine's form: its first word is `CMD`, `CMD-SHELL` or `NONE`. Nothing for that of
            the image.
        interval_s: From the end of one to the next; the engine's 30 s where nothing is said.
        timeout_s: How long one may take.
        retries: How many in a row must fail.
        start_period_s: How long failures do not count.
    """

    test: tuple[str, ...] = ()
    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries: int = 3
    start_period_s: float = 0.0

    @property
    def is_off(self) -> bool:
        """Tell whether it is switched off, that of the image included."""
        return self.test == ("NONE",)

    @property
    def patience_s(self) -> float:
        """Return after how long the engine has found what never answers unhealthy, in seconds."""
        return self.start_period_s + (self.interval_s + self.timeout_s) * (self.retries + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeService:
    """One service, with everything written out.

    Attributes:
        name: As the file calls it, and as others reach it.
        line: Where it stands, as messages name it.
        image: What it runs; None where that is built.
        build: What its image is built from; None where that is ready.
        command: Instead of the image's own; None to leave that.
        entrypoint: The same.
        environment: Its variables.
        waits: For which services it waits before it starts, and until what.
        health: How the engine looks after it; None where the file says nothing.
        ports: Where it listens, as the file says.
        networks: On which it is.
        is_internal: Whether none of them reaches anything outside.
        aliases: Other names by which it is reached.
        links: Names of its own for others, by name.
        mounts: What it finds in its file system.
        files: Text by path, there before it starts.
        count: How many of it.
        options: What the engine's client is told of it besides, in that client's words.
        of_network: The same of what has its network: names of this machine and of others.
    """

    name: str
    line: str
    image: str | None = None
    build: ComposeBuild | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    waits: Mapping[str, Condition] = field(default_factory=dict)
    health: HealthCheck | None = None
    ports: tuple[int, ...] = ()
    networks: frozenset[str] = frozenset({"default"})
    is_internal: bool = False
    aliases: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    count: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    of_network: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What the compose files of a project say together.

    Attributes:
        file: The first of them, as messages name it.
        services: All that are to run, by name, in the order of the file.
        notes: What a reader should know, a sentence each: variables that nothing sets.
    """

    file: str
    services: Mapping[str, ComposeService]
    notes: tuple[str, ...] = ()

    @property
    def jobs(self) -> frozenset[str]:
        """Return the services that end by themselves: others wait until they have."""
        waits = (each.waits.items() for each in self.services.values())
        return frozenset(name for items in waits for name, until in items if until is Condition.COMPLETED)
