"""Open arrivals on Locust users: a user is not somebody who waits, but room for one request at a time.

`wait_time` blocks on a queue of requests whose time has come, and returns 0; so Locust's closed loop presses at the
rate of the schedule, whatever the service does, and the number of users only caps how much is in flight.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import geventhttpclient.client
from gevent.queue import Queue
from locust import FastHttpUser, task

from harness.history.samples import SampleOutcome

if TYPE_CHECKING:
    from harness.load.child.recorder import Recorder

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 5.0
"""Locust's own 60 s would outlive a run: a request into a black hole would never be counted."""

IDLE_FOR_S = 20.0
"""A connection that was idle for longer is replaced: servers close idle ones (nginx after 75 s), which is no fault."""

# By default a request whose connection breaks is sent again, silently, up to twice: an outage would look like latency,
# and a write might happen twice. An answer that never came is a failure here.
geventhttpclient.client._may_retry_after_send_error = lambda method: False  # noqa: ARG005, SLF001 - no setting for it


@dataclass(slots=True)
class Request:
    """One request under way.

    Attributes:
        intended_s: When it was meant to start, seconds since the origin.
        key: The item it asks for.
        is_write: Whether it writes.
        sent_s: When it did start.
    """

    intended_s: float
    key: int
    is_write: bool
    sent_s: float = 0.0


@dataclass(slots=True)
class Desk:
    """What all users share: requests whose time has come, those under way, and who writes them down."""

    origin_s: float = 0.0
    waiting: Queue[Request] = field(default_factory=Queue)
    under_way: dict[int, Request] = field(default_factory=dict)
    recorder: Recorder | None = None

    def now_s(self) -> float:
        """Return seconds since the origin."""
        return time.monotonic() - self.origin_s


class OpenUser(FastHttpUser):
    """Room for one request at a time against the items of the judged service."""

    abstract = True
    desk: ClassVar[Desk]
    connection_timeout = CONNECT_WITHIN_S
    network_timeout = ANSWER_WITHIN_S
    max_redirects = 0

    def on_start(self) -> None:
        """Wait for the first request; Locust does not wait before a user's first task."""
        self._idle_since_s = self.desk.now_s()
        self._request = self.desk.waiting.get()

    def wait_time(self) -> float:
        """Block until there is a request to send."""
        self._idle_since_s = self.desk.now_s()
        self._request = self.desk.waiting.get()
        return 0.0

    @task
    def send(self) -> None:
        """Send the request and write down what came of it."""
        request, desk = self._request, self.desk
        request.sent_s = desk.now_s()
        if request.sent_s - self._idle_since_s > IDLE_FOR_S:
            self.client.client.clientpool.close()
        desk.under_way[id(request)] = request
        response = self._ask(request)
        _recorder(desk).record(request, _outcome(response.status_code), response, ended_s=desk.now_s())
        del desk.under_way[id(request)]

    def _ask(self, request: Request) -> Any:
        path = f"/items/{request.key}"
        if not request.is_write:
            return self.client.get(path, name="read", allow_redirects=False)
        body = {"value": f"{request.key} at {request.intended_s:.6f}"}
        return self.client.put(path, name="write", json=body, allow_redirects=False)


def _outcome(status: int) -> SampleOutcome:
    """Judge an answer by its status, which is 0 for a connection that broke or an answer that did not come in time."""
    return SampleOutcome.OK if 200 <= status < 300 else SampleOutcome.FAILED


def _recorder(desk: Desk) -> Recorder:
    if desk.recorder is None:
        raise RuntimeError("a user was given a request before anybody could write it down")
    return desk.recorder
