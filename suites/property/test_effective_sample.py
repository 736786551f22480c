"""What requests are worth: never more than they are, all of it when they are independent, little when they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.marks import PhaseMark
from harness.history.samples import RECORD, SampleOutcome, Samples
from harness.measure.effective_sample import effective_total, long_run_variance
from harness.spec.objective import Errors, Slow

SLOW = Slow(sli="slow", over="100ms", max="5%")
ERRORS = Errors(sli="errors", max="1%")


def phase(lasts_s):
    return PhaseMark(name="baseline", began_s=5.0, ended_s=5.0 + lasts_s)


def requests(latencies_s, lasts_s, failed=()):
    """Spread requests evenly over the phase."""
    records = np.zeros(len(latencies_s), dtype=RECORD)
    records["intended_s"] = 5.0 + np.arange(len(latencies_s)) * lasts_s / max(1, len(latencies_s))
    records["latency_s"] = latencies_s
    records["outcome"][list(failed)] = SampleOutcome.FAILED
    return Samples(records, ("read",))


@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=400), st.floats(0.5, 300))
def test_requests_are_worth_at_most_what_they_are(latencies_s, lasts_s):
    worth = effective_total(SLOW, requests(latencies_s, lasts_s), phase(lasts_s))

    assert 0 < worth <= len(latencies_s)


@pytest.mark.parametrize("lasts_s", [10, 60])
@pytest.mark.parametrize("seed", range(5))
def test_independent_requests_are_worth_nearly_all_of_it(lasts_s, seed):
    coins = np.random.default_rng(seed).random(200 * lasts_s) < 0.06
    samples = requests(np.where(coins, 0.2, 0.001), lasts_s)

    assert effective_total(SLOW, samples, phase(lasts_s)) > 0.4 * len(samples)


@given(st.integers(8, 40), st.integers(0, 1000))
def test_a_story_told_many_times_is_worth_one(copies, seed):
    """Groups that share their fate are worth about as many as there are groups, however large they are."""
    fates = np.random.default_rng(seed).random(1200) < 0.3

    worth = effective_total(SLOW, requests(np.repeat(np.where(fates, 0.2, 0.001), copies), 60), phase(60))

    assert worth < 3 * len(fates)  # sixty blocks know a variance only so well


def test_one_outage_is_worth_about_one_request():
    """Half a second of failures in a minute: many requests, one event."""
    samples = requests(np.full(12_000, 0.001), 60, failed=range(6000, 6100))

    worth = effective_total(ERRORS, samples, phase(60))

    assert worth * 100 / 12_000 == pytest.approx(1, abs=0.1)


def test_no_slow_request_at_all_is_not_independence():
    """Swings of ten seconds just below the limit: nothing beyond it yet, and little evidence that nothing will be."""
    seconds = np.arange(12_000) / 200
    noise = np.random.default_rng(1).exponential(1, len(seconds))
    swinging = np.minimum(0.099, (0.02 + 0.018 * np.sin(seconds * 2 * np.pi / 10)) * noise)
    steady = np.minimum(0.099, 0.02 * noise)

    worth, independent = (effective_total(SLOW, requests(x, 60), phase(60)) for x in (swinging, steady))

    assert worth < 0.2 * independent


def test_slow_swings_far_below_the_limit_do_not_matter():
    """What happens between 1 and 3 ms says nothing about 100 ms."""
    swinging = 0.002 + 0.001 * np.sin(np.arange(12_000) / 2000)

    assert effective_total(SLOW, requests(swinging, 60), phase(60)) == 12_000


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=200), st.integers(1, 9))
def test_variance_scales_with_the_square(series, factor):
    scaled = long_run_variance([float(factor * each) for each in series])

    assert scaled == pytest.approx(factor**2 * long_run_variance([float(each) for each in series]))
    assert scaled >= 0
