"""The schedule of a load: ordered, repeatable, at the rate that was asked for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.load.arrivals import schedule_of, zipf_keys
from harness.spec.load import Load
from harness.spec.requests import DeclaredRequest, Keys

WEIGHTS = st.floats(1e-3, 1e3)


def requests_of(weights):
    """Return a request of each weight."""
    paths = [f"/{index}/{{key}}" for index in range(len(weights))]
    return tuple(DeclaredRequest(name=f"r{at}", path=paths[at], weight=weight) for at, weight in enumerate(weights))


LOADS = st.builds(
    Load,
    arrivals_per_s=st.floats(0.1, 5000),
    arrivals=st.sampled_from(["poisson", "constant"]),
    requests=st.lists(WEIGHTS, min_size=1, max_size=5).map(requests_of),
    keys=st.builds(Keys, count=st.integers(1, 5000), zipf=st.floats(0, 3)),
)


@given(LOADS, st.floats(0.01, 5), st.integers(0, 2**31))
def test_a_course_is_ordered_inside_its_time_and_repeatable(load, lasts_s, seed):
    """Whatever was asked for."""
    schedule, again = (schedule_of(load, lasts_s=lasts_s, seed=seed) for _ in range(2))

    assert len(schedule) == len(schedule.keys) == len(schedule.requests) == len(schedule.numbers)
    assert (np.diff(schedule.intended_s) >= 0).all()
    assert len(schedule) == 0 or (schedule.intended_s[0] >= 0 and schedule.intended_s[-1] < lasts_s + 1e-9)
    assert ((schedule.keys >= 0) & (schedule.keys < load.keys.count)).all()
    assert (schedule.requests < len(load.requests)).all()
    assert all((one == other).all() for one, other in zip(schedule.columns, again.columns, strict=True))


@given(LOADS, st.integers(0, 2**31))
def test_the_rate_is_what_was_asked_for(load, seed):
    """Exactly for a metronome; within six standard deviations for independent clients (once in 500 million)."""
    expected = load.arrivals_per_s * 5.0

    count = len(schedule_of(load, lasts_s=5.0, seed=seed))

    slack = 1.0 if load.arrivals == "constant" else 6 * np.sqrt(expected) + 6
    assert abs(count - expected) <= slack


@given(st.integers(2, 500), st.floats(0.2, 2), st.integers(0, 2**31))
def test_popularity_follows_zipf(count, skew, seed):
    """The most popular item has the share that the formula gives it."""
    keys = zipf_keys(Keys(count=count, zipf=skew), np.random.default_rng(seed).random(20_000))

    share = 1 / (np.arange(1, count + 1) ** -skew).sum()
    assert abs((keys == 0).mean() - share) <= 6 * np.sqrt(share * (1 - share) / len(keys)) + 1e-3


def test_arrivals_keep_their_times_when_the_mix_changes():
    """Each has a stream of randomness of its own."""
    loads = (Load(arrivals_per_s=100, requests=requests_of(weights)) for weights in ((1, 99), (50, 50)))
    few, many = (schedule_of(load, lasts_s=5, seed=1) for load in loads)

    assert (few.intended_s == many.intended_s).all()
    assert (few.keys == many.keys).all()
    assert (few.requests == 0).sum() < (many.requests == 0).sum()


def test_independent_clients_are_not_a_metronome():
    """The gaps of a Poisson process vary as much as they are long; those of a metronome do not vary."""
    gaps = np.diff(schedule_of(Load(arrivals_per_s=1000), lasts_s=20, seed=3).intended_s)

    assert 0.95 < gaps.std() / gaps.mean() < 1.05
