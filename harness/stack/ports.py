"""Free ports for servers that cannot be told to choose one themselves and say which."""

from __future__ import annotations

import socket

from harness.stack.service import LOOPBACK, Address


def reserve() -> Address:
    """Return a loopback address whose port the kernel will not give away again for the next minute.

    A connection is made to the port and closed from the server's side first, which leaves it in TIME_WAIT: no
    ephemeral bind gets it, while a server that sets SO_REUSEADDR, as all of ours do, may listen on it.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, 0))
        listener.listen(1)
        port: int = listener.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)) as client:
            accepted, _ = listener.accept()
            accepted.close()
            client.recv(1)
        return Address(LOOPBACK, port)
