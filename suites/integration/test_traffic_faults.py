"""Faults of the load, done by a real generator to a real server that counts for itself."""

from __future__ import annotations

import numpy as np
import pytest

from harness.clock import SystemClock, is_met_within
from harness.history.samples import SampleOutcome
from harness.load.engine import LoadPlan, apply_load
from harness.load.traffic import dose_of, hot_keys
from harness.spec.faults import Cancellations, GreedyClient, HotKey, Spike
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
    assert (is_gone == impatient).all()
    assert result.tally.cancelled == is_gone.sum() > 30
    assert result.tally.ok == (~is_gone).sum() == len(result.samples.judged())
    assert np.quantile(waited_s, 0.1) > 0.015
    assert dose.is_delivered, dose.seen
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
