"""A clock that is off: what a file says of it, what a replica tells of it, and what is made of that."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.reference import clock as reference
from harness.faults.clock.skew import Told, told_in
from harness.spec.quantity import duration_s, offset_s, offset_text
from harness.stack.clock_file import NONE, Offsets, parsed, write

HOUR_AHEAD = Offsets(wall_s=3600.0)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_a_file_says_what_was_written(wall_s, monotonic_s):
    """And is read by whoever knows its two names."""
    offsets = Offsets(wall_s=wall_s, monotonic_s=monotonic_s)

    assert parsed(offsets.text()) == offsets


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    """It takes the place of the one before, in a folder that is made for it."""
    path = tmp_path / "clocks/replica-1.json"
    write(path, HOUR_AHEAD)
    write(path, Offsets(wall_s=-2.0, monotonic_s=5.0))

    assert path.read_text() == '{"wall_s": -2.0, "monotonic_s": 5.0}'
    assert [each.name for each in path.parent.iterdir()] == ["replica-1.json"]


@given(st.decimals(min_value="0.001", max_value="168", places=3), st.sampled_from(["us", "ms", "s", "min", "h"]))
def test_an_offset_is_a_duration_with_a_sign(number, unit):
    """And comes back as it was written, but for its unit."""
    ahead, behind = offset_s(f"+{number}{unit}"), offset_s(f" -{number}{unit} ")

    assert ahead == -behind == duration_s(f"{number}{unit}")
    assert offset_s(offset_text(behind)) == pytest.approx(behind, rel=1e-5)


@pytest.mark.parametrize("text", ["1h", "", "+", "-1", "+-1h", "--1h", None, 3600])
def test_what_is_no_offset_is_refused(text):
    with pytest.raises(ValueError, match=r"not an offset|not a duration"):
        offset_s(text)


SAID = [
    pytest.param("1000.5 50.25", Told(0.5, 0.25, 0.6), id="both"),
    pytest.param("4600 50", Told(3600.0, 0.0, 0.6), id="an hour ahead"),
    pytest.param(" 998.0 ", Told(-2.0, None, 0.6), id="no monotonic time"),
    pytest.param("Mon, 30 Nov 2026 12:00:00 GMT", None, id="a date"),
    pytest.param("", None, id="nothing"),
]


@pytest.mark.parametrize(("said", "told"), SAID)
def test_a_time_that_was_told_is_laid_beside_this_machines(said, told):
    """It was a thousand seconds since 1970, and fifty since the machine started."""
    assert told_in(said, 1000.0, 50.0, 0.6) == told


@pytest.mark.parametrize(
    ("told", "with_monotonic", "is_off"),
    [
        (Told(3600.6, None, 0.6), False, True),
        (Told(3599.4, None, 0.6), False, True),
        (Told(3600.7, None, 0.6), False, False),
        (Told(3599.3, None, 0.6), False, False),
        (Told(0.0, None, 0.6), False, False),
        (Told(-3600.0, None, 0.6), False, False),
        (Told(3600.0, None, 0.6), True, False),
        (Told(3600.0, 10.6, 0.6), True, True),
        (Told(3600.0, 9.3, 0.6), True, False),
        (Told(0.0, 10.0, 0.6), True, False),
    ],
)
def test_a_clock_is_off_by_what_was_asked_for_and_not_by_more_or_less(told, with_monotonic, is_off):
    """A monotonic clock that is not told of is none that was seen."""
    assert told.is_off_by(Offsets(wall_s=3600.0, monotonic_s=10.0), with_monotonic=with_monotonic) is is_off


def test_what_was_seen_is_said_in_seconds():
    assert str(Told(3600.04, -0.2, 0.5)) == "wall clock +3600s, monotonic -200ms"
    assert str(Told(-2.0, None, 0.5)) == "wall clock -2s, tells no monotonic time"


# The clocks of the reference service ---------------------------------------------------------------------------------


@pytest.fixture
def offsets(tmp_path, monkeypatch):
    """Where a file says how far they are off, which is read at each look."""
    monkeypatch.setattr(reference, "LOOK_EVERY_S", 0.0)
    return reference.Offsets(tmp_path / "clock.json")


def far(clock, machine):
    return round(clock.now() - machine(), 1)


def test_each_clock_is_off_by_its_own(offsets):
    """While the file says so; and right where it says so again."""
    wall, monotonic = reference.WallClock(offsets), reference.SetOffClock(offsets)

    assert (far(wall, time.time), far(monotonic, time.monotonic)) == (0.0, 0.0)
    write(offsets._path, Offsets(wall_s=-3600.0, monotonic_s=60.0))
    assert (far(wall, time.time), far(monotonic, time.monotonic)) == (-3600.0, 60.0)
    write(offsets._path, NONE)
    assert (far(wall, time.time), far(monotonic, time.monotonic)) == (0.0, 0.0)


@pytest.mark.parametrize("said", ["", "{", "[]", "null", '{"wall_s": 5}', '{"wall_s": "x", "monotonic_s": 0}'])
def test_what_cannot_be_read_changes_nothing(offsets, said):
    """Half a file, or one of somebody else."""
    write(offsets._path, HOUR_AHEAD)
    offsets.look()
    offsets._path.write_text(said)
    offsets.look()

    assert (offsets.wall_s, offsets.monotonic_s) == (3600.0, 0.0)


def test_a_file_is_not_read_for_each_look_at_a_clock(tmp_path, monkeypatch):
    """A tenth of a second is soon enough."""
    monkeypatch.setattr(reference, "LOOK_EVERY_S", 60.0)
    offsets = reference.Offsets(tmp_path / "clock.json")
    offsets.look()
    write(offsets._path, HOUR_AHEAD)
    offsets.look()

    assert offsets.wall_s == 0.0


def test_a_service_whose_environment_names_no_file_goes_by_the_machine(monkeypatch):
    """At no cost."""
    reference.offsets.cache_clear()
    monkeypatch.delenv(reference.FILE_VARIABLE, raising=False)

    assert isinstance(reference.monotonic_clock(), reference.MonotonicClock)
    assert far(reference.wall_clock(), time.time) == 0.0


def test_one_whose_environment_names_a_file_goes_by_that(monkeypatch, tmp_path):
    """Both of its clocks by one."""
    monkeypatch.setenv(reference.FILE_VARIABLE, str(tmp_path / "clock.json"))
    write(tmp_path / "clock.json", Offsets(wall_s=7.0, monotonic_s=9.0))
    reference.offsets.cache_clear()
    try:
        assert far(reference.wall_clock(), time.time) == 7.0
        assert far(reference.monotonic_clock(), time.monotonic) == 9.0
    finally:
        reference.offsets.cache_clear()
