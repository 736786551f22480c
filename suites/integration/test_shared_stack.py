"""What is seen of a stack that a story has left: on real services, each thing that is not as it was."""

from __future__ import annotations

import pytest

from harness.clock import SystemClock, is_met_within
from harness.experiment.shared import unclean
from harness.stack.proxy import Toxic


@pytest.fixture
def seen(embedded_stack, ledger):
    """Look at the stack, of which each service is in the life that it had when the test began."""
    lives = {name: service.life() for name, service in embedded_stack.services.items()}
    return lambda: list(unclean(embedded_stack, lives, ledger))


def test_a_stack_that_nothing_was_done_to_is_clean(seen):
    assert seen() == []


def test_an_edge_that_is_still_hurt_is_seen(seen, embedded_stack):
    """Whatever the ledger says of it: the proxy is asked."""
    embedded_stack.proxy.add(Toxic("replica-2.redis", "left", "latency", {"latency": 1}))
    embedded_stack.proxy.disable("replica-1.postgres")
    try:
        assert seen() == ["replica-1.postgres is still refused", "latency is still on replica-2.redis"]
    finally:
        embedded_stack.proxy.remove("replica-2.redis", "left")
        embedded_stack.proxy.enable("replica-1.postgres")


def test_what_the_ledger_has_left_is_seen(seen, ledger):
    """A process and a folder are the stack's own, and end with it."""
    ledger.note("folder", "work")
    entry = ledger.note("redis-memory", "redis", maxmemory="0")

    assert seen() == [f"not undone: {entry}"]

    ledger.strike(entry)
    assert seen() == []


def test_a_service_that_does_not_answer_is_seen(seen, embedded_stack):
    redis = embedded_stack.services["redis"]
    redis.pause()
    try:
        assert seen() == ["redis is not ready"]
    finally:
        redis.resume()


def test_a_service_in_another_life_is_seen_although_it_answers(seen, embedded_stack):
    """What its process held is gone, and who knows what it holds now."""
    replica = embedded_stack.services["replica-1"]
    replica.kill()
    assert seen() == ["replica-1 is not ready"]

    replica.start()
    assert is_met_within(replica.is_ready, deadline_s=20, clock=SystemClock())

    assert seen() == ["replica-1 is in another life than it was started in"]
