"""Looking out for points: what a real exporter says, from its first word to its silence."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from harness.clock import SystemClock, is_met_within
from harness.spec.sometimes import Grows, Metric
from harness.stack.metric_watch import MetricWatch, watching
from harness.stack.ports import reserve
from harness.stack.service import LOOPBACK, Address

CLOCK = SystemClock()
OPEN = Metric(kind="metric", metric="breaker_state", labels={"breaker": "redis", "state": "open"}, at_least=1)
REJECTED = Grows(kind="grows", metric="calls_total", labels={"outcome": "rejected"}, by=3)


class Exporter:
    """A service with a breaker, that Prometheus could ask."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.state = Gauge("breaker_state", "1 for the present one.", ["breaker", "state"], registry=registry)
        self.calls = Counter("calls", "By what became of them.", ["breaker", "outcome"], registry=registry)
        self.server, self.thread = start_http_server(0, LOOPBACK, registry)
        self.address = Address(LOOPBACK, self.server.server_port)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def exporter():
    running = Exporter()
    yield running
    running.close()


def lookout_for(point, *addresses):
    replicas = {f"replica-{number + 1}": address for number, address in enumerate(addresses)}
    return MetricWatch([point], replicas, "/metrics", CLOCK.now)


def test_a_state_is_seen_while_it_lasts(exporter):
    """Not before, and once seen it stays seen."""
    exporter.state.labels("redis", "open").set(0)
    exporter.state.labels("postgres", "open").set(1)
    metric_watch = lookout_for(OPEN, exporter.address)
    assert not metric_watch.is_done
    assert metric_watch.marks[0].seen == "replica-1: 0"

    with watching(metric_watch):
        exporter.state.labels("redis", "open").set(1)
        assert is_met_within(lambda: metric_watch.is_done, deadline_s=5, clock=CLOCK)
    exporter.state.labels("redis", "open").set(0)
    metric_watch.look()

    assert metric_watch.marks[0].is_reached
    assert metric_watch.marks[0].seen == "replica-1: 1"


@pytest.mark.parametrize(("grown", "is_reached"), [(2, False), (3, True)])
def test_growth_counts_from_the_first_look(exporter, grown, is_reached):
    """What was there before the phase is nobody's answer to the fault; labels that are not asked for are added up."""
    exporter.calls.labels("redis", "rejected").inc(50)
    metric_watch = lookout_for(REJECTED, exporter.address)

    exporter.calls.labels("redis", "rejected").inc(1)
    exporter.calls.labels("postgres", "rejected").inc(grown - 1)
    exporter.calls.labels("redis", "admitted").inc(100)
    metric_watch.look()

    assert metric_watch.marks[0].is_reached is is_reached
    assert metric_watch.marks[0].seen == f"replica-1: from 50 to {50 + grown}"


def test_a_replica_that_is_started_anew_counts_from_nothing(exporter):
    """Its counter falls; what it grows by afterwards is growth."""
    exporter.calls.labels("redis", "rejected").inc(50)
    metric_watch = lookout_for(REJECTED, exporter.address)
    exporter.calls.clear()
    exporter.calls.labels("redis", "rejected").inc(1)
    metric_watch.look()
    exporter.calls.labels("redis", "rejected").inc(3)
    metric_watch.look()

    assert metric_watch.marks[0].seen == "replica-1: from 1 to 4"


def test_two_replicas_are_not_added_up(exporter):
    """Two and two are not three; each is asked for itself."""
    other = Exporter()
    try:
        exporter.calls.labels("redis", "rejected").inc(0)
        other.calls.labels("redis", "rejected").inc(0)
        metric_watch = lookout_for(REJECTED, exporter.address, other.address)
        exporter.calls.labels("redis", "rejected").inc(2)
        other.calls.labels("redis", "rejected").inc(2)
        metric_watch.look()
        assert not metric_watch.is_done
    finally:
        other.close()


@pytest.mark.parametrize(
    ("point", "path", "is_there"),
    [
        pytest.param(OPEN, "/metrics", False, id="nobody listens"),
        pytest.param(OPEN.model_copy(update={"metric": "braker_state"}), "/metrics", True, id="no such metric"),
        pytest.param(OPEN.model_copy(update={"labels": {"breaker": "mongo"}}), "/metrics", True, id="no such label"),
    ],
)
def test_what_nobody_speaks_of_is_never_reached(exporter, point, path, is_there):
    """And nothing is made up about it."""
    exporter.state.labels("redis", "open").set(1)
    metric_watch = MetricWatch([point], {"replica-1": exporter.address if is_there else reserve()}, path, CLOCK.now)

    assert not metric_watch.is_done
    assert metric_watch.marks[0].seen == ""


def test_without_points_nobody_is_asked():
    """There is nothing to look out for."""
    with watching(MetricWatch([], {"replica-1": reserve()}, "/metrics", CLOCK.now)) as nothing:
        assert nothing is None
