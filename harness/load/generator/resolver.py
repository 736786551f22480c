"""Finding an address without leaving the thread, where it is written as a number.

gevent asks the system in another thread, since a name may take seconds; an address such as 127.0.0.1 takes
microseconds. Every user opens a connection of its own with its first request: at 5 000/s with 256 users, these visits
to the other thread made the first requests 10 to 40 ms late; without them it is 4 to 6 (measured 2026-11, two cores).
"""

from __future__ import annotations

import _socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from gevent import get_hub
from gevent.resolver.thread import Resolver

from harness.load.addresses import is_spoken, reachable

if TYPE_CHECKING:
    from collections.abc import Collection


class NumbersFirst(Resolver):  # type: ignore[misc]  # gevent is untyped here
    """gevent's own resolver, which is asked for names only.

    Args:
        allow_remote: Whether what it finds may be on another machine. If not, that is refused here: a redirect, or an
            address in a locustfile, would otherwise carry the load to a machine that did not ask for it.
        allowed_hosts: Those that may be all the same, by the names that requests call them.
    """

    def __init__(self, *, allow_remote: bool, allowed_hosts: Collection[str] = ()) -> None:
        super().__init__()
        self._allow_remote = allow_remote
        self._allowed_hosts = allowed_hosts

    def getaddrinfo(self, host: Any, *asked: Any, **options: Any) -> Any:
        """Return what socket.getaddrinfo would, which says what may be asked.

        Raises:
            OSError: As socket.getaddrinfo does; PermissionError, which is one, if it is on another machine.
        """
        ask = _socket.getaddrinfo if _is_number(host) else super().getaddrinfo
        found = ask(host, *asked, **options)
        is_allowed = self._allow_remote or (isinstance(host, str) and host.lower() in self._allowed_hosts)
        if not is_allowed and not all(ip_address(each[4][0]).is_loopback for each in found):
            raise PermissionError(f"{host} is on another machine; load only what you may ([system] allowed_hosts)")
        return reachable(found, is_spoken)


def _is_number(host: Any) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return isinstance(host, str)  # an int, or the bytes of a name, may pass for an address there


def install(*, allow_remote: bool, allowed_hosts: Collection[str] = ()) -> None:
    """Let all greenlets of this thread find addresses so."""
    get_hub().resolver = NumbersFirst(allow_remote=allow_remote, allowed_hosts=allowed_hosts)
