"""Open arrivals on Locust users: a user is no person who waits, but room for one request at a time.

`wait_time` blocks on a queue of requests whose time has come, and returns 0; so Locust's closed loop presses at the
rate of the schedule, whatever the service does, and the number of users only caps how much is in flight.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import geventhttpclient.client
from gevent.queue import Queue
from locust import FastHttpUser, task

from harness.history.samples import SampleOutcome
from harness.load.generator.filling import ready

if TYPE_CHECKING:
    from harness.load.generator.filling import ReadyRequest
    from harness.load.generator.recorder import Recorder
    from harness.load.generator.request import Request
    from harness.load.plan import LoadPlan

logger = logging.getLogger(__name__)

IDLE_FOR_S = 20.0
"""A connection that was idle for longer is replaced: servers close idle ones (nginx after 75 s), which is no fault."""

# By default a request whose connection breaks is sent again, silently, up to twice: an outage would look like latency,
# and a write might happen twice. An answer that never came is a failure here.
geventhttpclient.client._may_retry_after_send_error = lambda method: False  # noqa: ARG005, SLF001 - no setting for it


@dataclass(slots=True)
class RequestQueue:
    """What all users share.

    Attributes:
        origin_s: The moment of the monotonic clock that all times count from.
        waiting: Requests whose time has come.
        taken: Those that a user took, by their identity.
        recorder: Who writes them down.
        follow_ups: Requests that no schedule wanted: they followed another one in the same task.
        seated: Users that are ready for requests.
    """

    origin_s: float = 0.0
    waiting: Queue[Request] = field(default_factory=Queue)
    taken: dict[int, Request] = field(default_factory=dict)
    recorder: Recorder | None = None
    follow_ups: int = 0
    seated: int = 0

    def now_s(self) -> float:
        """Return seconds since the origin."""
        return time.monotonic() - self.origin_s

    @property
    def has_room(self) -> bool:
        """Tell whether there is a seat for one more request than there are."""
        return self.seated - len(self.taken) > int(self.waiting.qsize())

    def take(self) -> Request:
        """Wait for a request whose time has come.

        It is noted in the same breath: Locust lets others run between a user's wait and its task, and a run that
        ended just then would have forgotten the request, as neither waiting nor sent.
        """
        request: Request = self.waiting.get()
        self.taken[id(request)] = request
        return request

    def write_down(
        self, request: Request, outcome: SampleOutcome, response: Any = None, *, ended_s: float | None = None
    ) -> None:
        """Write down what came of a request that a user took; it ended now, if nothing else is said."""
        if self.recorder is None:
            raise RuntimeError("a user was given a request before there was a recording")
        self.recorder.record(request, outcome, response, ended_s=self.now_s() if ended_s is None else ended_s)
        del self.taken[id(request)]


class OpenLoopUser:
    """Room for one request at a time; laid over a Locust user that can ask."""

    queue: ClassVar[RequestQueue]
    connection_timeout: float
    network_timeout: float

    def on_start(self) -> None:
        """Wait for the first request; Locust does not wait before a user's first task."""
        self.queue.seated += 1
        self.wait_time()

    def wait_time(self) -> float:
        """Block until there is a request to send."""
        idle_since = time.monotonic()  # a user is seated before there is an origin
        self._request = self.queue.take()
        self._request.free_s = idle_since - self.queue.origin_s
        return 0.0

    def carry_out(self) -> None:
        """Send the request and write down what came of it."""
        request, queue = self._request, self.queue
        request.sent_s = queue.now_s()
        if request.sent_s - request.free_s > IDLE_FOR_S:
            self.renew()
        try:
            outcome, response = self.ask(request)
        except Exception:
            queue.write_down(request, SampleOutcome.FAILED)
            # Whatever the client does not take for a failure of the service, such as an answer that is not HTTP.
            logger.exception("a request ended in an exception")
            return
        queue.write_down(request, outcome, response)

    def renew(self) -> None:
        """Begin with new connections."""
        raise NotImplementedError

    def ask(self, request: Request) -> tuple[SampleOutcome, Any]:
        """Ask, and return what came of it, with the answer if there is one."""
        raise NotImplementedError


class OpenUser(OpenLoopUser, FastHttpUser):
    """Room for one request at a time, of those that are declared."""

    abstract = True
    max_redirects = 0
    kinds: ClassVar[tuple[ReadyRequest, ...]]

    @staticmethod
    def prepared(plan: LoadPlan) -> dict[str, Any]:
        """Return what a plan asks, ready to be sent, as attributes of a class."""
        return {"kinds": tuple(ready(request, plan.seed) for request in plan.load.asked)}

    def on_start(self) -> None:
        """Keep no cookie: this is no person, and the next request here has nothing to do with the last one."""
        self.client.client.cookiejar = None
        super().on_start()

    @task
    def send(self) -> None:
        """Send the request and write down what came of it."""
        self.carry_out()

    def renew(self) -> None:
        """Begin with new connections."""
        self.client.client.clientpool.close()

    def ask(self, request: Request) -> tuple[SampleOutcome, Any]:
        """Ask, and judge the answer."""
        kind, key, number = self.kinds[request.kind], request.key, request.number
        response = self.client.request(
            kind.method,
            kind.path(key, number),
            name=kind.name,
            data=kind.body(key, number).encode() if kind.body else None,  # type: ignore[arg-type]  # it takes bytes as well
            headers=kind.headers_for(key, number),
            allow_redirects=False,
            catch_response=True,
        )
        return _outcome(response), response


def settings_of(plan: LoadPlan, queue: RequestQueue) -> dict[str, Any]:
    """Return what a plan says of its users, as attributes of their class."""
    return {
        "host": plan.base_url,
        "queue": queue,
        "connection_timeout": plan.connect_within_s,
        "network_timeout": plan.answer_within_s,
    }


def _outcome(response: Any) -> SampleOutcome:
    """Judge an answer by its status, and by whether all of it came.

    A status of success is not enough: an answer that breaks off, or stalls, in the middle of its body keeps its 200,
    and only `request_meta` of a caught response says that it broke. Without an answer the status is 0.
    """
    came_whole = response.request_meta["exception"] is None
    return SampleOutcome.OK if came_whole and 200 <= response.status_code < 300 else SampleOutcome.FAILED
