"""`external`: a service that runs already, and what it depends on: they can be asked, and nothing else."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import StackError
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S, Address
from harness.stack.tls import Tls

if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn

    from harness.spec.system import Subject
    from harness.stack.health_probe import HealthProbe

_KEYS = "readiness.toml: system.subject"


class ExternalService:
    """Something that was started elsewhere. Implements `Service`, as far as that can be.

    Args:
        name: Its name in the stack.
        direct: Where it listens.
        probe: How one knows it.
        ready_within_s: How long it may take until it answers.
    """

    def __init__(self, name: str, direct: Address, probe: HealthProbe, ready_within_s: float) -> None:
        self.name = name
        self.direct = direct
        self.ready_within_s = ready_within_s
        self._probe = probe

    def is_ready(self) -> bool:
        """Tell whether it answers its health question."""
        try:
            return self._probe.is_answering(self.direct)
        except OSError:
            return False

    def is_alive(self) -> bool:
        """Its process is not known, so that only its answers can tell."""
        return True

    def why_not_ready(self) -> str:
        """Say what it answers."""
        return self._probe.seen(self.direct)

    @property
    def question(self) -> bytes:
        """What `round_trip_s` asks."""
        return self._probe.question

    @property
    def greets(self) -> bool:
        """Whether it speaks first on a connection."""
        return self._probe.greets

    def long_question(self, length_bytes: int) -> bytes:
        """Return a question whose answer has at least so many bytes, and ends the connection."""
        return self._probe.asking_for(length_bytes, self.name)

    def round_trip_s(self, via: Address, *, within_s: float = SERVICE_ANSWERS_WITHIN_S) -> float:
        """Return the seconds that its cheapest question takes through `via`."""
        return self._probe.round_trip_s(via, within_s=within_s)

    def version(self) -> str:
        """Return what it says it is."""
        return self._probe.version(self.direct)

    def identity(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("held")

    def life(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("told from an earlier life")

    def children(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("looked into")

    def reload(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("told to read its configuration again")

    def ask_to_end(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("ended")

    def start(self, *, held: bool = False) -> NoReturn:  # noqa: ARG002 - of the seam
        """Refuse: see the class."""
        self._refuse("started")

    def stop(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("ended")

    def kill(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("killed")

    def pause(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("frozen")

    def resume(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("thawed")

    def restart(self) -> NoReturn:
        """Refuse: see the class."""
        self._refuse("restarted")

    def logs(self, tail: int = 20) -> str:  # noqa: ARG002 - of the seam
        """Say that its log is not known."""
        return "(it runs elsewhere, and so does its log)"

    def usage(self) -> NoReturn:
        """Refuse: nothing is known of what it uses, and that is not nothing."""
        self._refuse("measured")

    def _refuse(self, done: str) -> NoReturn:
        what = f"{self.name} cannot be {done}: it was not started here"
        raise StackError(what, where=str(self.direct), fix="let the harness start it: app, wsgi or command")


def address_of(text: str) -> Address:
    """Return `127.0.0.1:6379` as an address; its form was checked where it was read."""
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


def address_of_service(subject: Subject, project: Path) -> Address:
    """Return where a service that runs already is asked; `project` is the folder that its `ca` starts from."""
    scheme, _, place = str(subject.external).partition("://")
    address = address_of(place)
    if scheme == "http":
        return address
    return replace(address, tls=Tls(project / subject.ca if subject.ca else None))


def check_can_be_reached(subject: Subject) -> None:
    """See that the name of an external subject is known, and that the places are free where it looks for others.

    Raises:
        StackError: If not; it names the key.
    """
    place = address_of(str(subject.external).partition("://")[2])
    try:
        socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError as error:
        fix = "check its spelling, and whether this machine has a network and a name server that knows it"
        raise StackError(f"the name {place.host} is not known here", where=f"{_KEYS}.external", fix=fix) from error
    opened_here = {} if subject.toxiproxy else subject.proxies
    for name, each in opened_here.items():
        _check_is_free(address_of(each.listen), f"{_KEYS}.proxies.{name}.listen")


def _check_is_free(place: Address, where: str) -> None:
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of what has ended a rest may still be there
        try:
            door.bind((place.host, place.port))
        except OSError as error:
            fix = "end what listens there (`ss -ltnp` shows it), or let the subject look for it at another port"
            raise StackError(f"{place} is taken: {error.strerror}", where=where, fix=fix) from error
