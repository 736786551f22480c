"""The seam between the judged system and everything that looks at it or breaks it.

A *service* is one running part (redis, postgres, nginx, proxy, replica-1 …), a local process or a container. An *edge*
is one connection path through the fault proxy, from a client to a service: each replica has its own edge to redis, so
that one of them can be hurt alone. Probes use a service's direct address; the judged system only ever uses edges, so a
check never trips over the fault it observes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.stack.tls import Tls

SERVICE_ANSWERS_WITHIN_S = 5.0
"""What is asked is answered within this time, or not at all."""

LOOPBACK = "127.0.0.1"
"""Everything listens here and nowhere else."""

ANYWHERE = "0.0.0.0"  # noqa: S104 - inside a container, whose published ports are on loopback only
"""Where everything listens that has a network of its own."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens; `tls` where it speaks that."""

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Return it as what speaks HTTP is asked."""
        return f"{'http' if self.tls is None else 'https'}://{self}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a service uses right now, all its processes together.

    Attributes:
        cpu_s: Processor time since it started.
        memory_bytes: Resident memory.
    """

    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Edge:
    """One path from a client to a service, through a proxy of its own.

    Attributes:
        client: Who uses it.
        server: The service at its end.
        listen: Where the proxy listens, as seen from here: what probes use.
        client_address: The same door as the client sees it, which is elsewhere where each container has a network of
            its own.
    """

    client: str
    server: str
    listen: Address
    client_address: Address

    @property
    def name(self) -> str:
        """Return `client.server`, which is also the proxy's name."""
        return f"{self.client}.{self.server}"


class Service(Protocol):
    """One running part of the system; both backends pass one contract suite."""

    @property
    def name(self) -> str:
        """Its name, unique in its stack."""

    @property
    def direct(self) -> Address:
        """Where it listens, with no proxy between; the same after every restart."""

    def is_ready(self) -> bool:
        """Answer at once and never raise; waiting belongs to `stack.ready`."""

    def is_alive(self) -> bool:
        """Tell whether its main process exists."""

    @property
    def ready_within_s(self) -> float:
        """How long it may take from its start until it is ready."""

    def why_not_ready(self) -> str:
        """Say in one clause what is seen of one that is not ready; nothing if there is nothing to say."""

    @property
    def question(self) -> bytes:
        """What `round_trip_s` asks: as many bytes as one look of ours sends."""

    @property
    def greets(self) -> bool:
        """Whether it speaks first on a connection, so that what comes first is no answer to what was asked."""

    def long_question(self, length_bytes: int) -> bytes:
        """Return a question whose answer has at least so many bytes, and ends the connection; it changes nothing.

        Raises:
            StackError: If it listens nowhere.
        """

    def round_trip_s(self, via: Address, *, within_s: float = SERVICE_ANSWERS_WITHIN_S) -> float:
        """Ask its cheapest question over a new connection to `via`; return the seconds until the answer.

        One that listens nowhere is looked at instead: refused where it is not there, silent where it is frozen.

        Raises:
            OSError: If there is no answer; TimeoutError, which is one, if there is none within `within_s`.
        """

    def version(self) -> str:
        """Return what it says it is; raises OSError if it does not answer."""

    def identity(self) -> dict[str, str | float]:
        """Return what another process needs to find it: `pid` and `started_s`, or `engine` and `container`.

        Raises:
            StackError: If it does not run.
        """

    def start(self, *, held: bool = False) -> None:
        """Start it on the same address; does not wait until it is ready.

        Args:
            held: Keep it from becoming its program until `resume`: it is there, and does not listen.

        Raises:
            StackError: If it runs already, or cannot be held.
        """

    def life(self) -> str:
        """Name the life of its main process: another one after every start.

        Raises:
            StackError: If it does not run.
        """

    def children(self) -> frozenset[int]:
        """Return the numbers of the processes below its main one, such as its workers; none if it does not run."""

    def reload(self) -> None:
        """Tell it to read its configuration again, and do not wait for it.

        Raises:
            StackError: If it does not run, or knows no such order.
        """

    def ask_to_end(self) -> None:
        """Ask it to end, as an operator does, and do not wait for it."""

    def stop(self) -> None:
        """Ask it to end, insist after a while, and return when it is gone."""

    def kill(self) -> None:
        """End it with SIGKILL and return when it is gone."""

    def pause(self) -> None:
        """Freeze all its processes: its connections stay open and nothing answers."""

    def resume(self) -> None:
        """Undo `pause`; let go what was started held."""

    def restart(self) -> None:
        """Kill it and start it again on the same address; does not wait until it is ready."""

    def logs(self, tail: int = 20) -> str:
        """Return the last `tail` lines that it wrote."""

    def usage(self) -> Usage:
        """Return what it uses right now; zeros if it is not alive."""


def cannot_reload(service: Service, why: str) -> StackError:
    """Return what is said of one that cannot be told to read its configuration again."""
    what = f"{service.name} cannot read its configuration again: {why}"
    return StackError(what, where=str(service.direct), fix="restart it, or start it first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What a stack stands on.

    Attributes:
        run_id: Marks every process, so that only our own are ever ended.
        project: The folder that holds readiness.toml; the subject is imported from here.
        logs: Folder for one log file a service; it stays.
        work: Folder for data; it goes with the run. The unprivileged user may enter it.
        on_spawn: Told the pid of each process at once.
    """

    run_id: str
    project: Path
    logs: Path
    work: Path
    on_spawn: Callable[[str, int], object]
