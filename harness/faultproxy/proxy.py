"""One proxy: a listener, the toxics on it, and the connections that came through it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING

from harness.faultproxy.address import port_number, split_host_port
from harness.faultproxy.connection import Connection
from harness.faultproxy.endpoint import end_with_reset
from harness.faultproxy.errors import toxic_not_found
from harness.faultproxy.listener import Listener
from harness.faultproxy.log import log
from harness.faultproxy.names import look_up
from harness.faultproxy.schedule import Timetable
from harness.faultproxy.tally import Road, ToxicName
from harness.faultproxy.toxic import STREAMS
from harness.faultproxy.toxics.stage import Doorkeeper

if TYPE_CHECKING:
    import socket

    from harness.faultproxy.address import Address
    from harness.faultproxy.program import Program
    from harness.faultproxy.toxic import Change, Toxic


class Proxy:
    """A listener in front of one upstream.

    Args:
        name: How the API addresses it.
        listen: Where it listens, or wants to; the bound address once it was enabled.
        upstream: Where connections go; looked up anew for each.
        program: Settings of the program.

    Attributes:
        asked: Where it was asked to listen, in the words of its client.
        connections: Those that are open, or being closed.
        connection_count: How many were taken so far; the number of the latest.
        toxics: In order of creation, both streams.
    """

    def __init__(self, name: str, listen: str, upstream: str, program: Program) -> None:
        self.name = name
        self.listen = self.asked = listen
        self.upstream = upstream
        self.program = program
        self.connections: set[Connection] = set()
        self.toxics: list[Toxic] = []
        self._listener: Listener | None = None
        self._timetables: dict[Toxic, Timetable] = {}
        self._arrivals: dict[Connection, asyncio.Task[None]] = {}
        self.connection_count = 0

    @property
    def is_enabled(self) -> bool:
        """Tell whether it listens."""
        return self._listener is not None

    @property
    def open_count(self) -> int:
        """Return how many connections are open, being made, or being closed."""
        return len(self.connections) + len(self._arrivals)

    @property
    def road(self) -> Road:
        """Return what its connections are counted for."""
        return Road(self.name, self.listen, self.upstream)

    def shown(self) -> dict[str, object]:
        """Return the proxy in the API's form and order."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.is_enabled,
            # Leaked by the original since 2.5; clients have learned to expect it.
            "Logger": {},
            "toxics": self.shown_toxics(),
        }

    def shown_toxics(self) -> list[dict[str, object]]:
        """Return the toxics, those of the upstream direction first."""
        return [toxic.shown() for stream in STREAMS for toxic in self.toxics_of(stream)]

    def toxics_of(self, stream: str) -> list[Toxic]:
        """Return the toxics of one direction, in order."""
        return [toxic for toxic in self.toxics if toxic.direction == stream]

    def listen_on(self, address: Address) -> None:
        """Start listening.

        Raises:
            AddressError: If the address cannot be bound.
        """
        self._listener = Listener(address, self._welcome)
        self.listen = self._listener.address
        self.program.tally.begin(self.road)
        self._mind_the_door()
        log("info", "Started proxy", name=self.name, proxy=self.listen, upstream=self.upstream)
        self.note("proxy_started", listen=self.listen, upstream=self.upstream)

    def stop_listening(self) -> None:
        """Refuse new connections; those that are open stay."""
        if self._listener:
            self._listener.close()
            self._listener = None
            log("info", "Terminated proxy", name=self.name, proxy=self.listen, upstream=self.upstream)
            self.note("proxy_stopped")

    def cut_connections(self) -> None:
        """End every connection, and those still being made."""
        for arrival in self._arrivals.values():
            arrival.cancel()
        for connection in tuple(self.connections):
            connection.cut()

    def dismiss(self) -> None:
        """End everything: the listener, the connections, and what toxics have planned."""
        self.stop_listening()
        self.cut_connections()
        for toxic in self.toxics:
            self._retire(toxic)
        self.toxics.clear()

    def forget(self, connection: Connection) -> None:
        """Let go of a connection whose sockets are gone, but not of what it moved."""
        self.connections.discard(connection)
        self.program.tally.closed(connection.road, connection)
        self.note("connection_closed", connection=connection.number, ending=connection.ending)

    def note(self, kind: str, **facts: object) -> None:
        """Add to the event log."""
        self.program.events.note(kind, proxy=self.name, **facts)

    def toxic(self, name: str) -> Toxic:
        """Return a toxic.

        Raises:
            ApiError: 404, if there is none of this name.
        """
        for toxic in self.toxics:
            if toxic.name == name:
                return toxic
        raise toxic_not_found()

    def add_toxic(self, toxic: Toxic) -> None:
        """Apply a toxic to connections present and future."""
        toxic.connections_before = self.connection_count
        self.toxics.append(toxic)
        self.program.tally.admit(self._known_as(toxic), toxic)
        self._start_timetable(toxic)
        for connection in tuple(self.connections):
            connection.link(toxic.direction).add(toxic)
        self._throw_again_before(toxic)
        self._mind_the_door()
        self.note("toxic_added", toxic=toxic.name, type=toxic.kind, stream=toxic.direction)

    def change_toxic(self, toxic: Toxic, change: Change) -> None:
        """Change a toxic on connections present and future; a schedule starts anew only if it is another."""
        toxic.settings, toxic.toxicity = change.settings, change.toxicity
        toxic.throws += self.program.is_strict
        if toxic.when != change.when:
            toxic.when = change.when
            self._start_timetable(toxic)
        self._follow(toxic)
        self.note("toxic_changed", toxic=toxic.name)

    def remove_toxic(self, toxic: Toxic) -> None:
        """Lift a toxic from connections present and future."""
        # Links first: their order of stages follows this list.
        for connection in tuple(self.connections):
            connection.link(toxic.direction).remove(toxic)
        self._throw_again_before(toxic)
        self.toxics.remove(toxic)
        self._retire(toxic)
        self._mind_the_door()
        self._note_removal(toxic)

    def remove_all_toxics(self) -> None:
        """Lift every toxic at once: one by one, each connection would be wired anew for each of them."""
        for connection in tuple(self.connections):
            for stream in STREAMS:
                connection.link(stream).remove_all()
        removed = self.toxics.copy()
        self.toxics.clear()
        for toxic in removed:
            self._retire(toxic)
            self._note_removal(toxic)
        self._mind_the_door()

    def _note_removal(self, toxic: Toxic) -> None:
        self.note("toxic_removed", toxic=toxic.name, hits=toxic.hits, connections=toxic.connections)

    def _retire(self, toxic: Toxic) -> None:
        """Let a toxic do nothing any more, and keep what it has done."""
        self._timetables.pop(toxic).stop()
        self.program.tally.retire(self._known_as(toxic), toxic)

    def _known_as(self, toxic: Toxic) -> ToxicName:
        return ToxicName(self.name, toxic.direction, toxic.name, toxic.kind)

    def _throw_again_before(self, toxic: Toxic) -> None:
        """Throw the dice of the toxic before this one anew, which the original does whenever it has to rewire it."""
        if self.program.is_strict:
            ordered = self.toxics_of(toxic.direction)
            for neighbour in ordered[: ordered.index(toxic)][-1:]:
                neighbour.throws += 1
                self._follow(neighbour)

    def _follow(self, toxic: Toxic) -> None:
        for connection in tuple(self.connections):
            connection.link(toxic.direction).change(toxic)
        self._mind_the_door()

    def _mind_the_door(self) -> None:
        """Let clients knock in vain if a toxic says so, and take them in if none does."""
        if self._listener:
            is_shut = any(keeper.shuts() for toxic, keeper in self._doorkeepers() if not toxic.is_resting)
            (self._listener.shut if is_shut else self._listener.open)()

    def _doorkeepers(self) -> list[tuple[Toxic, Doorkeeper]]:
        return [(toxic, toxic.settings) for toxic in self.toxics if isinstance(toxic.settings, Doorkeeper)]

    def _start_timetable(self, toxic: Toxic) -> None:
        if toxic in self._timetables:
            self._timetables[toxic].stop()
        toxic.is_resting = False
        self._timetables[toxic] = Timetable(
            toxic.when, functools.partial(self._turn, toxic), functools.partial(self._expire, toxic)
        )

    def _turn(self, toxic: Toxic, is_on: bool) -> None:  # noqa: FBT001  # the timetable passes positions only
        toxic.is_resting = not is_on
        self._follow(toxic)
        self.note("toxic_on" if is_on else "toxic_off", toxic=toxic.name)

    def _expire(self, toxic: Toxic) -> None:
        self.note("toxic_expired", toxic=toxic.name)
        self.remove_toxic(toxic)

    def _welcome(self, client: socket.socket) -> None:
        self.connection_count += 1
        connection = Connection(self, self.connection_count, self.road)
        self.program.tally.take(connection.road)
        open_count = self.open_count
        for toxic, keeper in self._doorkeepers():
            if connection.suffers(toxic) and not keeper.admits(open_count):
                toxic.hit()
                connection.first_hit(toxic)
                client.close()
                return
        arrival = asyncio.get_running_loop().create_task(self._connect(client, connection))
        self._arrivals[connection] = arrival
        arrival.add_done_callback(lambda _: self._arrivals.pop(connection, None))

    async def _connect(self, client: socket.socket, connection: Connection) -> None:
        """Dial the upstream, then let bytes flow; a client whose upstream does not answer is closed."""
        try:
            await self._dial(connection)
        except (OSError, ValueError) as error:  # whatever there is to be wrong with an address
            reason = str(error) or f"no answer within {self.program.dial_timeout_s:g} s"
            log("warn", "Unable to open connection to upstream", name=self.name, upstream=self.upstream, err=reason)
            self.note("dial_failed", connection=connection.number, error=reason)
            if isinstance(error, ConnectionResetError) and not self.program.is_strict:
                end_with_reset(client)  # it was open for a moment, and a reset stays a reset
            client.close()
        except asyncio.CancelledError:
            client.close()
            raise
        else:
            await self._adopt(client, connection)

    async def _dial(self, connection: Connection) -> None:
        host, port = split_host_port(self.upstream)
        async with asyncio.timeout(self.program.dial_timeout_s):
            await self._dial_first(await look_up(host or "localhost"), port_number(port), connection)

    async def _dial_first(self, addresses: tuple[str, ...], port: int, connection: Connection) -> None:
        """Dial one address after the other until one answers; if none does, the last one says why."""
        *others, last = addresses
        for address in others:
            with contextlib.suppress(OSError):
                return await self._dial_one(address, port, connection)
        return await self._dial_one(last, port, connection)

    async def _dial_one(self, address: str, port: int, connection: Connection) -> None:
        await asyncio.get_running_loop().create_connection(lambda: connection.server, address, port)

    async def _adopt(self, client: socket.socket, connection: Connection) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection.client, client)
        except BaseException:
            connection.server.cut()
            client.close()
            raise
        # Now, and not when the task is done, which is a turn of the loop later: it would count twice till then.
        self._arrivals.pop(connection, None)
        self.connections.add(connection)
        self.program.tally.opened(connection.road, connection)
        self.note("connection_opened", connection=connection.number)
        connection.start()
