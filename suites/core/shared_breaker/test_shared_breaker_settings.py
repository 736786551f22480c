"""What may be chosen reaches the policy."""

from __future__ import annotations

import pytest

from fixtures.reference.core.breaker import BreakerPolicy
from fixtures.reference.core.shared_breaker import SharedBreakerPolicy
from fixtures.reference.core.shared_breaker.settings import SharedBreakerSettings


def test_the_variable_reaches_the_policy():
    """And so do the rules of the breaker."""
    rules = BreakerPolicy(failures=7)

    assert SharedBreakerSettings(look_every_s=0.5).policy(rules) == SharedBreakerPolicy(breaker=rules, look_every_s=0.5)
    assert SharedBreakerSettings().policy(rules) == SharedBreakerPolicy(breaker=rules)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_what_makes_no_sense_is_refused(value):
    """At the start."""
    with pytest.raises(ValueError, match="look_every_s"):
        SharedBreakerSettings(look_every_s=value)
