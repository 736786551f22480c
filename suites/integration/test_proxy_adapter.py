"""The one place that speaks to a fault proxy, held against servers that answer badly, late, or not at all."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from harness.clock import SystemClock
from harness.errors import StackError
from harness.stack import proxy
from harness.stack.ports import reserve
from harness.stack.proxy import ProxyServer, Toxic
from harness.stack.service import Address

CLOCK = SystemClock()
DOOR = {"name": "door", "listen": "127.0.0.1:1", "upstream": "127.0.0.1:2", "enabled": True, "toxics": []}


@contextmanager
def serving(**answers):
    """Serve an API that has one answer to each method: a status and a JSON value."""

    class Api(BaseHTTPRequestHandler):
        def answer(self):
            status, said = answers[self.command]
            body = json.dumps(said).encode()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - what http.server calls

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield ProxyServer(Address(*server.server_address))
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        pytest.param(lambda server: server.disable("door"), "disable door", id="POST"),
        pytest.param(lambda server: server.add(Toxic("door", "t", "latency")), "add t to door", id="POST a toxic"),
        pytest.param(lambda server: server.create("other", Address("127.0.0.1", 2)), "create the proxy other", id="create"),
    ],
)  # fmt: skip
def test_a_server_that_breaks_is_an_error(ask, what):
    """toxiproxy-python takes a 500 for an answer; a fault that was never done would look like one that was survived."""
    with serving(GET=(200, {"door": DOOR}), POST=(500, {"error": "broken", "status": 500})) as server:
        with pytest.raises(StackError, match=rf"could not {what}[\s\S]*500"):
            ask(server)


def test_a_server_that_breaks_while_it_is_read_is_an_error():
    """Not an edge without toxics, nor one that is not there."""
    with serving(GET=(503, {"error": "starting", "status": 503})) as server:
        with pytest.raises(StackError, match=r"could not list the toxics of door[\s\S]*503"):
            server.toxics("door")


def test_a_frozen_server_does_not_freeze_us(monkeypatch):
    """It accepts and says nothing; five seconds are enough for anybody."""
    assert proxy.ANSWER_WITHIN_S == 5
    monkeypatch.setattr(proxy, "ANSWER_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        began_s = CLOCK.now()
        with pytest.raises(StackError, match=r"could not ask its version[\s\S]*timed out"):
            ProxyServer(Address(*frozen.getsockname())).version()

    assert CLOCK.now() - began_s < 3


def test_a_proxy_of_the_company_is_not_asked_for_loopback(monkeypatch):
    """Whatever the environment says: nobody listens there."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{reserve()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    with serving(GET=(200, {"version": "2.12.0"})) as server:
        assert server.version() == "2.12.0"


def test_a_proxy_that_says_yes_and_leads_where_it_led_is_an_error():
    """A failover that hits nobody would look like one that was survived."""
    with serving(GET=(200, {"door": DOOR}), POST=(200, DOOR)) as server:
        with pytest.raises(StackError, match=r"could not lead door to 127.0.0.1:3: it still leads to 127.0.0.1:2"):
            server.lead("door", Address("127.0.0.1", 3))
        server.lead("door", Address("127.0.0.1", 2))


def test_what_crossed_a_proxy_is_counted_wherever_it_led(monkeypatch):
    """Toxiproxy counts each place that it has led to by itself; what went the other way, or another one's, is not it."""
    line = 'toxiproxy_proxy_received_bytes_total{{direction="{}",listener="l",proxy="{}",upstream="{}"}} {}'
    counted = [("upstream", "door", "a", "1e+03"), ("upstream", "door", "b", 7), ("downstream", "door", "b", 100)]
    text = "\n".join(line.format(*each) for each in [*counted, ("upstream", "other", "a", 50)])
    monkeypatch.setattr(proxy.APIConsumer, "get", lambda _path: SimpleNamespace(text=text))

    assert ProxyServer(Address("127.0.0.1", 1), open_bytes=lambda _edge: 10).crossed_bytes("door") == 1017


def test_two_servers_are_never_mixed_up():
    """toxiproxy-python keeps one address for all; asked from many threads, each server answers for itself."""
    with serving(GET=(200, {"version": "one"})) as one, serving(GET=(200, {"version": "two"})) as two:
        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(lambda server: server.version(), [one, two] * 50))

    assert said == ["one", "two"] * 50
