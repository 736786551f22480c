"""What the load asks of a service, as templates, and what the headers of an answer tell of it.

A request is declared once, in readiness.toml, for all scenarios; a scenario may declare its own. Nothing else in the
harness knows a path, a body or a header of the judged service.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from harness.spec.model import Model, is_unsaid
from harness.spec.path import PathBelow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")
"""A word in braces. A brace before anything else is itself, so that JSON stands in a body as it is."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

KEY, UNIQUE, ID, USER = "key", "unique", "id", "user"
LOGIN, SECRET = "login.", "secret."
"""Beginnings of words: what a user was told as it logged in, and a variable of ours whose value is in no file."""

PLACEHOLDERS = (KEY, UNIQUE, USER)

COOKIES = f"{LOGIN}cookies"
"""All cookies that a user was given as it logged in, as the header `cookie` says them."""

COUNT_MAX = 255
"""A sample names its request by one byte, and 0 is none."""

KEY_MAX = 2**31 - 1
"""A sample keeps its key in four bytes, and -1 is none."""

ECHOES_MAX = 16
"""Each is looked for in every answer, which takes time of the load generator; a service tells an id, and a tenant."""

_OWN_HEADERS = frozenset({"host", "content-length", "connection", "transfer-encoding"})


def placeholders_in(template: str) -> tuple[str, ...]:
    """Return the words in braces of a template, in order, as often as they stand there."""
    return tuple(PLACEHOLDER.findall(template))


def secrets_in(template: str) -> tuple[str, ...]:
    """Return the names of the variables whose values stand in a template, in order."""
    return tuple(name.removeprefix(SECRET) for name in placeholders_in(template) if name.startswith(SECRET))


def is_of_one_request(template: str) -> bool:
    """Tell whether it is filled in by what no record of a request tells: not by its key alone."""
    return any(name in {UNIQUE, USER} or name.startswith(LOGIN) for name in placeholders_in(template))


def _of_known_placeholders(
    template: str, known: Sequence[str] = PLACEHOLDERS, beginnings: tuple[str, ...] = (LOGIN,)
) -> str:
    for name in placeholders_in(template):
        begun = next((each for each in beginnings if name.startswith(each)), None)
        if name not in known and (begun is None or not _WORD.fullmatch(name.removeprefix(begun))):
            words = [*known, *(f"{each}NAME" for each in beginnings)]
            raise PydanticCustomError(
                "unknown_word",
                "unknown placeholder {word}",
                {"word": f"{{{name}}}", "known": [f"{{{each}}}" for each in words]},
            )
    return template


def _of_what_is_known_later(template: str) -> str:
    return _of_known_placeholders(template, (*PLACEHOLDERS, ID))


def _of_what_may_be_hidden(template: str) -> str:
    return _of_known_placeholders(template, beginnings=(LOGIN, SECRET))


def _of_one_line(template: str) -> str:
    if not (template.isascii() and template.isprintable()):
        raise ValueError(
            f"{template!r} is not one line of printable ASCII, and so no part of a request's head; encode it"
        )
    return template


def _of_a_path(template: str) -> str:
    if " " in template or "#" in template:
        raise ValueError(f"{template!r} is no path: it has a space or a fragment; percent-encode it (%20, %23)")
    return template


def _of_no_framing(name: str) -> str:
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"the load generator says {name!r} itself, or an answer could not be told apart; leave it out")
    return name


Template = Annotated[str, AfterValidator(_of_known_placeholders)]
"""A text in which `{key}`, `{unique}` and the like are filled in for each request."""

SentTemplate = Annotated[str, AfterValidator(_of_what_may_be_hidden)]
"""The same of what is sent and shown nowhere, which may hold a `{secret.NAME}`."""

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$")]
"""As RFC 9110 (section 5.1) has it: case does not count."""

Pointer = Annotated[str, Field(pattern=r"^(/([^~/]|~[01])*)*$")]
"""Where a value stands in a JSON document (RFC 6901); the empty one is the whole."""


HeadTemplate = Annotated[Template, AfterValidator(_of_one_line)]
HeaderTemplate = Annotated[SentTemplate, AfterValidator(_of_one_line)]
Path = Annotated[HeadTemplate, Field(pattern=r"^/", max_length=8000), AfterValidator(_of_a_path)]
LaterPath = Annotated[
    str,
    Field(pattern=r"^/", max_length=8000),
    AfterValidator(_of_what_is_known_later),
    AfterValidator(_of_one_line),
    AfterValidator(_of_a_path),
]
"""A path that is asked for when the load is over: `{id}` is what the answer called what it accepted."""

Headers = dict[Annotated[HeaderName, AfterValidator(_of_no_framing)], HeaderTemplate]
"""Of a request, beside those that any client sends."""

EFFECTS_MAX = 16
Status = Annotated[int, Field(ge=200, le=599)]
"""Of a final answer (RFC 9110, section 15)."""

SUCCESS = frozenset(range(200, 300))

IDEMPOTENT = frozenset({"GET", "PUT", "DELETE", "OPTIONS"})

RequestName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class Keys(Model):
    """Which of many like things a request asks for.

    Attributes:
        first: The smallest key; a key is one of first .. first + count - 1, and the smallest is the most popular.
        count: How many there are.
        zipf: Skew s of P(rank k) ~ 1 / k^s; 0 is uniform, web traffic is about 0.8 to 1.1.
    """

    first: int = Field(default=0, ge=0, le=KEY_MAX)
    count: int = Field(default=2000, ge=1, le=10_000_000)
    zipf: float = Field(default=1.0, ge=0, le=5)

    @model_validator(mode="after")
    def _all_can_be_written_down(self) -> Self:
        if self.first + self.count - 1 > KEY_MAX:
            raise ValueError(f"the last key would be {self.first + self.count - 1}; keys end at {KEY_MAX}")
        return self


class Settles(Model):
    """How to ask, when the load is over, what became of something that an answer only accepted.

    Attributes:
        id: Where the answer that accepts it names it, a JSON Pointer.
        path: Where it is asked for then; `{key}` and `{unique}` are those of the request.
        headers: Of that question, and of those for the effects.
        state: Where its answer says how far it is. A 404 says that there is no such thing.
        done: The states that say that it is done.
        dead: Those that say that it was given up and is kept, as a dead letter is. Any other is still to be done.
        effects: What it does, if it does: a path for each thing that it alone makes or changes.
        count: Where an answer to those says how often that has happened, such as the version of an item that nothing
            else writes. A 404 says never.
        took: Where the answer that says that it is done tells how long it took, from being accepted on, in seconds.
        says: What the answer that says that it is done or given up must tell besides: where it stands, and what, such
            as `"/attempts" = "5"`.
    """

    id: Pointer
    path: LaterPath
    headers: Headers = Field(default_factory=dict)
    state: Pointer
    done: Annotated[tuple[str, ...], Field(min_length=1)]
    dead: tuple[str, ...] = ()
    effects: Annotated[tuple[LaterPath, ...], Field(min_length=1, max_length=EFFECTS_MAX)]
    count: Pointer
    took: Pointer | None = Field(default=None, exclude_if=is_unsaid)
    says: dict[Pointer, Template] = Field(default_factory=dict, max_length=ECHOES_MAX, exclude_if=is_unsaid)

    @property
    def is_repeatable(self) -> bool:
        """Tell whether two requests may be about the same effects: not where each names its own."""
        return not any({UNIQUE, ID} & {*placeholders_in(path)} for path in self.effects)


class Check(Model):
    """Something that a proper answer shows beside its status: what stands in its JSON, or in a header.

    Attributes:
        at: Where in the answer, a JSON Pointer; the whole body is `""`.
        header: Or which header.
        equals: What stands there: a text as it is, anything else as JSON, such as `true`.
        contains: Or what is in what stands there.
        absent: Or that nothing stands there, as no error in an answer that says 200. In what is no JSON nothing stands
            but the whole body.
    """

    at: Pointer | None = Field(default=None, exclude_if=is_unsaid)
    header: HeaderName | None = Field(default=None, exclude_if=is_unsaid)
    equals: Template | None = Field(default=None, exclude_if=is_unsaid)
    contains: Annotated[Template, Field(min_length=1)] | None = Field(default=None, exclude_if=is_unsaid)
    absent: Literal[True] | None = Field(default=None, exclude_if=is_unsaid)

    @property
    def wanted(self) -> str | None:
        """Return the template of what must be there; None where nothing may."""
        return self.equals if self.equals is not None else self.contains

    @model_validator(mode="after")
    def _looks_at_one_thing(self) -> Self:
        if (self.at is None) == (self.header is None):
            raise ValueError("a check looks at one place; say `at`, a pointer into the answer, or `header`")
        said = [key for key in ("equals", "contains", "absent") if getattr(self, key) is not None]
        if len(said) != 1:
            raise ValueError(f"it wants {' and '.join(said) or 'nothing'}; say one of equals, contains and absent")
        return self


class DeclaredRequest(Model):
    """One kind of request; `{key}`, `{unique}` and other words in braces are filled in for each.

    `{key}` is drawn from the range of keys. `{unique}` is different in each request of a run, and the same again in a
    run of the same seed: ASCII letters, digits and dashes, which need no escaping in a path, in JSON or in a header.
    Where users log in (`spec.login`), `{user}` is the number of the one that asks, and `{login.NAME}` what it was told.
    In headers and bodies `{secret.NAME}` is the value of a variable of ours that is written down nowhere.

    Attributes:
        name: What samples, objectives (`of`) and reports call it.
        method: A HEAD is not there, as its answer tells a length and has no body.
        path: From the root, with its query.
        body: Sent as it stands, in UTF-8, after filling in; say its content-type in `headers`.
        body_file: Or a file that holds it, below the folder of readiness.toml; read once, before anything starts.
        headers: Beside those that any client sends.
        weight: Its share of all requests is its weight among those of all; one of weight 0 is asked by a fault alone,
            such as `greedy-client`.
        keys: Its own range of keys; without one, the load's.
        writes: Where in the body stands the value that it gives its key, a JSON Pointer (RFC 6901); the whole body is
            `""`. An invariant of a scenario then knows what was written.
        reads: Where in the answer stands the value that its key has.
        echoes: What of an answer must be the request's own: where it stands, as a JSON Pointer, and what must stand
            there, such as `"/id" = "{key}"`. An answer that has nothing there tells nothing.
        settles: How to ask later what became of what its answer only accepts, such as a task.
        expects: The statuses of a proper answer, all of them, where a success (2xx) is not what makes one: a 429 for a
            client that asks too much is as good an answer as a 200.
        checks: What a proper answer shows besides; one that does not has failed, whatever its status.
    """

    name: RequestName
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: Path
    body: SentTemplate | None = None
    body_file: PathBelow | None = Field(default=None, exclude_if=is_unsaid)
    headers: Headers = Field(default_factory=dict)
    weight: float = Field(default=1.0, ge=0, le=1_000_000)
    keys: Keys | None = None
    writes: Pointer | None = Field(default=None, exclude_if=is_unsaid)
    reads: Pointer | None = Field(default=None, exclude_if=is_unsaid)
    echoes: dict[Pointer, Template] = Field(default_factory=dict, max_length=ECHOES_MAX, exclude_if=is_unsaid)
    settles: Settles | None = Field(default=None, exclude_if=is_unsaid)
    expects: tuple[Status, ...] | None = Field(default=None, min_length=1, exclude_if=is_unsaid)
    checks: tuple[Check, ...] = Field(default=(), max_length=ECHOES_MAX, exclude_if=is_unsaid)

    @property
    def is_remembered(self) -> bool:
        """Tell whether it writes or reads a value that an invariant may ask for."""
        return self.writes is not None or self.reads is not None

    @property
    def proper(self) -> frozenset[int]:
        """Return the statuses of a proper answer."""
        return SUCCESS if self.expects is None else frozenset(self.expects)

    @property
    def echoed(self) -> tuple[tuple[str, str], ...]:
        """Return what its answer must echo, in an order that does not depend on how it was written down."""
        return tuple(sorted(self.echoes.items()))

    @property
    def has_key(self) -> bool:
        """Tell whether it asks for one of many like things."""
        return KEY in placeholders_in(self._text)

    @property
    def may_be_cached(self) -> bool:
        """Tell whether a cache may answer it: of the methods here, a GET alone (RFC 9111, section 2)."""
        return self.method == "GET"

    @property
    def is_idempotent(self) -> bool:
        """Tell whether asking it twice is meant to have the effect of asking it once (RFC 9110, section 9.2.2)."""
        return self.method in IDEMPOTENT

    def said(self, headers: Sequence[str]) -> str | None:
        """Return the templates of some of its headers as one text; None if it has none of them."""
        own = {name.lower(): template for name, template in self.headers.items()}
        values = [own.get(name.lower()) for name in headers]
        return None if not any(values) else " ".join(value or "" for value in values)

    @property
    def words(self) -> frozenset[str]:
        """Return all words in braces, of what is asked, of what its answer must say, and of what is asked later."""
        texts = [self._text, *self.echoes.values(), *(each.wanted for each in self.checks if each.wanted)]
        if self.settles is not None:
            texts += [self.settles.path, *self.settles.effects]
            texts += [*self.settles.headers.values(), *self.settles.says.values()]
        return frozenset(name for text in texts for name in placeholders_in(text))

    def sending(self, headers: Mapping[str, str]) -> DeclaredRequest:
        """Return the same with these headers, where it does not say them itself; also of what is asked later."""
        more = {"headers": _with(headers, self.headers)}
        if self.settles is None:
            return self.model_copy(update=more)
        settles = self.settles.model_copy(update={"headers": _with(headers, self.settles.headers)})
        return self.model_copy(update={**more, "settles": settles})

    @property
    def _text(self) -> str:
        return "\n".join((self.path, self.body or "", *self.headers.values()))

    @model_validator(mode="after")
    def _a_get_has_no_body(self) -> Self:
        if self.body is not None and self.body_file is not None:
            raise ValueError("body and body_file are two answers to one question; keep the one that is meant")
        if self.method == "GET" and (self.body is not None or self.body_file is not None):
            raise ValueError("a GET with a body is answered as its server pleases; leave the body out, or POST it")
        return self

    @model_validator(mode="after")
    def _what_is_echoed_was_asked_for(self) -> Self:
        if self.body_file is not None:
            return self  # what is said stands there, and is looked at when it is read
        said = (*placeholders_in(self._text), USER)  # a user is known by its session as well
        for template in self.echoes.values():
            strange = [name for name in placeholders_in(template) if name not in said and not name.startswith(LOGIN)]
            if strange:
                raise ValueError(
                    f"its answer is to echo {{{strange[0]}}}, which it does not say; ask for what is to be echoed"
                )
        return self

    @model_validator(mode="after")
    def _a_value_is_one_keys_own(self) -> Self:
        if not self.is_remembered:
            return self
        if self.writes is not None and self.reads is not None:
            raise ValueError("it writes a value or reads one; keep the one that is meant, or declare two requests")
        if self.body_file is not None:
            return self
        if not self.has_key:
            raise ValueError("a value belongs to a key, and it asks for none; put {key} where the service looks for it")
        if any(name == USER or name.startswith(LOGIN) for name in placeholders_in(self.path)):
            raise ValueError("a value belongs to a key, and its path is another one for each user; keep the key alone")
        if self.writes is not None:
            self._check_that_values_differ(self.writes)
        return self

    def _check_that_values_differ(self, pointer: str) -> None:
        """See that two of its writes carry two values, or nothing could tell which of them was read.

        Raises:
            ValueError: If not.
        """
        if self.body is None:
            raise ValueError("it has no body, and so no value to write; one that is taken away was perhaps never there")
        one, other = (value_at(pointer, self._body_of(number).encode()) for number in "12")
        if one is None:
            raise ValueError(f"its body has no value at {pointer!r} to write; point at one, or at the whole with ''")
        if one == other:
            raise ValueError(
                "it writes the same value again and again, so that none can be told lost; put {unique} in it"
            )

    def _body_of(self, number: str) -> str:
        return PLACEHOLDER.sub(lambda found: number if found[1] == UNIQUE else "0", self.body or "")


def _with(usual: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the usual ones where they do not say the same themselves; case does not count."""
    said = {name.lower() for name in own}
    return {**{name: value for name, value in usual.items() if name.lower() not in said}, **own}


def value_at(pointer: str, body: bytes) -> bytes | None:
    """Return the value at a JSON Pointer; of the empty one, the body as it is. None where there is none.

    A text is its UTF-8, anything else its JSON with sorted keys, so that the same value is the same bytes.
    """
    if not pointer:
        return body
    try:
        value = json.loads(body)
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            value = value[int(name) if isinstance(value, list) else name]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    # An escape of half a character is JSON (RFC 8259, section 8.2), and no text that UTF-8 could hold.
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text.encode("utf-8", "surrogatepass")


def _named_once(requests: tuple[DeclaredRequest, ...]) -> tuple[DeclaredRequest, ...]:
    names = [request.name for request in requests]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the request {', '.join(twice)} is there twice; give each a name of its own")
    return requests


def _some_asked(requests: tuple[DeclaredRequest, ...]) -> tuple[DeclaredRequest, ...]:
    if requests and not any(request.weight for request in requests):
        raise ValueError("all requests have the weight 0, so that nothing is asked; give one of them a weight")
    return requests


Requests = Annotated[
    tuple[DeclaredRequest, ...], Field(max_length=COUNT_MAX), AfterValidator(_named_once), AfterValidator(_some_asked)
]
"""All that a load asks; their order counts only for a seed, which draws the same kinds in the same order again."""

ROOT: tuple[DeclaredRequest, ...] = (DeclaredRequest(name="root", path="/"),)
"""What is asked where nothing is declared. Not the path that tells of readiness: it answers whatever the service's work
comes to, and a promise kept by it alone would be a pass of nothing."""


class ResponseHeaders(Model):
    """Which headers of an answer tell where it came from; what is left out is not told, and cannot be promised.

    Attributes:
        cache: Names the level that answered.
        hits: Those values of `cache` that count as a hit.
        replica: Names the replica that answered.
        version: Says the version of what was asked for, a whole number.
    """

    cache: HeaderName | None = None
    hits: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    replica: HeaderName | None = None
    version: HeaderName | None = None

    @model_validator(mode="after")
    def _hits_are_values_of_a_header(self) -> Self:
        if self.hits and self.cache is None:
            raise ValueError("hits are values of the header `cache`, which is not named; name it, or leave out hits")
        return self
