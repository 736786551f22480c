"""A server that is stopped for a while, or for good, does not look fast: the two ways in which closed loops deceive."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

from harness.clock import SystemClock, is_met_within
from harness.history.history import History
from harness.history.marks import PhaseMark
from harness.history.samples import SampleOutcome
from harness.load.engine import LoadPlan, apply_load
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.httpserver import http_server
from suites.support.items import item_load
from suites.support.made import scenario_of

CLOCK = SystemClock()
STOPS_S, GOES_ON_S, LASTS_S = 6.0, 8.0, 14.0


def plan_for(base_url, *, lasts_s, client="fast"):
    load = item_load(arrivals_per_s=200, client=client, drain="1s")
    return LoadPlan(base_url=base_url, load=load, lasts_s=lasts_s, seed=7, calibration_s=0.2)


@pytest.mark.alone
@pytest.mark.parametrize(("client", "times"), [("fast", 1.0), ("lean", 0.5)])
def test_a_stop_of_two_seconds_is_seen_as_an_open_loop_sees_it(tmp_path, client, times):
    """In 14 s at 200/s: p95 within 3 % of the truth; stock Locust: 1/446.

    The truth is the server's own: when it wrote each answer, first come, first served. A server that answered all that
    was held up in no time at all would be the least that an open loop can see.
    """
    moments_s = {}
    with http_server("fast") as server:

        def send(name, number):
            server.process.send_signal(number)
            moments_s[name] = CLOCK.now()

        plan = plan_for(server.base_url, lasts_s=times * LASTS_S, client=client)
        with apply_load(plan, folder=tmp_path, clock=CLOCK) as load:
            for name, at_s, number in (("stop", STOPS_S, signal.SIGSTOP), ("go on", GOES_ON_S, signal.SIGCONT)):
                threading.Timer(load.begins_s + times * at_s - CLOCK.now(), send, [name, number]).start()
            result = load.finish()
            stopped_s, went_on_s = (moments_s[name] - load.begins_s for name in ("stop", "go on"))
        answers_s = np.array(server.answers_s()) - load.begins_s

    intended_s, latency_s = (result.samples.records[name] for name in ("intended_s", "latency_s"))
    assert result.tally.ok == result.tally.issued == len(answers_s)
    truth_s = np.sort(answers_s) - intended_s
    is_held_up = (intended_s >= stopped_s) & (intended_s < went_on_s)
    least_s = np.where(is_held_up, went_on_s - intended_s, 0.0)
    assert np.quantile(latency_s, 0.95) == pytest.approx(np.quantile(truth_s, 0.95), rel=0.03)
    assert np.quantile(latency_s, 0.95) >= 0.97 * np.quantile(least_s, 0.95)
    assert (latency_s > 0.1).sum() == pytest.approx((truth_s > 0.1).sum(), rel=0.1)


@pytest.mark.parametrize("client", ["fast", "lean"])
def test_a_server_that_hangs_to_the_end_fails(tmp_path, client):
    """Its last answers were fast, and nothing failed while the load was on: only what is unfinished tells."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "5%"}]).stretched(0.2)
    with http_server("fast") as server:
        plan = plan_for(server.base_url, lasts_s=scenario.lasts_s, client=client)
        with apply_load(plan, folder=tmp_path, clock=CLOCK) as load:
            assert is_met_within(lambda: CLOCK.now() > load.begins_s + 3.0, deadline_s=10, clock=CLOCK)
            server.process.send_signal(signal.SIGSTOP)
            result = load.finish()

    verdict = judge(scenario, history_of(result, scenario), confidence=0.95)

    assert verdict.outcome is Outcome.FAIL, verdict
    assert result.samples.has_outcome(SampleOutcome.FAILED).sum() == 0
    assert result.samples.has_outcome(SampleOutcome.UNFINISHED, SampleOutcome.NOT_SENT).mean() > 0.3


def test_a_schedule_beyond_what_the_generator_can_send_is_no_pass_and_is_named(tmp_path):
    """A ramp to 20 000/s with an HTTP library on one core; the service alone is never blamed for what was not sent."""
    schedule = {"kind": "ramp", "over": "3s", "to_per_s": 20_000}
    load = item_load(arrivals_per_s=100, schedule=schedule, drain="1s", max_in_flight=100)
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "90%"}]).stretched(4 / 30)
    with http_server("fast") as server:
        plan = LoadPlan(base_url=server.base_url, load=load, lasts_s=4.0, seed=7, calibration_s=0.2)
        with apply_load(plan, folder=tmp_path, clock=CLOCK) as pressure:
            result = pressure.finish()

    verdict = judge(scenario, history_of(result, scenario), confidence=0.95)

    assert verdict.outcome is not Outcome.PASS
    unmet = {each.name for each in verdict.obligations if each.outcome is Outcome.INCONCLUSIVE}
    assert unmet & {"offered as planned", "generator on time", "generator not busy"}


def history_of(result, scenario):
    """Return what an experiment would have noted."""
    return History(
        run_id="20260101-000000-abcd",
        began_at="2026-01-01T00:00:00.000+00:00",
        seed=7,
        backend="embedded",
        samples=result.samples,
        tally=result.tally,
        heartbeats=result.heartbeats,
        phases=(PhaseMark(name="baseline", began_s=0.0, ended_s=scenario.lasts_s),),
    )
