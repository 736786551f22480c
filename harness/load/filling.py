"""Declared requests, made ready to be sent: all that can be is done beforehand, as a run fills in a million of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.spec.requests import KEY, PLACEHOLDER, SECRET, UNIQUE, USER, placeholders_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.spec.requests import DeclaredRequest

    Filling = Callable[[int, int], str]
    """From a request's key, and its number in the run, to a text."""


@dataclass(frozen=True, slots=True)
class Clients:
    """Those who send the requests of a load; they take turns by the requests' numbers.

    Attributes:
        secrets: Values of `{secret.NAME}`, by name.
        sessions: What each was told as it logged in, by the words that say it; none where nobody logs in.
    """

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    sessions: Sequence[Mapping[str, str]] = field(default=(), repr=False)

    def user(self, number: int) -> int:
        """Return the number of the user that sends a request; the first is 1."""
        return number % max(1, len(self.sessions)) + 1

    def told(self, number: int, word: str) -> str:
        """Return what the user that sends a request was told.

        Raises:
            KeyError: If it was not told that.
        """
        return self.sessions[number % len(self.sessions)][word]


ANONYMOUS = Clients()


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


def ready(request: DeclaredRequest, mark: str, clients: Clients = ANONYMOUS) -> ReadyRequest:
    """Make a declared request ready for a load of these clients; `mark` is `LoadPlan.mark`."""
    headers = {name: filling(template, mark, clients) for name, template in request.headers.items()}
    is_constant = not any(varying_in(template) for template in request.headers.values())
    return ReadyRequest(
        name=request.name,
        method=request.method,
        path=filling(request.path, mark, clients),
        body=filling(request.body, mark, clients) if request.body is not None else None,
        headers={name: filled(0, 0) for name, filled in headers.items()} if is_constant else None,
        filled_headers=headers,
        proper=request.proper,
    )


def varying_in(template: str) -> tuple[str, ...]:
    """Return the words in braces that are not the same for all requests of a load: all but secrets."""
    return tuple(name for name in placeholders_in(template) if not name.startswith(SECRET))


def filling(template: str, mark: str, clients: Clients = ANONYMOUS) -> Filling:
    """Return what fills a template in.

    `{unique}` is the load's mark and the request's number in it; `{user}` and `{login.NAME}` are those of the client
    whose turn it is.
    """
    parts = {KEY: "%d", UNIQUE: f"{mark}-%d", USER: "%d"}

    def part(name: str) -> str:
        if name.startswith(SECRET):
            return clients.secrets[name.removeprefix(SECRET)].replace("%", "%%")
        return parts.get(name, "%s")

    text = PLACEHOLDER.sub(lambda found: part(found[1]), template.replace("%", "%%"))
    match varying_in(template):
        case ():
            whole = text % ()
            return lambda _key, _number: whole
        case ("key",):
            return lambda key, _number: text % key
        case ("unique",):
            return lambda _key, number: text % number
        case names:
            words = tuple(_word(name, clients) for name in names)
            return lambda key, number: text % tuple(word(key, number) for word in words)


def _word(name: str, clients: Clients) -> Callable[[int, int], int | str]:
    """Return what stands for one word, of a request's key and number."""
    match name:
        case "key":
            return lambda key, _number: key
        case "unique":
            return lambda _key, number: number
        case "user":
            return lambda _key, number: clients.user(number)
        case _:
            return lambda _key, number: clients.told(number, name)
