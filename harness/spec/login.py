"""How users make themselves known to the judged service, once each, before any load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.spec.model import Model, is_unsaid
from harness.spec.requests import (
    COOKIES,
    LOGIN,
    SECRET,
    SUCCESS,
    USER,
    HeaderName,
    Headers,
    Path,
    Pointer,
    SentTemplate,
    Status,
    placeholders_in,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.spec.requests import DeclaredRequest

USERS_MAX = 1000
"""Eight log in at a time: at 100 ms each, which a slow hash of a password takes, that is 13 s before a run begins."""

Word = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class Taken(Model):
    """Where in an answer stands what a user is told.

    Attributes:
        at: In its JSON, a JSON Pointer.
        header: Or in a header.
        cookie: Or in the cookie of this name.
    """

    at: Pointer | None = Field(default=None, exclude_if=is_unsaid)
    header: HeaderName | None = Field(default=None, exclude_if=is_unsaid)
    cookie: HeaderName | None = Field(default=None, exclude_if=is_unsaid)

    @model_validator(mode="after")
    def _stands_in_one_place(self) -> Self:
        if sum(each is not None for each in (self.at, self.header, self.cookie)) != 1:
            raise ValueError("what is taken stands in one place; say one of `at`, `header` and `cookie`")
        return self

    def __str__(self) -> str:
        words = {"at": "value at", "header": "header", "cookie": "cookie"}
        return next(f"{words[name]} {value!r}" for name, value in self if value is not None)


class LoginStep(Model):
    """One request of a login; `{user}` is the user's number, `{login.NAME}` what an earlier step was told.

    Attributes:
        method, path, body, headers: As of any request.
        expects: The statuses of a proper answer; any success (2xx) where it says nothing, and no redirect is followed.
        takes: What the answer tells, by the name that `{login.NAME}` calls it: a JSON Pointer, or `header` or `cookie`.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: Path
    body: SentTemplate | None = Field(default=None, exclude_if=is_unsaid)
    headers: Headers = Field(default_factory=dict)
    expects: tuple[Status, ...] | None = Field(default=None, min_length=1, exclude_if=is_unsaid)
    takes: dict[Word, Pointer | Taken] = Field(default_factory=dict, max_length=16)

    @property
    def proper(self) -> frozenset[int]:
        """Return the statuses of a proper answer."""
        return SUCCESS if self.expects is None else frozenset(self.expects)

    @property
    def taken(self) -> dict[str, Taken]:
        """Return where each thing stands that the answer tells, by its name."""
        return {name: Taken(at=place) if isinstance(place, str) else place for name, place in self.takes.items()}

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words in braces of what it asks."""
        return placeholders_in("\n".join((self.path, self.body or "", *self.headers.values())))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Login(Model):
    """Users that log in once each, before the load, and send its requests in turn.

    Attributes:
        users: How many; request n of a run is user n's, and they take turns, so that a seed repeats who asks what.
        steps: What each asks, in order.
        sends: Headers of every request that does not say them itself, such as `authorization = "Bearer {login.token}"`.
    """

    users: int = Field(default=1, ge=1, le=USERS_MAX)
    steps: Annotated[tuple[LoginStep, ...], Field(min_length=1, max_length=8)]
    sends: Headers = Field(default_factory=dict)

    @property
    def tells(self) -> frozenset[str]:
        """Return the words that a user knows afterwards."""
        return frozenset({COOKIES, *(f"{LOGIN}{name}" for step in self.steps for name in step.takes)})

    @model_validator(mode="after")
    def _says_what_it_was_told_before(self) -> Self:
        known = {USER, "unique"}
        for number, step in enumerate(self.steps, start=1):
            strange = [word for word in step.words if word not in known and not word.startswith(SECRET)]
            if strange:
                raise ValueError(f"step {number}, {step}, says {{{strange[0]}}}, which no step before it takes")
            known |= {COOKIES, *(f"{LOGIN}{name}" for name in step.takes)}
        if any(f"{LOGIN}{name}" == COOKIES for step in self.steps for name in step.takes):
            raise ValueError(f"{{{COOKIES}}} is all cookies that were set; call what is taken otherwise")
        return self


def unknown_words(
    requests: Sequence[DeclaredRequest], login: Login | None, secrets: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield each word of requests and of a login that no part of them fills in, and how to mend it."""
    told = {USER, *login.tells} if login is not None else set()
    said = [(f"the request {request.name}", word) for request in requests for word in sorted(request.words)]
    if login is not None:
        said += [("the login", word) for step in login.steps for word in step.words]
        said += [("sends", word) for text in login.sends.values() for word in placeholders_in(text)]
    for where, word in said:
        what = f"{where} says {{{word}}}, which is not known"
        if word.startswith(SECRET) and word.removeprefix(SECRET) not in secrets:
            variable = word.removeprefix(SECRET)
            yield what, f'name the variable in readiness.toml: [system] secrets = ["{variable}"]'
        elif (word == USER or word.startswith(LOGIN)) and word not in told:
            yield what, _how_to_know(word, login)


def _how_to_know(word: str, login: Login | None) -> str:
    if login is None:
        return "nobody logs in; say how, in [system.login] of readiness.toml, or leave it out"
    return f"let a step of the login take it: takes = {{ {word.removeprefix(LOGIN)} = ... }}"
