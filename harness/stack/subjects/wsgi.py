"""`wsgi`: a WSGI application, under waitress.

Waitress, as it serves from threads of one process: what kills or freezes a replica's process hits the whole replica,
where the workers of a server that forks would go on. A service that runs under another server is a `command`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.stack.service import Address

SERVER = "waitress"

THREADS = 16
"""How many requests a replica works on at once; waitress' own four are fewer than one slow dependency takes up."""


def arguments(app: str, address: Address, *, is_factory: bool) -> list[str]:
    """Return what Python is told to serve `app` at `address`."""
    factory = ["--call"] if is_factory else []
    serve = ["-m", SERVER, "--host", address.host, "--port", str(address.port), "--threads", str(THREADS)]
    return [*serve, *factory, app]
