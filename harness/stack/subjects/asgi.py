"""`app`: an ASGI application, under uvicorn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.stack.service import Address


SERVER = "uvicorn"


def arguments(app: str, address: Address, *, is_factory: bool, is_ours: bool) -> list[str]:
    """Return what Python is told to serve `app` at `address`; what is installed with us is faster than its usual."""
    factory = ["--factory"] if is_factory else []
    serve = ["-m", SERVER, app, *factory, "--host", address.host, "--port", str(address.port)]
    tuned = ["--loop", "uvloop", "--http", "httptools"] if is_ours else []
    return [*serve, *tuned, "--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75"]
