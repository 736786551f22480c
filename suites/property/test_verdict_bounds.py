"""The bounds agree with scipy, hold their confidence, and behave as bounds must."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from harness.verdict.bounds import lower_bound, requests_needed, upper_bound


@st.composite
def counts(draw, largest=2_000_000):
    total = draw(st.integers(1, largest))
    return draw(st.integers(0, total)), total


@given(counts(), st.sampled_from([0.9, 0.95, 0.99, 0.999]))
def test_bounds_agree_with_scipy(count, confidence):
    """Clopper and Pearson's bounds are beta quantiles."""
    events, total = count

    upper = beta.ppf(confidence, events + 1, total - events) if events < total else 1.0
    lower = beta.ppf(1 - confidence, events, total - events + 1) if events else 0.0
    assert upper_bound(events, total, confidence) == pytest.approx(upper, rel=1e-7, abs=1e-12)
    assert lower_bound(events, total, confidence) == pytest.approx(lower, rel=1e-7, abs=1e-12)


@given(counts(5000), st.floats(0.6, 0.999))
def test_bounds_enclose_the_share(count, confidence):
    """What was seen never contradicts itself."""
    events, total = count

    assert 0 <= lower_bound(events, total, confidence) <= events / total <= upper_bound(events, total, confidence) <= 1


@given(counts(3000), st.floats(0.6, 0.99))
def test_more_confidence_is_wider(count, confidence):
    """Being surer costs width."""
    events, total = count
    surer = confidence + (1 - confidence) / 2

    assert upper_bound(events, total, surer) >= upper_bound(events, total, confidence)
    assert lower_bound(events, total, surer) <= lower_bound(events, total, confidence)


@given(st.integers(1, 400), st.floats(0.001, 0.999))
def test_upper_bound_lies_below_the_truth_at_most_as_often_as_promised(total, truth):
    """Summed over every outcome, weighted by its exact probability: no simulation. More events, a higher bound."""
    too_low = bisect_left(range(total + 1), truth, key=lambda events: upper_bound(events, total, 0.95))

    wrong = float(binom.pmf(range(too_low), total, truth).sum())

    assert wrong <= 0.05 + 1e-9


@pytest.mark.parametrize(
    ("limit", "confidence", "events", "needed"),
    [(0.001, 0.95, 0, 2995), (0.001, 0.95, 1, 4742), (0.001, 0.95, 2, 6294), (0.05, 0.95, 0, 59), (0.05, 0.99, 0, 90)],
)
def test_requests_needed_is_the_least_evidence(limit, confidence, events, needed):
    """The figures to quote, each exact: one request fewer does not prove it."""
    assert requests_needed(limit, confidence, events) == needed
    assert upper_bound(events, needed, confidence) < limit <= upper_bound(events, needed - 1, confidence)


def test_of_no_requests_nothing_is_known():
    """The widest possible bounds."""
    assert (lower_bound(0, 0, 0.95), upper_bound(0, 0, 0.95)) == (0.0, 1.0)


@pytest.mark.parametrize(("events", "total"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(events, total):
    """More events than requests is a bug upstream, never a share."""
    with pytest.raises(ValueError, match="not possible"):
        upper_bound(events, total, 0.95)
