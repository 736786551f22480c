"""A promise that cannot be proved is refused before anything is started."""

from __future__ import annotations

import pytest

from harness.errors import SpecError
from harness.spec.load import Load
from harness.verdict.bounds import lower_bound, upper_bound
from harness.verdict.feasible import check_can_conclude, fewest_requests
from suites.support.made import scenario_of

# 250/s for 30 s: 7 500 requests, of which 6 750 read.
ERRORS = {"sli": "errors", "max": "0.1%"}
RECOVERY = {"sli": "recovery", "within": "5s"}


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        pytest.param({**ERRORS, "max": "0.03%"}, "9 985 error-free requests, this profile sends 7 500", id="errors"),
        pytest.param({"sli": "slow", "over": "1s", "max": "0.02%"}, "14 978 fast requests", id="slow"),
        pytest.param({**ERRORS, "of": "write"}, "this profile sends 750", id="of one operation"),
        pytest.param({"sli": "hits", "min": "99.99%"}, "29 956 hitting requests, this profile sends 6 750", id="hits"),
    ],
)
def test_what_cannot_be_proved_is_refused_with_its_numbers(objective, said):
    with pytest.raises(SpecError, match=said) as refused:
        check_can_conclude(scenario_of(faults=False, objectives=[objective]), 0.95)

    assert "raise load.arrivals_per_s" in refused.value.fix


def test_a_promise_about_what_nobody_asks_is_refused_as_that():
    """A request of weight 0 is asked by a fault alone; more arrivals would not help."""
    requests = [{"name": "look", "path": "/"}, {"name": "hurry", "path": "/hurry", "weight": 0}]
    load = Load.model_validate({"arrivals_per_s": 250, "requests": requests})
    scenario = scenario_of(faults=False, objectives=[{**ERRORS, "of": "hurry"}]).model_copy(update={"load": load})

    with pytest.raises(SpecError, match=r"`hurry errors < 0.1%` is about what nobody asks during baseline") as refused:
        check_can_conclude(scenario, 0.95)

    assert "give it a weight" in refused.value.fix


@pytest.mark.parametrize("objective", [ERRORS, {"sli": "hits", "min": "99.9%"}])
def test_what_can_be_proved_is_not(objective):
    check_can_conclude(scenario_of(faults=False, objectives=[objective]), 0.95)
    check_can_conclude(scenario_of(objectives=[objective, RECOVERY]), 0.95)


@pytest.mark.parametrize(
    ("faults", "objectives", "said"),
    [
        pytest.param(True, [RECOVERY], "nothing is promised before the first fault", id="recovery to nothing"),
        pytest.param(True, [{**ERRORS, "during": "fault"}, RECOVERY], "nothing is promised before", id="only the fault"),
        pytest.param(True, [ERRORS], "recovery from it is not promised", id="no recovery"),
        pytest.param(True, [ERRORS, {**RECOVERY, "during": "fault"}], "can never be seen", id="too early"),
        pytest.param(False, [ERRORS, {**RECOVERY, "during": "baseline"}], "can never be seen", id="nothing to recover from"),
    ],
)  # fmt: skip
def test_surviving_a_fault_that_can_never_be_seen_is_refused(faults, objectives, said):
    """A fault shows something only if all was well before it, and is seen to be well after it."""
    with pytest.raises(SpecError, match=said) as refused:
        check_can_conclude(scenario_of(faults=faults, objectives=objectives), 0.95)

    assert refused.value.fix


def test_a_profile_that_leaves_no_time_to_see_recovery_is_refused():
    """As written the phase is long enough; stretched by a half it lasts as long as recovery may take."""
    scenario = scenario_of(objectives=[{**ERRORS, "max": "1%"}, RECOVERY])
    check_can_conclude(scenario, 0.95)

    with pytest.raises(SpecError, match=r"`recovery < 5s` needs the phase 'recovery' to last 7s.*makes it 5s"):
        check_can_conclude(scenario.stretched(0.5), 0.95)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("limit", ["50%", "70%", "90%", "99.9%"])
def test_the_fewest_requests_are_the_fewest(limit, confidence):
    """With one less the bound does not clear the limit; with these it does."""
    (hits,) = scenario_of(objectives=[{"sli": "hits", "min": limit}]).objectives
    (errors,) = scenario_of(objectives=[{"sli": "errors", "max": limit}]).objectives
    enough_hits, enough = fewest_requests(hits, confidence), fewest_requests(errors, confidence)

    assert lower_bound(enough_hits, enough_hits, confidence) > hits.limit
    assert enough_hits == 1 or lower_bound(enough_hits - 1, enough_hits - 1, confidence) <= hits.limit + 1e-12
    assert upper_bound(0, enough, confidence) < errors.limit
    assert enough == 1 or upper_bound(0, enough - 1, confidence) >= errors.limit
