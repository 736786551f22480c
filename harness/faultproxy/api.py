"""Toxiproxy's HTTP API: one table of routes, one short function each.

Status codes, bodies and headers are those of Toxiproxy 2.12, observed.
"""

from __future__ import annotations

import base64
import itertools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from harness.faultproxy import metrics
from harness.faultproxy import toxic as toxics
from harness.faultproxy.errors import ApiError, PopulateError, bad_body, invalid_value, too_large
from harness.faultproxy.httpd import Request, Response
from harness.faultproxy.log import log
from harness.faultproxy.registry import Registry, read_wish
from harness.faultproxy.wire import Fields, decode, encode, kind_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from harness.faultproxy.events import EventLog
    from harness.faultproxy.registry import Wish

    Handler = Callable[["Api", Request, tuple[str, ...]], Awaitable[Response]]

# Clients compare it: from 2.6 on they use PATCH. It names the version whose behaviour this is.
TOXIPROXY_VERSION = "2.12.0"
JSON = {"Content-Type": "application/json"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
# How Go calls what populate reads.
GO_PROXIES = r'[]struct { toxiproxy.Proxy; Enabled *bool "json:\"enabled\"" }'
NOT_FOUND = Response(404, b"404 page not found\n", PLAIN)
WRONG_METHOD = Response(405)
NO_CONTENT = Response(204)


@dataclass(frozen=True, slots=True)
class Api:
    """What the handlers work on.

    Attributes:
        registry: All proxies.
        metrics: What GET /metrics is made of; without any, there is no such route.
        events: For GET /events; `None` if there is no such route.
    """

    registry: Registry
    metrics: tuple[Callable[[], str], ...] = ()
    events: EventLog | None = None

    @property
    def is_strict(self) -> bool:
        """Tell whether the original's behaviour is wanted; see `Program`."""
        return self.registry.program.is_strict

    async def answer(self, request: Request) -> Response:
        """Answer one request; whatever happens, there is an answer and the server lives."""
        started_s = time.monotonic()
        response = await self._route(request)
        log(
            "debug",
            "",
            method=request.method,
            url=request.target,
            user_agent=request.user_agent,
            status=response.status,
            request_id=response.headers.get("X-Toxiproxy-Request-Id", ""),
            duration=round((time.monotonic() - started_s) * 1000, 6),
        )
        return response

    async def _route(self, request: Request) -> Response:
        path = unquote(request.target.partition("?")[0])
        if "//" in path:
            return Response(301, headers={"Location": _cleaned(path)})
        segments = tuple(path.removeprefix("/").split("/"))
        handlers = _handlers_for(segments)
        if handlers is None or not self._offers(segments[0]):
            return NOT_FOUND
        if request.method not in handlers:
            return WRONG_METHOD
        response = await self._handle(handlers[request.method], request, segments[1::2])
        return Response(response.status, response.body, {**response.headers, "X-Toxiproxy-Request-Id": _request_id()})

    def _offers(self, room: str) -> bool:
        """Tell whether a route that depends on how the program was started is there."""
        return {"metrics": bool(self.metrics), "events": self.events is not None}.get(room, True)

    async def _handle(self, handler: Handler, request: Request, names: tuple[str, ...]) -> Response:
        # The only defence against web pages that talk to a port on localhost, in the original as here.
        if request.user_agent.startswith("Mozilla/"):
            return Response(403, b"User agent not allowed\n", PLAIN)
        try:
            return await handler(self, request, names)
        except PopulateError as error:
            return _json(error.status, {**_error_body(error), "proxies": error.proxies})
        except ApiError as error:
            return Response(error.status, encode(_error_body(error)) + b"\n", PLAIN)
        except Exception as error:  # noqa: BLE001  # a defect of ours must not take the traffic down with it
            log("error", "Unexpected error", err=repr(error), url=request.target)
            return Response(500, encode({"error": f"internal error: {error!r}", "status": 500}) + b"\n", PLAIN)


async def list_proxies(api: Api, _request: Request, _names: tuple[str, ...]) -> Response:
    """GET /proxies."""
    return _json(200, {proxy.name: proxy.shown() for proxy in api.registry.all()})


async def create_proxy(api: Api, request: Request, _names: tuple[str, ...]) -> Response:
    """POST /proxies."""
    proxy = await api.registry.create(read_wish(_decoded(request), is_strict=api.is_strict))
    return _json(201, proxy.shown())


async def show_proxy(api: Api, _request: Request, names: tuple[str, ...]) -> Response:
    """GET /proxies/{proxy}."""
    return _json(200, api.registry.get(names[0]).shown())


async def update_proxy(api: Api, request: Request, names: tuple[str, ...]) -> Response:
    """POST or PATCH /proxies/{proxy}; both change only what is given."""
    api.registry.get(names[0])
    proxy = await api.registry.update(names[0], Fields(_decoded(request), "Proxy"))
    return _json(200, proxy.shown())


async def delete_proxy(api: Api, _request: Request, names: tuple[str, ...]) -> Response:
    """DELETE /proxies/{proxy}."""
    api.registry.delete(names[0])
    return NO_CONTENT


async def list_toxics(api: Api, _request: Request, names: tuple[str, ...]) -> Response:
    """GET /proxies/{proxy}/toxics."""
    return _json(200, api.registry.get(names[0]).shown_toxics())


async def create_toxic(api: Api, request: Request, names: tuple[str, ...]) -> Response:
    """POST /proxies/{proxy}/toxics; answers 200, not 201."""
    proxy = api.registry.get(names[0])
    fields = Fields(_decoded(request), "ToxicWrapper")
    toxic = toxics.read_toxic(fields, proxy.toxics, is_strict=api.is_strict)
    proxy.add_toxic(toxic)
    return _json(200, toxic.shown())


async def show_toxic(api: Api, _request: Request, names: tuple[str, ...]) -> Response:
    """GET /proxies/{proxy}/toxics/{toxic}."""
    return _json(200, api.registry.get(names[0]).toxic(names[1]).shown())


async def update_toxic(api: Api, request: Request, names: tuple[str, ...]) -> Response:
    """POST or PATCH /proxies/{proxy}/toxics/{toxic}."""
    proxy = api.registry.get(names[0])
    toxic = proxy.toxic(names[1])
    fields = Fields(_decoded(request), "ToxicWrapper")
    proxy.change_toxic(toxic, toxics.read_change(toxic, fields, is_strict=api.is_strict))
    return _json(200, toxic.shown())


async def delete_toxic(api: Api, _request: Request, names: tuple[str, ...]) -> Response:
    """DELETE /proxies/{proxy}/toxics/{toxic}."""
    proxy = api.registry.get(names[0])
    proxy.remove_toxic(proxy.toxic(names[1]))
    return NO_CONTENT


async def populate(api: Api, request: Request, _names: tuple[str, ...]) -> Response:
    """POST /populate."""
    try:
        wishes = read_wishes(_decoded(request), is_strict=api.is_strict)
    except ApiError as error:
        raise PopulateError(error, None) from error
    return _json(201, {"proxies": await api.registry.populate(wishes) or None})


async def reset(api: Api, _request: Request, _names: tuple[str, ...]) -> Response:
    """POST /reset."""
    await api.registry.reset()
    return NO_CONTENT


async def version(_api: Api, _request: Request, _names: tuple[str, ...]) -> Response:
    """GET /version; clients parse it loosely, so the spelling is the original's to the byte."""
    return Response(
        200, f'{{"version": "{TOXIPROXY_VERSION}"}}\n'.encode(), {"Content-Type": "application/json;charset=utf-8"}
    )


async def show_metrics(api: Api, _request: Request, _names: tuple[str, ...]) -> Response:
    """GET /metrics, as any method like the original."""
    text = "".join(part() for part in api.metrics)
    return Response(200, text.encode(), {"Content-Type": metrics.CONTENT_TYPE})


async def show_events(api: Api, request: Request, _names: tuple[str, ...]) -> Response:
    """GET /events?after=N; ours alone."""
    after = parse_qs(request.target.partition("?")[2]).get("after", ["0"])[0]
    if not after.isdecimal():
        raise invalid_value("after must be the number of an event")
    return _json(200, api.events.since(int(after[:18])) if api.events else {})


def read_wishes(value: object, *, is_strict: bool = False) -> list[Wish]:
    """Read the array that populate and a configuration file hold; all of it, before anything is done.

    Args:
        value: The decoded array; or, unless strict, the object that GET /proxies answers with, which is a saved state.
        is_strict: See `Program`.

    Raises:
        ApiError: 400.
    """
    if isinstance(value, dict) and not is_strict:
        return [read_wish(entry, f" at proxy {name}") for name, entry in value.items()]
    if value is not None and not isinstance(value, list):
        raise bad_body(f"json: cannot unmarshal {kind_of(value)} into Go value of type {GO_PROXIES}")
    return [
        read_wish(entry, f" at proxy {place}", is_strict=is_strict) for place, entry in enumerate(value or [], start=1)
    ]


# A path is a tuple of segments; None stands for a name. Names are every second segment.
ROUTES: dict[tuple[str | None, ...], dict[str, Handler]] = {
    ("reset",): {"POST": reset},
    ("proxies",): {"GET": list_proxies, "POST": create_proxy},
    ("populate",): {"POST": populate},
    ("version",): {"GET": version},
    ("metrics",): dict.fromkeys(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), show_metrics),
    ("events",): {"GET": show_events},
    ("proxies", None): {"GET": show_proxy, "POST": update_proxy, "PATCH": update_proxy, "DELETE": delete_proxy},
    ("proxies", None, "toxics"): {"GET": list_toxics, "POST": create_toxic},
    ("proxies", None, "toxics", None): {
        "GET": show_toxic,
        "POST": update_toxic,
        "PATCH": update_toxic,
        "DELETE": delete_toxic,
    },
}


def _handlers_for(segments: tuple[str, ...]) -> Mapping[str, Handler] | None:
    # A name is never empty: /proxies/ is not found.
    if not all(segments):
        return None
    return ROUTES.get(tuple(None if place % 2 else segment for place, segment in enumerate(segments)))


def _cleaned(path: str) -> str:
    return "/" + "/".join(segment for segment in path.split("/") if segment)


def _decoded(request: Request) -> object:
    if request.is_too_large:
        raise too_large()
    return decode(request.body)


def _json(status: int, value: Mapping[str, object] | list[dict[str, object]]) -> Response:
    return Response(status, encode(value), JSON)


def _error_body(error: ApiError) -> dict[str, object]:
    return {"error": error.message, "status": error.status}


def _count_requests() -> Iterator[int]:
    return itertools.count(int.from_bytes(os.urandom(3)))


_REQUEST_NUMBERS = _count_requests()
_MACHINE = os.urandom(5)


def _request_id() -> str:
    """Return 20 characters in the form of an xid: time, machine, counter."""
    count = next(_REQUEST_NUMBERS) % 2**24
    raw = int(time.time()).to_bytes(4) + _MACHINE + count.to_bytes(3)
    return base64.b32hexencode(raw).decode().rstrip("=").lower()
