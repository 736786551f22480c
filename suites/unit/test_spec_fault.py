"""Faults as they may be wished for: only such as can be told from none."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.faults.network.latency import LOW_TOLERANCE
from harness.spec.faults import Latency


def wished(delay, jitter="0ms"):
    return Latency(kind="latency", target="redis", delay=delay, jitter=jitter)


@pytest.mark.parametrize(
    ("delay", "jitter"), [("5ms", "0ms"), ("7ms", "2ms"), ("400ms", "100ms"), ("1s", "900ms"), ("1.001s", "0s")]
)
def test_no_dose_of_nothing_passes_for_a_latency_that_may_be_asked_for(delay, jitter):
    """The least that counts as delivered is more than an edge without a fault ever adds."""
    fault = wished(delay, jitter)

    least_s = fault.delay - fault.jitter - max(LOW_TOLERANCE[0], LOW_TOLERANCE[1] * fault.delay)

    assert least_s >= 0.003 - 1e-9


@pytest.mark.parametrize(
    ("delay", "jitter", "said"),
    [
        ("2ms", "0ms", r"`redis \+2ms` may be 2ms, which cannot be told from no fault; delay less jitter must be 5ms"),
        ("100ms", "96ms", "may be 4ms.*must be 10ms"),
        ("1s", "990ms", "may be 10ms.*must be 100ms"),
        ("50ms", "60ms", "may be 0s"),
        ("400us", "0ms", "cannot be told from no fault"),
        ("5400us", "0ms", "whole milliseconds"),
        ("100ms", "500us", "whole milliseconds"),
    ],
)
def test_one_that_could_not_be_seen_is_refused(delay, jitter, said):
    with pytest.raises(ValidationError, match=said):
        wished(delay, jitter)
