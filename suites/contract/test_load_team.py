"""Several generators press as one: the same schedule, every request once, and none may die unseen."""

from __future__ import annotations

import os
import signal

import numpy as np
import psutil
import pytest

from fixtures.httpserver import http_server
from harness.clock import SystemClock, is_met_within
from harness.errors import LoadError
from harness.load.arrivals import course_of
from harness.load.engine import LoadPlan
from harness.load.team import pressing_together
from harness.spec.load import Load
from harness.stack.process import is_gone

CLOCK = SystemClock()


def plan_for(base_url, *, lasts_s):
    load = Load(arrivals_per_s=200, max_in_flight=21)
    return LoadPlan(base_url=base_url, load=load, lasts_s=lasts_s, seed=7, calibration_s=0.0)


def test_two_generators_are_one_schedule(tmp_path):
    """Their requests together are what one would have sent: times, keys, mix; the server counted the same."""
    with http_server("fast") as server:
        plan = plan_for(server.base_url, lasts_s=3.0)
        with pressing_together(plan, workers=2, folder=tmp_path, clock=CLOCK) as team:
            result = team.finish()
        read = server.requests()

    whole = course_of(plan.load, lasts_s=3.0, seed=7)
    records, tally = result.samples.records, result.tally
    assert (records["intended_s"] == whole.intended_s).all()
    assert (records["key"] == whole.keys).all()
    assert (result.samples.is_named("operation", result.samples.operations, ["write"]) == whole.is_write).all()
    assert tally.planned == tally.issued == tally.ok == read == len(records) == len(whole)
    assert sum(beat.issued for beat in result.heartbeats) == tally.issued
    assert np.diff([beat.at_s for beat in result.heartbeats]).min() >= 0


def test_heartbeats_are_told_when_all_have_told_them(tmp_path):
    """A second in mid-run is the sum of both."""
    with http_server("fast") as server:
        with pressing_together(plan_for(server.base_url, lasts_s=3.0), workers=2, folder=tmp_path, clock=CLOCK) as team:
            beats = []
            assert is_met_within(lambda: beats.extend(team.beats()) or len(beats) >= 2, deadline_s=20, clock=CLOCK)
            result = team.finish()

    assert sum(beat.issued for beat in [*beats, *result.heartbeats]) == result.tally.issued
    assert all(100 < beat.issued < 320 for beat in beats[:2])


def test_a_generator_that_dies_is_the_end_of_all(tmp_path):
    """An error, never half a load that passes; and nothing is left running."""
    with http_server("fast") as server:
        with pytest.raises(LoadError, match=r"the load generator died \(exit -9\)"):
            with pressing_together(
                plan_for(server.base_url, lasts_s=30.0), workers=2, folder=tmp_path, clock=CLOCK
            ) as team:
                children = [psutil.Process(run.pid) for run in team.runs]
                os.kill(children[1].pid, signal.SIGKILL)
                assert is_met_within(lambda: is_gone(children[1]), deadline_s=5, clock=CLOCK)
                team.check()

    assert all(map(is_gone, children))
