"""One contract for every implementation of Toxiproxy's API: our fault proxy, and the real server where it is on PATH.

What differs on purpose stands in `DEVIATIONS`, and both sides of each difference are pinned; anything else that differs
fails one of the two parameters.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import quote

import pytest

from suites.support.exchanges import DEVIATIONS, EXCHANGES, LATENCY, MEBIBYTE, OFF, REFUSED_FLAGS, UNUSUAL, A, error
from suites.support.faultproxy import (
    DEADLINE_S,
    Road,
    Server,
    address_of,
    free_port,
    how_it_ended,
    is_listening,
    is_silent,
    ours_command,
    read_exactly,
    ready_port,
    started,
    toxiproxy_is_missing,
    wait_until,
)

OTHER = pytest.param(
    "toxiproxy",
    marks=pytest.mark.skipif(toxiproxy_is_missing(), reason="no toxiproxy-server on PATH to compare with"),
)
ALL = ["ours", "strict", OTHER]


@pytest.fixture(scope="module", params=ALL)
def running(request):
    with started(request.param) as server:
        yield server


@pytest.fixture
def server(running):
    yield running
    running.forget_all()


@pytest.fixture(scope="module")
def our_server():
    with started("ours") as server:
        yield server


@pytest.fixture
def ours(our_server):
    yield our_server
    our_server.forget_all()


@pytest.mark.parametrize("name", EXCHANGES)
def test_api_answers_as_toxiproxy(server, name):
    """Status and body are those of Toxiproxy 2.12, to the byte."""
    method, path, body, status, text = EXCHANGES[name]
    server.must("POST", "/proxies", OFF)

    answer = server.ask(method, path, body)

    assert (answer.status, answer.text) == (status, text)


@pytest.mark.parametrize(
    ("method", "path", "content_type", "has_id"),
    [
        ("GET", "/version", "application/json;charset=utf-8", True),
        ("GET", "/proxies", "application/json", True),
        ("GET", "/proxies/b", "text/plain; charset=utf-8", True),
        ("POST", "/populate", "application/json", True),
        ("POST", "/reset", None, True),
        ("GET", "/nowhere", "text/plain; charset=utf-8", False),
        ("PUT", "/proxies", None, False),
    ],
)
def test_headers_are_toxiproxys(server, method, path, content_type, has_id):
    """Errors are plain text except in populate, and only matched routes carry a request id."""
    headers = server.ask(method, path).headers

    assert headers["Content-Type"] == content_type
    assert bool(re.fullmatch("[0-9a-v]{20}", headers["X-Toxiproxy-Request-Id"] or "")) == has_id
    assert (headers["X-Content-Type-Options"] == "nosniff") == (content_type == "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("agent", "path", "status"),
    [
        ("Mozilla/5.0", "/proxies", 403),
        ("Mozilla/5.0", "/version", 403),
        ("Mozilla/5.0", "/nowhere", 404),
        ("mozilla/5.0", "/version", 200),
        ("a Mozilla/5.0", "/version", 200),
        ("", "/version", 200),
    ],
)
def test_browsers_are_refused(server, agent, path, status):
    """A user agent that begins with Mozilla/ is refused on every route there is."""
    answer = server.ask("GET", path, headers={"User-Agent": agent})

    assert answer.status == status
    assert (answer.text == "User agent not allowed\n") == (status == 403)


def test_one_http_connection_serves_many_requests(server):
    """HTTP keep-alive works, pipelining included, and answers come in order."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        request = b"GET /proxies HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        client.sendall(request + request + last)
        answers = b"".join(iter(lambda: client.recv(65536), b""))

    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.endswith(b'{"version": "2.12.0"}\n')


def test_http_body_may_be_held_back_until_asked_for(server):
    """`Expect: 100-continue`, which curl sends, is answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(b"POST /populate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        asked = client.recv(65536)
        client.sendall(b"[]")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = answer.read()
        answer.close()

    assert asked.startswith(b"HTTP/1.1 100 Continue")
    assert (answer.status, body) == (201, b'{"proxies":null}')


@pytest.mark.parametrize("offer", ["Upgrade: h2c", "upgrade: websocket"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_offer_of_another_protocol_is_passed_over(server, offer, is_cut):
    """As Java's client makes it with each first request: the body is read, and the connection serves the next one."""
    head = f"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\n{offer}\r\nHTTP2-Settings: AAEAAEAA\r\n"
    one, other = (json.dumps({**A, "name": name}).encode() for name in ("a", "b"))
    framed = [b"Content-Length: %d\r\n\r\n%s" % (len(one), one)]
    framed += [b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(other), other)]
    asked = b"".join(f"POST /proxies HTTP/1.1\r\n{head}".encode() + rest for rest in framed)
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        for part in [bytes([byte]) for byte in asked] if is_cut else [asked]:
            client.sendall(part)
        client.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: client.recv(65536), b""))

    assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"201", b"201", b"200"]
    assert list(server.must("GET", "/proxies")) == ["a", "b"]


@pytest.mark.parametrize("name", UNUSUAL)
def test_deviation_unusual_requests(server, name):
    """Two parsers draw the line between what is odd and what is wrong in two places; after either, the API lives."""
    asked, ours, original = UNUSUAL[name]
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(asked)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        answer.close()

    assert answer.status == (original if server.name == "toxiproxy" else ours)
    assert server.ask("GET", "/version").status == 200


def test_http_head_has_a_limit(server):
    """Of a megabyte, as Go's; the answer arrives although the client is still sending."""
    answer = server.ask("GET", "/version", headers={"X": "x" * 2 * MEBIBYTE})

    assert (answer.status, answer.text) == (431, "431 Request Header Fields Too Large")


@pytest.mark.parametrize("path", ["/populate", "/proxies"])
def test_deviation_http_body_has_a_limit(server, path):
    """Of 8 MiB, answered as any bad body is, and the connection goes on; the original reads whatever comes."""
    answer = server.ask("POST", path, b" " * 9 * MEBIBYTE + b"[]")

    if server.name == "toxiproxy":
        assert answer.status == (201 if path == "/populate" else 400)
    else:
        assert (answer.status, answer.json["error"]) == (413, "bad request body: too large")
        assert ("proxies" in answer.json) == (path == "/populate")


def test_http_clients_may_come_in_crowds(server):
    """Three hundred find a place in the queue while the server does nothing; nobody has to knock twice."""
    with contextlib.ExitStack() as leaving:
        server.process.send_signal(signal.SIGSTOP)
        leaving.callback(server.process.send_signal, signal.SIGCONT)
        for _ in range(300):
            leaving.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=0.5))

    assert server.ask("GET", "/version").status == 200


@pytest.mark.parametrize(
    ("listen", "shown"),
    [
        ("127.0.0.1:0", r"127\.0\.0\.1:[1-9]\d+"),
        ("127.0.0.1:+00", r"127\.0\.0\.1:[1-9]\d+"),
        ("[127.0.0.1]:0", r"127\.0\.0\.1:[1-9]\d+"),
        ("[::ffff:127.0.0.1]:0", r"127\.0\.0\.1:[1-9]\d+"),
        ("LOCALHOST:0", r"127\.0\.0\.1:[1-9]\d+"),
        ("127.0.0.1:", r"127\.0\.0\.1:[1-9]\d+"),
        ("localhost:0", r"127\.0\.0\.1:[1-9]\d+"),
        ("[::1]:0", r"\[::1\]:[1-9]\d+"),
        ("", r"\[::\]:[1-9]\d+"),
        (":0", r"\[::\]:[1-9]\d+"),
        ("0.0.0.0:0", r"\[::\]:[1-9]\d+"),
    ],
)
def test_listen_comes_back_as_it_was_bound(server, listen, shown):
    """The real address is shown, and it is really listened on."""
    if not socket.has_dualstack_ipv6() and ("::" in shown):
        pytest.skip("no IPv6 on this machine")

    bound = server.must("POST", "/proxies", {**A, "listen": listen})["listen"]

    assert re.fullmatch(shown, bound)
    assert is_listening(("::1" if "::" in bound else "127.0.0.1", address_of(bound)[1]))


def test_create_fails_whole_on_a_busy_port(server):
    """A proxy that cannot listen is not stored, and the name is looked at before the port."""
    listen = server.must("POST", "/proxies", A)["listen"]

    busy = server.ask("POST", "/proxies", {**A, "name": "b", "listen": listen})
    taken = server.ask("POST", "/proxies", {**A, "listen": listen})

    assert (busy.status, busy.text) == (500, error(f"listen tcp {listen}: bind: address already in use", 500))
    assert taken.status == 409
    assert list(server.must("GET", "/proxies")) == ["a"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_disabling_keeps_the_address_for_enabling(server, method):
    """A disabled proxy refuses, keeps its toxics, and comes back where it was."""
    with Road(server) as road:
        road.poison("noop")
        client, _ = road.travel()

        off = server.must(method, "/proxies/road", {"enabled": False})
        ended = how_it_ended(client)
        is_refused = not is_listening(road.address)
        on = server.must(method, "/proxies/road", {"enabled": True})

        assert (off["enabled"], on["enabled"]) == (False, True)
        assert address_of(off["listen"]) == address_of(on["listen"]) == road.address
        assert [toxic["name"] for toxic in on["toxics"]] == ["noop_downstream"]
        assert (ended, is_refused) == ("fin", True)
        assert is_listening(road.address)


def test_moving_a_proxy_cuts_its_connections(server):
    """A new listen address or upstream restarts the proxy."""
    with Road(server) as road:
        client, _ = road.travel()

        moved = server.must("PATCH", "/proxies/road", {"listen": "127.0.0.1:0"})

        assert how_it_ended(client) == "fin"
        assert is_listening(address_of(moved["listen"]))
        assert address_of(moved["listen"]) != road.address


def test_updating_to_the_same_address_keeps_connections(server):
    """An address is compared as it resolves: localhost is 127.0.0.1."""
    with Road(server) as road:
        client, upstream = road.travel()

        server.must("PATCH", "/proxies/road", {"listen": f"localhost:{road.address[1]}"})

        client.sendall(b"still")
        assert upstream.recv(5) == b"still"


def test_deleting_cuts_connections(server):
    """A deleted proxy is gone with its connections and its port."""
    with Road(server) as road:
        client, upstream = road.travel()

        server.must("DELETE", "/proxies/road")

        assert (how_it_ended(client), how_it_ended(upstream)) == ("fin", "fin")
        assert not is_listening(road.address)
        assert server.ask("GET", "/proxies/road").status == 404


def test_names_may_hold_blanks(server):
    """A blank is addressed as %20."""
    server.must("POST", "/proxies", {**A, "name": "a b"})

    assert server.must("GET", "/proxies/a%20b")["name"] == "a b"
    assert server.ask("DELETE", "/proxies/a%20b").status == 204


def test_toxics_are_listed_upstream_first(server):
    """Within a stream they keep their order of creation."""
    with Road(server) as road:
        for name, stream in [("1", "downstream"), ("2", "upstream"), ("3", "downstream"), ("4", "upstream")]:
            road.poison("noop", stream, name=name)

        listed = [toxic["name"] for toxic in server.must("GET", "/proxies/road/toxics")]
        shown = [toxic["name"] for toxic in server.must("GET", "/proxies/road")["toxics"]]

        assert listed == shown == ["2", "4", "1", "3"]


def test_toxic_names_are_unique_over_both_streams(server):
    """One name, one toxic, whatever its stream."""
    with Road(server) as road:
        road.poison("noop", name="n")

        answer = server.ask("POST", "/proxies/road/toxics", {"type": "noop", "name": "n", "stream": "upstream"})

        assert (answer.status, answer.text) == (409, error("toxic already exists", 409))


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_toxic_update_merges(server, method):
    """Attributes are merged key by key; name, type and stream stay."""
    with Road(server) as road:
        toxic = road.poison("latency", latency=5)

        body = {"attributes": {"jitter": 3}, "name": "x", "type": "noop", "stream": "upstream"}
        changed = server.ask(method, toxic, body)

        assert (changed.status, changed.text) == (200, LATENCY % (5, 3, "downstream", "downstream"))
        assert server.ask("GET", toxic).text == changed.text
        assert server.must(method, toxic, {"toxicity": 0.5})["toxicity"] == 0.5
        assert server.must(method, toxic, {"attributes": None})["toxicity"] == 0.5


def test_populate_leaves_the_same_and_replaces_the_changed(server):
    """Same listen and upstream: untouched, toxics and disabledness included. Otherwise: replaced, toxics lost."""
    listen = server.must("POST", "/proxies", A)["listen"]
    server.must("POST", "/proxies/a/toxics", {"type": "noop"})
    server.must("PATCH", "/proxies/a", {"enabled": False})

    same = server.ask("POST", "/populate", [{**A, "listen": listen, "enabled": True}, {**OFF, "name": "b"}])
    changed = server.must("POST", "/populate", [{**A, "listen": listen, "upstream": "other:1"}])

    assert same.status == 201
    assert [(proxy["name"], proxy["enabled"], len(proxy["toxics"])) for proxy in same.json["proxies"]] == [
        ("a", False, 1),
        ("b", False, 0),
    ]
    assert [(proxy["enabled"], proxy["upstream"], proxy["toxics"]) for proxy in changed["proxies"]] == [
        (True, "other:1", [])
    ]
    assert list(server.must("GET", "/proxies")) == ["a", "b"]


def test_populate_stops_at_the_first_that_cannot_listen(server):
    """What was done stays and is listed; validation of all comes before the first is done."""
    listen = server.must("POST", "/proxies", A)["listen"]
    wishes = [{**A, "name": name, "listen": where} for name, where in [("b", "127.0.0.1:0"), ("c", listen)]]

    half = server.ask("POST", "/populate", [*wishes, {**A, "name": "d"}])
    none = server.ask("POST", "/populate", [{**A, "name": "e"}, {"name": "f"}])

    assert half.status == 500
    assert half.json["error"] == f"listen tcp {listen}: bind: address already in use"
    assert [proxy["name"] for proxy in half.json["proxies"]] == ["b"]
    assert none.status == 400
    assert list(server.must("GET", "/proxies")) == ["a", "b"]


@pytest.mark.parametrize(
    ("listen", "is_same"),
    [
        ("[::ffff:127.0.0.1]:{port}", True),
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("127.0.0.1:0", False),
        ("0.0.0.0:{port}", False),
        (":{port}", False),
        ("", False),
    ],
)
def test_deviation_populate_leaves_what_means_the_same(server, listen, is_same):
    """In the original, port 0 and every interface never are what was bound: such a proxy is replaced each time.

    localhost is 127.0.0.1 for both.
    """
    port = address_of(server.must("POST", "/proxies", A)["listen"])[1]
    wish = {**A, "listen": listen.format(port=port)}
    if not is_same:
        server.must("POST", "/populate", [wish])  # from now on it is bound as it asks to be
    server.must("POST", "/proxies/a/toxics", {"type": "noop"})
    bound = address_of(server.must("GET", "/proxies/a")["listen"])
    with socket.create_connection(("127.0.0.1", bound[1]), timeout=DEADLINE_S) as client:
        server.must("POST", "/populate", [wish])

        stays = is_same or server.name == "ours"
        assert len(server.must("GET", "/proxies/a/toxics")) == stays
        assert (address_of(server.must("GET", "/proxies/a")["listen"]) == bound) == (stays or "{port}" in listen)
        # Whether it is replaced or nobody listens upstream, this client is let go.
        assert how_it_ended(client) == "fin"


def test_deviation_populate_leaves_a_proxy_that_never_listened(server):
    """In the words of its client it is what is wished for; the original compares them with what they resolve to."""
    server.must("POST", "/proxies", OFF)
    server.must("POST", "/proxies/a/toxics", {"type": "noop"})

    server.must("POST", "/populate", [OFF])

    assert len(server.must("GET", "/proxies/a/toxics")) == (server.name == "ours")


@pytest.mark.parametrize(
    ("created", "wished"),
    [("0.0.0.0:{port}", ":{port}"), (":{port}", "[::]:{port}"), ("127.0.0.1:{port}", "127.0.0.1:0"), ("", ":0")],
)
@pytest.mark.parametrize("is_enabled", [True, False])
def test_populate_knows_one_meaning_in_other_words(ours, created, wished, is_enabled):
    """Every interface has three names, and any port is any port; a proxy that was disabled meanwhile stays it."""
    port = free_port()
    ours.must("POST", "/proxies", {**A, "listen": created.format(port=port)})
    ours.must("POST", "/proxies/a/toxics", {"type": "noop"})
    before = ours.must("PATCH", "/proxies/a", {"enabled": is_enabled})

    ours.must("POST", "/populate", [{**A, "listen": wished.format(port=port)}])

    assert ours.must("GET", "/proxies/a") == before


@pytest.mark.parametrize("change", [{"listen": "127.0.0.1:1"}, {"listen": ":{other}"}, {"upstream": "127.0.0.1:2"}])
def test_populate_replaces_what_means_something_else(ours, change):
    """Another interface, another port, another upstream."""
    port, other = free_port(), free_port()
    ours.must("POST", "/proxies", {**A, "listen": f":{port}"})
    ours.must("POST", "/proxies/a/toxics", {"type": "noop"})
    wish = {key: text.replace(":1", f":{port}").format(other=other) for key, text in change.items()}

    ours.must("POST", "/populate", [{**A, "listen": f":{port}", **wish}])

    assert ours.must("GET", "/proxies/a/toxics") == []


def test_updating_to_every_interface_in_other_words_keeps_connections(ours):
    """Where it listens already; the original binds anew and cuts them."""
    with Road(ours, listen="") as road:
        road.address = ("127.0.0.1", road.address[1])
        client, upstream = road.travel()

        ours.must("PATCH", "/proxies/road", {"listen": f"0.0.0.0:{road.address[1]}"})

        client.sendall(b"still")
        assert upstream.recv(5) == b"still"


def test_populating_twice_with_toxics_touches_nothing(ours):
    """A listed toxic that is there as listed is left alone: another `timeout` would close, another rate let go."""
    with Road(ours) as road:
        toxics = [{"type": "timeout", "stream": "upstream"}, {"type": "bandwidth"}]
        wish = {**ours.must("GET", "/proxies/road"), "toxics": toxics}
        ours.must("POST", "/populate", [wish])
        client, upstream = road.travel()
        upstream.sendall(b"held")
        assert is_silent(client, 0.1)

        again = ours.must("POST", "/populate", [wish])["proxies"][0]

        assert is_silent(client, 0.1)
        assert [toxic["type"] for toxic in again["toxics"]] == ["timeout", "bandwidth"]
        toxics[1] = {"type": "latency", "name": "bandwidth_downstream"}
        other = ours.must("POST", "/populate", [wish])["proxies"][0]
        assert [toxic["type"] for toxic in other["toxics"]] == ["timeout", "latency"]
        assert client.recv(4) == b"held"


IMPOSSIBLE = {
    "redis": "address redis: missing port in address",
    "redis:": "address redis:: missing port in address",
    "redis:0": "address redis:0: missing port in address",
    "redis:nobody": "lookup tcp/nobody: unknown port",
    "redis:65536": "address 65536: invalid port",
    "redis:+-1": "lookup tcp/+-1: unknown port",
    "http://redis:80": "address http://redis:80: too many colons in address",
    "a b:1": "lookup a b: no such host",
    "redis/0:1": "lookup redis/0: no such host",
    "redis..svc:1": "lookup redis..svc: no such host",
    ".redis:1": "lookup .redis: no such host",
    f"{'x' * 64}:1": f"lookup {'x' * 64}: no such host",
    f"{'x.' * 127}x:1": f"lookup {'x.' * 127}x: no such host",
    "0127.0.0.1:1": "lookup 0127.0.0.1: no such host",
    "::1:1": "address ::1:1: too many colons in address",
}


@pytest.mark.parametrize("upstream", IMPOSSIBLE)
def test_deviation_upstream_that_nothing_can_reach_is_refused(server, upstream):
    """By create, update and populate; the original takes any text, and fails with each connection."""
    problem = error(f"invalid value: upstream must be a host and a port: {IMPOSSIBLE[upstream]}", 400)
    server.must("POST", "/proxies", OFF)

    created = server.ask("POST", "/proxies", {**OFF, "name": "b", "upstream": upstream})
    updated = server.ask("PATCH", "/proxies/a", {"upstream": upstream})
    populated = server.ask("POST", "/populate", [OFF, {**OFF, "name": "c", "upstream": upstream}])

    if server.name == "ours":
        assert (created.status, created.text) == (updated.status, updated.text) == (400, problem)
        assert populated.status == 400
        assert populated.json["error"] == json.loads(problem)["error"].replace("upstream", "upstream at proxy 2", 1)
        assert server.must("GET", "/proxies/a")["upstream"] == OFF["upstream"]
    else:
        assert (created.status, updated.status, populated.status) == (201, 200, 201)


def test_deviation_upstream_of_nothing_is_refused(server):
    """In an update; the original takes it."""
    server.must("POST", "/proxies", OFF)

    assert server.ask("PATCH", "/proxies/a", {"upstream": ""}).status == (400 if server.name == "ours" else 200)


@pytest.mark.parametrize(
    "upstream", ["redis_1:6379", ":6379", "[::1]:1", "my-host.:http", "bücher.example:1", "10.0.0.1:+80"]
)
def test_upstreams_that_may_be_reached_are_taken(server, upstream):
    """Whether they are there is seen when a client comes."""
    assert server.must("POST", "/proxies", {**OFF, "upstream": upstream})["upstream"] == upstream


def test_each_dial_that_fails_is_logged():
    """Strict mode takes any upstream; a client is let go, and the log says why, once, and nothing else."""
    upstreams = ["x", "x..y:1", f"{'x' * 64}:1", "x:99999", "127.0.0.1:0", "0127.0.0.1:1"]
    port = free_port()
    with running_on(str(port), "strict", LOG_LEVEL="warn") as process:
        wait_until(lambda: is_listening(("127.0.0.1", port)), "the API listens")
        server = Server("strict", port, process)
        server.must("POST", "/proxies", A)
        for upstream in upstreams:
            listen = server.must("PATCH", "/proxies/a", {"upstream": upstream})["listen"]
            with socket.create_connection(address_of(listen), timeout=DEADLINE_S) as client:
                assert how_it_ended(client) == "fin"
        process.terminate()
        lines = [json.loads(line) for line in process.stdout]

    assert [line["message"] for line in lines] == ["Unable to open connection to upstream"] * len(upstreams)


def test_dial_that_fails_is_an_event():
    """With its reason."""
    with started("ours") as ours, Road(ours, name="dead") as road:
        ours.must("PATCH", "/proxies/dead", {"upstream": "name.invalid:1"})
        assert how_it_ended(road.connect()) == "fin"

        failed = [event for event in ours.must("GET", "/events")["events"] if event["kind"] == "dial_failed"]
    assert [(event["connection"], event["error"]) for event in failed] == [(1, "lookup name.invalid: no such host")]


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_deviation_toxics_of_one_stream_have_a_limit(server, stream):
    """Of 64, through which bytes still pass; the original takes any number."""
    with Road(server) as road:
        for number in range(64):
            road.poison("noop", stream, name=f"n{number}")
        client, upstream = road.travel()
        sender, reader = (client, upstream) if stream == "upstream" else (upstream, client)
        sender.sendall(b"through")
        assert reader.recv(7) == b"through"

        answer = server.ask("POST", "/proxies/road/toxics", {"type": "noop", "name": "more", "stream": stream})

        if server.name == "toxiproxy":
            assert answer.status == 200
        else:
            problem = f"at most 64 toxics may be on one stream, {stream} has them already"
            assert (answer.status, answer.text) == (400, error(f"invalid value: {problem}", 400))
        other = "downstream" if stream == "upstream" else "upstream"
        road.poison("noop", other, name="other")


def test_listed_toxics_have_the_same_limit(ours):
    """In create, in populate, and together with those that are there; refused whole."""
    many = [{"type": "noop", "name": str(number)} for number in range(65)]
    listen = ours.must("POST", "/proxies", {**A, "toxics": many[:40]})["listen"]
    wish = {**A, "listen": listen}

    assert ours.ask("POST", "/proxies", {**A, "name": "b", "toxics": many}).status == 400
    assert ours.ask("POST", "/populate", [{**wish, "toxics": many}]).status == 400
    assert ours.ask("POST", "/populate", [{**wish, "toxics": many[1:64]}]).status == 201
    assert ours.ask("POST", "/populate", [{**wish, "toxics": many[-1:]}]).status == 400
    assert len(ours.must("GET", "/proxies/a/toxics")) == 64
    assert list(ours.must("GET", "/proxies")) == ["a"]


def test_reset_hands_on_what_many_toxics_hold():
    """In order, through all of them, however many; and the connection lives on."""
    with started("ours") as ours, Road(ours) as road:
        client, upstream = road.travel()
        for number in range(32):
            road.poison("bandwidth", name=f"b{number}", rate=0)
            road.poison("latency", name=f"l{number}", latency=60_000)
        upstream.sendall(b"held")
        assert is_silent(client, 0.1)

        ours.must("POST", "/reset")

        upstream.sendall(b", and more")
        assert read_exactly(client, 14) == b"held, and more"
        assert [kind for kind in kinds(ours, 0) if kind == "toxic_removed"] == ["toxic_removed"] * 64


def test_populate_takes_the_last_of_a_name(server):
    """Two wishes of one name are two answers, the first of which is gone already."""
    answer = server.must("POST", "/populate", [A, {**A, "upstream": "other:1"}])

    assert [(proxy["upstream"], proxy["enabled"]) for proxy in answer["proxies"]] == [
        ("127.0.0.1:1", False),
        ("other:1", True),
    ]
    assert server.must("GET", "/proxies/a")["upstream"] == "other:1"


def test_populate_keeps_the_old_where_the_new_cannot_listen(server):
    """It is disabled then, with its own address, upstream and toxics."""
    busy = server.must("POST", "/proxies", {**A, "name": "b"})["listen"]
    listen = server.must("POST", "/proxies", A)["listen"]
    server.must("POST", "/proxies/a/toxics", {"type": "noop"})

    answer = server.ask("POST", "/populate", [{**A, "listen": busy, "upstream": "other:1"}])

    shown = server.must("GET", "/proxies/a")
    assert (answer.status, answer.json["proxies"]) == (500, None)
    assert (shown["listen"], shown["upstream"], shown["enabled"]) == (listen, "127.0.0.1:1", False)
    assert [toxic["type"] for toxic in shown["toxics"]] == ["noop"]
    assert not is_listening(address_of(listen))
    assert server.must("PATCH", "/proxies/a", {"enabled": True})["enabled"]


def test_reset_heals_and_enables_and_keeps_connections(server):
    """All toxics are gone, all proxies listen, and healthy connections live on."""
    server.must("POST", "/proxies", OFF)
    with Road(server) as road:
        road.poison("latency", latency=10)
        client, upstream = road.travel()

        server.must("POST", "/reset")

        client.sendall(b"alive")
        assert upstream.recv(5) == b"alive"
        assert server.must("GET", "/proxies/a")["enabled"]
        assert server.must("GET", "/proxies/road/toxics") == []


def test_deviation_reset_does_all_it_can(server):
    """One proxy that cannot listen is answered with 500; the original stops there, its toxics and the rest undone."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = "{}:{}".format(*taken.getsockname())
        server.must("POST", "/proxies", {**A, "listen": listen, "enabled": False})
        server.must("POST", "/proxies/a/toxics", {"type": "noop"})
        server.must("POST", "/proxies", {**OFF, "name": "b"})

        answer = server.ask("POST", "/reset")

        is_ours = server.name == "ours"
        assert (answer.status, answer.text) == (500, error(f"listen tcp {listen}: bind: address already in use", 500))
        assert (server.must("GET", "/proxies/a/toxics") == []) == is_ours
        if server.name != "toxiproxy":  # there the order is drawn anew each time
            assert server.must("GET", "/proxies/b")["enabled"] == is_ours


@pytest.mark.parametrize("name", DEVIATIONS)
def test_documented_deviation(server, name):
    """Mistakes are refused, and taken in strict mode; what kills the original is refused there too."""
    body, ours, strict, original, _ = DEVIATIONS[name]
    server.must("POST", "/proxies", OFF)

    answer = server.ask("POST", "/proxies/a/toxics", body)

    assert answer.status == {"ours": ours, "strict": strict, "toxiproxy": original}[server.name]


def test_failed_toxic_update_changes_nothing(server):
    """Deviation: the original applies the attributes that were right, though not to connections that are open."""
    with Road(server) as road:
        toxic = road.poison("latency", latency=5)

        answer = server.ask("PATCH", toxic, {"attributes": {"jitter": "bad", "latency": 77}, "toxicity": 0.5})

        shown = server.must("GET", toxic)
        assert answer.status == 400
        assert (shown["attributes"]["latency"], shown["toxicity"]) == (5 if server.name == "ours" else 77, 1)


def test_failed_proxy_update_changes_nothing(server):
    """Deviation: the original leaves the proxy disabled, at the address it could not have, and cuts connections."""
    with Road(server) as road:
        busy = server.must("POST", "/proxies", A)["listen"]
        client, upstream = road.travel()

        answer = server.ask("PATCH", "/proxies/road", {"listen": busy})

        shown = server.must("GET", "/proxies/road")
        assert answer.status == 500
        if server.name == "ours":
            client.sendall(b"alive")
            assert upstream.recv(5) == b"alive"
            assert (shown["enabled"], address_of(shown["listen"])) == (True, road.address)
        else:
            assert how_it_ended(client) == "fin"
            assert (shown["enabled"], shown["listen"]) == (False, busy)


def test_failed_enabling_elsewhere_changes_nothing(server):
    """Deviation: the original keeps the address that cannot be had, and the upstream that came with it."""
    busy = server.must("POST", "/proxies", A)["listen"]
    server.must("POST", "/proxies", {**OFF, "name": "b"})

    answer = server.ask("PATCH", "/proxies/b", {"listen": busy, "upstream": "other:1", "enabled": True})

    shown = server.must("GET", "/proxies/b")
    kept = ("localhost:0", "127.0.0.1:1") if server.name == "ours" else (busy, "other:1")
    assert answer.status == 500
    assert ((shown["listen"], shown["upstream"]), shown["enabled"]) == (kept, False)


def test_toxics_come_with_their_proxy(server):
    """Deviation: create and populate accept toxics, and refuse the whole if one is wrong; the original ignores them."""
    good = {**A, "toxics": [{"type": "latency", "attributes": {"latency": 5}}]}
    bad = {**A, "name": "b", "toxics": [{"type": "nope"}]}

    created = server.must("POST", "/proxies", good)
    refused = server.ask("POST", "/populate", [bad])

    is_ours = server.name == "ours"
    assert len(created["toxics"]) == is_ours
    assert refused.status == (400 if is_ours else 201)


def test_populate_ensures_listed_toxics(ours):
    """A toxic listed for a proxy that is already there is added or brought up to date; others stay."""
    listen = ours.must("POST", "/proxies", A)["listen"]
    ours.must("POST", "/proxies/a/toxics", {"type": "noop"})

    for latency in (1, 2):
        wish = {**A, "listen": listen, "toxics": [{"type": "latency", "attributes": {"latency": latency}}]}
        ours.must("POST", "/populate", [wish])

    toxics = ours.must("GET", "/proxies/a/toxics")
    assert [(toxic["type"], toxic["attributes"]) for toxic in toxics] == [
        ("noop", {}),
        ("latency", {"latency": 2, "jitter": 0}),
    ]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("proxy", "problem"), [("a/b", "not contain a slash"), ("n" * 1025, "have at most 1024 characters")]
)
def test_deviation_proxy_that_no_url_reaches_is_refused(name, proxy, problem):
    """The original keeps it until it restarts."""
    with started(name) as server:
        answer = server.ask("POST", "/proxies", {**A, "name": proxy})

        if name == "ours":
            assert (answer.status, answer.text) == (400, error(f"invalid value: name must {problem}", 400))
        else:
            assert (answer.status, list(server.must("GET", "/proxies"))) == (201, [proxy])
            assert server.ask("GET", f"/proxies/{quote('a/b', safe='')}").status == 404


def test_deviation_busy_api_port_ends_the_program():
    """The program says so and ends; strict mode and the original live on, as the next test shows."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [*ours_command(), "-port", port], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"faultproxy cannot start: listen tcp 127.0.0.1:{port}: bind: address already in use"
    )


@pytest.mark.parametrize("name", ["strict", OTHER])
def test_deviation_busy_api_port_leaves_the_original_without_an_api(name, tmp_path):
    """It logs the error and serves what its configuration holds."""
    config = tmp_path / "proxies.json"
    listen = f"127.0.0.1:{free_port()}"
    config.write_text(json.dumps([{**A, "listen": listen}]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with running_on(port, name, "-config", str(config)) as process:
            wait_until(lambda: is_listening(address_of(listen)), "the configured proxy listens")
            logged = next(line for line in process.stdout if b'"error"' in line)

            assert b"address already in use" in logged
            assert process.poll() is None


@contextlib.contextmanager
def running_on(port: str, name: str, *flags: str, **environment: str):
    """Run one of the implementations on a port, its log in a pipe; in the end, tell it to go."""
    flags = ("-strict-compat", *flags) if name == "strict" else flags
    program = ["toxiproxy-server", "-host", "127.0.0.1"] if name == "toxiproxy" else ours_command()
    command = [*program, *flags, "-port", port]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment}
    ) as process:
        yield process
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


# Which levels are logged by a start, one request and an end, for each LOG_LEVEL; None is none.
LOGGED = {
    None: ({"info"}, {"info", "debug"}),
    "nonsense": ({"error", "info"}, {"error", "info", "debug"}),
    "debug": ({"info", "debug"}, {"info", "debug"}),
    "INFO": ({"info"}, {"info"}),
    "error": (set(), set()),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("level", LOGGED)
def test_log_level_chooses_what_is_logged(name, level, monkeypatch):
    """In any case. Without a level, or one it knows, the original logs everything; ours is `info`, a deviation."""
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    port = str(free_port())
    with running_on(port, name, **({"LOG_LEVEL": level} if level else {})) as process:
        wait_until(lambda: is_listening(("127.0.0.1", int(port))), "the API listens")
        Server(name, int(port), process).must("GET", "/version")
        process.terminate()
        lines = [json.loads(line) for line in process.stdout]

    ours, original = LOGGED[level]
    assert {line["level"] for line in lines} == (ours if name == "ours" else original)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ALL)
def test_signal_ends_the_program_in_order(name, number):
    """With exit code 0, and the listeners are gone."""
    with started(name) as server:
        listen = server.must("POST", "/proxies", A)["listen"]
        server.process.send_signal(number)

        assert server.process.wait(DEADLINE_S) == 0
        assert not is_listening(address_of(listen))


def test_program_ends_with_its_parent():
    """With -exit-with-parent the end of standard input is the end of the program."""
    process = subprocess.Popen(ours_command("-exit-with-parent"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.poll() is None
        process.stdin.close()

        assert process.wait(DEADLINE_S) == 0


def test_log_that_nobody_reads_freezes_nothing():
    """A full pipe loses log lines, not traffic."""
    with started("ours", LOG_LEVEL="debug") as ours:
        for _ in range(1000):
            ours.ask("GET", "/proxies")
        started_s = time.monotonic()

        assert ours.ask("GET", "/version").status == 200
        assert time.monotonic() - started_s < DEADLINE_S


def test_api_survives_bytes_that_are_not_http():
    """Garbage is answered with 400 and a closed connection."""
    with started("ours") as ours:
        with socket.create_connection(("127.0.0.1", ours.port), timeout=DEADLINE_S) as client:
            client.sendall(b"\x16\x03\x01 garbage\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(65536), b""))

        assert answer.startswith(b"HTTP/1.1 400 Bad Request")
        wait_until(lambda: ours.ask("GET", "/version").status == 200, "the API answers")


def test_deviation_events_are_ours_alone(server):
    """GET /events is an extension; strict mode knows no more routes than the original."""
    assert server.ask("GET", "/events").status == (200 if server.name == "ours" else 404)


def test_events_tell_what_happened_and_what_struck():
    """Every change of a proxy or toxic, every connection, and the first time a toxic acts on each."""
    with started("ours") as ours, Road(ours) as road:
        toxic = road.poison("latency", latency=1)
        client, upstream = road.travel()
        upstream.sendall(b"1")
        client.recv(1)
        before = ours.must("GET", "/events")["last"]
        client.close()
        upstream.close()
        road.heal(toxic)
        wait_until(lambda: "connection_closed" in kinds(ours, before), "the connection is closed")

        events = ours.must("GET", "/events")["events"]

        assert [event["kind"] for event in events][:4] == [
            "proxy_started",
            "toxic_added",
            "connection_opened",
            "toxic_hit",
        ]
        assert [event["id"] for event in events] == list(range(1, len(events) + 1))
        assert sorted(kinds(ours, before)) == ["connection_closed", "toxic_removed"]
        assert next(event for event in events if event["kind"] == "toxic_removed")["hits"] >= 1
        assert abs(events[-1]["monotonic_s"] - time.monotonic()) < DEADLINE_S


def kinds(server, after: int) -> list[str]:
    return [event["kind"] for event in server.must("GET", f"/events?after={after}")["events"]]


def test_events_refuse_a_place_that_is_no_number():
    """With a 400, like every other mistake."""
    with started("ours") as ours:
        assert ours.ask("GET", "/events?after=x").status == 400


def metric(server, name: str, **labels: str) -> float | None:
    """Return the one sample of this name with these labels."""
    for line in server.ask("GET", "/metrics").text.splitlines():
        shown, _, value = line.rpartition(" ")
        if shown.startswith(name + "{") and all(f'{key}="{text}"' in shown for key, text in labels.items()):
            return float(value)
    return None


@pytest.mark.parametrize("name", ALL)
def test_metrics_count_bytes_in_toxiproxys_names(name):
    """Both directions, received and sent; in ours while the connection is open, in the original only after it."""
    with started(name, "-proxy-metrics") as server, Road(server) as road:
        client, upstream = road.travel()
        client.sendall(b"12345")
        upstream.recv(5)
        upstream.sendall(b"123")
        client.recv(3)
        labels = {"proxy": "road", "listener": f"127.0.0.1:{road.address[1]}", "direction": "upstream"}
        sent = "toxiproxy_proxy_sent_bytes_total"
        assert metric(server, sent, **labels) == (5 if name == "ours" else None)
        client.close()
        wait_until(lambda: metric(server, sent, **labels) == 5, "bytes are counted")
        client, upstream = road.travel()
        client.sendall(b"1234567")
        upstream.recv(7)
        assert metric(server, sent, **labels) == (12 if name == "ours" else 5)

        content_type = server.ask("GET", "/metrics").headers["Content-Type"]
        assert content_type.startswith("text/plain; version=0.0.4; charset=utf-8")
        assert metric(server, "toxiproxy_proxy_received_bytes_total", **labels) == (12 if name == "ours" else 5)
        if name == "ours":
            downstream = {**labels, "direction": "downstream"}
            assert metric(server, sent, **downstream) == 3
            assert metric(server, "toxiproxy_proxy_received_bytes_total", **downstream) == 3


@pytest.mark.parametrize("name", ALL)
def test_deviation_metrics_tell_more(name):
    """Connections, hits and Python are ours alone, absent in strict mode; Go's own families are Toxiproxy's alone."""
    with started(name, "-proxy-metrics", "-runtime-metrics") as server, Road(server) as road:
        road.poison("noop")
        client, upstream = road.travel()
        client.close()
        upstream.close()
        wait_until(lambda: "toxiproxy_proxy_sent_bytes_total" in families(server), "bytes are counted")
        shown = families(server)

    original = {"toxiproxy_proxy_received_bytes_total", "toxiproxy_proxy_sent_bytes_total"}
    if name == "ours":
        assert {family for family in shown if family.startswith("toxi")} > original
        assert "python_info" in shown
    else:
        assert {family for family in shown if family.startswith(("toxi", "python"))} == original
    assert any(family.startswith(("go_", "promhttp_")) for family in shown) == (name == "toxiproxy")


def families(server) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", server.ask("GET", "/metrics").text, re.MULTILINE))


def test_metrics_count_connections_and_hits():
    """A gauge of open connections, and how often and where each toxic acted."""
    with started("ours", "-proxy-metrics", "-runtime-metrics=true") as ours, Road(ours) as road:
        road.poison("limit_data", bytes=2)
        (client, upstream), _ = road.travel(), road.travel()
        wait_until(lambda: metric(ours, "toxiproxy_proxy_connections", proxy="road") == 2, "both are open")
        upstream.sendall(b"123")
        client.recv(2)

        wait_until(lambda: metric(ours, "toxiproxy_toxic_hits_total") == 1, "the toxic has acted")
        assert metric(ours, "toxiproxy_toxic_connections_total", toxic="limit_data_downstream") == 1
        assert metric(ours, "toxiproxy_proxy_connections_total", proxy="road") == 2
        assert metric(ours, "toxiproxy_proxy_received_bytes_total", direction="downstream") == 3
        assert metric(ours, "toxiproxy_proxy_sent_bytes_total", direction="downstream") == 2
        assert "process_open_fds " in ours.ask("GET", "/metrics").text


def test_saved_state_is_read_back(tmp_path):
    """What GET /proxies says is a configuration: addresses, toxics, schedules, and who is disabled."""
    wishes = [
        {**A, "toxics": [{"type": "latency", "attributes": {"latency": 5}, "toxicity": 0.1, "when": {"first": 2}}]},
        {
            **OFF,
            "name": "b",
            "toxics": [{"type": "redis_error"}, {"type": "latency_distribution", "attributes": TABLE}],
        },
    ]
    with started("ours") as ours:
        ours.must("POST", "/populate", wishes)
        saved = ours.ask("GET", "/proxies")
        # Taken where it is already, it changes nothing.
        assert ours.must("POST", "/populate", saved.json)["proxies"] == list(saved.json.values())
        before = kinds(ours, 0)
        assert "proxy_stopped" not in before
    state = tmp_path / "state.json"
    state.write_bytes(saved.body)

    with started("ours", "-config", str(state)) as again:
        assert again.ask("GET", "/proxies").text == saved.text


def test_saved_state_of_nothing_is_read_back(tmp_path):
    """A server without proxies starts from what one without proxies has said."""
    with started("ours", "-config", str(written(tmp_path, "{}"))) as ours:
        assert ours.must("GET", "/proxies") == {}


def test_deviation_saved_state_is_not_for_the_original(server):
    """It wants an array; a mistake in a state names the proxy."""
    state = {"a": OFF, "b": {"name": "b"}}

    answer = server.ask("POST", "/populate", state)

    told = "missing required field: upstream at proxy b"
    go = r'bad request body: json: cannot unmarshal object into Go value of type []struct { toxiproxy.Proxy; Enabled *bool "json:\"enabled\"" }'
    assert (answer.status, answer.json["error"]) == (400, told if server.name == "ours" else go)


TABLE = {"distribution": "table", "percentiles": [[50, 5], [99, 7.5]]}


@pytest.mark.parametrize("name", ALL)
def test_config_is_populated_at_the_start(name, tmp_path):
    """The array of POST /populate; toxics in it are ours alone."""
    config = tmp_path / "proxies.json"
    config.write_text(json.dumps([{**A, "toxics": [{"type": "latency"}]}]))
    with started(name, "-config", str(config)) as server:
        shown = server.must("GET", "/proxies/a")

        assert shown["enabled"]
        assert [toxic["type"] for toxic in shown["toxics"]] == ["latency"] * (name == "ours")


BAD_CONFIGS = [None, "[", "5", '{"a":{"name":"a"}}', '[{"name":"a"}]', '[{"name":"a","upstream":"x","listen":"bad"}]']


@pytest.mark.parametrize("text", BAD_CONFIGS)
def test_deviation_bad_config_ends_the_program(tmp_path, text):
    """Ours says what is wrong with it and ends."""
    ended = subprocess.run(
        ours_command("-config", str(written(tmp_path, text))),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"faultproxy cannot start: {tmp_path}")


@pytest.mark.parametrize("name", ["strict", OTHER])
@pytest.mark.parametrize("text", [None, BAD_CONFIGS[-1]])
def test_deviation_bad_config_leaves_the_original_empty(name, tmp_path, text):
    """The original logs it and starts without proxies; so does strict mode."""
    with started(name, "-config", str(written(tmp_path, text))) as server:
        assert server.must("GET", "/proxies") == {}


def written(folder, text: str | None):
    """Write a configuration, or none, and return where."""
    config = folder / "proxies.json"
    if text:
        config.write_text(text)
    return config


@pytest.mark.parametrize(
    ("name", "flag"),
    [("ours", "-version"), ("ours", "--version=T"), pytest.param(*OTHER.values, "-version", marks=OTHER.marks)],
)
def test_version_is_printed(name, flag):
    """As toxiproxy-server prints it."""
    program = ["toxiproxy-server"] if name == "toxiproxy" else ours_command()
    shown = subprocess.run([*program, flag], capture_output=True, text=True, timeout=DEADLINE_S, check=True)

    assert shown.stdout == "toxiproxy-server version 2.12.0\n"


@pytest.mark.parametrize("name", ALL)
def test_program_starts_with_all_that_gos_flags_let_pass(name):
    """An empty configuration, a seed in hexadecimal, a version that is not wanted, and what comes behind the flags."""
    flags = ["-config", "", "-seed", "0x10", "-version=false", "-proxy-metrics", "false", "-nonsense"]
    with started(name, *flags) as server:
        assert server.must("GET", "/proxies") == {}
        assert server.ask("GET", "/metrics").status == 200


@pytest.mark.skipif(toxiproxy_is_missing(), reason="no toxiproxy-server on PATH to compare with")
@pytest.mark.parametrize("flags", REFUSED_FLAGS)
def test_the_original_refuses_the_same_flags(flags):
    """Those that the unit suite says of ours."""
    ended = subprocess.run(["toxiproxy-server", *flags], capture_output=True, timeout=DEADLINE_S, check=False)

    assert ended.returncode == 2


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("host", "reached"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])])
def test_api_listens_on_ipv6(name, host, reached):
    """On one address of it, or on every interface of both kinds."""
    port = free_port()
    with running_on(str(port), name, "-host", host):
        for address in reached:
            wait_until(functools.partial(is_listening, (address, port)), f"the API listens on {address}")


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        *[("ours", closed) for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-")],
        pytest.param(*OTHER.values, "0<&- 1>&- 2>&-", marks=OTHER.marks),
    ],
)
def test_program_needs_no_standard_streams(name, closed):
    """Their numbers must not become those of sockets: traffic flows, nothing of the log gets into it, the end is in order."""
    port = free_port()
    program = ["toxiproxy-server", "-host", "127.0.0.1"] if name == "toxiproxy" else ours_command()
    command = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *program, "-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: is_listening(("127.0.0.1", port)), "the API listens")
        with Road(Server(name, port, process)) as road:
            for _ in range(3):
                client, upstream = road.travel()
                client.sendall(b"hello")
                assert upstream.recv(100) == b"hello"
        process.terminate()

    assert process.returncode == 0


def test_readiness_starts_it_with_its_own_flags():
    """`readiness faultproxy` becomes the fault proxy: its flags, its log, its exit code."""
    start = "import sys; from harness.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", start, "faultproxy", "-host", "127.0.0.1", "-port", "0", "-seed", "7"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process:
        server = Server("ours", ready_port(process), process)
        assert server.ask("GET", "/version").json == {"version": "2.12.0"}
        process.terminate()
    assert process.returncode == 0
