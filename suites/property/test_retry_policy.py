"""Asking again: whatever fails, and whenever, no request comes more often than said, and none before its time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.load.retrying import policy_of
from harness.spec.faults import Retries
from harness.spec.faults.traffic import TrafficWindow
from harness.spec.load import Load
from suites.property.test_load_arrivals import requests_of

LOAD = Load(arrivals_per_s=10, requests=requests_of([1.0, 1.0]))
FAULTS = st.builds(
    lambda times, wait_ms, late_ms: Retries(kind="retries", times=times, wait=f"{wait_ms}ms", after=f"{late_ms}ms"),
    st.integers(1, 10), st.integers(0, 2000), st.integers(1, 4999),
)  # fmt: skip
WINDOWS = st.lists(st.floats(0, 100), min_size=2, max_size=8, unique=True).map(
    lambda moments: list(zip(sorted(moments)[::2], sorted(moments)[1::2], strict=False))
)


@given(st.data(), WINDOWS, st.floats(-1, 101), st.lists(st.floats(0, 5), max_size=40))
def test_a_request_that_fails_each_time_is_asked_again_as_often_as_its_windows_allow(data, windows, sent_s, took_s):
    """A model that knows only the moments at which it failed: at most `times` of one window, each after its wait."""
    traffic = [
        TrafficWindow(id=f"fault-{number}", starts_s=starts_s, ends_s=ends_s, fault=data.draw(FAULTS))
        for number, (starts_s, ends_s) in enumerate(windows, start=1)
    ]
    policy = policy_of(traffic, LOAD)

    attempt, at_s = 0, sent_s
    for each_s in took_s:
        there = [each.fault for each in traffic if each.starts_s <= at_s < each.ends_s]
        assert policy.limit_s(0, at_s) == (there[0].after if there else float("inf"))
        failed_s = at_s + min(each_s, policy.limit_s(0, at_s))
        there = [each.fault for each in traffic if each.starts_s <= failed_s < each.ends_s]
        again_s = policy.again_s(0, attempt, failed_s)
        if not there or attempt >= there[0].times:
            assert again_s is None
            return
        assert again_s == failed_s + there[0].wait * 2**attempt
        attempt, at_s = attempt + 1, again_s
        assert attempt <= 10
