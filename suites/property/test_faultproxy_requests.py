"""Whatever is sent to the fault proxy's API over HTTP, it answers in Toxiproxy's form, lives, and keeps nothing."""

from __future__ import annotations

import json
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.faultproxy.schedule import Schedule
from harness.faultproxy.toxics import TOXICS
from suites.support.faultproxy import DEADLINE_S, reset_now, started, wait_until

# Addresses that are refused without a look-up, or bound on the loopback only.
LISTENS = st.sampled_from(
    [
        "127.0.0.1:0",
        "127.0.0.1:",
        "bad",
        "a:b:c",
        "[::1",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:+-1",
        "0127.0.0.1:0",
    ]
)
NAMES = st.sampled_from(["a", "b", "x/y", "<é>", " "])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | NAMES
)
ATTRIBUTE_NAMES = sorted({name for settings in TOXICS.values() for name in settings.__dataclass_fields__})
ATTRIBUTES = st.dictionaries(st.sampled_from(ATTRIBUTE_NAMES), st.integers(-10, 10**6) | SCALARS, max_size=3)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
SCHEDULE_NAMES = sorted(Schedule.__dataclass_fields__)
WHENS = st.dictionaries(st.sampled_from(SCHEDULE_NAMES), st.integers(-1, 10**4) | SCALARS, max_size=3)
TOXIC = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(TOXICS)) | SCALARS,
        "name": NAMES | SCALARS,
        "stream": st.sampled_from(["upstream", "downstream", "UPSTREAM", ""]) | SCALARS,
        "toxicity": st.floats(0, 1) | SCALARS,
        "attributes": ATTRIBUTES | ANY_JSON,
        "when": WHENS | ANY_JSON,
    },
)
PROXY = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | SCALARS,
        "upstream": st.sampled_from(["127.0.0.1:1", "x:1", "tcp://x:1", "x..y:1", f"{'x' * 64}:1"]) | ANY_JSON,
        "listen": LISTENS | st.integers() | st.lists(st.none()),
        "enabled": st.booleans() | SCALARS,
        "toxics": st.lists(TOXIC, max_size=2) | ANY_JSON,
    },
)
SMALL = st.binary(max_size=30) | st.one_of(ANY_JSON, TOXIC, PROXY, st.lists(PROXY, max_size=3)).map(
    lambda value: json.dumps(value).encode()
)
MEBIBYTE = 2**20
# Huge in every way there is: length, depth, digits, texts, fields; above and below what is read at all.
MONSTERS = [
    b"[" * MEBIBYTE,
    b'{"a":' * 100_000,
    b'{"name":"b","upstream":"x:1","toxics":' + b"[" * 100_000,
    b'{"name":"b","upstream":"x:1","enabled":false,"x":%s}' % (b"[" * 900 + b"]" * 900),
    b'{"attributes":{"latency":%s}}' % (b"9" * MEBIBYTE),
    b'{"toxicity":1e%s}' % (b"9" * MEBIBYTE),
    b'{"name":"%s","upstream":"x:1","enabled":false}' % (b"n" * MEBIBYTE),
    b"{%s}" % b",".join(b'"%d":0' % number for number in range(100_000)),
    b'[{"name":"%s"}]' % (b"\xff" * MEBIBYTE),
    b" " * 9 * MEBIBYTE,
    b'"%s"' % (b"\\ud800" * 2 * MEBIBYTE),
]
METHODS = st.sampled_from(["POST", "PATCH", "GET", "DELETE"])
PATHS = [
    "/proxies",
    "/populate",
    "/proxies/here",
    "/proxies/here/toxics",
    "/proxies/here/toxics/t",
    "/reset",
    "/proxies/b",
]
# Bodies that come far: what is drawn is wrong in one place, or not at all.
NEARLY_RIGHT = st.one_of(
    st.tuples(st.just("POST"), st.just(PATHS[3]), st.builds(dict, TOXIC, type=st.sampled_from(sorted(TOXICS)))),
    st.tuples(
        st.just("POST"),
        st.just(PATHS[3]),
        st.builds(dict, when=WHENS | st.lists(WHENS) | SCALARS, type=st.just("noop")),
    ),
    st.tuples(st.just("PATCH"), st.just(PATHS[4]), TOXIC),
    st.tuples(st.just("PATCH"), st.just(PATHS[2]), PROXY),
    st.tuples(st.just("POST"), st.just(PATHS[0]), st.builds(dict, PROXY, name=st.just("b"), upstream=st.just("x:1"))),
    st.tuples(st.just("POST"), st.just(PATHS[1]), st.lists(PROXY, max_size=3)),
)
# Monsters are rare, because they are slow to send.
EXCHANGE = st.one_of(
    *[NEARLY_RIGHT] * 5,
    *[st.tuples(METHODS, st.sampled_from(PATHS), SMALL)] * 4,
    st.tuples(METHODS, st.sampled_from(PATHS), st.sampled_from(MONSTERS)),
)


@pytest.fixture(scope="module")
def server():
    with started("ours", "-proxy-metrics", "-runtime-metrics") as running:
        yield running


@given(exchanges=st.lists(EXCHANGE, max_size=5))
def test_every_body_gets_an_answer_of_toxiproxys_shape(server, exchanges):
    """An error is {"error": text, "status": the status}, and never one that nobody foresaw."""
    server.forget_all()
    server.must("POST", "/proxies", {"name": "here", "upstream": "x:1", "listen": "127.0.0.1:0"})
    server.must("POST", "/proxies/here/toxics", {"type": "latency", "name": "t"})

    for answer in [server.ask(*exchange) for exchange in exchanges]:
        assert_is_foreseen(answer)
    # Whatever was stored must be showable.
    server.must("GET", "/proxies")


@pytest.mark.parametrize("path", PATHS[:5])
@pytest.mark.parametrize("place", range(len(MONSTERS)))
def test_monsters_are_refused_or_digested(server, place, path):
    """Each huge body on each route that reads one."""
    server.forget_all()
    server.must("POST", "/proxies", {"name": "here", "upstream": "x:1", "listen": "127.0.0.1:0"})
    server.must("POST", "/proxies/here/toxics", {"type": "latency", "name": "t"})

    assert_is_foreseen(server.ask("POST", path, MONSTERS[place]))


def assert_is_foreseen(answer) -> None:
    if answer.status >= 400 and answer.status != 405 and not answer.body.startswith(b"404 page"):
        shown = answer.json
        assert shown["status"] == answer.status
        assert isinstance(shown["error"], str)
        assert not shown["error"].startswith("internal error")


@given(sent=st.binary(min_size=1, max_size=200))
def test_any_bytes_on_the_socket_leave_the_server_alive(server, sent):
    """Bytes that are no request are refused or waited for; the next client is served."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)

    assert server.ask("GET", "/version").status == 200


BAD = [
    b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz",
    b"POST /proxies/here/toxics HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n" + b'{"type":"nobody"}',
    b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf a body",
    b"POST /populate HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n" + b"[" * 100_000,
    b"POST /populate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
    b"GET /proxies HTTP/1.1\r\nHos",
    b"\x16\x03\x01 no HTTP at all\r\n\r\n",
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"PUT /proxies HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
]


def test_bad_requests_leave_nothing_behind(server):
    """A thousand of them, ended in every way: descriptors, tasks and connections are as many as before."""
    server.forget_all()
    server.must("POST", "/proxies", {"name": "here", "upstream": "x:1", "listen": "127.0.0.1:0"})
    before = holdings(server)

    for number in range(1000):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
        client.sendall(BAD[number % len(BAD)])
        (reset_now if number // len(BAD) % 2 else socket.socket.close)(client)

    wait_until(lambda: holdings(server) == before, "everything is let go of")


def holdings(server) -> dict[str, float]:
    """Return how many descriptors, tasks and connections the server has, by its own account and the kernel's."""
    text = server.ask("GET", "/metrics").text
    counts = {
        name: float(value)
        for name, value in re.findall(
            r"^(process_open_fds|python_asyncio_tasks|toxiproxy_proxy_connections)\S* (\S+)$", text, re.MULTILINE
        )
    }
    return counts | {"descriptors": server.usage()[1]}
