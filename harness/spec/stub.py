"""What an `http-stub` answers: a third party's API, as far as the judged service asks it."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from harness.spec.model import Model
from harness.spec.quantity import Duration
from harness.spec.requests import HeaderName, Status

NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}")
"""A part of a path that differs, and where it is filled in."""

OWN = "/-/"
"""What the stub tells of itself is below this."""

FRAMING = frozenset({"content-length", "connection", "transfer-encoding"})

BODILESS = frozenset({204, 304})

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class StubAnswer(Model):
    """One answer. Those of one method and path take turns, each `times` in a row.

    Attributes:
        method: Which requests it is for.
        path: The same, without a query, which is not looked at; `{name}` is a part that differs.
        status: Of the answer.
        headers: Beside `content-length`, and a `content-type` where there is a body and none is given.
        body: Sent as it stands, after filling in what the path had at `{name}`.
        document: The same as JSON (`json` in the file), whose texts are filled in.
        after: How long it takes.
        times: How often it is given before the next of the same method and path is.
    """

    method: Method = "GET"
    path: Annotated[str, Field(pattern=r"^/[!-~]*$", max_length=2000)]
    status: Status = 200
    headers: dict[HeaderName, Annotated[str, Field(pattern=r"^[ -~]*$")]] = Field(default_factory=dict)
    body: str | None = None
    document: Any = Field(default=None, alias="json")
    after: Annotated[Duration, Field(le=600)] = 0.0
    times: int = Field(default=1, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _is_asked_for_by_a_path(self) -> Self:
        parts = self.path.split("/")
        named = [part for part in parts if NAMED.fullmatch(part)]
        if re.search(r"[?#]", self.path) or any("{" in part and part not in named for part in parts):
            raise ValueError(f"{self.path!r} is no path; leave its query out, and let {{name}} be a whole part of it")
        if len(named) != len(set(named)):
            raise ValueError(f"{self.path!r} has a name twice; give each part that differs its own")
        if self.path.startswith(OWN):
            raise ValueError(f"what is below {OWN} the stub says of itself; choose another path")
        return self

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        framing = [name for name in self.headers if name.lower() in FRAMING]
        if framing:
            raise ValueError(f"the stub says {framing[0]!r} itself, or an answer could not be told apart; leave it out")
        if self.body is not None and self.document is not None:
            raise ValueError("body and json are two answers to one question; keep the one that is meant")
        if self.status in BODILESS and (self.body or self.document is not None):
            raise ValueError(f"an answer of {self.status} has no body (RFC 9110, section 15); leave it out")
        try:
            json.dumps(self.document, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError("json holds what JSON has not, such as a date; write it as a text") from error
        return self


class StubAnswers(Model):
    """The whole of such a file.

    Attributes:
        answers: In any order: a path that says a part as it is comes before one where it differs.
    """

    answers: Annotated[tuple[StubAnswer, ...], Field(min_length=1, max_length=1000)]
