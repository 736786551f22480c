"""Histograms add up exactly, and any quantile is right to 0.4 %."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.histogram import ACCURACY_RATIO, Histogram, from_text, histogram_of, merged
from harness.measure.series import percentile_s

LATENCIES = st.lists(st.floats(1e-6, 60.0), max_size=60)


@given(LATENCIES.filter(bool), st.floats(0.01, 1.0))
def test_a_quantile_is_right_to_four_in_a_thousand(latencies_s, rank):
    """Against the latency that really occurred."""
    exact_s = percentile_s(np.array(latencies_s), rank)

    assert histogram_of(latencies_s).quantile_s(rank) == pytest.approx(exact_s, rel=ACCURACY_RATIO * 1.0001)


@given(st.lists(LATENCIES, max_size=4))
def test_parts_add_up_to_the_whole(parts):
    """Bucket by bucket, whoever counted."""
    whole = histogram_of([latency_s for part in parts for latency_s in part])

    assert merged(histogram_of(part) for part in parts) == whole
    assert from_text(str(whole)) == whole
    assert len(whole) == sum(map(len, parts))


def test_nothing_has_no_quantile():
    assert Histogram().quantile_s(0.95) is None
    assert str(Histogram()) == ""


@given(st.floats(-1, 1e-6))
def test_less_than_a_microsecond_is_one(latency_s):
    assert histogram_of([latency_s]) == histogram_of([1e-6])


@pytest.mark.parametrize("text", ["x", "1", "1:2:3", "1:0", "1:-4", "1.5:1"])
def test_nonsense_is_no_histogram(text):
    with pytest.raises(ValueError, match=r"."):
        from_text(text)
