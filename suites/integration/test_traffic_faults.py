"""Faults of the load, done by a real generator to a real server that counts for itself."""

from __future__ import annotations

import re

import numpy as np
import pytest

from harness.clock import SystemClock, is_met_within
from harness.history.samples import SampleOutcome
from harness.load.engine import LoadPlan, apply_load
from harness.load.traffic import dose_of, hot_keys
from harness.spec.faults import Cancellations, GreedyClient, HotKey, Retries, SlowReaders, Spike
from harness.spec.faults.traffic import TrafficWindow
from harness.spec.objective import Errors
from suites.support.httpserver import http_server
from suites.support.items import item_load

CLOCK = SystemClock()


def window_of(fault, starts_s=0.5, ends_s=1.5):
    return TrafficWindow(id="fault-1", starts_s=starts_s, ends_s=ends_s, fault=fault)


def plan_for(base_url, *traffic, lasts_s=2.0, per_s=100.0, **load):
    load = item_load(arrivals_per_s=per_s, **load)
    return LoadPlan(base_url=base_url, load=load, lasts_s=lasts_s, seed=7, calibration_s=0.0, traffic=traffic)


def pressed(plan, folder):
    with apply_load(plan, folder=folder, clock=CLOCK) as load:
        return load.finish()


def seen(plan, result):
    """Return the dose of each fault of a plan."""
    schedule = plan.arrivals()
    return [
        dose_of(window, schedule, plan.load, result.samples, result.heartbeats, seed=plan.seed, at_s=0.0)
        for window in plan.traffic
    ]


@pytest.mark.parametrize("client", ["fast", "lean"])
def test_a_spike_reaches_the_server_and_is_gone_again(tmp_path, client):
    """Every request of it is accounted for, by us and by the server; beside it the load is what it was."""
    with http_server("fast") as server:
        plan = plan_for(server.base_url, window_of(Spike(kind="spike", times=5)), client=client)
        result = pressed(plan, tmp_path)
        read = server.requests()

    (dose,), schedule = seen(plan, result), plan.arrivals()
    assert result.tally.is_whole
    assert result.tally.planned == result.tally.issued == len(result.samples) == read == len(schedule)
    assert (result.samples.records["intended_s"] == schedule.intended_s).all()
    assert 400 < len(result.samples.between(0.5, 1.5)) < 600
    assert len(result.samples.between(1.5, 2.0)) < 100
    assert np.nanmax(result.samples.records["sent_s"]) < 2.5
    during = len(schedule.between(0.5, 1.5))
    assert f"{during} requests issued in 1s ({during} planned" in dose.seen


def test_a_greedy_client_is_known_by_its_header_and_everybody_asks_for_one_key(tmp_path):
    """The server heard as many requests of each client as the plan had, and how many of them were for the hot key."""
    requests = [
        {"name": "read", "path": "/items/{key}", "headers": {"x-client": "modest"}},
        {"name": "grab", "path": "/items/{key}", "headers": {"x-client": "greedy"}, "weight": 0},
    ]
    faults = (
        window_of(GreedyClient(kind="greedy-client", asks="grab", rate="200/s")),
        TrafficWindow(id="fault-2", starts_s=0.5, ends_s=1.5, fault=HotKey(kind="hot-key", share="90%")),
    )
    with http_server("fast") as server:
        plan = plan_for(server.base_url, *faults, requests=requests)
        result = pressed(plan, tmp_path)
        heard = b"".join(server.heard())

    schedule, (hot,) = plan.arrivals(), hot_keys(plan.load, plan.traffic[1], plan.seed).values()
    assert result.tally.is_whole
    assert heard.count(b"x-client: greedy") == (schedule.requests == 1).sum() > 100
    assert heard.count(b"x-client: modest") == (schedule.requests == 0).sum() > 100
    assert heard.count(b"GET /items/%d HTTP" % hot) == (schedule.keys == hot).sum() > 0.8 * 200
    assert len(result.samples.of("grab")) == (schedule.requests == 1).sum()
    assert f"% of what asked for a key, for key {hot}" in seen(plan, result)[1].seen


@pytest.mark.parametrize("client", ["fast", "lean"])
def test_clients_give_up_in_time_and_close_their_connections(tmp_path, client):
    """Every request is accounted for; after it the answers of abandoned requests are nobody else's."""
    storm = window_of(Cancellations(kind="cancellations", share="50%", after="20ms"))
    with http_server("slow") as server:
        plan = plan_for(server.base_url, storm, client=client)
        result = pressed(plan, tmp_path)
        assert is_met_within(lambda: server.open_connections() == 1, deadline_s=5, clock=CLOCK)  # that which asks
        read, connections = server.requests(), server.connections()

    (dose,), records = seen(plan, result), result.samples.records
    impatient = plan.arrivals().patiences_s < 1
    is_gone = result.samples.has_outcome(SampleOutcome.CANCELLED)
    waited_s = (records["intended_s"] + records["latency_s"] - records["sent_s"])[is_gone]
    assert result.tally.is_whole
    assert (records["impatient"] == impatient).all()
    assert (is_gone <= impatient).all()
    assert result.tally.cancelled == is_gone.sum() > 30
    assert result.tally.ok == (~is_gone).sum() >= len(result.samples.judged()) == (~impatient).sum()
    assert np.quantile(waited_s, 0.1) > 0.015
    assert f"{impatient.sum()} requests issued in 1s ({impatient.sum()} planned" in dose.seen
    assert f"{is_gone.sum()} were given up" in dose.seen
    assert read == len(result.samples)
    assert connections > is_gone.sum()
    beats = result.heartbeats
    assert sum(beat.ok for beat in beats) == result.tally.ok
    assert sum(beat.failed for beat in beats) == 0


def test_a_server_that_never_answers_fails_whoever_waits_for_it(tmp_path):
    """Half of its clients left of their own will: of the others not one was answered."""
    storm = window_of(Cancellations(kind="cancellations", share="50%", after="20ms"))
    with http_server("silent") as server:
        plan = plan_for(server.base_url, storm, drain="500ms")
        result = pressed(plan, tmp_path)

    judged = result.samples.between(0.5, 1.5).judged()
    assert result.tally.is_whole
    assert result.tally.ok == 0 < result.tally.cancelled
    assert 30 < len(judged) < 70
    assert Errors(sli="errors", max="90%").counts(judged).all()


@pytest.mark.parametrize("client", ["fast", "lean"])
def test_what_fails_is_asked_again_and_comes_on_top(tmp_path, client):
    """Every fifth answer is a 500; each of those comes once more, the same to the byte, and not before its wait."""
    again = window_of(Retries(kind="retries", times=2, wait="50ms"))
    requests = [{"name": "write", "method": "PUT", "path": "/items/{key}", "body": "{unique}"}]
    with http_server("errors") as server:
        plan = plan_for(server.base_url, again, client=client, requests=requests)
        result = pressed(plan, tmp_path)
        heard, read = b"".join(server.heard()), server.requests()

    (dose,), records = seen(plan, result), result.samples.records
    more = records[records["attempt"] > 0]
    failed = records[result.samples.has_outcome(SampleOutcome.FAILED)]
    failed_s = failed["intended_s"] + failed["latency_s"]
    due_s = np.sort(
        (failed_s + 0.05 * 2.0 ** failed["attempt"])[(failed_s >= 0.5) & (failed_s < 1.5) & (failed["attempt"] < 2)]
    )
    assert f"{len(more)} requests issued in 1s ({len(more)} planned" in dose.seen
    assert result.tally.is_whole
    assert result.tally.issued == len(records) == read == len(plan.arrivals()) + len(more)
    assert result.tally.planned == len(plan.arrivals()) == len(result.samples.judged())
    assert 10 < len(more) < 50
    assert np.sort(more["intended_s"]) == pytest.approx(due_s)
    assert (more["sent_s"] >= more["intended_s"]).all()
    bodies = np.unique(np.array(re.findall(rb"7-[0-9]+", heard)), return_counts=True)[1]
    assert (bodies - 1).sum() == len(more)
    assert bodies.max() <= 3


@pytest.mark.parametrize("client", ["fast", "lean"])
def test_what_is_late_is_given_up_and_asked_again(tmp_path, client):
    """A server that never answers hears each request three times, and the client counts three failures."""
    again = window_of(Retries(kind="retries", times=2, after="50ms"))
    with http_server("silent") as server:
        plan = plan_for(server.base_url, again, client=client, drain="200ms", per_s=50)
        result = pressed(plan, tmp_path)
        read = server.requests()

    (dose,), records = seen(plan, result), result.samples.records
    failed = result.samples.has_outcome(SampleOutcome.FAILED)
    assert result.tally.is_whole
    more = (records["attempt"] > 0).sum()
    assert f"{more} requests issued in 1s ({more} planned" in dose.seen
    assert read == result.tally.issued == len(records)
    during = (records["sent_s"] >= 0.5) & (records["sent_s"] < 1.3)
    assert failed[during].all()
    assert np.bincount(records["attempt"][during]).tolist()[2] > 10
    took_s = (records["intended_s"] + records["latency_s"] - records["sent_s"])[during]
    assert np.quantile(took_s, 0.1) > 0.045


def test_nothing_is_asked_again_when_the_load_is_over(tmp_path):
    """What fails in the window would come again a second later, and the load has ended by then."""
    again = window_of(Retries(kind="retries", times=2, wait="1s"))
    with http_server("errors") as server:
        plan = plan_for(server.base_url, again, lasts_s=1.2)
        result = pressed(plan, tmp_path)
        read = server.requests()

    assert result.tally.is_whole
    assert result.tally.failed > 10
    assert read == result.tally.issued == len(plan.arrivals())


@pytest.mark.parametrize("stream", ["downstream", "upstream"])
def test_slow_connections_are_held_beside_the_load_and_closed_when_it_is_over(tmp_path, stream):
    """The server has as many more connections, on each of which little passes; the load is answered meanwhile."""
    requests = [{"name": "read", "path": "/items/{key}"}, {"name": "slow", "path": "/slowly/{unique}", "weight": 0}]
    slow = SlowReaders(kind="slow-readers", connections=40, rate="20B/s", asks="slow", stream=stream)
    with http_server("fast") as server:
        plan = plan_for(server.base_url, window_of(slow, 0.5, 4.5), requests=requests, lasts_s=5.0, max_in_flight=8)
        with apply_load(plan, folder=tmp_path, clock=CLOCK) as load:
            assert is_met_within(lambda: 40 < server.open_connections() <= 49, deadline_s=8, clock=CLOCK)
            result = load.finish()
        assert is_met_within(lambda: server.open_connections() == 1, deadline_s=5, clock=CLOCK)
        theirs = [heard for heard in server.heard() if heard.startswith(b"GET /slowly")]
        read = server.requests()

    (dose,) = seen(plan, result)
    assert result.tally.is_whole
    assert result.tally.ok == result.tally.issued == len(plan.arrivals())
    assert len(theirs) == 40
    asked = [re.findall(rb"GET /slowly/(\S+) HTTP", heard) for heard in theirs]
    assert len({name for names in asked for name in names}) == sum(map(len, asked))
    if stream == "upstream":
        assert max(map(len, theirs)) <= 20 * 5
        assert read < result.tally.issued + 40 * 2
    else:
        assert read == result.tally.issued + sum(map(len, asked))
        assert max(map(len, asked)) <= 3
    assert "of 40 connections held, with " in dose.seen
    told = [said for beat in result.heartbeats for said in beat.slow or ()]
    assert max(held for _, held, _, _ in told) == 40
    assert 0 < max(passed_bytes for _, _, passed_bytes, _ in told) <= 40 * 20 * 1.5
    assert sum(ended for _, _, _, ended in told) == 0


def test_a_connection_that_the_service_ends_is_opened_anew(tmp_path):
    """Answers that break off in the middle: the client notices, and is back a tick later."""
    requests = [{"name": "read", "path": "/items/{key}"}]
    slow = SlowReaders(kind="slow-readers", connections=5, rate="1KB/s", asks="read")
    with http_server("breaks") as server:
        plan = plan_for(server.base_url, window_of(slow, 0.0, 2.0), requests=requests, per_s=1.0)
        result = pressed(plan, tmp_path)
        connections = server.connections()

    ended = sum(said[3] for beat in result.heartbeats for said in beat.slow or ())
    assert ended >= 5
    assert connections >= 5 + ended
