"""How a component is run, as values: as a local process, and as a container."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from harness.stack.health_probe import HealthProbe
    from harness.stack.service import Address

READY_WITHIN_S = 20.0
"""Ten times what the slowest part takes on two idle cores (measured: a replica, 1.5 to 2 s)."""

IDLE = ("sleep", "infinity")
"""What a sandbox does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is done once before a component starts: a program that ends by itself, such as `initdb`.

    Attributes:
        name: As messages call it.
        argv: Program and arguments; the program is an absolute path.
        within_s: How long it may take.
    """

    name: str
    argv: Sequence[str]
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one component is run as a local process.

    Attributes:
        name: Its name in the stack.
        argv: Program and arguments; the program is an absolute path.
        address: Where it will listen.
        probe: How one knows it.
        preparation: What is done before its first start, as its user, in its folder and into its log; None for nothing.
        environment: Beside the few variables that every child gets.
        cwd: Where it runs; the stack's work folder if None.
        user: Unprivileged user to become; None to stay who we are.
        data: The folder of what it must not lose, which is empty at first; None if it keeps nothing.
        disk: The process that keeps a disk of its own for that (`backends/disk.py`); None if it has none.
        ready_within_s: How long it may take until it is ready.
        stop_signal: Its polite end.
        reload_signal: What has it read its configuration again; None where nothing does.
        death_signal: What the kernel sends it when we die; one that also ends its own children.
    """

    name: str
    argv: Sequence[str]
    address: Address
    probe: HealthProbe
    preparation: Preparation | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    data: Path | None = None
    disk: int | None = None
    ready_within_s: float = READY_WITHIN_S
    stop_signal: signal.Signals = signal.SIGTERM
    reload_signal: signal.Signals | None = None
    death_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecipe:
    """How one component is run as a container.

    Attributes:
        name: Its name in the stack, and its alias in the network.
        image: Present in the engine.
        port: Where it listens, inside.
        published: Where each port inside is reached from here, on loopback; `port` is one of them.
        probe: How one knows it.
        command: Instead of the image's own; what is added to its entry point. None to leave that.
        environment: Its variables.
        files: Text by path inside, there before it starts; or what makes it, given the folder of readiness.toml.
        user: Instead of the image's own.
        memory_mib: More, and the kernel kills it; None for no limit. There is no limit to its processor time: one
            would throttle it in bursts, which looks like the service's own latency.
        data: The folder inside that holds what it must not lose, whatever image it is; None if it keeps nothing.
        disk_bytes: How much fits on a disk of its own for that; None if it has none.
        sandbox: What its sandbox does.
        reload_signal: What has it read its configuration again; None where nothing does.
        ready_within_s: How long it may take until it is ready.
        aliases: Other names that it has in its network.
        options: What the engine's client is told of it besides, in that client's words.
        sandbox_options: The same of its sandbox.
        is_checked: Whether it is ready when the engine's own check finds it healthy; else its probe tells.
    """

    name: str
    image: str
    port: int
    published: Mapping[int, Address]
    probe: HealthProbe
    command: Sequence[str] | None
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | Callable[[Path], str]] = field(default_factory=dict)
    user: str | None = None
    memory_mib: int | None = 256
    data: str | None = None
    disk_bytes: int | None = None
    sandbox: Sequence[str] = IDLE
    reload_signal: signal.Signals | None = None
    ready_within_s: float = READY_WITHIN_S
    aliases: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    sandbox_options: Mapping[str, Any] = field(default_factory=dict)
    is_checked: bool = False

    @property
    def direct(self) -> Address:
        """Return where it is reached from here."""
        return self.published[self.port]


AnyRecipe = TypeVar("AnyRecipe", Recipe, ContainerRecipe)


def with_variables(recipe: AnyRecipe, variables: Mapping[str, str]) -> AnyRecipe:
    """Return the recipe with more variables in its environment."""
    return replace(recipe, environment={**recipe.environment, **variables})
