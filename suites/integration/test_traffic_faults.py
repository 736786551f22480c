"""Faults of the load, done by a real generator to a real server that counts for itself."""

from __future__ import annotations

import numpy as np
import pytest

from harness.clock import SystemClock
from harness.load.engine import LoadPlan, apply_load
from harness.load.traffic import dose_of
from harness.spec.faults import Spike
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
        dose_of(window, schedule, plan.load, result.samples, result.heartbeats, at_s=0.0) for window in plan.traffic
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
    assert f"{len(schedule.between(0.5, 1.5))} planned requests were issued" in dose.seen
