"""How many bytes were read from a socket: the kernel counts them anyway, so no code has to as they pass (Linux)."""

from __future__ import annotations

import fcntl
import functools
import socket
import struct
import sys
import termios

# struct tcp_info (linux/tcp.h): the state is its first byte, tcpi_bytes_received a u64 at 128, since Linux 4.1.
TCP_INFO = struct.Struct("=B127xQ")
# The states that a socket is in once the peer's FIN has arrived (linux/tcp_states.h); FIN counts as a byte.
AFTER_FIN = frozenset({6, 8, 9, 11})  # TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING


@functools.cache
def is_counted_by_kernel() -> bool:
    """Find out on a connection to ourselves: emulated kernels know the question, and not always the answer."""
    if sys.platform != "linux":
        return False
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as sender,
            listener.accept()[0] as reader,
        ):
            sender.sendall(b"x")
            return len(reader.recv(1)) == read_bytes(reader, is_ended=False)
    except (OSError, struct.error):
        return False


def read_bytes(peer: socket.socket, *, is_ended: bool) -> int:
    """Return how many bytes were read from a connected socket so far.

    Args:
        peer: The socket, not yet closed.
        is_ended: Its end was read.
    """
    state, received = TCP_INFO.unpack(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size))
    (unread,) = struct.unpack("i", fcntl.ioctl(peer.fileno(), termios.FIONREAD, bytes(4)))
    return int(received) - int(unread) - (is_ended or state in AFTER_FIN)
