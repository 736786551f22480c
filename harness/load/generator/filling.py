"""Declared requests, made ready to be sent: all that can be is done beforehand, as a run fills in a million of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.spec.requests import KEY, PLACEHOLDER, UNIQUE, placeholders_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.spec.requests import DeclaredRequest

    Filling = Callable[[int, int], str]
    """From a request's key, and its number in the run, to a text."""


@dataclass(frozen=True, slots=True)
class ReadyRequest:
    """One declared request, ready to be filled in.

    Attributes:
        name: What samples call it.
        method: Of HTTP.
        path: Filled in for each.
        body: Filled in for each; None if it has none.
        headers: The same for each; None where one of them is not.
        filled_headers: Filled in for each.
        proper: The statuses of a proper answer.
    """

    name: str
    method: str
    path: Filling
    body: Filling | None
    headers: dict[str, str] | None
    filled_headers: dict[str, Filling]
    proper: frozenset[int]

    def headers_for(self, key: int, number: int) -> dict[str, str]:
        """Return the headers of one request."""
        if self.headers is not None:
            return self.headers
        return {name: filled(key, number) for name, filled in self.filled_headers.items()}


def ready(request: DeclaredRequest, mark: str) -> ReadyRequest:
    """Make a declared request ready for a load; `mark` is `LoadPlan.mark`."""
    is_constant = not any(placeholders_in(template) for template in request.headers.values())
    return ReadyRequest(
        name=request.name,
        method=request.method,
        path=filling(request.path, mark),
        body=filling(request.body, mark) if request.body is not None else None,
        headers=dict(request.headers) if is_constant else None,
        filled_headers={name: filling(template, mark) for name, template in request.headers.items()},
        proper=request.proper,
    )


def filling(template: str, mark: str) -> Filling:
    """Return what fills a template in; `{unique}` is the load's mark and the request's number in it."""
    as_printf = {KEY: "%d", UNIQUE: f"{mark}-%d"}
    text = PLACEHOLDER.sub(lambda found: as_printf[found[1]], template.replace("%", "%%"))
    match placeholders_in(template):
        case ():
            return lambda _key, _number: template
        case ("key",):
            return lambda key, _number: text % key
        case ("unique",):
            return lambda _key, number: text % number
        case names:
            order = tuple(name == UNIQUE for name in names)
            return lambda key, number: text % tuple(number if is_unique else key for is_unique in order)
