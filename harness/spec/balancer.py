"""What the load balancer before the replicas allows: those of its limits that a team has set on its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness.spec.model import Model
from harness.spec.quantity import Duration, Size

TRIES_MAX = 16

Ending = Literal["error", "timeout", "429", "500", "502", "503", "504"]
"""What ends a try: the connection, the time, or a status."""


def _whole_seconds(value_s: float) -> float:
    if value_s != int(value_s):
        raise ValueError(f"{value_s:g} s is no whole number of seconds; write some, such as 1s")
    return value_s


class Balancer(Model):
    """What nginx before the replicas allows; the defaults are what every run had before this could be said.

    Attributes:
        connect_within: How long a connection to a replica may take.
        answer_within: How long a replica may be silent, before its answer and in it; then 504.
        retry_on: What a request is given to another replica for; a status here is one that a replica answers with.
        retries_posts: Whether a POST or PATCH that a replica may have heard is given to another one, too.
        tries: How many replicas a request may be given to; each of them once if None. 1: it is never given on.
        tries_within: So long after its start a request is given to no further one.
        max_fails: So many failures within `fail_timeout`, and a replica is left alone for as long; 0: never.
        fail_timeout: See there; whole seconds.
        websocket_idle: How long a WebSocket may be silent.
        body_max: Of a request; a larger one is answered with 413.
    """

    connect_within: Duration = Field(default=0.5, gt=0, le=60)
    answer_within: Duration = Field(default=5.0, gt=0, le=600)
    retry_on: Annotated[tuple[Ending, ...], Field(max_length=7)] = ("error", "timeout")
    retries_posts: bool = False
    tries: int | None = Field(default=None, ge=1, le=TRIES_MAX)
    tries_within: Duration = Field(default=2.0, gt=0, le=600)
    max_fails: int = Field(default=1, ge=0, le=1000)
    fail_timeout: Annotated[Duration, AfterValidator(_whole_seconds)] = Field(default=1.0, ge=1, le=3600)
    websocket_idle: Duration = Field(default=75.0, gt=0, le=86_400)
    body_max: Size = Field(default=1 << 20, ge=1)


USUAL = Balancer()
"""Where readiness.toml says nothing of it."""
