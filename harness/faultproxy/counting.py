"""How many bytes were read from a socket: the kernel counts them anyway, so no code has to as they pass (Linux)."""

from __future__ import annotations

import fcntl
import functools
import select
import socket
import struct
import sys
import termios

# struct tcp_info (linux/tcp.h): the state is its first byte, tcpi_bytes_received a u64 at 128, since Linux 4.1.
TCP_INFO = struct.Struct("=B127xQ")
# The states that a socket is in once the peer's FIN has arrived (linux/tcp_states.h); FIN counts as a byte.
AFTER_FIN = frozenset({6, 8, 9, 11})  # TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING
# Both sides have ended, or one has reset.
CLOSED = 7


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


def read_bytes(peer: socket.socket, *, is_ended: bool, is_broken: bool = False) -> int:
    """Return how many bytes were read from a connected socket so far.

    Args:
        peer: The socket, not yet closed.
        is_ended: Its end was read.
        is_broken: A reset was read.
    """
    state, received = TCP_INFO.unpack(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size))
    (unread,) = struct.unpack("i", fcntl.ioctl(peer.fileno(), termios.FIONREAD, bytes(4)))
    has_fin = is_ended or state in AFTER_FIN or (state == CLOSED and not is_broken and not _is_reset(peer))
    return int(received) - int(unread) - has_fin


def _is_reset(peer: socket.socket) -> bool:
    """Tell whether a reset waits to be read; asking for it by SO_ERROR would take it away from who has to read it."""
    poller = select.poll()
    poller.register(peer.fileno(), 0)
    return any(events & select.POLLERR for _, events in poller.poll(0))
