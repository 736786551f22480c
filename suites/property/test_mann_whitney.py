"""Ranks of whole runs against scipy's slower ways, and against what must hold of any two groups."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.measure.mann_whitney import shift, shift_bounds, two_sided_p

VALUES = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
GROUP = st.lists(VALUES, min_size=1, max_size=7)
TIED = st.lists(st.integers(0, 3).map(float), min_size=1, max_size=5)


def _u(one, other, axis=-1):
    """Count pairs in which `one` is larger; a tie is half a pair."""
    differences = np.asarray(one)[..., :, None] - np.asarray(other)[..., None, :]
    return ((differences > 0) + (differences == 0) / 2).sum(axis=(-1, -2))


@given(GROUP, GROUP)
def test_p_is_scipys_where_nothing_is_tied(before, after):
    if len({*before, *after}) < len(before) + len(after):
        return
    expected = stats.mannwhitneyu(before, after, alternative="two-sided", method="exact").pvalue

    assert two_sided_p(before, after) == pytest.approx(expected)


@given(TIED, TIED)
def test_p_with_ties_is_that_of_every_way_to_deal_the_values(before, after):
    """Counted by hand, each way of choosing who is `after`."""
    values = [*before, *after]
    dealt = [
        float(_u([values[at] for at in chosen], [value for at, value in enumerate(values) if at not in chosen]))
        for chosen in itertools.combinations(range(len(values)), len(after))
    ]
    seen = float(_u(after, before))
    tails = [sum(each <= seen for each in dealt), sum(each >= seen for each in dealt)]

    assert two_sided_p(before, after) == pytest.approx(min(1, 2 * min(tails) / len(dealt)))


@pytest.mark.parametrize("seed", range(5))
def test_p_with_ties_is_scipys_exact_permutation(seed):
    random = np.random.default_rng(seed)
    before, after = random.integers(0, 4, 5).astype(float), random.integers(1, 5, 5).astype(float)
    exact = stats.permutation_test(
        (before, after),
        _u,
        permutation_type="independent",
        alternative="two-sided",
        n_resamples=np.inf,
        vectorized=True,
    )

    assert two_sided_p(before, after) == pytest.approx(exact.pvalue)


@given(GROUP, GROUP)
def test_the_two_groups_may_change_places(before, after):
    assert two_sided_p(before, after) == pytest.approx(two_sided_p(after, before))
    assert shift(before, after) == pytest.approx(-shift(after, before))
    lower, upper = shift_bounds(before, after, 0.9)
    assert shift_bounds(after, before, 0.9) == pytest.approx((-upper, -lower))


@given(GROUP, GROUP, st.floats(-100, 100))
def test_bounds_hold_the_shift_and_move_with_it(before, after, moved):
    lower, upper = shift_bounds(before, after, 0.9)

    assert lower <= shift(before, after) <= upper
    assert shift(before, [value + moved for value in after]) == pytest.approx(shift(before, after) + moved, abs=1e-6)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.9, 0.95, 0.99]))
def test_bounds_are_those_that_the_one_sided_test_does_not_refute(many, others, confidence):
    """Against scipy's test, just inside and just outside of the upper bound."""
    random = np.random.default_rng(many * 100 + others)
    before, after = random.random(many), random.random(others)
    _, upper = shift_bounds(before, after, confidence)

    def p_of(moved):
        return stats.mannwhitneyu(after - moved, before, alternative="less", method="exact").pvalue

    if math.isinf(upper):
        assert p_of(3.0) > 1 - confidence
    else:
        assert p_of(upper + 1e-9) <= 1 - confidence + 1e-12
        assert p_of(upper - 1e-9) > 1 - confidence - 1e-12


@pytest.mark.parametrize(("size", "p"), [(4, 2 / 70), (5, 2 / 252), (60, 2 / math.comb(120, 60))])
def test_the_least_p_is_one_order_of_many_and_its_mirror(size, p):
    assert two_sided_p(list(range(size)), list(range(size, 2 * size))) == pytest.approx(p)


def test_equal_runs_are_no_difference():
    assert two_sided_p([0.0] * 5, [0.0] * 5) == 1
    assert shift_bounds([0.0] * 5, [0.0] * 5, 0.95) == (0, 0)
