"""Healing is believed when it is seen: a fault proxy may answer yes and do nothing."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from harness.clock import SystemClock
from harness.errors import FaultError
from harness.faults.healing import heal
from harness.faults.injection import injected
from harness.faults.ledger import read_ledger
from harness.faults.undo import take_back
from harness.spec.faults import Down, Latency
from harness.stack.proxy import ProxyServer
from harness.stack.service import Address

CLOCK = SystemClock()
LATE = Latency(kind="latency", target="replica-1.redis", delay="50ms")
GONE = Down(kind="down", target="replica-1.redis")


class Yes(BaseHTTPRequestHandler):
    """The API of a fault proxy, behind one that passes on all but what heals: to that it says yes."""

    def do_GET(self):
        self._answer(requests.get(self.server.real + self.path, timeout=5))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        heals = self.path.startswith("/proxies/") and json.loads(body).get("enabled") is True
        url = self.server.real + self.path
        self._answer(requests.get(url, timeout=5) if heals else requests.post(url, data=body, timeout=5))

    def do_DELETE(self):
        self.send_response(204)
        self.end_headers()

    def _answer(self, said):
        self.send_response(said.status_code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said.content)))
        self.end_headers()
        self.wfile.write(said.content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def lying_stack(embedded_stack):
    """The stack as one sees it whose fault proxy heals nothing; it is healed for good afterwards."""
    real = embedded_stack.proxy
    server = ThreadingHTTPServer(("127.0.0.1", 0), Yes)
    server.real = f"http://{real.api}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield replace(embedded_stack, proxy=ProxyServer(Address("127.0.0.1", server.server_port)))
    server.shutdown()
    thread.join()
    server.server_close()
    real.enable("replica-1.redis")
    for toxic in real.toxics("replica-1.redis"):
        real.remove("replica-1.redis", toxic.name)


@pytest.mark.parametrize(("fault", "kind"), [(LATE, "toxic"), (GONE, "disabled")])
def test_a_fault_that_a_proxy_only_says_to_have_healed_is_noticed(lying_stack, ledger, fault, kind):
    """At its end, and again by whatever heals later: it stays in the ledger."""
    with pytest.raises(FaultError, match="the fault is still there"):
        with injected(fault, into=lying_stack, ledger=ledger, clock=CLOCK) as injection:
            assert injection.observe().is_delivered

    snapshot = read_ledger(ledger.path)
    assert [entry.kind for entry in snapshot.left if entry.kind != "process"] == [kind]
    with pytest.raises(FaultError, match="the fault is still there"):
        heal(replace(snapshot, left=tuple(entry for entry in snapshot.left if entry.kind == kind), is_closed=True))


def test_a_delay_on_one_edge_is_not_taken_for_one_on_all(embedded_stack, ledger):
    """The fault is on two edges, and one of them is as quick as ever: the look says which."""
    late = Latency(kind="latency", target="redis", delay="200ms")
    with injected(late, into=embedded_stack, ledger=ledger, clock=CLOCK) as injection:
        assert injection.observe().is_delivered
        for toxic in embedded_stack.proxy.toxics("replica-2.redis"):
            embedded_stack.proxy.remove("replica-2.redis", toxic.name)
        dose = injection.observe()

    assert not dose.is_delivered
    assert "replica-1.redis" in dose.seen
    assert "replica-2.redis" in dose.seen


def test_what_can_still_be_seen_is_not_struck(ledger):
    """Whatever its undoing said; what is older is not lost with it."""
    older, newer = (ledger.note("folder", name, path="/nowhere") for name in ("older", "newer"))
    noted = [older, newer]

    with pytest.raises(FaultError):
        take_back([replace(newer, kind="paused", facts={"pid": 0, "started_s": 0.0})], ledger, is_there=lambda _: True)

    assert noted == [older, newer]
    assert [entry.name for entry in read_ledger(ledger.path).left] == ["newer", "older"]
