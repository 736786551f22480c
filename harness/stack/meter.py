"""Count what clients have sent on connections that are still open: `python3 meter.py PORT`, in a container of its own.

The real Toxiproxy counts the bytes of a connection when the connection ends, and a pool's connections do not end while
one watches. The kernel knows at once. This script stands in the network of the proxy's container, asks the kernel for
every established connection (sock_diag(7), linux/inet_diag.h, struct tcp_info of linux/tcp.h), and answers each
connection to PORT with one JSON object: bytes received so far, by local port, and by local address and port. It runs
where nothing of the harness is installed, so it imports nothing but the standard library.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLMSG_DONE = 3
NLMSG_ERROR = 2
NLM_F_REQUEST_DUMP = 0x301
INET_DIAG_INFO = 2
ESTABLISHED = 1 << 1  # one that has ended is counted by the proxy itself
BYTES_RECEIVED_AT = 128  # in struct tcp_info: 8 bytes, 24 words, and three counters of 64 bits come before it

_HEADER = struct.Struct("=IHHII")
_MESSAGE_BYTES = 72  # struct inet_diag_msg
_PORT_AT, _ADDRESS_AT = 4, 8  # in it, of struct inet_diag_sockid: where the connection ends on this side
_ATTRIBUTE = struct.Struct("=HH")


def received_bytes() -> dict[str, int]:
    """Return what has come in on established connections, by local port, and by local address and port.

    Raises:
        OSError: If the kernel does not tell.
    """
    counted: dict[str, int] = {}
    for family, length in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        for message in _dumped(family):
            port = struct.unpack_from("!H", message, _PORT_AT)[0]
            address = socket.inet_ntop(family, message[_ADDRESS_AT : _ADDRESS_AT + length])
            for key in (str(port), f"{address}:{port}"):
                counted[key] = counted.get(key, 0) + _received_of(message)
    return counted


def _dumped(family: int) -> Iterator[bytes]:
    """Ask for the established TCP connections of a family; yield a struct inet_diag_msg and its attributes for each."""
    asked = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), ESTABLISHED)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(asked), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0) + asked)
        while True:
            for kind, message in _messages(kernel.recv(1 << 17)):
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", message)[0], "the kernel does not list connections")
                yield message


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Split what the kernel sent into messages; each begins at a multiple of four."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, at)
        yield kind, datagram[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _received_of(message: bytes) -> int:
    at = _MESSAGE_BYTES
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == INET_DIAG_INFO:
            counted: int = struct.unpack_from("=Q", message, at + _ATTRIBUTE.size + BYTES_RECEIVED_AT)[0]
            return counted
        at += (length + 3) & ~3
    raise OSError(0, "the kernel does not count bytes")


def serve(port: int) -> None:
    """Answer every connection to `port`, one after the other, for ever."""
    with socket.create_server(("0.0.0.0", port)) as listener:  # noqa: S104 - published on loopback only
        while True:
            client, _ = listener.accept()
            with client:
                client.sendall(json.dumps(received_bytes()).encode())


if __name__ == "__main__":
    serve(int(sys.argv[1]))
