"""What a breaker goes by where nothing is chosen, and what is offered for a busy service."""

from __future__ import annotations

from dataclasses import asdict
from math import inf

import pytest

from fixtures.reference.core.breaker import BUSY, BreakerPolicy
from fixtures.reference.core.shared_breaker import SharedBreakerPolicy


def test_defaults_are_these():
    """Five failures in a minute, a minute's rest, doubled up to ten, three probes; another default breaks deployments."""
    assert asdict(BreakerPolicy()) == {
        "failures": 5,
        "window_s": 60.0,
        "min_calls": 0,
        "min_failure_rate": 0.0,
        "recovery_s": 60.0,
        "recovery_max_s": 600.0,
        "jitter_ratio": 0.1,
        "probes": 3,
        "successes": None,
        "probe_max_s": 30.0,
        "slow_call_s": inf,
    }
    assert SharedBreakerPolicy() == SharedBreakerPolicy(breaker=BreakerPolicy(), look_every_s=1.0)


def test_a_busy_service_trips_on_a_share():
    """A bare count trips on healthy traffic, so the one for a busy service asks for a tenth, of half a minute."""
    assert BreakerPolicy(window_s=30.0, min_failure_rate=0.1) == BUSY


@pytest.mark.parametrize(("successes", "needed"), [(None, 3), (1, 1), (3, 3)])
def test_all_probes_must_succeed_unless_fewer_are_enough(successes, needed):
    """As many as were chosen."""
    assert BreakerPolicy(successes=successes).successes_needed == needed
