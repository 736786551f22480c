"""`after` leaves out the first seconds of a phase: of the count, of what it needs, of what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from harness.errors import SpecError
from harness.experiment.interim import InterimAnalysis
from harness.history.marks import PhaseMark
from harness.verdict.feasible import check_can_conclude
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support.made import Stretch, history_of, scenario_of

SLOW = {"sli": "slow", "over": "100ms", "max": "5%", "during": "fault"}
RECOVERY = {"sli": "recovery", "within": "5s"}
BASELINE = {"sli": "errors", "max": "1%"}


def slow_claim(fault, **objective):
    """Judge a fault of these stretches by one promise."""
    scenario = scenario_of(objectives=[{**SLOW, **objective}])
    history = history_of(scenario, [Stretch(lasts_s=30), *fault, Stretch(lasts_s=10)])
    return judge(scenario, history, confidence=0.95).claims[0]


@pytest.mark.parametrize(
    ("after", "outcome", "counted"),
    [
        pytest.param("0s", Outcome.INCONCLUSIVE, (250, 2500), id="the whole phase has the burst in it"),
        pytest.param("900ms", Outcome.INCONCLUSIVE, (25, 2275), id="the end of the burst counts"),
        pytest.param("1s", Outcome.PASS, (0, 2250), id="none of it counts"),
        pytest.param("9s", Outcome.PASS, (0, 250), id="the last second"),
    ],
)
def test_what_came_before_is_not_counted(after, outcome, counted):
    """One second in which all are slow, and nine in which none is."""
    claim = slow_claim([Stretch(lasts_s=1, slow=250), Stretch(lasts_s=9)], after=after)

    assert (claim.outcome, (claim.events, claim.total)) == (outcome, counted)


def test_what_comes_after_is_judged_whatever_came_before():
    """Nine good seconds hide nothing of the last one."""
    claim = slow_claim([Stretch(lasts_s=9), Stretch(lasts_s=1, slow=125)], after="9s")

    assert (claim.outcome, claim.events, claim.total) == (Outcome.FAIL, 125, 250)


def test_an_outage_is_looked_for_in_the_counted_seconds_alone():
    """Six seconds of outage, of which two came before: no outage of five seconds is left, and the bounds decide."""
    fault = [Stretch(lasts_s=6, slow=1500), Stretch(lasts_s=4)]

    assert "an outage of 6 s" in slow_claim(fault).sentence
    assert "outage" not in slow_claim(fault, after="2s").sentence


def test_it_is_said():
    """In the promise, and in the sentence of the claim."""
    claim = slow_claim([Stretch(lasts_s=10)], after="1.5s")

    assert claim.objective == "slow (over 100ms) < 5% after 1.5s"
    assert claim.sentence == "pass: slow 0.000 % [0.000, 0.141] < 5 % during fault (redis down) after 1.5s; n = 2 125"


def test_a_phase_that_ended_before_it_proves_nothing():
    scenario = scenario_of(objectives=[{**SLOW, "after": "2s"}])
    history = history_of(scenario, [Stretch(lasts_s=50)])
    phases = [replace(each, ended_s=31.0) if each.name == "fault" else each for each in history.phases]

    claim = judge(scenario, replace(history, phases=tuple(phases)), confidence=0.95).claims[0]

    assert (claim.outcome, claim.total) == (Outcome.INCONCLUSIVE, 0)


def test_the_control_is_asked_of_the_same_seconds():
    """A machine that was slow only before: what the service broke after it is the service's."""
    scenario = scenario_of(objectives=[{**SLOW, "after": "4s"}])
    history = history_of(scenario, [Stretch(lasts_s=34), Stretch(lasts_s=6, slow=1500), Stretch(lasts_s=10)])
    beats = tuple(
        replace(beat, controls_s=(0.3,) * 10) if 30.5 < beat.at_s < 34.5 else beat for beat in history.heartbeats
    )

    claim = judge(scenario, replace(history, heartbeats=beats), confidence=0.95).claims[0]

    assert claim.outcome is Outcome.FAIL


def test_a_promise_of_no_time_at_all_is_refused():
    """The phase lasts 10 s: nothing would be counted."""
    with pytest.raises(ValidationError, match=r"counts nothing: the phase 'fault' lasts 10s; make `after` shorter"):
        scenario_of(objectives=[{**SLOW, "after": "10s"}])


def test_what_is_left_must_be_enough():
    """250/s: of the last 200 ms come 50, and 59 are needed; of the last 300 ms come 75."""
    objectives = [BASELINE, RECOVERY]
    check_can_conclude(scenario_of(objectives=[{**SLOW, "after": "9.7s"}, *objectives]), 0.95)

    with pytest.raises(SpecError, match="needs 59 fast requests, this profile sends 50"):
        check_can_conclude(scenario_of(objectives=[{**SLOW, "after": "9.8s"}, *objectives]), 0.95)


@pytest.mark.parametrize(("after", "is_hopeless"), [("1s", True), ("1.1s", False)])
def test_a_doubt_takes_five_seconds_of_what_is_counted(after, is_hopeless):
    """All are slow; the phase is six seconds old."""
    scenario = scenario_of(objectives=[{**SLOW, "after": after}])
    samples = history_of(scenario, [Stretch(lasts_s=30), Stretch(lasts_s=6, slow=1500)]).samples

    found = InterimAnalysis(scenario, 0.95).hopeless(samples, PhaseMark(name="fault", began_s=30.0, ended_s=36.0))

    assert (found is not None) is is_hopeless
