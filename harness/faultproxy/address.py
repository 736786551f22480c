"""Addresses in Go's notation, `host:port`, and what becomes of them when they are bound.

Error texts and the normal form are those of Go's net package, since Toxiproxy hands them to its clients as they are.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from dataclasses import dataclass

from harness.faultproxy.errors import AddressError
from harness.faultproxy.names import look_up, no_such_host, numeric

WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104  # recognising them is the point; the user decides what to bind
# The kernel caps it at net.core.somaxconn, which is what Go asks for.
BACKLOG = 4096
# What a name can be made of; underscores are not for hosts, and yet Docker has them in its names (RFC 1035, 2.3.4).
NAME = re.compile(r"(?=.{1,253}\.?$)[\w-]{1,63}(\.[\w-]{1,63})*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """A resolved address to listen on.

    Attributes:
        text: Go's rendering of the resolved address; compared with the bound one to see whether a proxy must move.
        host: A numeric address; empty for every interface.
        port: 0 lets the kernel choose.
    """

    text: str
    host: str
    port: int

    def is_met_by(self, bound: Address) -> bool:
        """Tell whether a listener at `bound` is what is asked for: any port is, and every interface by any name."""
        return self.host == bound.host and self.port in {0, bound.port}

    def is_same_as(self, bound: Address) -> bool:
        """Tell whether a listener at `bound` is at this address, every interface by any name."""
        return self.host == bound.host and self.port == bound.port


def split_host_port(address: str) -> tuple[str, str]:
    """Split `host:port` or `[host]:port`.

    Raises:
        AddressError: In the words of Go's net.SplitHostPort.
    """
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket:
            raise AddressError(f"address {address}: missing ']' in address")
        if not rest.startswith(":"):
            raise AddressError(f"address {address}: missing port in address")
        port = rest[1:]
    else:
        host, colon, port = address.rpartition(":")
        if not colon:
            raise AddressError(f"address {address}: missing port in address")
    if ":" in port or (":" in host and not address.startswith("[")):
        raise AddressError(f"address {address}: too many colons in address")
    return host, port


async def resolve(listen: str) -> Address:
    """Turn what a client wrote into something to bind; an empty text means any port on every interface.

    Raises:
        AddressError: In the words of Go's net.ResolveTCPAddr.
    """
    host, port_name = split_host_port(listen) if listen else ("", "0")
    port = port_number(port_name)
    if host in WILDCARDS:
        return Address(join(host, port), "", port)
    # Go prefers IPv4 when a name has both.
    found = min(await look_up(host), key=lambda address: ":" in address)
    return Address(join(found, port), found, port)


def refuse_impossible(upstream: str) -> None:
    """Refuse an upstream that no connection will ever be made to.

    Raises:
        AddressError: If there is a scheme, a path or no port in it, or a host that no name server can be asked for.
    """
    host, port = split_host_port(upstream)
    if not port_number(port):
        raise AddressError(f"address {upstream}: missing port in address")
    if host and not numeric(host) and not (NAME.fullmatch(host) and _fits_dns(host)):
        raise no_such_host(host)


def _fits_dns(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def port_number(port: str) -> int:
    """Return the number of a port, given as digits or as the name of a service; an empty text is 0.

    Raises:
        AddressError: In the words of Go's net package.
    """
    if re.fullmatch("[+-]?[0-9]+", port):
        if not 0 <= int(port[:20]) <= 0xFFFF:
            raise AddressError(f"address {port}: invalid port")
        return int(port)
    try:
        return socket.getservbyname(port, "tcp") if port else 0
    except OSError as error:
        raise AddressError(f"lookup tcp/{port}: unknown port") from error


def join(host: str, port: int) -> str:
    """Write an address as Go does, IPv6 in brackets."""
    return host_and_port(host, str(port))


def host_and_port(host: str, port: str) -> str:
    """Write an address as Go does, IPv6 in brackets, with a port that may be the name of a service."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(address: Address) -> socket.socket:
    """Return a listening, non-blocking socket.

    Raises:
        AddressError: `listen tcp HOST:PORT: bind: REASON`, as Go says it.
    """
    listener = _wildcard_socket() if not address.host else socket.socket(_family(address.host))
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host or ("::" if listener.family == socket.AF_INET6 else ""), address.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise AddressError(f"listen tcp {address.text}: bind: {_reason(error)}") from error
    return listener


def bound_text(listener: socket.socket) -> str:
    """Return the address a listener really has."""
    host, port = listener.getsockname()[:2]
    return join(host, port)


def bound_address(text: str) -> Address:
    """Return the address behind a text that `bound_text` has made."""
    host, port = split_host_port(text)
    return Address(text, "" if host in WILDCARDS else host, int(port))


def _wildcard_socket() -> socket.socket:
    """Return a socket for both families, or for IPv4 alone where there is no IPv6."""
    if not socket.has_dualstack_ipv6():
        return socket.socket(socket.AF_INET)
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host"
    known = {errno.EADDRNOTAVAIL: "cannot assign requested address"}
    return known.get(error.errno or 0, os.strerror(error.errno or 0).lower())
