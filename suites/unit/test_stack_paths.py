"""What was sent to a service, as the stack's proxy has counted it; of one that nobody asks, what it sent itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.stack.stack import Stack

SENT = {"replica-1.redis": 1, "replica-2.redis": 2, "worker-1.redis": 4, "worker-2.redis": 8, "nginx.replica-1": 16}
"""Bytes on each edge: any sum of them is one set of edges."""


@pytest.mark.parametrize(
    ("target", "sent_bytes"),
    [
        ("redis", 1 + 2 + 4 + 8),
        ("worker-2.redis", 8),
        ("replica-1", 16),
        pytest.param("worker-1", 4, id="one that asks, and is not asked"),
        pytest.param("nginx", 16, id="one that the load asks past the proxy"),
        ("strange", 0),
    ],
)
def test_what_a_fault_takes_away_was_asked_or_has_asked(target, sent_bytes):
    edges = [SimpleNamespace(name=name, client=name.split(".")[0], server=name.split(".")[1]) for name in SENT]
    proxy = SimpleNamespace(client_bytes=SENT.__getitem__)
    stack = Stack(backend="embedded", services={}, edges=edges, proxy=proxy, entry=None, startup=())

    assert stack.sent_bytes(target) == sent_bytes
