"""`app`: an ASGI application, under uvicorn."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

from harness.errors import MissingError

if TYPE_CHECKING:
    from harness.stack.service import Address


def arguments(app: str, address: Address, *, is_factory: bool) -> list[str]:
    """Return what Python is told to serve `app` at `address`."""
    factory = ["--factory"] if is_factory else []
    serve = ["-m", "uvicorn", app, *factory, "--host", address.host, "--port", str(address.port)]
    tuned = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return [*serve, *tuned, "--timeout-keep-alive", "75"]


def server() -> str:
    """Return which uvicorn serves.

    Raises:
        MissingError: If there is none.
    """
    return installed("uvicorn")


def installed(package: str) -> str:
    """Return `uvicorn 0.54.0`.

    Raises:
        MissingError: If it is not installed beside us.
    """
    try:
        return f"{package} {version_of(package)}"
    except PackageNotFoundError as error:
        fix = "pip install 'readiness-harness[embedded]', beside the service's own packages"
        raise MissingError(f"there is no {package} to serve with", where=sys.prefix, fix=fix) from error
