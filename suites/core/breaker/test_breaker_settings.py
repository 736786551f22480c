"""Every variable of the breakers reaches what they go by."""

from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import ValidationError

from fixtures.reference.core.breaker import BreakerPolicy
from fixtures.reference.core.breaker.settings import BreakerSettings

OTHER_THAN_BY_DEFAULT = {
    "failures": 7,
    "window_s": 33.0,
    "min_calls": 11,
    "min_failure_rate": 0.25,
    "recovery_s": 44.0,
    "recovery_max_s": 55.0,
    "jitter_ratio": 0.3,
    "probes": 6,
    "successes": 2,
    "probe_max_s": 21.0,
    "slow_call_s": 1.5,
}


def test_every_choice_has_a_variable_and_the_other_way_round():
    """What a policy can say and no variable can set is not a setting."""
    names = {field.name for field in fields(BreakerPolicy)}

    assert names == set(BreakerSettings.model_fields) == set(OTHER_THAN_BY_DEFAULT)


@pytest.mark.parametrize("name", OTHER_THAN_BY_DEFAULT)
def test_each_variable_reaches_the_policy_and_no_other_does(name):
    """One at a time, so that none can stand in for another."""
    by_default = BreakerSettings().policy()

    chosen = BreakerSettings(**{name: OTHER_THAN_BY_DEFAULT[name]}).policy()

    differing = {
        field.name for field in fields(chosen) if getattr(chosen, field.name) != getattr(by_default, field.name)
    }
    assert differing == {name}
    assert getattr(chosen, name) == OTHER_THAN_BY_DEFAULT[name]


def test_more_successes_than_probes_are_refused_at_the_start():
    """It could never close again."""
    with pytest.raises(ValidationError, match="more successes than probes"):
        BreakerSettings(probes=3, successes=4)
