"""Open arrivals on Locust users: a user is no person who waits, but room for one request at a time.

`wait_time` blocks on a queue of requests whose time has come, and returns 0; so Locust's closed loop presses at the
rate of the schedule, whatever the service does, and the number of users only caps how much is in flight.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import gevent
import geventhttpclient.client
from gevent.lock import BoundedSemaphore
from gevent.queue import Queue
from geventhttpclient.url import URL
from locust import FastHttpUser, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, FastResponse

from harness.history.samples import SampleOutcome
from harness.load.filling import ready
from harness.load.shortage import short_of
from harness.stack.tls import Tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from geventhttpclient import HTTPClient

    from harness.load.filling import Clients, ReadyRequest
    from harness.load.generator.checking import Checks
    from harness.load.generator.recorder import Recorder
    from harness.load.generator.request import Request
    from harness.load.plan import LoadPlan
    from harness.load.retrying import RetryPolicy

logger = logging.getLogger(__name__)

IDLE_FOR_S = 20.0
"""A connection that was idle for longer is replaced: servers close idle ones (nginx after 75 s), which is no fault."""

# By default a request whose connection breaks is sent again, silently, up to twice: an outage would look like latency,
# and a write might happen twice. An answer that never came is a failure here.
geventhttpclient.client._may_retry_after_send_error = lambda method: False  # noqa: ARG005, SLF001 - no setting for it


PREPARING_MAX = 10
"""Users that prepare themselves at a time: all at once would press a login that nobody asked to be pressed."""


class Gate:
    """Lets users prepare themselves, a few at a time.

    Args:
        per_s: How many of them may begin in a second; None for as many as come.
    """

    def __init__(self, per_s: float | None = None) -> None:
        self._places = BoundedSemaphore(PREPARING_MAX)
        self._gap_s = 1 / per_s if per_s else 0.0
        self._next_s = 0.0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Wait for one's turn; the next one's comes when this is left."""
        with self._places:
            begins_s = max(self._next_s, time.monotonic())
            self._next_s = begins_s + self._gap_s
            gevent.sleep(max(0.0, begins_s - time.monotonic()))
            yield


class GivenUpError(Exception):
    """A client waits no longer."""


@dataclass(slots=True)
class RequestQueue:
    """What all users share.

    Attributes:
        origin_s: The moment of the monotonic clock that all times count from.
        waiting: Requests whose time has come.
        taken: Those that a user took, by their identity.
        recorder: Who writes them down.
        follow_ups: Requests that no schedule wanted: they followed another one in the same task, or ask it again.
        seated: Users that are ready for requests.
        retrying: What clients ask again; None where they do not.
        ends_s: No request is asked again at or after this, seconds since the origin.
        checks: What answers must show beside their status.
        gate: Where users of a locustfile prepare themselves.
        unprepared: What failed of that in the end, a line for each user that it failed for.
        is_over: Whether all is accounted for: what is asked from then on, such as a logout, is none of the load.
    """

    origin_s: float = 0.0
    waiting: Queue[Request] = field(default_factory=Queue)
    taken: dict[int, Request] = field(default_factory=dict)
    recorder: Recorder | None = None
    follow_ups: int = 0
    seated: int = 0
    retrying: RetryPolicy | None = None
    ends_s: float = math.inf
    checks: Checks = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)
    unprepared: list[str] = field(default_factory=list)
    is_over: bool = False

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
        ended_s = self.now_s() if ended_s is None else ended_s
        checks = self.checks.get(request.kind, ()) if outcome is SampleOutcome.OK and response is not None else ()
        if not all(check.holds(request, response) for check in checks):
            outcome = SampleOutcome.FAILED
        self.recorder.record(request, outcome, response, ended_s=ended_s)
        del self.taken[id(request)]
        if self.retrying is not None and outcome is SampleOutcome.FAILED:
            self._ask_again(request, self.retrying.again_s(request.kind, request.attempt, ended_s))

    def outcome_of(self, error: BaseException) -> SampleOutcome:
        """Return what came of a request that ended in an error; note what this machine was short of, if that is why."""
        short = short_of(error)
        if short is None or self.recorder is None:
            return SampleOutcome.FAILED
        self.recorder.is_short_of(short)
        return SampleOutcome.PREVENTED

    def limit_s(self, request: Request) -> float:
        """Return how long a request that is being sent is waited for, before its client asks it again."""
        return math.inf if self.retrying is None else self.retrying.limit_s(request.kind, request.sent_s)

    def _ask_again(self, request: Request, again_s: float | None) -> None:
        """Let a request come again when its client wants it to; not, when the load is over by then."""
        if again_s is not None:
            again = replace(request, intended_s=again_s, sent_s=math.nan, is_arrival=False, attempt=request.attempt + 1)
            gevent.spawn(self._issue, again)

    def _issue(self, again: Request) -> None:
        while (early_s := again.intended_s - self.now_s()) > 0:
            gevent.sleep(early_s)  # which ends up to two milliseconds before its time (measured 2026-11, libev)
        if self.now_s() < self.ends_s:
            again.found_room = self.has_room
            self.follow_ups += 1
            self.waiting.put(again)


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

    def on_stop(self) -> None:
        """Close its connections: another load may follow from this process, and needs their descriptors."""
        self.renew()

    def carry_out(self) -> None:
        """Send the request and write down what came of it."""
        request, queue = self._request, self.queue
        request.sent_s = queue.now_s()
        if request.sent_s - request.free_s > IDLE_FOR_S:
            self.renew()
        limit_s = queue.limit_s(request)
        try:
            outcome, response = self._ask_within(min(limit_s, request.patience_s), request)
        except GivenUpError:
            self.renew()  # its connection is closed, so that no answer on the way is taken for that of the next request
            queue.write_down(request, SampleOutcome.FAILED if limit_s < request.patience_s else SampleOutcome.CANCELLED)
            return
        except Exception as error:
            queue.write_down(request, queue.outcome_of(error))
            # Whatever the client does not take for a failure of the service, such as an answer that is not HTTP.
            logger.exception("a request ended in an exception")
            return
        queue.write_down(request, outcome, response)

    def _ask_within(self, patience_s: float, request: Request) -> tuple[SampleOutcome, Any]:
        """Ask for as long as its client waits.

        Raises:
            GivenUpError: If there is no whole answer by then.
        """
        if math.isinf(patience_s):
            return self.ask(request)
        with gevent.Timeout(patience_s, GivenUpError):
            return self.ask(request)

    def renew(self) -> None:
        """Close its connections, and begin with new ones."""
        raise NotImplementedError

    def ask(self, request: Request) -> tuple[SampleOutcome, Any]:
        """Ask, and return what came of it, with the answer if there is one."""
        raise NotImplementedError


class OpenUser(OpenLoopUser, FastHttpUser):
    """Room for one request at a time, of those that are declared.

    Asks by the client below Locust's session. The session keeps cookies, which are a person's, follows redirects, and
    counts for statistics of its own: about half of what a request cost, while answers that had come waited.
    """

    abstract = True
    kinds: ClassVar[tuple[ReadyRequest, ...]]

    @staticmethod
    def prepared(plan: LoadPlan, clients: Clients) -> dict[str, Any]:
        """Return what a plan asks, ready to be sent by these clients, as attributes of a class."""
        return {"kinds": tuple(ready(request, plan.mark, clients) for request in plan.load.asked)}

    def on_start(self) -> None:
        """Make a client; it connects to nothing yet."""
        self._base = URL(str(self.host))
        self._prefix = self._base.path.rstrip("/")
        self._http = self._new_client()
        super().on_start()

    @task
    def send(self) -> None:
        """Send the request and write down what came of it."""
        self.carry_out()

    def renew(self) -> None:
        """Begin with new connections."""
        self.client.client.clientpool.close()
        self._http = self._new_client()

    def ask(self, request: Request) -> tuple[SampleOutcome, FastResponse | None]:
        """Ask, and judge the answer by its status, and by whether all of it came.

        A status of success is not enough: an answer that breaks off or stalls in the middle of its body keeps its 200.
        """
        kind, key, number = self.kinds[request.kind], request.key, request.number
        response = None
        try:
            response = FastResponse(
                self._http.request(
                    kind.method,
                    self._prefix + kind.path(key, number),
                    body=kind.body(key, number).encode() if kind.body else b"",
                    headers=kind.headers_for(key, number),
                )
            )
            _ = response.content  # reads all of it
        except FAILURE_EXCEPTIONS as error:
            return self.queue.outcome_of(error), response
        return SampleOutcome.OK if response.status_code in kind.proper else SampleOutcome.FAILED, response

    def _new_client(self) -> HTTPClient:
        client = self.client.client.clientpool.get_client(self._base)
        client.default_headers.update({"Accept-Encoding": "gzip, deflate, br"})  # as Locust's session says
        if self.client.auth_header:
            client.default_headers.update({"Authorization": self.client.auth_header})
        return client


def settings_of(plan: LoadPlan, queue: RequestQueue) -> dict[str, Any]:
    """Return what a plan says of its users, as attributes of their class."""
    return {
        "host": plan.base_url,
        "queue": queue,
        "connection_timeout": plan.connect_within_s,
        "network_timeout": plan.answer_within_s,
        "insecure": False,
        "ssl_context_factory": staticmethod(believing(plan)),
    }


def believing(plan: LoadPlan) -> Callable[..., ssl.SSLContext]:
    """Return what makes a context for TLS, as geventhttpclient asks for it: one for all users.

    It would have authorities of its own believed, `cafile`, beside those of the plan.
    """
    tls = Tls(Path(plan.ca) if plan.ca else None)
    return lambda cafile=None: tls.context()  # noqa: ARG005 - see above
