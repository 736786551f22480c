"""What the environment may choose about a pool reaches its policy."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fixtures.reference.core.pool import LARGE, SMALL, PoolPolicy
from fixtures.reference.core.pool.settings import PoolSettings


@pytest.mark.parametrize(("preset", "policy"), [("small", SMALL), ("large", LARGE)])
def test_pool_settings_start_from_a_preset(preset, policy):
    """Both numbers of connections are the preset's, where nothing else is said."""
    chosen = PoolSettings(preset=preset).policy()

    assert (chosen.max_connections, chosen.min_idle) == (policy.max_connections, policy.min_idle)


def test_pool_settings_of_nothing_are_the_small_preset():
    """But for connecting, which a request has less time for."""
    assert PoolSettings().policy() == PoolPolicy(max_connections=20, min_idle=5, connect_timeout_s=0.5)


def test_pool_settings_all_reach_the_policy():
    """Each of the policy's fields can be chosen, and is what was chosen."""
    chosen = {name: 7 + number for number, name in enumerate(PoolPolicy.__dataclass_fields__)}
    chosen |= {"max_connections": 50, "min_idle": 3, "jitter_ratio": 0.5}

    policy = PoolSettings(preset="large", **chosen).policy()

    assert {name: getattr(policy, name) for name in chosen} == chosen


def test_pool_settings_that_contradict_each_other_are_refused_by_name():
    """A maximum below what the preset keeps ready is a mistake of the operator, told before anything is opened."""
    with pytest.raises(ValidationError, match="min_idle 5 is above max_connections 4"):
        PoolSettings(max_connections=4)

    assert PoolSettings(max_connections=4, min_idle=4).policy().min_idle == 4
