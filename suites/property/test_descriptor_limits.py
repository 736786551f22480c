"""A limit on descriptors bounds their numbers: how many more can be opened follows from which are free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.faults.process_limits import is_less, limit_leaving

OPEN = st.sets(st.integers(0, 40))


@given(OPEN, st.integers(0, 20))
def test_so_many_can_be_opened_and_not_one_more(numbers, leaving):
    """The lowest free number is given each time; the first that reaches the limit is refused."""
    limit, given_out = limit_leaving(numbers, leaving), set(numbers)

    for _ in range(leaving):
        lowest = next(number for number in range(100) if number not in given_out)
        assert lowest < limit
        given_out.add(lowest)

    assert next(number for number in range(100) if number not in given_out) >= limit


@given(OPEN, st.integers(0, 20))
def test_what_is_given_back_can_be_opened_again(numbers, leaving):
    """Also the highest that was open: a limit is not so low that a number below those in use is lost for ever."""
    limit = limit_leaving(numbers, leaving)

    assert sum(number not in numbers for number in range(limit)) == leaving
    assert limit not in numbers


@pytest.mark.parametrize(
    ("numbers", "leaving", "limit"),
    [
        (set(), 0, 0),
        ({0, 1, 2}, 0, 3),
        ({0, 1, 2}, 2, 5),
        ({0, 1, 2, 5}, 0, 3),
        ({0, 1, 2, 5}, 1, 4),
        ({0, 1, 2, 5}, 2, 6),
        ({0, 1, 2, 5}, 3, 7),
    ],
)
def test_gaps_count(numbers, leaving, limit):
    assert limit_leaving(numbers, leaving) == limit


@pytest.mark.parametrize(
    ("limit", "than", "less"), [(5, 6, True), (6, 6, False), (7, 6, False), (5, -1, True), (-1, -1, False), (-1, 6, False)]
)  # fmt: skip
def test_no_limit_is_more_than_any(limit, than, less):
    """The kernel says -1 for none."""
    assert is_less(limit, than) is less
