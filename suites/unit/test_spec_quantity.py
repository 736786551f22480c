"""Quantities say their unit, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.spec.quantity import (
    byte_rate_text,
    bytes_per_s,
    duration_s,
    duration_text,
    percent_text,
    ratio,
    size_bytes,
    size_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5.0), ("1.5min", 90.0), ("2h", 7200.0), ("100us", 1e-4), (" 5 s ", 5.0)],
)
def test_duration_reads_what_people_write(text, seconds):
    """Every unit, with or without a space."""
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["250", 250, 2.5, "", "ms", "5 seconds", "1e3s", "nan s", "inf s", None, True, "5sms", "\u0663s"]
)
def test_duration_refuses_what_has_no_clear_unit(text):
    """A bare number is the question that a reader must never have to ask."""
    with pytest.raises(ValueError, match="write a number with its unit"):
        duration_s(text)


def test_duration_refuses_what_is_below_zero():
    """Its unit is clear, and what it means is not."""
    with pytest.raises(ValueError, match="not a duration: '-5s' is below zero; leave the minus out"):
        duration_s("-5s")


@pytest.mark.parametrize(
    ("text", "length_bytes"), [("1B", 1), ("10KB", 10_000), ("1.5KB", 1500), ("0.001MB", 1000), (" 2 MB ", 2_000_000)]
)
def test_size_reads_what_people_write(text, length_bytes):
    """Units of 1000, as the fault proxy's."""
    assert size_bytes(text) == length_bytes
    assert bytes_per_s(f"{text}/s") == length_bytes


@pytest.mark.parametrize(
    "text", ["10", 10, "", "KB", "-1B", "1KiB", "1kB", "1e3B", "0.5B", "1.0001KB", None, True, "1KB/s"]
)
def test_size_refuses_what_is_no_whole_number_of_bytes_with_a_unit(text):
    """KiB would be another unit, and half a byte is none."""
    with pytest.raises(ValueError, match="not a size"):
        size_bytes(text)


@pytest.mark.parametrize("text", ["10KB", "10KB/", "10KB/min", "/s", "10/s", 10, None, "10KB/s/s"])
def test_rate_refuses_what_is_no_size_for_each_second(text):
    """A size alone could be meant for the whole phase."""
    with pytest.raises(ValueError, match=r"not a rate|not a size"):
        bytes_per_s(text)


@given(st.integers(0, 10**9))
def test_size_text_means_the_same_size(length_bytes):
    """What we print can be pasted back, to the byte."""
    assert size_bytes(size_text(length_bytes)) == length_bytes
    assert bytes_per_s(byte_rate_text(length_bytes)) == length_bytes


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.1 %", 0.001), ("100%", 1.0), ("0%", 0.0)])
def test_ratio_reads_percentages(text, share):
    """A share is written with its sign."""
    assert ratio(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", 0.05, "five%", "%", None, "101%", "-1%", "\u0663%"])
def test_ratio_refuses_everything_else(text):
    """0.05 could be five percent or a twentieth of one."""
    with pytest.raises(ValueError, match=r"write a number with its sign|between 0% and 100%"):
        ratio(text)


@pytest.mark.parametrize("seconds", [0.0, 0.25, 0.0001, 1.0, 1.5, 90.0, 3600.0])
def test_duration_text_means_the_same_duration(seconds):
    """What we print can be pasted back."""
    assert duration_s(duration_text(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.7, 1.0])
def test_percent_text_means_the_same_share(share):
    """What we print can be pasted back."""
    assert ratio(percent_text(share)) == pytest.approx(share)
