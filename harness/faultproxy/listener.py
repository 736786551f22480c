"""A listening socket: takes clients in, refuses to, or lets them knock in vain."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from harness.faultproxy.address import BACKLOG, bind, bound_text
from harness.faultproxy.log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.faultproxy.address import Address

# So many clients are taken in one turn of the loop, so that a flood does not starve those who are already in.
ACCEPTS_PER_TURN = 64
# How long to leave clients waiting when descriptors have run out, seconds.
ACCEPT_PAUSE_S = 0.5
# A connection to ourselves takes microseconds; if the queue is full already, it never comes, seconds.
FILL_TIMEOUT_S = 0.05


class Listener:
    """Listens from its construction on, and hands each client's socket to `welcome`.

    Raises:
        AddressError: If the address cannot be bound.
    """

    def __init__(self, address: Address, welcome: Callable[[socket.socket], None]) -> None:
        self._welcome = welcome
        self._loop = asyncio.get_running_loop()
        self._socket = bind(address)
        self._filler: socket.socket | None = None
        self.address = bound_text(self._socket)
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Refuse every client from now on."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._filler:
            self._filler.close()

    def shut(self) -> None:
        """Let connects time out: with its queue full the kernel drops every further SYN (Linux)."""
        if not self._filler:
            self._accept()
            self._loop.remove_reader(self._socket.fileno())
            # A backlog of 0 holds one connection: ours.
            self._socket.listen(0)
            self._filler = self._connect_to_ourselves()

    def open(self) -> None:
        """Take clients again; those who knocked get in when their kernel next tries, after 1 s, 3 s, 7 s, ..."""
        if self._filler:
            self._drop_filler(self._filler)
            self._filler = None
            self._socket.listen(BACKLOG)
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def _connect_to_ourselves(self) -> socket.socket:
        host, port = self._socket.getsockname()[:2]
        filler = socket.socket(self._socket.family)
        filler.settimeout(FILL_TIMEOUT_S)
        with contextlib.suppress(OSError):
            filler.connect(({"::": "::1", "0.0.0.0": "127.0.0.1"}.get(host, host), port))  # noqa: S104  # compared
        return filler

    def _drop_filler(self, filler: socket.socket) -> None:
        """Take our own connection out of the queue, and any client that was faster than it."""
        name = filler.getsockname()
        filler.close()
        with contextlib.suppress(OSError):
            client, peer = self._socket.accept()
            if peer == name:
                client.close()
            else:
                self._welcome(client)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                self._pause(error)
                return
            client.setblocking(False)
            self._welcome(client)

    def _pause(self, error: OSError) -> None:
        """Leave clients in the queue for a moment: accepting again at once would fail again, in a busy loop."""
        log("error", "Cannot accept", proxy=self.address, err=str(error))
        self._loop.remove_reader(self._socket.fileno())
        self._loop.call_later(ACCEPT_PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._socket.fileno() >= 0 and not self._filler:
            self._loop.add_reader(self._socket.fileno(), self._accept)
