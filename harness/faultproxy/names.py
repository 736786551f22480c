"""Names of machines to numeric addresses, each by a thread of its own: one that hangs holds up no other.

An event loop looks names up on a few threads (uvloop has four), and a name server that says nothing holds each for half
a minute; then nothing else is looked up, `localhost` included. So what needs no name server never waits here, and
what does waits for its own answer alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import Future
from ipaddress import ip_address
from pathlib import Path

from harness.faultproxy.errors import AddressError

HOSTS_FILE = Path("/etc/hosts")
# So many names may be waited for at a time; a name that is asked for again shares its thread.
MAX_WAITING = 256

_waiting: dict[str, Future[tuple[str, ...]]] = {}


async def look_up(host: str) -> tuple[str, ...]:
    """Return the numeric addresses of a host, in the order of preference, at least one.

    Raises:
        AddressError: `lookup HOST: no such host`, as Go says it.
    """
    known = numeric(host) or local(host)
    return known or await asyncio.wrap_future(_asked(host))


def numeric(host: str) -> tuple[str, ...]:
    """Return the one address that is written out, or nothing.

    Raises:
        AddressError: For an IPv4 address in an odd form, which Go takes for a name that nobody has: C libraries read
            `0127.0.0.1` as octal, which is 87.0.0.1, somebody else's machine.
    """
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        return (str(getattr(address, "ipv4_mapped", None) or address),)
    try:
        socket.inet_aton(host)
    except OSError:
        return ()
    raise no_such_host(host)


def local(host: str) -> tuple[str, ...]:
    """Return what this machine itself knows of a name: its hosts file, and that `localhost` is itself (RFC 6761)."""
    name = host.lower().removesuffix(".")
    found = tuple(dict.fromkeys(address for address, names in _hosts() if name in names))
    return found or (("127.0.0.1", "::1") if name == "localhost" else ())


def no_such_host(host: str) -> AddressError:
    """Return the error for a name that has no address."""
    return AddressError(f"lookup {host}: no such host")


def _hosts() -> list[tuple[str, list[str]]]:
    try:
        lines = HOSTS_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.partition("#")[0].lower().split() for line in lines]
    return [(first, names) for first, *names in filter(None, words)]


def _asked(host: str) -> Future[tuple[str, ...]]:
    """Return the answer to come: of a question that waits already, or of a new one."""
    waiting = _waiting.get(host)
    if waiting:
        return waiting
    if len(_waiting) >= MAX_WAITING:
        raise AddressError(f"lookup {host}: {MAX_WAITING} other names are waited for")
    answer: Future[tuple[str, ...]] = Future()
    # From now on nobody who gives up waiting can cancel it for the others.
    answer.set_running_or_notify_cancel()
    _waiting[host] = answer
    # A daemon, so that a name server that says nothing does not keep the program from ending.
    threading.Thread(target=_ask, args=(host, answer), name=f"look up {host}", daemon=True).start()
    return answer


def _ask(host: str, answer: Future[tuple[str, ...]]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        del _waiting[host]
        answer.set_exception(no_such_host(host))
    else:
        del _waiting[host]
        answer.set_result(tuple(dict.fromkeys(str(info[4][0]) for info in found)))
