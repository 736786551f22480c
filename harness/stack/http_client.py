"""Asking a part of a system over HTTP, which stands on this machine, but for a service that runs elsewhere."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx

from harness.stack.service import LOOPBACK
from harness.stack.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.stack.service import Address

# A client makes itself ready for TLS, which nothing speaks that is started here: to read the machine's certificates
# takes 25 ms of a core a question, and replicas are asked while they are measured. This context trusts none of them.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


_LEAST_ANSWER_BYTES = 60
"""The shortest answer with a status line and a Date, which a server with a clock must send. Source: RFC 9110, 6.6.1."""


def http_question(path: str, length_bytes: int) -> bytes:
    """Return so many GETs in one go that their answers have at least `length_bytes`; the last ends the connection.

    A server answers them one after the other. Source: RFC 9112, 9.3.2 Pipelining.
    """
    asked = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\n"
    return (f"{asked}\r\n" * (length_bytes // _LEAST_ANSWER_BYTES) + f"{asked}Connection: close\r\n\r\n").encode()


def get(address: Address, path: str, *, within_s: float, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Return what is answered to a GET, on a connection of its own; see `ask`."""
    return ask(address, "GET", path, within_s=within_s, headers=headers)


def ask(
    address: Address,
    method: str,
    path: str,
    *,
    within_s: float,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> httpx.Response:
    """Return what is answered to a request, on a connection of its own; a redirect is an answer.

    Raises:
        httpx.HTTPError: If nothing is, or no HTTP; or a pause is longer than `within_s`, seconds.
    """
    url, trusted = f"{address.url}{path}", _NO_TLS if address.tls is None else address.tls.context()
    return httpx.request(method, url, content=body, headers=headers, timeout=within_s, trust_env=False, verify=trusted)


def get_url(url: str, *, within_s: float, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Return the same of a URL on any machine; on https whoever this machine trusts is believed.

    Raises:
        httpx.HTTPError: As above.
    """
    trusted = Tls().context() if url.startswith("https:") else _NO_TLS
    return httpx.get(url, timeout=within_s, headers=headers, trust_env=False, verify=trusted)
