"""A process that runs elsewhere: hit and brought back by commands, and seen by what tells that it serves.

Nothing else is known of it, and nobody here is its parent. So whether a fault is there is what that question says, and
where it could not be asked, nothing is said.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from harness.clock import is_met_within
from harness.errors import NotReadyError
from harness.stack.backends.order import carry_out
from harness.stack.elsewhere import Look, Order, Saw
from harness.stack.http_client import get_url
from harness.stack.subjects.command import found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.clock import Clock
    from harness.spec.external import CommandedProcess
    from harness.spec.system import Subject

ANSWERS_WITHIN_S = 2.0
"""A URL that is asked whether it serves has said so by then, or is silent: as for the health path of a replica."""

COMMAND_SAYS_WITHIN_S = 5.0
"""And a command, which may begin by a handshake with another machine."""

_LOOK_EVERY_S = 0.1
"""A command may ask over the network; more often would be a load of its own."""


class ProcessElsewhere:
    """A process that runs elsewhere. Implements `Elsewhere`.

    Args:
        name: Its name in readiness.toml.
        described: What readiness.toml says of it.
        project: The folder that holds that file.

    Attributes:
        name: As above.
        ready_within_s: How long it may take until it serves.

    Raises:
        MissingError: If a program of its commands is not there.
    """

    def __init__(self, name: str, described: CommandedProcess, project: Path) -> None:
        self.name = name
        self.ready_within_s = described.ready_within
        self._ready = described.ready
        self._orders = dict(orders_of(name, described, project))

    def order(self, word: str) -> Order:
        """Return the command called so, which readiness.toml says: `kill`, or `restore`."""
        return self._orders[word]

    def look(self) -> Look:
        """Ask whether it serves."""
        if isinstance(self._ready, str):
            return _asked(self._ready)
        return _told(self._orders["ready"]) if self._ready else Look(Saw.UNKNOWN, "nothing tells whether it serves")

    def serves(self) -> bool:
        """Tell whether it says so."""
        return self.look().saw is Saw.SERVES

    def wait_until_it_serves(self, clock: Clock, when: str) -> None:
        """Wait for it; one of which nothing tells is not waited for.

        Args:
            clock: The time.
            when: What the error says it does not serve after, or before.

        Raises:
            NotReadyError: If it does not say so in its time; it names what was seen last.
        """
        if self._ready is None or is_met_within(
            self.serves, deadline_s=self.ready_within_s, clock=clock, every_s=_LOOK_EVERY_S
        ):
            return
        what = f"{self.name} does not serve {when}, within {self.ready_within_s:g} s: {self.look().said}"
        fix = "see what it is up to where it runs; `ready` says how it is seen, and `ready_within` how long it has"
        raise NotReadyError(what, where=_key(self.name, "ready"), fix=fix)


def processes_elsewhere(subject: Subject, project: Path) -> dict[str, ProcessElsewhere]:
    """Return every process that commands can hit, by name.

    Raises:
        MissingError: If a program of their commands is not there.
    """
    return {name: ProcessElsewhere(name, each, project) for name, each in subject.processes.items()}


def orders_of(name: str, described: CommandedProcess, project: Path) -> Iterator[tuple[str, Order]]:
    """Yield every command of a process as it is run, by its key.

    Raises:
        MissingError: If its program is not there.
    """
    project = project.resolve()  # the same by whatever way it was come to, since healing compares
    for key, (program, *arguments) in described.commands:
        path = found(program, project, where=_key(name, key), beside=Path(sys.executable).parent)
        within_s = COMMAND_SAYS_WITHIN_S if key == "ready" else described.within
        yield key, Order((str(Path(path).absolute()), *arguments), str(project), within_s)


def _key(name: str, key: str) -> str:
    return f"readiness.toml: system.subject.processes.{name}.{key}"


def _told(order: Order) -> Look:
    """Look by a command: it ends with 0 where the process serves."""
    ended = carry_out(order)
    said = f"`{order}` {'says yes' if ended.is_well else f'says no ({ended})' if ended.has_said_no else ended}"
    if ended.is_well:
        return Look(Saw.SERVES, said)
    if ended.has_said_no:
        return Look(Saw.UNWELL, said)
    return Look(Saw.SILENT if ended.status is None else Saw.UNKNOWN, said)


def _asked(url: str) -> Look:
    """Look by a URL: it answers 200 where the process serves."""
    parts = urlsplit(url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError as error:  # of a name that nobody knows nothing can be said
        return Look(Saw.UNKNOWN, f"GET {url} could not be asked: {error.strerror or error}")
    try:
        status = get_url(url, within_s=ANSWERS_WITHIN_S).status_code
    except httpx.TimeoutException:
        return Look(Saw.SILENT, f"GET {url} was not answered within {ANSWERS_WITHIN_S:g} s")
    except httpx.HTTPError as error:
        return Look(Saw.REFUSES, f"GET {url} was not answered ({type(error).__name__})")
    return Look(Saw.SERVES if status == httpx.codes.OK else Saw.UNWELL, f"GET {url} was answered with {status}")
