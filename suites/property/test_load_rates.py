"""Schedules are rates: their arrivals are in order, as many as the rate integrates to, and there when it says."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.arrivals import schedule_of
from harness.load.flow import flow_through
from harness.load.replay import replayed_s
from harness.spec.load import Load
from harness.spec.schedule import Constant, Ramp, Sine, Spike, Stair, Step

SECONDS = st.floats(0.1, 20).map(lambda seconds: round(seconds, 3))
RATES = st.floats(0, 3000).map(lambda per_s: round(per_s, 2))
# model_construct: the models read texts such as 5s; what is tested here begins after that.
SCHEDULES = st.one_of(
    st.just(Constant()),
    st.builds(Ramp.model_construct, kind=st.just("ramp"), to_per_s=RATES, over=SECONDS, begins=SECONDS),
    st.builds(
        Step.model_construct,
        kind=st.just("step"),
        steps=st.lists(st.builds(Stair.model_construct, at=SECONDS, per_s=RATES), min_size=1, max_size=5).map(tuple),
    ),
    st.builds(Spike.model_construct, kind=st.just("spike"), to_per_s=RATES, at=SECONDS, lasts=SECONDS),
    st.builds(Sine.model_construct, kind=st.just("sine"), swing=st.floats(0.01, 1), period=st.floats(1, 30)),
)
LOADS = st.builds(
    lambda per_s, arrivals, schedule: Load(arrivals_per_s=per_s, arrivals=arrivals).model_copy(
        update={"schedule": schedule}
    ),
    st.floats(0.5, 3000),
    st.sampled_from(["poisson", "constant"]),
    SCHEDULES,
)


@given(LOADS, st.floats(0.05, 10), st.integers(0, 2**31))
def test_a_course_under_any_schedule_is_ordered_inside_its_time_and_repeatable(load, lasts_s, seed):
    """Whatever the rate does, at zero too."""
    first, again = (schedule_of(load, lasts_s=lasts_s, seed=seed).intended_s for _ in range(2))

    assert (first == again).all()
    assert (np.diff(first) >= 0).all()
    assert len(first) == 0 or (first[0] >= 0 and first[-1] < lasts_s)


@given(LOADS, st.integers(0, 2**31))
def test_as_many_come_as_the_rate_integrates_to(load, seed):
    """In the whole and in each half; a metronome to one request, independent clients to six standard deviations."""
    lasts_s = 6.0
    intended_s = schedule_of(load, lasts_s=lasts_s, seed=seed).intended_s

    for began_s, ended_s in ((0, lasts_s), (0, 3.0), (3.0, lasts_s)):
        expected = load.expected(began_s, ended_s)
        seen = int(((intended_s >= began_s) & (intended_s < ended_s)).sum())
        slack = 1.0 + 1e-6 * expected if load.arrivals == "constant" else 6 * math.sqrt(expected) + 6
        assert abs(seen - expected) <= slack


@given(LOADS, st.floats(0.1, 10), st.floats(0, 1))
def test_the_moment_of_a_count_is_when_so_many_are_due(load, lasts_s, share):
    """`moments_s` is the inverse of the integral; checked against the integral in pure Python."""
    flow = flow_through(load.schedule.knots(load.arrivals_per_s, lasts_s))
    count = share * flow.total * (1 - 1e-9)

    (moment_s,) = flow.moments_s(np.array([count]))

    assert load.expected(0, moment_s) == pytest.approx(count, abs=1e-4, rel=1e-6)


@given(LOADS, st.lists(st.floats(0, 10), min_size=2, max_size=6).map(sorted))
def test_what_is_expected_adds_up(load, moments_s):
    """Of neighbouring stretches, and is never negative."""
    parts = [load.expected(began_s, ended_s) for began_s, ended_s in itertools.pairwise(moments_s)]

    assert all(part >= -1e-9 for part in parts)
    assert sum(parts) == pytest.approx(load.expected(moments_s[0], moments_s[-1]), abs=1e-6)


@given(LOADS, st.floats(0.5, 8), st.floats(1, 6))
def test_a_stretched_load_is_the_same_shape_for_longer(load, lasts_s, factor):
    """Four times as long is four times as many."""
    longer = load.stretched(factor)

    assert longer.expected(0, lasts_s * factor) == pytest.approx(load.expected(0, lasts_s) * factor, abs=1e-4, rel=2e-3)
    assert longer.peak_per_s(lasts_s * factor) == pytest.approx(load.peak_per_s(lasts_s), abs=1e-6, rel=1e-3)


@given(st.lists(st.floats(0.001, 2), min_size=1, max_size=200), st.floats(0.5, 500))
def test_a_replay_keeps_the_pattern_and_has_the_rate_that_was_asked_for(gaps_s, per_s):
    """All gaps are scaled by one factor."""
    recording_s = np.concatenate(([0.0], np.cumsum(gaps_s)))
    lasts_s = len(gaps_s) / per_s

    replayed = replayed_s(recording_s, per_s, lasts_s)

    assert abs(len(replayed) - len(gaps_s)) <= 1
    scale = lasts_s / recording_s[-1]
    assert replayed == pytest.approx(recording_s[: len(replayed)] * scale, rel=1e-9, abs=1e-12)
