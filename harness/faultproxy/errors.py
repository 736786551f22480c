"""What the API refuses, with the status and the words Toxiproxy uses (Toxiproxy 2.12, observed).

ApiError                     answered as {"error": message, "status": status}
└── PopulateError            the same, with the proxies that were populated before it

AddressError                 a listen or upstream address that Go's net package would refuse
StartError                   the program cannot start; exit code 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Percent-encoded, four bytes a character, it still fits into a request's head a hundred times.
MAX_NAME = 1024


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status code.
        message: The text under the key `error`.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class PopulateError(ApiError):
    """A populate that stopped half-way.

    Attributes:
        proxies: The answers for the proxies that are in place, `None` when nothing was tried.
    """

    def __init__(self, cause: ApiError, proxies: Sequence[object] | None) -> None:
        super().__init__(cause.status, cause.message)
        self.proxies = proxies


class AddressError(ValueError):
    """An address that cannot be listened on."""


class StartError(Exception):
    """The program cannot start: its port is busy, or its configuration is unreadable."""


def bad_body(detail: str) -> ApiError:
    """Return the 400 for a body that cannot be decoded."""
    return ApiError(400, f"bad request body: {detail}")


def too_large() -> ApiError:
    """Return the 413 for a body that is larger than we read; ours alone, Go reads whatever comes."""
    return ApiError(413, "bad request body: too large")


def missing_field(field: str) -> ApiError:
    """Return the 400 for a field that must be there."""
    return ApiError(400, f"missing required field: {field}")


def invalid_stream() -> ApiError:
    """Return the 400 for a stream other than the two."""
    return ApiError(400, "stream was invalid, can be either upstream or downstream")


def invalid_toxic_type() -> ApiError:
    """Return the 400 for a type that is not in the table."""
    return ApiError(400, "invalid toxic type")


def invalid_value(problem: str) -> ApiError:
    """Return the 400 for a value the original would crash on or silently misuse; ours alone."""
    return ApiError(400, f"invalid value: {problem}")


def refuse_unreachable(name: str) -> None:
    """Refuse a name no URL can reach: Toxiproxy accepts it and cannot delete it until it restarts.

    Raises:
        ApiError: 400, if there is a slash in `name`, or far too much of it.
    """
    if "/" in name:
        raise invalid_value("name must not contain a slash")
    if len(name) > MAX_NAME:
        raise invalid_value(f"name must have at most {MAX_NAME} characters")


def proxy_not_found() -> ApiError:
    """Return the 404 for a proxy."""
    return ApiError(404, "proxy not found")


def toxic_not_found() -> ApiError:
    """Return the 404 for a toxic."""
    return ApiError(404, "toxic not found")


def proxy_exists() -> ApiError:
    """Return the 409 for a proxy."""
    return ApiError(409, "proxy already exists")


def toxic_exists() -> ApiError:
    """Return the 409 for a toxic."""
    return ApiError(409, "toxic already exists")


def cannot_listen(detail: str) -> ApiError:
    """Return the 500 that carries a network error in Go's words."""
    return ApiError(500, detail)
