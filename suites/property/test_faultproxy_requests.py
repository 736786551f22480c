"""Whatever is sent to the fault proxy's API, it answers in Toxiproxy's form and lives."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.faultproxy import DEADLINE_S, started
from harness.faultproxy.api import Api
from harness.faultproxy.httpd import Request
from harness.faultproxy.program import Program
from harness.faultproxy.registry import Registry
from harness.faultproxy.toxics import TOXICS

# Addresses that are refused without a look-up, or bound on the loopback only.
LISTENS = st.sampled_from(["127.0.0.1:0", "127.0.0.1:", "bad", "a:b:c", "[::1", "127.0.0.1:99999", "127.0.0.1:-1"])
NAMES = st.sampled_from(["a", "b", "x/y", "<é>", " "])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | NAMES
)
ATTRIBUTE_NAMES = sorted({name for settings in TOXICS.values() for name in settings.__dataclass_fields__})
ATTRIBUTES = st.dictionaries(st.sampled_from(ATTRIBUTE_NAMES), st.integers(-10, 10**6) | SCALARS, max_size=3)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
TOXIC = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(TOXICS)) | SCALARS,
        "name": NAMES | SCALARS,
        "stream": st.sampled_from(["upstream", "downstream", "UPSTREAM", ""]) | SCALARS,
        "toxicity": st.floats(0, 1) | SCALARS,
        "attributes": ATTRIBUTES | ANY_JSON,
    },
)
PROXY = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | SCALARS,
        "upstream": st.just("127.0.0.1:1") | ANY_JSON,
        "listen": LISTENS | st.integers() | st.lists(st.none()),
        "enabled": st.booleans() | SCALARS,
        "toxics": st.lists(TOXIC, max_size=2) | ANY_JSON,
    },
)
BODIES = st.binary(max_size=30) | st.one_of(ANY_JSON, TOXIC, PROXY, st.lists(PROXY, max_size=3)).map(
    lambda value: json.dumps(value).encode()
)
PATHS = st.sampled_from(
    ["/proxies", "/populate", "/proxies/here", "/proxies/here/toxics", "/proxies/here/toxics/t", "/reset", "/proxies/b"]
)


@given(exchanges=st.lists(st.tuples(st.sampled_from(["POST", "PATCH", "GET", "DELETE"]), PATHS, BODIES), max_size=5))
def test_every_body_gets_an_answer_of_toxiproxys_shape(exchanges):
    """An error is {"error": text, "status": the status}, and never one that nobody foresaw."""
    answers = asyncio.run(answers_to(exchanges))

    for answer in answers:
        if answer.status >= 400 and answer.body and not answer.body.startswith(b"404 page"):
            shown = json.loads(answer.body)
            assert shown["status"] == answer.status
            assert isinstance(shown["error"], str)
            assert not shown["error"].startswith("internal error")


async def answers_to(exchanges):
    registry = Registry(Program())
    api = Api(registry)
    await ask(api, "POST", "/proxies", b'{"name":"here","upstream":"x","listen":"127.0.0.1:0"}')
    await ask(api, "POST", "/proxies/here/toxics", b'{"type":"latency","name":"t"}')
    try:
        answers = [await ask(api, *exchange) for exchange in exchanges]
        # Whatever was stored must be showable.
        assert (await ask(api, "GET", "/proxies", b"")).status == 200
    finally:
        registry.stop()
    return answers


async def ask(api, method, path, body):
    return await api.answer(Request(method, path, "", body))


@pytest.fixture(scope="module")
def server():
    with started("ours") as running:
        yield running


@given(sent=st.binary(min_size=1, max_size=200))
def test_any_bytes_on_the_socket_leave_the_server_alive(server, sent):
    """Bytes that are no request are refused or waited for; the next client is served."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)

    assert server.ask("GET", "/version").status == 200
