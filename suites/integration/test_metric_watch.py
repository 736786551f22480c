"""Looking out for points: what a real exporter says, from its first word to its silence."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from harness.clock import SystemClock, is_met_within
from harness.spec.sometimes import Grows, Metric
from harness.stack.metric_watch import MetricWatch, ReplicaMetrics, watching
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
    return MetricWatch([point], ReplicaMetrics(replicas, "/metrics"), CLOCK.now)


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
    "point",
    [
        pytest.param(OPEN.model_copy(update={"metric": "braker_state"}), id="no such metric"),
        pytest.param(OPEN.model_copy(update={"labels": {"breaker": "mongo"}}), id="no such label"),
    ],
)
def test_what_nobody_speaks_of_is_never_reached(exporter, point):
    """And nothing is made up about it."""
    exporter.state.labels("redis", "open").set(1)
    metric_watch = lookout_for(point, exporter.address)

    assert not metric_watch.is_done
    assert metric_watch.marks[0].seen == ""


def test_without_points_nobody_is_asked():
    """There is nothing to look out for."""
    with watching(MetricWatch([], ReplicaMetrics({"replica-1": reserve()}, "/metrics"), CLOCK.now)) as nothing:
        assert nothing is None


class Leads(BaseHTTPRequestHandler):
    """A service whose metrics are mounted as frameworks mount them: `/metrics` leads to `/metrics/`."""

    there = "/metrics/"

    def do_GET(self):
        is_there = self.path == "/metrics/"
        body = b'# TYPE breaker_state gauge\nbreaker_state{breaker="redis",state="open"} 1\n' if is_there else b""
        self.send_response(200 if is_there else 307)
        self.send_header("location", self.there.format(port=self.server.server_port))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler):
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Address(LOOPBACK, server.server_port)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("there", ["/metrics/", "http://127.0.0.1:{port}/metrics/"])
def test_metrics_that_are_elsewhere_on_the_same_replica_are_read(there):
    """Mounted the usual way they answer 307; whether it says the whole address or not."""
    with serving(type("There", (Leads,), {"there": there})) as address:
        assert lookout_for(OPEN, address).is_done


def test_metrics_on_another_machine_are_not_asked_for():
    """Nothing of ours goes where a service sends it; the point says what was answered."""
    with serving(type("Away", (Leads,), {"there": "http://192.0.2.1:{port}/metrics/"})) as address:
        metric_watch = lookout_for(OPEN, address)

    assert metric_watch.marks[0].seen == "replica-1: GET /metrics answers 307"


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (404, b"", "GET /metrics answers 404"),
        (200, b"", "GET /metrics answers no metrics"),
        (200, b"<html>", "GET /metrics answers something else than Prometheus' text format"),
    ],
)
def test_a_point_says_why_nothing_was_read(status, body, why):
    """Where no replica tells any metric; one that does answers for all."""

    class Answers(Leads):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Answers) as address:
        assert lookout_for(OPEN, address, Address(LOOPBACK, reserve().port)).marks[0].seen == f"replica-1: {why}"
        with serving(Leads) as other:
            assert lookout_for(REJECTED, address, other).marks[0].seen == ""


def test_a_replica_that_does_not_answer_is_why_nothing_was_read():
    """It may come back: what it says then stands in the place of this."""
    gone = reserve()

    assert lookout_for(OPEN, gone).marks[0].seen == "replica-1: GET /metrics is not answered (ConnectError)"
