"""Those who send the requests: what they know that stands in no file, and how each of them has logged in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from harness.errors import LoadError
from harness.load.filling import ANONYMOUS, Clients, filling
from harness.spec.requests import COOKIES, LOGIN, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from harness.load.filling import Filling
    from harness.spec.load import Load
    from harness.spec.login import Login, LoginStep, Taken

LOGINS_AT_A_TIME = 8
VALUE_MAX = 8000
"""Characters of what a user is told; a server takes about as much for a whole head (nginx: 8 KiB)."""


@dataclass(frozen=True, slots=True)
class LoginAnswer:
    """What came back to one step of a login.

    Attributes:
        status_code: Its status.
        headers: By their names in small letters.
        set_cookies: Each value of its headers `set-cookie`.
        content: Its body.
    """

    status_code: int
    headers: Mapping[str, str]
    set_cookies: Sequence[str]
    content: bytes


class Asks(Protocol):
    """Sends one request, and returns the answer; None where none comes."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> LoginAnswer | None:
        """See the class."""


def logged_in(
    load: Load, secrets: Mapping[str, str], ask: Asks, *, mark: str, at_once: Callable[..., Iterable[object]] = map
) -> Clients:
    """Let each user of a load log in, and return those who send its requests.

    Args:
        load: What is asked, by whom.
        secrets: Values of `{secret.NAME}`, by name.
        ask: Sends a request.
        mark: Of the load (`LoadPlan.mark`); what is `{unique}` in a login is in no request.
        at_once: Calls a function for many users, as `map` does.

    Raises:
        LoadError: If one cannot; it names the user, the step, and what was answered.
    """
    if load.login is None:
        return Clients(secrets) if secrets else ANONYMOUS
    sessions: tuple[dict[str, str], ...] = tuple({} for _ in range(load.login.users))
    clients = Clients(secrets, sessions)
    steps = [_Step.of(each, f"{mark}.login", clients) for each in load.login.steps]
    needed = {COOKIES} & {word for request in load.asked for word in request.words}

    def enter(index: int) -> None:
        jar: dict[str, str] = {}
        for step in steps:
            step.go(index, ask, sessions[index], jar)
        if needed and not jar:
            raise _refused(index, "was given no cookie", _COOKIES_FIX)

    for _ in at_once(enter, range(load.login.users)):
        pass
    return clients


def login_lasts_s(login: Login | None, answer_within_s: float) -> float:
    """Return how long all users may take to log in, seconds: each step of each as long as an answer may."""
    if login is None:
        return 0.0
    rounds = -(-login.users // LOGINS_AT_A_TIME)  # rounded up
    return rounds * len(login.steps) * answer_within_s


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a login, ready to be filled in by a user's index."""

    declared: LoginStep
    path: Filling
    body: Filling | None
    headers: Mapping[str, Filling]
    takes: Mapping[str, Taken] = field(default_factory=dict)

    @classmethod
    def of(cls, step: LoginStep, mark: str, clients: Clients) -> _Step:
        return cls(
            declared=step,
            path=filling(step.path, mark, clients),
            body=None if step.body is None else filling(step.body, mark, clients),
            headers={name: filling(template, mark, clients) for name, template in step.headers.items()},
            takes=step.taken,
        )

    def go(self, index: int, ask: Asks, session: dict[str, str], jar: dict[str, str]) -> None:
        """Ask for one user, and keep what it is told.

        Raises:
            LoadError: If the answer is none, or does not tell what it must.
        """
        try:
            headers = {name: filled(0, index) for name, filled in self.headers.items()}
            body = None if self.body is None else self.body(0, index).encode()
            path = self.path(0, index)
        except KeyError:  # the one word that a step may not have left behind
            raise _refused(index, f"was given no cookie before {self.declared}", _COOKIES_FIX) from None
        answer = ask(self.declared.method, path, headers, body)
        if answer is None:
            raise _refused(index, f"got no answer to {self.declared}", "see that the service serves it")
        if answer.status_code not in self.declared.proper:
            what = f"cannot log in: {self.declared} answered {answer.status_code}"
            raise _refused(index, what, "see what it sends, and which statuses the step `expects`")
        jar.update(cookies_in(answer.set_cookies))
        if jar:
            session[COOKIES] = "; ".join(f"{name}={value}" for name, value in jar.items())
        for name, place in self.takes.items():
            session[f"{LOGIN}{name}"] = self._told(index, answer, place)

    def _told(self, index: int, answer: LoginAnswer, place: Taken) -> str:
        value = _value(answer, place)
        if not value:
            what = f"is told nothing: the answer to {self.declared} has no {place}"
            raise _refused(index, what, "see what the answer says, and let `takes` point there")
        if not (value.isascii() and value.isprintable()) or len(value) > VALUE_MAX:
            what = f"is told at {place} what is no line of printable ASCII of at most {VALUE_MAX} characters"
            raise _refused(index, what, "let `takes` point at the token, the id or the like")
        return value


_COOKIES_FIX = "see which cookies its login sets, or leave {login.cookies} out"


def _value(answer: LoginAnswer, place: Taken) -> str | None:
    if place.header is not None:
        return answer.headers.get(place.header.lower())
    if place.cookie is not None:
        return cookies_in(answer.set_cookies).get(place.cookie)
    value = value_at(place.at or "", answer.content)
    return None if value is None else value.decode(errors="replace")


def cookies_in(set_cookies: Sequence[str]) -> dict[str, str]:
    """Return the names and values that `set-cookie` headers say; what else they say is for browsers."""
    pairs = (each.partition(";")[0].partition("=") for each in set_cookies)
    return {name.strip(): value.strip() for name, is_pair, value in pairs if is_pair and name.strip()}


def _refused(index: int, what: str, fix: str) -> LoadError:
    return LoadError(f"user {index + 1} {what}", where="before the load: [system.login]", fix=fix)
