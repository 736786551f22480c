"""Quantities say their unit, or are refused."""

from __future__ import annotations

import pytest

from harness.spec.quantity import duration_s, duration_text, percent_text, ratio


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5.0), ("1.5min", 90.0), ("2h", 7200.0), ("100us", 1e-4), (" 5 s ", 5.0)],
)
def test_duration_reads_what_people_write(text, seconds):
    """Every unit, with or without a space."""
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["250", 250, 2.5, "", "ms", "-5s", "5 seconds", "1e3s", "nan s", "inf s", None, True, "5sms"]
)
def test_duration_refuses_what_has_no_clear_unit(text):
    """A bare number is the question that a reader must never have to ask."""
    with pytest.raises(ValueError, match="write a number with its unit"):
        duration_s(text)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.1 %", 0.001), ("100%", 1.0), ("0%", 0.0)])
def test_ratio_reads_percentages(text, share):
    """A share is written with its sign."""
    assert ratio(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", 0.05, "five%", "%", None, "101%", "-1%"])
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
