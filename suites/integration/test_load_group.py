"""Several generators press as one: the same schedule, every request once, and none may die unseen."""

from __future__ import annotations

import dataclasses
import math
import os
import signal

import numpy as np
import psutil
import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import LoadError
from harness.history.samples import SampleOutcome
from harness.load.arrivals import schedule_of
from harness.load.engine import LoadPlan
from harness.load.group import apply_load_together
from harness.stack.backends.process import is_gone
from harness.verdict.outcome import Outcome
from harness.verdict.validity import load_validity
from suites.support.httpserver import http_server
from suites.support.items import item_load
from suites.support.made import Stretch, history_of, scenario_of

CLOCK = SystemClock()


def plan_for(base_url, *, lasts_s):
    load = item_load(arrivals_per_s=200, max_in_flight=21)
    return LoadPlan(base_url=base_url, load=load, lasts_s=lasts_s, seed=7, calibration_s=0.0)


def test_two_generators_are_one_schedule(tmp_path):
    """Their requests together are what one would have sent: times, keys, mix; the server counted the same."""
    with http_server("fast") as server:
        plan = plan_for(server.base_url, lasts_s=3.0)
        with apply_load_together(plan, workers=2, folder=tmp_path, clock=CLOCK) as group:
            result = group.finish()
        read = server.requests()

    whole = schedule_of(plan.load, lasts_s=3.0, seed=7)
    records, tally = result.samples.records, result.tally
    assert (records["intended_s"] == whole.intended_s).all()
    assert (records["key"] == whole.keys).all()
    assert (result.samples.is_named("operation", result.samples.operations, ["write"]) == (whole.requests == 0)).all()
    assert tally.planned == tally.issued == tally.ok == read == len(records) == len(whole)
    assert sum(beat.issued for beat in result.heartbeats) == tally.issued
    assert np.diff([beat.at_s for beat in result.heartbeats]).min() >= 0


def test_heartbeats_are_told_when_all_have_told_them(tmp_path):
    """A second in mid-run is the sum of both."""
    with http_server("fast") as server:
        with apply_load_together(
            plan_for(server.base_url, lasts_s=3.0), workers=2, folder=tmp_path, clock=CLOCK
        ) as group:
            beats = []
            assert is_met_within(lambda: beats.extend(group.beats()) or len(beats) >= 2, deadline_s=20, clock=CLOCK)
            result = group.finish()

    assert sum(beat.issued for beat in [*beats, *result.heartbeats]) == result.tally.issued
    assert all(100 < beat.issued < 320 for beat in beats[:2])


@pytest.mark.parametrize(
    ("number", "lasts_s"), [(signal.SIGKILL, 6.0), (signal.SIGSTOP, 9.0)], ids=["dies", "falls silent"]
)
def test_the_others_take_over_from_one_that_is_lost(tmp_path, number, lasts_s):
    """Its later arrivals are sent by them; what it should have sent meanwhile is unfinished, and its seconds are marked."""
    with http_server("fast") as server:
        plan = plan_for(server.base_url, lasts_s=lasts_s)
        with apply_load_together(plan, workers=3, folder=tmp_path, clock=CLOCK) as group:
            until_s = group.begins_s + 2.5
            assert is_met_within(lambda: CLOCK.now() > until_s, deadline_s=20, clock=CLOCK)
            os.kill(group.runs[1].pid, number)
            result = group.finish()

    whole = schedule_of(plan.load, lasts_s=lasts_s, seed=7)
    records, tally = result.samples.records, result.tally
    (loss,) = result.losses
    assert "generator-2 was lost" in loss
    assert (records["intended_s"] == whole.intended_s).all(), "each arrival is accounted for once"
    assert tally.is_whole
    assert tally.planned == len(whole)
    assert tally.ok + tally.unfinished == tally.issued == len(whole)
    lost_s = records["intended_s"][result.samples.has_outcome(SampleOutcome.UNFINISHED)]
    assert len(lost_s) > 20
    assert (lost_s > 1.0).all(), "what it had told of stays told"
    assert lost_s.max() < 2.5 + 3.0 + 2.5, "a second after it was missed, others send its share"
    late = [beat.at_s for beat in result.heartbeats if beat.overdue]
    assert {math.ceil(at_s - 0.5) for at_s in late} >= {math.ceil(moment) for moment in lost_s if moment > 2.5}


def test_what_was_taken_over_is_taken_over_again(tmp_path):
    """Two of three are lost, one after the other; the last one sends everything that is left."""
    with http_server("fast") as server:
        plan = plan_for(server.base_url, lasts_s=7.0)
        with apply_load_together(plan, workers=3, folder=tmp_path, clock=CLOCK) as group:
            for index, at_s in ((0, 1.5), (1, 3.5)):
                until_s = group.begins_s + at_s
                assert is_met_within(lambda until_s=until_s: CLOCK.now() > until_s, deadline_s=20, clock=CLOCK)
                os.kill(group.runs[index].pid, signal.SIGKILL)
                assert is_met_within(lambda: group.check() or len(group.losses) == index + 1, deadline_s=5, clock=CLOCK)  # noqa: B023 - asked within this turn of the loop
            result = group.finish()

    whole = schedule_of(plan.load, lasts_s=7.0, seed=7)
    assert (result.samples.records["intended_s"] == whole.intended_s).all()
    last = result.samples.between(5.5, 7.0)
    assert last.has_outcome(SampleOutcome.OK).all()
    assert len(last) == len(whole.beginning(5.5))


def test_the_last_one_that_dies_is_the_end_of_all(tmp_path):
    """An error, never half a load that passes; and nothing is left running."""
    with http_server("fast") as server:
        with pytest.raises(LoadError, match=r"the load generator died \(exit -9\)"):
            with apply_load_together(
                plan_for(server.base_url, lasts_s=30.0), workers=2, folder=tmp_path, clock=CLOCK
            ) as group:
                children = [psutil.Process(run.pid) for run in group.runs]
                for child in children:
                    os.kill(child.pid, signal.SIGKILL)
                # Not merely a zombie: its other threads may end a little later, and only then it can be waited for.
                assert is_met_within(lambda: all(run.link.has_ended() for run in group.runs), deadline_s=5, clock=CLOCK)
                group.check()

    assert all(map(is_gone, children))


def test_a_lost_generator_voids_the_seconds_that_it_missed(tmp_path):
    """The gate that asks whether the load was offered as planned names them."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "50%"}]).stretched(0.2)
    with http_server("fast") as server:
        with apply_load_together(
            plan_for(server.base_url, lasts_s=6.0), workers=2, folder=tmp_path, clock=CLOCK
        ) as group:
            until_s = group.begins_s + 1.5
            assert is_met_within(lambda: CLOCK.now() > until_s, deadline_s=20, clock=CLOCK)
            os.kill(group.runs[1].pid, signal.SIGKILL)
            result = group.finish()

    made = history_of(scenario, [Stretch(lasts_s=6)])
    history = dataclasses.replace(made, samples=result.samples, tally=result.tally, heartbeats=result.heartbeats)
    said = {each.name: each for each in load_validity(scenario, history)}
    assert said["offered as planned"].outcome is Outcome.INCONCLUSIVE
