"""Faults of the load, done by a real generator to a real server that counts for itself."""

from __future__ import annotations

import numpy as np
import pytest

from harness.clock import SystemClock
from harness.load.engine import LoadPlan, apply_load
from harness.load.traffic import dose_of, hot_keys
from harness.spec.faults import GreedyClient, HotKey, Spike
from harness.spec.faults.traffic import TrafficWindow
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
