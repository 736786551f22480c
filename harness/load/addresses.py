"""Which of the addresses that a name has are worth a try: those of families that this machine speaks."""

from __future__ import annotations

import _socket
import errno
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_ANY_PORT = 9
_NOT_SPOKEN = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)


def reachable(found: list[Any], is_spoken: Callable[[int, str], bool]) -> list[Any]:
    """Leave out addresses of a family that this machine does not speak, where it speaks another's.

    `localhost` is ::1 as well, also where there is no IPv6: a client that tries one address after the other would take
    that for its own machine's want of ports, although the service has refused it at 127.0.0.1.

    Args:
        found: What getaddrinfo returned.
        is_spoken: Asked of a family and an address of it, where there is a choice.
    """
    if len({each[0] for each in found}) == 1:
        return found
    return [each for each in found if is_spoken(each[0], each[4][0])] or found


@cache
def is_spoken(family: int, host: str) -> bool:
    """Tell whether this machine has an address from which to reach another; nothing is sent."""
    probe = None
    try:
        probe = _socket.socket(family, _socket.SOCK_DGRAM)
        probe.connect((host, _ANY_PORT))
    except OSError as error:
        return error.errno not in _NOT_SPOKEN
    finally:
        if probe is not None:
            probe.close()
    return True
