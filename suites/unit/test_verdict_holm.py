"""Many promises, many looks: none of them may make a wrong verdict likelier than it is said to be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, false_discovery_control

from harness.spec.objective import Errors, Hits, Slow
from harness.verdict.holm import beyond_chance, p_value
from harness.verdict.judge import judge
from harness.verdict.looks import confidence_at
from harness.verdict.outcome import Claim, Outcome
from harness.verdict.sequential import capital_log, is_hopeless
from suites.support.made import Stretch, history_of, scenario_of

SLOW = Slow(sli="slow", over="100ms", max="5%")
HITS = Hits(sli="hits", min="70%")


@given(st.integers(0, 400), st.integers(1, 400))
def test_a_p_value_is_scipys(events, total):
    """One-sided, exact: the chance of so many bad ones, or of so few hits."""
    events = min(events, total)

    assert p_value(SLOW, events, total) == pytest.approx(binomtest(events, total, 0.05, "greater").pvalue, abs=1e-9)
    assert p_value(HITS, events, total) == pytest.approx(binomtest(events, total, 0.7, "less").pvalue, abs=1e-9)


def claim(p, outcome=Outcome.FAIL):
    return Claim(
        objective="slow", sli="slow", phase="baseline", outcome=outcome, sentence=f"{outcome}: slow", estimate=0.1,
        lower=0.06, upper=0.2, limit=0.05, events=10, total=100, effective=100.0, p_value=p,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("p_values", "family", "stand"),
    [
        pytest.param([0.03], 1, [True], id="alone"),
        pytest.param([0.03], 2, [False], id="one of two"),
        pytest.param([0.024, 0.03], 2, [True, True], id="both, the first having been beyond chance"),
        pytest.param([0.03, 0.04], 2, [False, False], id="neither: the first is not"),
        pytest.param([0.04, 0.0001], 2, [True, True], id="in any order"),
        pytest.param([0.001, 0.004], 28, [True, False], id="of a whole run"),
    ],
)
def test_holm_steps_down(p_values, family, stand):
    """The smallest is asked for alpha / m, the next for alpha / (m - 1), and after the first that is not, none."""
    claims = beyond_chance([claim(p) for p in p_values], family=family, confidence=0.95)

    assert [each.outcome is Outcome.FAIL for each in claims] == stand


@given(st.lists(st.floats(1e-6, 0.05), min_size=1, max_size=8))
def test_holm_is_between_bonferroni_and_benjamini_hochberg(p_values):
    """It breaks no more promises than the procedure that only bounds their share, and no fewer than the crude one."""
    broken = sum(
        each.outcome is Outcome.FAIL
        for each in beyond_chance([claim(p) for p in p_values], family=len(p_values), confidence=0.95)
    )

    assert sum(p <= 0.05 / len(p_values) for p in p_values) <= broken
    assert broken <= sum(false_discovery_control(p_values) <= 0.05)


def test_what_is_no_chance_is_not_asked():
    """An outage of five seconds is one, however many promises there are; nor does a pass become anything else."""
    outage, passed = claim(None), claim(0.9, Outcome.PASS)

    assert beyond_chance([outage, passed], family=1000, confidence=0.95) == (outage, passed)


def test_a_claim_that_may_be_chance_says_so():
    """In a run of a hundred promises 5.9 % of 3 000 is no proof; alone it is."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "5%"}])
    history = history_of(scenario, [Stretch(lasts_s=30, per_s=100, slow=177)])

    alone, among_many = (judge(scenario, history, confidence=0.95, family=family) for family in (1, 100))

    assert alone.outcome is Outcome.FAIL
    assert among_many.outcome is Outcome.INCONCLUSIVE
    assert "but of 100 promises one may look so by chance (p = 0.01" in among_many.sentence
    assert (alone.family, among_many.family) == (1, 100)


@pytest.mark.parametrize("looks", [1, 2, 3, 5])
def test_looks_share_one_error(looks):
    """Whichever is the last: together they are wrong no oftener than one look alone."""
    errors = [1 - confidence_at(look, looks=looks, confidence=0.95) for look in range(1, looks + 1)]

    assert math.fsum(errors) == pytest.approx(0.05)
    assert errors[0] == max(errors)


def test_a_later_look_is_asked_for_more():
    """The same requests that prove a promise at the first look are too few at the second."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "errors", "max": "1%"}])
    history = history_of(scenario, [Stretch(lasts_s=30, per_s=12)])
    longer = scenario.model_copy(update={"extends_to": 2.0})
    second = replace(history, phases=tuple(replace(mark, looks=2) for mark in history.phases))

    outcomes = [judge(longer, each, confidence=0.95).claims[0].outcome for each in (history, second)]

    assert outcomes == [Outcome.PASS, Outcome.INCONCLUSIVE]


@pytest.mark.parametrize(
    ("looks", "extends_to", "factor"), [(1, 1.0, 1.0), (1, 2.0, 1.25), (2, 2.0, 5.0), (3, 4.0, 10.0)]
)
def test_a_look_spends_its_part_of_the_error_before_holm_too(looks, extends_to, factor):
    """Holm asks for a part of the whole 5 %; a look that has 1 % of them must show five times as much."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "5%"}])
    history = history_of(scenario, [Stretch(lasts_s=30, per_s=100, slow=250)])
    longer = scenario.model_copy(update={"extends_to": extends_to})
    marked = replace(history, phases=tuple(replace(mark, looks=looks) for mark in history.phases))

    once, again = (judge(each, marked, confidence=0.95).claims[0].p_value for each in (scenario, longer))

    assert again == pytest.approx(factor * once, rel=0.01)


@given(st.floats(0, 300), st.floats(0, 3000), st.sampled_from([0.05, 0.3]))
def test_capital_is_a_mixture_of_likelihood_ratios(events, good, limit):
    """Compared with the integral itself: a prior over all shares, each of which bets against the limit."""
    total = events + good
    a, b = 50 * limit, 50 * (1 - limit)
    grid = (np.arange(20_000) + 0.5) / 20_000
    weights = beta(a, b).pdf(grid) / 20_000
    ratios = events * np.log(grid / limit) + good * np.log((1 - grid) / (1 - limit))
    peak = ratios.max()

    expected = peak + math.log((np.exp(ratios - peak) * weights).sum())
    assert capital_log(events, total, limit) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("share", [0.05, 0.04])
def test_a_service_that_keeps_its_promise_is_hardly_ever_given_up(share):
    """Looked at after each of 2 000 requests, 2 000 times over: at most one in a thousand; three are luck."""
    random, given_up = np.random.default_rng(7), 0
    for _ in range(2000):
        events = np.cumsum(random.random(2000) < share)
        total = np.arange(1, 2001)
        worst = [index for index in range(0, 2000, 20) if events[index] > 0.05 * total[index]]
        given_up += any(is_hopeless(SLOW, float(events[index]), float(total[index])) for index in worst)

    assert given_up <= 3


@pytest.mark.parametrize(
    ("objective", "events", "total", "is_broken"),
    [
        pytest.param(SLOW, 200, 1000, True, id="20 % slow"),
        pytest.param(SLOW, 0, 1000, False, id="none slow"),
        pytest.param(SLOW, 60, 1000, False, id="6 % slow may be chance"),
        pytest.param(HITS, 300, 1000, True, id="30 % hits"),
        pytest.param(HITS, 1000, 1000, False, id="all hit"),
        pytest.param(Errors(sli="errors", max="0.1%"), 30, 600, True, id="5 % errors"),
        pytest.param(Errors(sli="errors", max="0.1%"), 2, 600, False, id="two errors"),
        pytest.param(SLOW, 0, 0, False, id="nothing"),
    ],
)
def test_beyond_doubt(objective, events, total, is_broken):
    """A broken promise is, a doubtful one is not, and a kept one never."""
    assert is_hopeless(objective, events, total) is is_broken


@pytest.mark.parametrize("total", [200, 1000, 5000])
def test_a_promise_is_given_up_once_a_thousandfold_is_won_against_it(total):
    """Not one event earlier: a service that keeps its promise gets there in at most one run of a thousand."""
    enough = next(events for events in range(total) if is_hopeless(SLOW, float(events), float(total)))

    assert enough > SLOW.limit * total
    assert capital_log(enough - 1, total, SLOW.limit) < math.log(1000) <= capital_log(enough, total, SLOW.limit)
