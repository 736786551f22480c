"""Points that are read off a Prometheus: what it collected in the phase counts, and what it does not have is unknown."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from harness.clock import SystemClock, is_met_within
from harness.errors import SpecError
from harness.options import settings_of
from harness.run import hidden_of
from harness.spec.external import Prometheus
from harness.spec.sometimes import Grows, Metric
from harness.stack.metric_watch import MetricWatch, watching
from harness.stack.prometheus import PrometheusSource, selector_of
from suites.support.faultproxy import free_port
from suites.support.prometheus import collected, prometheus_is_missing, real_prometheus

CLOCK = SystemClock()
OPEN = Metric(kind="metric", metric="breaker_state", labels={"state": "open"}, at_least=1)
REJECTED = Grows(kind="grows", metric="calls_total", labels={"outcome": "rejected"}, by=3)
TOKEN = "s3cret-of-prometheus"  # noqa: S105 - made up


@pytest.fixture
def theirs():
    with collected() as known:
        yield known


def lookout_for(url, *points, token=None, **told):
    return MetricWatch(points, PrometheusSource(Prometheus(address=url, **told), token), CLOCK.now)


def test_a_value_that_was_collected_in_the_phase_reaches_a_point(theirs):
    """Whose it was is told by the label that tells replicas apart."""
    watch = lookout_for(theirs.url, OPEN)
    theirs.add("breaker_state", 1, state="open")
    watch.look()

    assert (watch.is_done, watch.marks[0].seen) == (True, "api-1:80: 1")


def test_a_value_that_was_collected_before_the_phase_reaches_nothing(theirs):
    """Prometheus would go on answering it for five minutes: the breaker may be closed by now."""
    theirs.add("breaker_state", 1, ago_s=2.0, state="open")
    watch = lookout_for(theirs.url, OPEN)
    watch.look()

    assert not watch.is_done
    assert watch.marks[0].seen == ('prometheus: it has collected no breaker_state{state="open"} since the phase began')


def test_a_value_between_two_looks_is_seen(theirs):
    """It rose and fell between them; both were collected."""
    watch = lookout_for(theirs.url, OPEN)
    theirs.add("breaker_state", 1, ago_s=0.0, state="open")
    theirs.add("breaker_state", 0, ago_s=0.0, state="open")
    watch.look()

    assert watch.is_done


@pytest.mark.parametrize(("values", "is_reached", "seen"), [((50, 52), False, "from 50 to 52"), ((50, 51, 53), True, "from 50 to 53"), ((50, 1, 3), False, "from 1 to 3"), ((50, 1, 4), True, "from 1 to 4")])  # fmt: skip
def test_growth_counts_from_the_first_sample_of_the_phase(theirs, values, is_reached, seen):
    """What came before may be of before; a counter that falls was begun anew."""
    theirs.add("calls_total", 0, ago_s=5.0, outcome="rejected")
    watch = lookout_for(theirs.url, REJECTED)
    for value in values:
        theirs.add("calls_total", value, outcome="rejected")
        watch.look()

    assert (watch.is_done, watch.marks[0].seen) == (is_reached, f"api-1:80: {seen}")


def test_series_of_one_replica_add_up_and_those_of_two_do_not(theirs):
    """As where replicas are asked themselves."""
    watch = lookout_for(theirs.url, Metric(kind="metric", metric="pool", at_least=3))
    at = {"ago_s": 0.0}
    for pool in ("a", "b"):
        theirs.add("pool", 1, pool=pool, **at)
        theirs.add("pool", 1, pool=pool, instance="api-2:80", **at)
    same_s = theirs.now_s()
    theirs._series = {told: [(same_s, value) for _, value in samples] for told, samples in theirs._series.items()}
    watch.look()

    assert not watch.is_done
    assert watch.marks[0].seen in ("api-1:80: 2", "api-2:80: 2")


def test_only_what_carries_the_labels_of_the_service_is_its(theirs):
    """A Prometheus collects from many; what a scenario asks for besides is asked for as well."""
    watch = lookout_for(theirs.url, OPEN, labels={"job": "shop"})
    theirs.add("breaker_state", 1, state="open", job="another")
    theirs.add("breaker_state", 1, state="closed")
    watch.look()
    assert not watch.is_done
    theirs.add("breaker_state", 1, state="open")
    watch.look()

    assert watch.is_done
    assert theirs.asked[-1][0].startswith('breaker_state{job="shop", state="open"}[')


@pytest.mark.parametrize("value", ["NaN", "0"])
def test_what_is_no_number_or_too_small_is_not_reached(theirs, value):
    """A summary without observations is NaN, and no zero either."""
    watch = lookout_for(theirs.url, OPEN)
    theirs.add("breaker_state", value, state="open")
    watch.look()

    assert not watch.is_done
    assert (watch.marks[0].seen == "api-1:80: 0") == (value == "0")


@pytest.mark.parametrize(
    ("failing", "why"),
    [
        ((401, {"status": "error", "errorType": "unauthorized", "error": "no token"}), "it answers 401: no token"),
        ((503, "starting"), "it answers 503"),
        ((200, {"status": "success", "data": {"resultType": "vector", "result": []}}), "something else than Prometheus' API"),
        ((200, {"status": "success", "data": {"resultType": "scalar", "result": None}}), "something else than Prometheus' API"),
        ((200, ["a", "list"]), "it answers 200"),
    ],
)  # fmt: skip
def test_one_that_answers_something_else_makes_nothing_known(theirs, failing, why):
    """Never zero, and no error of the phase either; the mark says what it answered."""
    theirs.add("breaker_state", 1, state="open")
    theirs.failing = failing

    watch = lookout_for(theirs.url, OPEN, Metric(kind="metric", metric="other", at_least=0))

    assert [mark.is_reached for mark in watch.marks] == [False, False]
    assert all(mark.seen.startswith("prometheus: ") and why in mark.seen for mark in watch.marks)


def test_one_that_does_not_answer_makes_nothing_known_until_it_does(theirs):
    """Its first answer begins the time that counts: later than the phase, and never earlier."""
    nobody = lookout_for(f"http://127.0.0.1:{free_port()}", OPEN)
    assert "does not answer (ConnectError)" in nobody.marks[0].seen

    theirs.failing = (503, "starting")
    watch = lookout_for(theirs.url, OPEN)
    theirs.add("breaker_state", 1, state="open")
    theirs.failing = None
    watch.look()
    assert not watch.is_done
    theirs.add("breaker_state", 1, state="open")
    watch.look()

    assert watch.is_done


def test_the_token_is_sent_and_stands_in_nothing_that_is_written(theirs):
    """By every question."""
    watch = lookout_for(theirs.url, OPEN, token=TOKEN)
    theirs.failing = (403, {"status": "error", "error": "not yours"})
    watch.look()

    assert {authorization for _, authorization in theirs.asked} == {f"Bearer {TOKEN}"}
    assert TOKEN not in repr(watch.marks)


def test_a_value_with_quotes_is_quoted():
    """It would end the selector, and begin another one."""
    assert selector_of("up", {}) == "up"
    assert selector_of("up", {"path": 'a"} or up{x="\\'}) == r'up{path="a\"} or up{x=\"\\"}'


@pytest.mark.skipif(prometheus_is_missing(), reason="no prometheus on PATH")
def test_a_real_one_says_the_same(tmp_path):
    """A state that rises while it is looked out for, a counter that grows, and a metric that there is not."""
    registry = CollectorRegistry()
    state = Gauge("breaker_state", "1 for the present one.", ["state"], registry=registry)
    calls = Counter("calls", "By what became of them.", ["outcome"], registry=registry)
    state.labels("open").set(1)
    calls.labels("rejected").inc(50)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with real_prometheus(tmp_path, server.server_port) as url:
            before = lookout_for(url, Metric(kind="metric", metric="up", at_least=1))
            with watching(before):
                assert is_met_within(lambda: before.is_done, deadline_s=20, clock=CLOCK)
            state.labels("open").set(0)
            settled = lookout_for(url, OPEN.model_copy(update={"at_least": 0.0}), labels={"job": "shop"})
            with watching(settled):
                assert is_met_within(lambda: settled.is_done, deadline_s=20, clock=CLOCK)
            gone = OPEN.model_copy(update={"metric": "braker_state"})
            watch = lookout_for(url, OPEN, REJECTED, gone, labels={"job": "shop"})
            with watching(watch):
                assert is_met_within(lambda: watch.marks[1].seen.endswith("from 50 to 50"), deadline_s=20, clock=CLOCK)
                state.labels("open").set(1)
                calls.labels("rejected").inc(3)
                assert is_met_within(lambda: watch.marks[1].is_reached, deadline_s=20, clock=CLOCK)
                assert is_met_within(lambda: watch.marks[0].is_reached, deadline_s=20, clock=CLOCK)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert watch.marks[1].seen == f"127.0.0.1:{server.server_port}: from 50 to 53"
    assert watch.marks[2].seen.startswith("prometheus: it has collected no braker_state{")


SETTINGS = """
[system]
name = "staged"
allowed_hosts = ["prom.example"]
[system.subject]
external = "http://127.0.0.1:80"
[system.subject.prometheus]
{said}
[[objectives]]
sli = "errors"
max = "1%"
[profiles.quick]
stretch = 1.0
"""


def read(folder, said):
    (folder / "readiness.toml").write_text(SETTINGS.format(said=said))
    return settings_of(folder)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('address = "http://other.example:9090"', "it is on another machine, other.example, which is not said to be yours to ask"),
        ('address = "http://prom.example"\ntoken = "PROM_TOKEN"', "PROM_TOKEN would be sent in the clear to prom.example"),
        ('address = "prom.example:9090"', "'prom.example:9090' cannot be asked"),
        ('address = "http://me:secret@prom.example:9090"', "cannot be asked"),
        ('address = "http://127.0.0.1:0"', "cannot be asked"),
        ('address = "http://127.0.0.1:9090/?x=1"', "cannot be asked"),
        ('address = "http://127.0.0.1:9090"\ntoken = "not a name"', "system.subject.prometheus.token"),
        ('address = "http://127.0.0.1:9090"\nlabels = { "a-b" = "c" }', "system.subject.prometheus.labels"),
    ],
)  # fmt: skip
def test_a_prometheus_that_cannot_be_asked_is_told(tmp_path, said, told):
    """Before anything starts; a token goes over TLS, or stays on this machine."""
    with pytest.raises(SpecError) as caught:
        read(tmp_path, said)

    assert told in str(caught.value)


def test_one_with_a_token_is_asked_over_tls_or_here(tmp_path):
    """With a path before its API, if it has one; the token is a secret of the run."""
    settings = read(tmp_path, 'address = "https://prom.example/prometheus/"\ntoken = "PROM_TOKEN"')
    assert settings.system.subject.prometheus.address == "https://prom.example/prometheus"
    assert hidden_of(settings.system.subject, {"PROM_TOKEN": TOKEN}) == {"PROM_TOKEN": TOKEN}
    with pytest.raises(SpecError, match="the secret PROM_TOKEN is not set") as unset:
        hidden_of(settings.system.subject, {})
    assert unset.value.where == "readiness.toml: system.subject.prometheus.token"

    assert read(tmp_path, 'address = "http://127.0.0.1:9090"\ntoken = "PROM_TOKEN"')
