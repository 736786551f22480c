"""What a generator adds by itself, from the latencies that it saw at a server that does nothing."""

from __future__ import annotations

import numpy as np
import pytest

from harness.load.overhead import measured_until, usual_p95_s

CALM_S, STOP_S = 0.001, 0.050
WINDOW = 100


def latencies(*stopped):
    """Return three windows of latencies; in those of these numbers one request in ten met a stop of the machine."""
    windows = np.full((3, WINDOW), CALM_S)
    for number in stopped:
        windows[number, :10] = STOP_S
    return windows.ravel()


@pytest.mark.parametrize("number", range(3))
def test_a_stop_within_one_window_is_not_what_the_generator_adds(number):
    assert usual_p95_s(latencies(number)) == CALM_S


@pytest.mark.parametrize("numbers", [(0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_what_comes_back_in_most_windows_is(numbers):
    assert usual_p95_s(latencies(*numbers)) == STOP_S


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_answers_than_windows_are_enough(count):
    assert usual_p95_s(np.full(count, CALM_S)) == CALM_S


@pytest.mark.parametrize(
    ("found", "below_s", "counts", "measured"),
    [
        ([4.0], None, 4.0, 1),
        ([4.0], 5.0, 4.0, 1),
        ([5.0, 4.9], 5.0, 4.9, 2),
        ([6.0, 5.0, 4.0], 5.0, 4.0, 3),
        ([6.0, 7.0, 5.0], 5.0, 5.0, 3),
    ],
    ids=["anything", "little", "at the limit", "at last", "too much"],
)
def test_what_is_too_much_is_measured_up_to_twice_more(found, below_s, counts, measured):
    """The last one counts, whether it is little enough or not: none is chosen because it is the least."""
    left = iter([*found, 0.0])
    assert measured_until(lambda: next(left), below_s) == counts
    assert (list(left), len(found)) == ([0.0], measured)
