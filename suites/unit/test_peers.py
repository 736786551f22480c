"""What is said of other libraries, and the clock that they are given."""

from __future__ import annotations

import time
from datetime import UTC, timedelta

import pytest

from fixtures.peers._time import Stepped, SteppedDatetime
from fixtures.peers.page import Seen, page
from harness.clock import FakeClock


def seen(word: str, *, test: str = "test_any", why: str = "") -> Seen:
    return Seen("lib", "1.2.3", "test_breakers", test, "About it.", word, why)


def test_the_page_counts_what_is_kept_broken_and_not_offered():
    """Of each library and suite; what is broken is told with its reason, and what is not known yet as such."""
    text = page(
        [
            seen("keeps"),
            seen("keeps"),
            seen("not offered"),
            seen("breaks", test="test_any[sync-1]", why="the wall clock"),
            seen("breaks", test="test_any[sync-2]", why="the wall clock"),
            seen("red", test="test_new"),
        ],
        day="2026-11-29",
    )

    assert "As of 2026-11-29" in text
    assert "| lib 1.2.3 | breakers | 2 | 3 | 1 |" in text
    assert "| `test_any`: About it. | sync-1, sync-2 | the wall clock |" in text
    assert "| `test_new`: About it. | all | not known yet |" in text


def test_a_library_that_breaks_nothing_has_a_row_and_no_table():
    """Nothing to tell is not told."""
    assert "## lib" not in page([seen("keeps")], day="2026-11-29")


@pytest.mark.parametrize("step_s", [-3600.0, 0.0, 3600.0])
def test_the_stepped_clock_stands_still_moves_and_steps_with_the_wall(monkeypatch, step_s):
    """Real time does not move it; a step of the wall clock moves its wall clock and not its monotonic one."""
    clock, wall = Stepped(), time.time
    began_s, ran_s = clock.time(), clock.monotonic()

    clock.advance(1.5)
    monkeypatch.setattr(time, "time", lambda: wall() + step_s)

    assert clock.time() == began_s + 1.5 + step_s
    assert clock.monotonic() == ran_s + 1.5


def test_the_stepped_clock_follows_another():
    """A suite that has a clock of its own moves the library's with it."""
    clock, followed = Stepped(), FakeClock(1000.0)
    clock.follow(followed)
    began_s = clock.time()

    followed.advance(2.5)

    assert clock.time() == began_s + 2.5


def test_the_stepped_datetime_is_of_the_same_clock():
    """With a zone and without one."""
    aware, naive = SteppedDatetime.now(UTC), SteppedDatetime.utcnow()

    assert aware.replace(tzinfo=None) == naive
    assert SteppedDatetime.now(UTC) - aware == timedelta(0)
