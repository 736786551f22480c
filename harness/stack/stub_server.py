"""A third party's API that answers from a file: `python stub_server.py HOST PORT ANSWERS`, ANSWERS a file of JSON.

It stands in for what a service calls and nobody may break: what is asked of it is answered as the file says, in time
or late, with any status. It counts what was asked, on `/-/counts`, and says on `/-/health` what it is. It runs where
nothing of the harness is installed, so it imports nothing but the standard library (Python 3.11).
"""

from __future__ import annotations

import asyncio
import json
import platform
import re
import signal
import sys
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HEALTH, COUNTS = "/-/health", "/-/counts"

HEAD_BYTES_MAX = 64 << 10
BODY_BYTES_MAX = 16 << 20
UNKNOWN_MAX = 100
"""So many different requests that nothing answers are counted by their names; a typo in a path with ids is endless."""

_NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class RefusedError(Exception):
    """What came is no request: the answer says so, and the connection ends."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request; what is in its body is not looked at.

    Attributes:
        method: As it came.
        path: Without its query.
        is_last: Whether the connection ends with its answer.
    """

    method: str
    path: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the file, with what its path had filled in.

    Attributes:
        status: Its status.
        headers: Beside its length.
        body: Its bytes.
        after_s: How long it takes, in seconds.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    after_s: float = 0.0


@dataclass
class Route:
    """What is answered to one method and path, in turns.

    Attributes:
        method: Of the requests.
        path: The same, with names where a part differs.
        said: Its answers in the order of their turns, as the file has them.
        asked: How often it was asked.
    """

    method: str
    path: str
    said: list[Mapping[str, Any]] = field(default_factory=list)
    asked: int = 0

    @property
    def parts(self) -> list[str]:
        """Return its path in parts."""
        return self.path.split("/")

    def found_in(self, path: str) -> dict[str, str] | None:
        """Return what a path has where this one has names; None if it is another path."""
        parts, wanted = path.split("/"), self.parts
        if len(parts) != len(wanted):
            return None
        pairs = [(_NAMED.fullmatch(each), part) for each, part in zip(wanted, parts, strict=True)]
        if any(not name and each != part for (name, part), each in zip(pairs, wanted, strict=True)):
            return None
        return {name[1]: part for name, part in pairs if name}

    def next(self, found: Mapping[str, str]) -> Answer:
        """Return the answer whose turn it is, and count it."""
        turn = self.asked % sum(each["times"] for each in self.said)
        self.asked += 1
        for each in self.said:
            turn -= each["times"]
            if turn < 0:
                return filled_in(each, found)
        raise AssertionError("a turn is smaller than the sum of all")


def filled_in(said: Mapping[str, Any], found: Mapping[str, str]) -> Answer:
    """Return an answer of the file with what a path had at its names; what no name stands for stays as it is."""
    is_json = said["json"] is not None
    text = json.dumps(said["json"], ensure_ascii=False) if is_json else said["body"] or ""

    def value(name: re.Match[str]) -> str:
        given = found.get(name[1], name[0])
        return json.dumps(given, ensure_ascii=False)[1:-1] if is_json else given

    body = _NAMED.sub(value, text).encode()
    headers = dict(said["headers"])
    if body and not any(name.lower() == "content-type" for name in headers):
        headers["content-type"] = "application/json" if is_json else "text/plain; charset=utf-8"
    return Answer(said["status"], headers, body, said["after_s"])


class Stub:
    """All that is answered, and how often it was asked.

    Args:
        answers: As the file has them.
    """

    def __init__(self, answers: Sequence[Mapping[str, Any]]) -> None:
        routes: dict[tuple[str, str], Route] = {}
        for each in answers:
            key = each["method"], each["path"]
            routes.setdefault(key, Route(*key)).said.append(each)
        # Parts that are said as they are come first: `/users/me` before `/users/{id}`, wherever they stand in the file.
        self._routes = sorted(routes.values(), key=lambda route: [bool(_NAMED.fullmatch(part)) for part in route.parts])
        self._unknown: dict[str, int] = {}
        self.version = f"http-stub of {len(answers)} answers, Python {platform.python_version()}"

    def answer(self, request: Request) -> Answer:
        """Return what is answered to a request, and count it."""
        if request.path == HEALTH:
            return _of_text(HTTPStatus.OK, f"{self.version}\n")
        if request.path == COUNTS:
            return _of_json(HTTPStatus.OK, self.counts())
        method = "GET" if request.method == "HEAD" else request.method
        fitting = [(route, found) for route, found in self._fitting(request.path) if route.method == method]
        for route, found in fitting:
            return route.next(found)
        return self._nothing_for(request)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how often each was asked, and what was asked that nothing answers."""
        answered = {f"{route.method} {route.path}": route.asked for route in self._routes}
        return {"answered": answered, "unknown": self._unknown}

    def _fitting(self, path: str) -> Iterator[tuple[Route, dict[str, str]]]:
        for route in self._routes:
            found = route.found_in(path)
            if found is not None:
                yield route, found

    def _nothing_for(self, request: Request) -> Answer:
        asked = f"{request.method} {request.path}"
        if asked not in self._unknown and len(self._unknown) < UNKNOWN_MAX:
            print(f"nothing answers {asked}", flush=True)  # noqa: T201 - its log is its output
        if asked in self._unknown or len(self._unknown) < UNKNOWN_MAX:
            self._unknown[asked] = self._unknown.get(asked, 0) + 1
        allowed = sorted({route.method for route, _ in self._fitting(request.path)})
        told = {"error": f"the file of answers has nothing for {asked}"}
        if allowed:
            return _of_json(HTTPStatus.METHOD_NOT_ALLOWED, told, {"allow": ", ".join(allowed)})
        return _of_json(HTTPStatus.NOT_FOUND, told)


def _of_text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, {"content-type": "text/plain; charset=utf-8"}, text.encode())


def _of_json(status: HTTPStatus, document: object, headers: Mapping[str, str] | None = None) -> Answer:
    said = {"content-type": "application/json", **(headers or {})}
    return Answer(status, said, json.dumps(document, ensure_ascii=False).encode())


def read_request(data: bytes | bytearray, start: int = 0) -> tuple[Request, int] | None:
    """Return the request that begins at `start`, and where the next one does; None if it is not whole yet.

    Source: RFC 9112.

    Raises:
        RefusedError: If it is none.
    """
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        if len(data) - start > HEAD_BYTES_MAX:
            raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return None
    line, *lines = bytes(data[start:end]).decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        raise RefusedError(HTTPStatus.BAD_REQUEST)
    headers = _headers(lines)
    after = _end_of_body(data, end + 4, headers)
    if after is None:
        return None
    method, target, version = words
    asked = headers.get("connection", "").lower()
    is_last = "close" in asked or (version == "HTTP/1.0" and "keep-alive" not in asked)
    return Request(method, target.partition("?")[0].partition("#")[0], is_last), after


def _headers(lines: Sequence[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for each in lines:
        name, colon, value = each.partition(":")
        if not colon or name != name.strip() or (name.lower() == "content-length" and "content-length" in headers):
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        headers[name.lower()] = value.strip()
    return headers


def _end_of_body(data: bytes | bytearray, start: int, headers: Mapping[str, str]) -> int | None:
    """Return where a body ends; None if it is not whole yet."""
    if headers.get("transfer-encoding", "").lower() == "chunked" and "content-length" not in headers:
        return _end_of_chunks(data, start)
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdecimal()):
        raise RefusedError(HTTPStatus.BAD_REQUEST)
    if int(length) > BODY_BYTES_MAX:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return start + int(length) if len(data) >= start + int(length) else None


def _end_of_chunks(data: bytes | bytearray, start: int) -> int | None:
    """Return where a chunked body ends, with its trailers; None if it is not whole yet."""
    at = start
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size_text = bytes(data[at:line_end]).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size_text):
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        size = int(size_text, 16)
        if size == 0:
            return _end_of_trailers(data, line_end + 2)
        if at - start + size > BODY_BYTES_MAX:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        at = line_end + 2 + size + 2
        if len(data) >= at and data[at - 2 : at] != b"\r\n":
            raise RefusedError(HTTPStatus.BAD_REQUEST)
    return None


def _end_of_trailers(data: bytes | bytearray, at: int) -> int | None:
    if data[at : at + 2] == b"\r\n":
        return at + 2
    end = data.find(b"\r\n\r\n", at)
    return end + 4 if end >= 0 else None


def wants_to_be_told(data: bytes | bytearray, start: int) -> bool:
    """Tell whether a client holds its body back until it is told to go on (RFC 9110, 10.1.1)."""
    end = data.find(b"\r\n\r\n", start)
    return end >= 0 and b"\r\nexpect: 100-continue" in bytes(data[start:end]).lower()


def answer_bytes(answer: Answer, request: Request) -> bytes:
    """Return an answer as it is sent; one to a HEAD has no body, and says how long it would be."""
    headers = dict(answer.headers)
    if answer.status not in _BODILESS:
        headers["content-length"] = str(len(answer.body))
    if request.is_last:
        headers["connection"] = "close"
    phrase = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
    lines = [f"HTTP/1.1 {int(answer.status)} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    body = b"" if request.method == "HEAD" or answer.status in _BODILESS else answer.body
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Connection(asyncio.Protocol):
    """One client: its requests are answered one after the other, each when its time is over.

    Args:
        stub: What is answered.
    """

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._data = bytearray()
        self._waiting: asyncio.TimerHandle | None = None
        self._has_told = False
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - what a stream's protocol is given
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what came, and answer what is whole."""
        self._data += data
        if self._waiting is None:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        """Answer nobody who has gone."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _go_on(self) -> None:
        """Answer what is whole, until one must wait for its time; what was read is dropped once, not each time."""
        at = 0
        try:
            while self._waiting is None and not self._transport.is_closing():
                found = read_request(self._data, at)
                if found is None:
                    self._tell_to_go_on(at)
                    break
                request, at = found
                self._has_told = False
                self._take(request)
        except RefusedError as error:
            refused = Request("GET", "", is_last=True)
            self._say(_of_text(error.status, f"{error}\n"), refused)
        del self._data[:at]

    def _tell_to_go_on(self, at: int) -> None:
        if not self._has_told and wants_to_be_told(self._data, at):
            self._has_told = True
            self._transport.write(_CONTINUE)

    def _take(self, request: Request) -> None:
        answer = self._stub.answer(request)
        if answer.after_s:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(answer.after_s, self._say_late, answer, request)
        else:
            self._say(answer, request)

    def _say_late(self, answer: Answer, request: Request) -> None:
        self._waiting = None
        self._say(answer, request)
        self._go_on()

    def _say(self, answer: Answer, request: Request) -> None:
        self._transport.write(answer_bytes(answer, request))
        if request.is_last:
            self._transport.close()


async def serve(host: str, port: int, answers: Sequence[Mapping[str, Any]]) -> None:
    """Answer until SIGTERM."""
    loop, stub, is_over = asyncio.get_running_loop(), Stub(answers), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, is_over.set)
    server = await loop.create_server(lambda: Connection(stub), host, port, backlog=1024)
    print(f"{stub.version}, on {host}:{port}", flush=True)  # noqa: T201 - its log is its output
    async with server:
        await is_over.wait()


if __name__ == "__main__":
    _host, _port, _answers = sys.argv[1:]
    asyncio.run(serve(_host, int(_port), json.loads(Path(_answers).read_text(encoding="utf-8"))))
