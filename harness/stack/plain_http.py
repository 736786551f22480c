"""Asking what stands on this machine, over plain HTTP."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from harness.stack.service import Address

# A client makes itself ready for TLS, which nothing here speaks: to read the machine's certificates takes 25 ms of a
# core for each question, and replicas are asked while they are measured. This context trusts no certificate at all.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def get(address: Address, path: str, *, within_s: float) -> httpx.Response:
    """Return what is answered to a GET, on a connection of its own.

    Raises:
        httpx.HTTPError: If nothing is, or no HTTP; or a pause is longer than `within_s`, seconds.
    """
    return httpx.get(f"http://{address}{path}", timeout=within_s, trust_env=False, verify=_NO_TLS)
